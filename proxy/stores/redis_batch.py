"""Commands to one Redis server in one round trip, on a connection of their own.

redis-py's pipeline takes a connection from its pool, packs in Python, looks after retries in
three layers and reads each answer under a timer: several times what a claim is worth. Here
hiredis packs, and there is one deadline, the session's.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import hiredis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

Words: TypeAlias = Sequence[str]
"""A command: its name and what follows, each word for itself."""


class Courier:
    """Carries batches, one at a time. `pool` says where to, and as whom."""

    def __init__(self, pool: Any) -> None:  # noqa: ANN401  # redis-py's pools share no public type
        options = {**pool.connection_kwargs, "socket_timeout": None}
        self._link = pool.connection_class(**options)

    async def connect(self) -> None:
        """Connect before there is anything to send: see `redis_nodes`.

        The name may lead elsewhere later, and then these commands would not go to the primaries
        that are heard.
        """
        await self._link.connect()

    async def send(self, commands: Sequence[Words]) -> list[object]:
        """Their answers, `ResponseError`s among them. Raises what redis-py raises.

        Sent a second time when the connection breaks: the server may have closed it while it was
        idle.
        """
        packed = b"".join([hiredis.pack_command(tuple(words)) for words in commands])  # type: ignore[arg-type]
        try:
            return await self._exchange(packed, len(commands))
        except (RedisConnectionError, OSError):
            await self._link.disconnect(nowait=True)
            return await self._exchange(packed, len(commands))

    async def close(self) -> None:
        """Disconnect."""
        await self._link.disconnect(nowait=True)

    async def _exchange(self, packed: bytes, count: int) -> list[object]:
        await self._link.send_packed_command(packed, check_health=False)
        return [await self._answer() for _ in range(count)]

    async def _answer(self) -> object:
        try:
            answer: object = await self._link.read_response()
        except ResponseError as error:
            return error
        return answer
