"""One stretch of time in which Redis answers: a client, and a listening connection per primary.

Everything asked in a session ends with it: when the session closes, commands under way are cut
at once, so that nobody waits for a server that is known to be gone.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError, ResponseError

from proxy.core.errors import StoreUnavailableError
from proxy.stores.redis_batch import Words
from proxy.stores.redis_nodes import Client, Nodes

ASK_TIMEOUT = 1.0
"""Seconds for one command, waiting for its turn included. A batch has as many for itself: what is
claimed while others are under way waits for those first."""

MAX_AT_ONCE = 64
"""Commands under way at once, hence connections; more would only queue inside Redis."""

LOST = (RedisError, RedisClusterException, OSError, TimeoutError, AttributeError)
"""What redis-py raises. `RedisClusterException` is no `RedisError`. `AttributeError` comes of a
cluster client that rebuilds its map (8.1): it disconnects connections that others write on, who
then meet `None`. It has to count as a lost connection, for it would end the feed for good."""

Pushed = Callable[[list[bytes] | None], None]
"""Told which keys changed; None when all may have."""

P = ParamSpec("P")
T = TypeVar("T")


class Session:
    """See the module. `link` comes first, `close` last and always."""

    def __init__(self, nodes: Nodes) -> None:
        self.nodes = nodes
        self.links: list[AbstractConnection] = []
        self._turns = asyncio.Semaphore(MAX_AT_ONCE)
        self._deadlines: set[asyncio.Timeout] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    async def link(self, prefixes: Sequence[str], pushed: Pushed) -> None:
        """Have every primary report changes of keys that start like these. Raises `LOST`."""
        wanted = [word for prefix in prefixes for word in ("PREFIX", prefix)]
        self.links = await self.nodes.primaries()
        for link in self.links:
            _hear(link, pushed)
            await link.connect()  # type: ignore[no-untyped-call]
            await link.send_command("CLIENT", "TRACKING", "ON", "BCAST", *wanted)
            await link.read_response()

    async def ask(
        self,
        command: Callable[Concatenate[Client, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run one command of `redis_commands`. Raises `StoreUnavailableError`."""

        async def in_turn() -> T:
            async with self._turns:
                return await command(self.nodes.client, *args, **kwargs)

        return await self._in_time(in_turn())

    async def send(self, commands: Sequence[Words]) -> list[object]:
        """Their answers, `ResponseError`s among them, see `Nodes.send`.

        Raises `StoreUnavailableError`.
        """
        return await self._in_time(self.nodes.send(commands))

    async def run(self, *words: str | bytes) -> Any:  # noqa: ANN401  # whatever Redis answers
        """What one command answers. Raises `StoreUnavailableError`, for an error too."""
        (answer,) = await self.send((words,))
        if isinstance(answer, ResponseError):
            raise StoreUnavailableError from answer
        return answer

    async def each(self, items: AsyncIterator[T]) -> AsyncIterator[T]:
        """The items, each fetched under the deadline of a command and with its errors."""
        while (item := await self.ask(lambda _: anext(items, None))) is not None:
            yield item

    async def close(self) -> None:
        """Cut what is under way, then disconnect. Any error on the way out is of no interest."""
        for deadline in self._deadlines:
            if not deadline.expired():
                deadline.reschedule(0)
        await self._idle.wait()
        for link in self.links:
            await link.disconnect(nowait=True)
        await self.nodes.close()

    async def _in_time(self, answer: Awaitable[T]) -> T:
        """The answer, unless it stays out or the session ends. Raises `StoreUnavailableError`."""
        deadline = asyncio.timeout(ASK_TIMEOUT)
        try:
            async with deadline:
                self._deadlines.add(deadline)
                self._idle.clear()
                return await answer
        except LOST as error:
            raise StoreUnavailableError from error
        finally:
            self._deadlines.discard(deadline)
            if not self._deadlines:
                self._idle.set()


async def read_any(link: AbstractConnection) -> object:
    """The next thing a listening connection receives: an answer, or a push already handled.

    Raises `LOST` when the connection is dead. May be cancelled without losing a byte.
    """
    received: object = await link.read_response(
        timeout=float("inf"), disconnect_on_error=False, push_request=True
    )
    if received is None:  # redis-py's word for a socket that timed out: it will not recover
        msg = "the connection timed out"
        raise RedisConnectionError(msg)
    return received


def _hear(link: AbstractConnection, pushed: Pushed) -> None:
    async def handle(push: list[object]) -> list[object]:
        keys = push[1]
        pushed([bytes(key) for key in keys] if isinstance(keys, list) else None)
        return push

    # redis-py 8.1 has no public way to the parser of an async connection.
    parser: Any = link._parser  # noqa: SLF001  # see above
    parser.set_invalidation_push_handler(handle)
