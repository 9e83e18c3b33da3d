"""Commands in a cluster: each goes to the primary that has its slot, wherever that is by now."""

import re
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.exceptions import ResponseError
from redis_server import RedisCluster

from proxy.stores.redis_batch import Words
from proxy.stores.redis_nodes import Nodes, nodes_at
from proxy.stores.redis_session import LOST
from proxy.stores.redis_url import parse_redis_url

KEYS = [f"key-{n}" for n in range(40)]


@pytest.fixture
def own_cluster() -> Iterator[RedisCluster]:
    with RedisCluster.started() as cluster:
        yield cluster


@pytest.fixture
async def nodes(own_cluster: RedisCluster) -> AsyncIterator[Nodes]:
    nodes = nodes_at(parse_redis_url(own_cluster.url))
    await nodes.primaries()
    yield nodes
    await nodes.close()


def written(key: str, value: str = "1") -> Words:
    return ("EVAL", "return redis.call('APPEND', KEYS[1], ARGV[1])", "1", key, value)


def read(key: str) -> Words:
    return ("EVAL", "return redis.call('GET', KEYS[1])", "1", key)


def astray(cluster: RedisCluster) -> int:
    """How many commands came to a member that does not have their slot, so far."""
    told = "".join(node.cli("INFO", "errorstats") for node in cluster.primaries)
    return sum(map(int, re.findall(r"errorstat_MOVED:count=(\d+)", told)))


async def test_straight(nodes: Nodes, own_cluster: RedisCluster) -> None:
    """Answers come in the order asked, from all primaries; nothing goes by way of another."""
    before = astray(own_cluster)
    assert await nodes.send([written(key, key) for key in KEYS]) == [len(key) for key in KEYS]
    bad: Words = ("EVAL", "return redis.error_reply('WRONG')", "1", KEYS[1])
    first, error, *others = await nodes.send([read(KEYS[0]), bad, *map(read, KEYS[2:])])
    assert [first, *others] == [key.encode() for key in (KEYS[0], *KEYS[2:])]
    assert isinstance(error, ResponseError)
    assert all(int(node.cli("DBSIZE")) for node in own_cluster.primaries)
    assert astray(own_cluster) == before


@pytest.mark.parametrize("place", ["primary", "spare"])
async def test_a_slot_that_moved(nodes: Nodes, own_cluster: RedisCluster, place: str) -> None:
    """What comes to its old place is done once, at its new one, and the next goes there."""
    await nodes.send(list(map(written, KEYS)))
    key, owner = KEYS[7], own_cluster.owner_of(KEYS[7])
    others = [node for node in own_cluster.primaries if node is not owner]
    own_cluster.move_slot(key, others[0] if place == "primary" else own_cluster.spare)
    assert await nodes.send([written(one, "2") for one in KEYS]) == [2] * len(KEYS)
    before = astray(own_cluster)
    assert await nodes.send(list(map(read, KEYS))) == [b"12"] * len(KEYS)
    assert astray(own_cluster) == before
    assert nodes.is_current() is (place == "primary")


async def test_a_slot_on_its_way(nodes: Nodes, own_cluster: RedisCluster) -> None:
    """Between two places, a key that has left is found where it went."""
    key = KEYS[0]
    await nodes.send([written(key)])
    source = own_cluster.owner_of(key)
    target = next(node for node in own_cluster.primaries if node is not source)
    slot = source.cli("CLUSTER", "KEYSLOT", key)
    target.cli("CLUSTER", "SETSLOT", slot, "IMPORTING", source.cli("CLUSTER", "MYID"))
    source.cli("CLUSTER", "SETSLOT", slot, "MIGRATING", target.cli("CLUSTER", "MYID"))
    source.cli("MIGRATE", "127.0.0.1", str(target.port), key, "0", "5000")
    assert await nodes.send([written(key, "2"), read(key)]) == [2, b"12"]


async def test_a_connection_that_broke(nodes: Nodes, own_cluster: RedisCluster) -> None:
    """Costs nobody an error."""
    await nodes.send(list(map(written, KEYS)))
    for node in own_cluster.primaries:
        node.cli("CLIENT", "KILL", "TYPE", "NORMAL")
    assert await nodes.send(list(map(read, KEYS))) == [b"1"] * len(KEYS)


async def test_a_primary_that_is_gone(nodes: Nodes, own_cluster: RedisCluster) -> None:
    """What nobody answers is an error for all of them, and no answer."""
    own_cluster.owner_of(KEYS[0]).kill()
    with pytest.raises(LOST):
        await nodes.send(list(map(read, KEYS)))
