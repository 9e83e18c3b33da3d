"""What Redis does not push is found out all the same, in the background."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis_server import RedisCluster, RedisServer
from stores.harness import GRANT, TOKEN, eventually, plant

from proxy.core.policy import digest_of
from proxy.stores.redis import RedisStore

EVERY = 0.3


@pytest.fixture
async def store(redis: RedisServer) -> AsyncIterator[RedisStore]:
    plant(redis.cli)
    store = RedisStore(redis.url, audit_every=EVERY)
    await store.open()
    assert await store.grant(TOKEN) == GRANT
    yield store
    await store.close()


async def test_swapped_database(store: RedisStore, redis: RedisServer) -> None:
    """`SWAPDB` pushes nothing; the grants that are gone with it end with the next round."""
    redis.cli("SWAPDB", "0", "1")
    await eventually(lambda: _is(store, granted=False))


async def test_swapped_for_another_grant(store: RedisStore, redis: RedisServer) -> None:
    """A grant that reads otherwise by then is read anew."""
    redis.cli("-n", "1", "HSET", f"dsp:token:{TOKEN}", "models", "qwen-*", "enabled", "0")
    redis.cli("SWAPDB", "0", "1")
    await eventually(lambda: _has_models(store, ("qwen-*",)))


async def test_swapped_for_rubbish(store: RedisStore, redis: RedisServer) -> None:
    """What is no grant grants nothing."""
    redis.cli("-n", "1", "SET", f"dsp:token:{TOKEN}", "rubbish")
    redis.cli("SWAPDB", "0", "1")
    await eventually(lambda: _is(store, granted=False))


async def test_what_is_right_stays(store: RedisStore, redis: RedisServer) -> None:
    """A round that finds nothing forgets nothing: no request ever waits because of it."""
    with redis.monitor() as lines:
        before = redis.cli("INFO", "commandstats")
        await eventually(lambda: _rounds(redis, before) >= 2)
        assert await store.grant(TOKEN) == GRANT
    assert not any("PTTL" in line for line in lines)  # what a lookup asks as well


async def test_in_a_cluster(cluster: RedisCluster) -> None:
    """A round reads from every primary, and more than fit into one batch."""
    digests = [digest_of(f"token {n}") for n in range(150)]
    for node in cluster.primaries:
        assert node.cli("DBSIZE") == "0"
    store = RedisStore(cluster.url, audit_every=EVERY)
    await store.open()
    for digest in digests:
        await store.save_grant(digest, GRANT)
        assert await store.grant(digest) == GRANT
    before = [node.cli("INFO", "commandstats") for node in cluster.primaries]
    pairs = list(zip(cluster.primaries, before, strict=True))
    await eventually(lambda: all(_rounds(node, text) >= 20 for node, text in pairs))
    await store.close()


async def test_outlives_an_outage(own_redis: RedisServer) -> None:
    """An outage ends no audit."""
    store = RedisStore(own_redis.url, audit_every=EVERY)
    await store.open()
    own_redis.kill()
    await eventually(lambda: "down" in repr(store))
    await asyncio.to_thread(own_redis.restart)
    await eventually(lambda: "up)" in repr(store))
    plant(own_redis.cli)
    await eventually(lambda: _is(store, granted=True), 15.0)
    own_redis.cli("SWAPDB", "0", "1")
    await eventually(lambda: _is(store, granted=False))
    await store.close()


async def _is(store: RedisStore, *, granted: bool) -> bool:
    return (await store.grant(TOKEN) is not None) is granted


async def _has_models(store: RedisStore, models: tuple[str, ...]) -> bool:
    grant = await store.grant(TOKEN)
    return grant is not None and grant.models == models


def _rounds(redis: RedisServer, before: str) -> int:
    """Hashes read since then."""
    return _hashes_read(redis.cli("INFO", "commandstats")) - _hashes_read(before)


def _hashes_read(stats: str) -> int:
    calls = [line for line in stats.splitlines() if line.startswith("cmdstat_hgetall:")]
    return int(calls[0].split("calls=")[1].split(",")[0]) if calls else 0
