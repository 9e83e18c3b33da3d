"""Commands to the primaries of a cluster: each straight to the one that has its slot.

What comes to the wrong one, or to none, finds its way by redis-py, which learns the new map as it
goes; who comes next goes straight again.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Sequence

from redis.asyncio import RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from proxy.stores.redis_batch import Courier, Words

_KEY = 3  # of EVAL's words: its script and the number of its keys stand before it
_UNANSWERED = object()
_REDIRECTIONS = ("MOVED ", "ASK ", "TRYAGAIN ", "CLUSTERDOWN ")


class Slots:
    """The primaries that `client` knows now, and a courier to each."""

    def __init__(self, client: RedisCluster) -> None:
        self._client = client
        primaries = client.get_primaries()
        self._couriers = {node.name: Courier(link_to(node)) for node in primaries}

    @property
    def names(self) -> Collection[str]:
        """Of the primaries."""
        return self._couriers.keys()

    async def send(self, commands: Sequence[Words]) -> list[object]:
        """Answers of scripts with a key, errors among them. Raises what redis-py raises."""
        shares: defaultdict[str, dict[int, Words]] = defaultdict(dict)
        for place, words in enumerate(commands):
            slot = self._client.keyslot(words[_KEY])
            node = self._client.nodes_manager.get_node_from_slot(slot)
            shares[node.name][place] = words
        answers: dict[int, object] = {}
        for answered in await asyncio.gather(*map(self._carried, shares, shares.values())):
            answers |= answered
        astray = {place: commands[place] for place in answers if _is_astray(answers[place])}
        if astray:
            answers |= zip(astray, await self._redirected(astray.values()), strict=True)
        return [answers[place] for place in range(len(commands))]

    async def close(self) -> None:
        """Disconnect."""
        for courier in self._couriers.values():
            await courier.close()

    async def _carried(self, name: str, share: dict[int, Words]) -> dict[int, object]:
        """What a primary answers to its share, if it is one of these and can be reached."""
        courier = self._couriers.get(name)
        if courier is not None:
            try:
                return dict(zip(share, await courier.send([*share.values()]), strict=True))
            except (RedisConnectionError, RedisTimeoutError):
                pass
        return dict.fromkeys(share, _UNANSWERED)

    async def _redirected(self, commands: Collection[Words]) -> list[object]:
        pipe = self._client.pipeline(transaction=False)
        for words in commands:
            pipe.execute_command(*words)
        answers: list[object] = await pipe.execute(raise_on_error=False)
        lost = (one for one in answers if isinstance(one, Exception))
        for error in lost:
            if not isinstance(error, ResponseError):
                raise error
        return answers


def link_to(node: ClusterNode) -> AbstractConnection:
    """A connection of its own to a member of a cluster."""
    link: AbstractConnection = node.connection_class(**node.connection_kwargs)
    return link


def _is_astray(answer: object) -> bool:
    """Whether it came to no primary, or to one that does not have its slot, or not alone."""
    if isinstance(answer, ResponseError):
        return str(answer).startswith(_REDIRECTIONS)
    return answer is _UNANSWERED
