"""A Redis that answers and takes no writes: not ready, claims wait, and it heals by itself."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from redis_server import HOST, RedisServer, wait_until
from stores.harness import GRANT, NOW, TOKEN, Clock, eventually, record
from stores.relay import Relay

from proxy.core.errors import StoreUnavailableError
from proxy.stores.outbox import Outbox, Outboxed
from proxy.stores.redis import RedisStore


@pytest.fixture
def spare() -> Iterator[RedisServer]:
    """A second server, to be the other's primary or its successor."""
    with RedisServer.started() as server:
        yield server


@pytest.fixture
async def store(own_redis: RedisServer) -> AsyncIterator[RedisStore]:
    store = RedisStore(own_redis.url, now=Clock())
    await store.open()
    await store.save_grant(TOKEN, GRANT)
    assert await store.grant(TOKEN) == GRANT
    yield store
    await store.close()


def memory(redis: RedisServer) -> None:
    redis.cli("CONFIG", "SET", "maxmemory", "1")


def enough_memory(redis: RedisServer) -> None:
    redis.cli("CONFIG", "SET", "maxmemory", "0")


def saving_fails(redis: RedisServer) -> None:
    """A directory where the dump should be: no dump can be moved there."""
    (Path(redis.cli("CONFIG", "GET", "dir").split()[-1]) / "dump.rdb").mkdir()
    redis.cli("CONFIG", "SET", "save", "3600 1")
    redis.cli("BGSAVE")
    wait_until(lambda: "rdb_last_bgsave_status:err" in redis.cli("INFO", "persistence"))


def saving_works(redis: RedisServer) -> None:
    (Path(redis.cli("CONFIG", "GET", "dir").split()[-1]) / "dump.rdb").rmdir()
    redis.cli("BGSAVE")
    wait_until(lambda: "rdb_last_bgsave_status:ok" in redis.cli("INFO", "persistence"))


def lonely(redis: RedisServer) -> None:
    redis.cli("CONFIG", "SET", "min-replicas-to-write", "1")


def lonely_is_fine(redis: RedisServer) -> None:
    redis.cli("CONFIG", "SET", "min-replicas-to-write", "0")


Change = Callable[[RedisServer], None]
WAYS: dict[str, tuple[Change, Change]] = {
    "OOM": (memory, enough_memory),
    "MISCONF": (saving_fails, saving_works),
    "NOREPLICAS": (lonely, lonely_is_fine),
}


@pytest.mark.parametrize("way", WAYS)
async def test_no_writes(
    store: RedisStore, own_redis: RedisServer, tmp_path: Path, way: str
) -> None:
    """It is not ready until a write succeeds again; claims wait meanwhile, grants go on."""
    break_it, mend_it = WAYS[way]
    outboxed = Outboxed(store, Outbox(tmp_path, now=Clock()), now=Clock())
    await outboxed.open()
    await outboxed.ping()
    await asyncio.to_thread(break_it, own_redis)
    assert own_redis.cli("SET", "x", "y").startswith(way)
    for _ in range(2):
        with pytest.raises(StoreUnavailableError):
            await outboxed.ping()
    with pytest.raises(StoreUnavailableError):
        await store.claim(record())
    await outboxed.claim(record())
    assert await outboxed.owner("task-1", "ada") == record()
    assert await outboxed.grant(TOKEN) == GRANT
    await asyncio.to_thread(mend_it, own_redis)
    await outboxed.ping()
    await eventually(lambda: own_redis.cli("EXISTS", "dsp:task:task-1") == "1")
    await outboxed.close()


async def test_demoted(store: RedisStore, own_redis: RedisServer, spare: RedisServer) -> None:
    """A primary that becomes a replica takes no claim; a second later it is known to be down."""
    own_redis.cli("REPLICAOF", HOST, str(spare.port))
    with pytest.raises(StoreUnavailableError):
        await store.ping()
    with pytest.raises(StoreUnavailableError):
        await store.claim(record())
    await eventually(lambda: "down" in repr(store), 2.0)
    assert "replica" in store.trouble or "others now" in store.trouble
    own_redis.cli("REPLICAOF", "NO", "ONE")
    await eventually(lambda: _claims(store), 10.0)


async def test_stays_down_in_one_piece(own_redis: RedisServer, spare: RedisServer) -> None:
    """A replica is no store at the start either, and an outage of one line, not one per try."""
    own_redis.cli("REPLICAOF", HOST, str(spare.port))
    changes: list[bool] = []
    store = RedisStore(own_redis.url, on_change=changes.append)
    await store.open()
    assert "replica" in store.trouble
    await eventually(lambda: _asked_twice(own_redis), 10.0)
    assert changes == [False]
    await store.close()


async def test_behind_a_stable_name(own_redis: RedisServer, spare: RedisServer) -> None:
    """When the name leads to another primary, so do the claims, without a restart.

    The old one is alive and connections to it stay open, as with a failover behind a service
    name: only its role tells.
    """
    async with Relay(own_redis.port) as name:
        store = RedisStore(name.url, now=Clock())
        await store.open()
        await store.save_grant(TOKEN, GRANT)
        name.lead_to(spare.port)
        await store.claim(record("before"))
        assert own_redis.cli("EXISTS", "dsp:task:before") == "1"
        own_redis.cli("REPLICAOF", HOST, str(spare.port))
        await eventually(lambda: _claims(store), 10.0)
        assert spare.cli("EXISTS", "dsp:task:task-1") == "1"
        assert await store.grant(TOKEN) is None
        await store.close()


async def test_who_may_not_ask(own_redis: RedisServer) -> None:
    """A user without the right to ask for the role is served as before."""
    own_redis.cli("ACL", "SETUSER", "proxy", "on", ">pw", "~*", "&*", "+@all", "-role")
    store = RedisStore(own_redis.url.replace("//", "//proxy:pw@"), now=Clock())
    await store.open()
    await store.claim(record())
    assert await store.tasks_of("ada", 0, NOW) == [record()]
    await store.close()


async def _claims(store: RedisStore) -> bool:
    try:
        await store.claim(record())
    except StoreUnavailableError:
        return False
    return True


async def _asked_twice(redis: RedisServer) -> bool:
    stats = redis.cli("INFO", "commandstats").splitlines()
    calls = [line for line in stats if line.startswith("cmdstat_role:")]
    return bool(calls) and int(calls[0].split("calls=")[1].split(",")[0]) > 2
