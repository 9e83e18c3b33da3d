"""Sentinel and Cluster: the store follows the primaries, and hears every one of them."""

import asyncio
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis_server import HOST, RedisCluster, RedisSentinel, RedisServer, free_port
from stores.harness import GRANT, NOW, TOKEN, Clock, eventually, plant, record

from proxy.core.errors import StoreUnavailableError
from proxy.core.policy import digest_of
from proxy.stores.redis import RedisStore
from proxy.stores.redis_push import LOOK_AROUND

TOKENS = [digest_of(f"token {n}") for n in range(30)]


@pytest.fixture
def own_cluster() -> Iterator[RedisCluster]:
    with RedisCluster.started() as cluster:
        yield cluster


@pytest.fixture
def own_sentinel() -> Iterator[RedisSentinel]:
    with RedisSentinel.started() as sentinel:
        yield sentinel


async def test_every_primary_is_heard(cluster: RedisCluster) -> None:
    """Tokens lie on all primaries, and a revocation on any of them counts within a second."""
    store = RedisStore(cluster.url)
    await store.open()
    for digest in TOKENS:
        await store.save_grant(digest, GRANT)
        assert await store.grant(digest) == GRANT
    assert all(int(node.cli("DBSIZE")) for node in cluster.primaries)
    for digest in TOKENS:
        cluster.cli("DEL", f"dsp:token:{digest}")
    await eventually(lambda: _all_gone(store), 1.0)
    await store.close()


async def test_flush_of_one_primary(cluster: RedisCluster) -> None:
    """Flushing a single primary is heard too; the grants of the others are still there."""
    store = RedisStore(cluster.url)
    await store.open()
    for digest in TOKENS:
        await store.save_grant(digest, GRANT)
        assert await store.grant(digest) == GRANT
    gone = int(cluster.primaries[1].cli("DBSIZE"))
    cluster.primaries[1].cli("FLUSHALL")
    await eventually(lambda: _counts(store, len(TOKENS) - gone), 1.0)
    await store.close()


async def test_slots_spread_over_cluster(cluster: RedisCluster) -> None:
    """Listing reads tokens and tasks from every primary."""
    store = RedisStore(cluster.url, now=Clock())
    await store.open()
    for digest in TOKENS:
        await store.save_grant(digest, GRANT)
    tasks = [record(f"task-{n}", created=NOW - n) for n in range(30)]
    await asyncio.gather(*(store.claim(task) for task in tasks))
    assert {digest async for digest, _ in store.grants()} == set(TOKENS)
    assert await store.tasks_of("ada", 0, NOW) == tasks
    await store.close()


async def test_new_primary_is_heard(own_cluster: RedisCluster) -> None:
    """A slot that moves to a new primary takes its revocations along."""
    key = f"dsp:token:{TOKEN}"
    plant(own_cluster.cli)
    store = RedisStore(own_cluster.url)
    await store.open()
    assert await store.grant(TOKEN) == GRANT
    own_cluster.move_slot(key, own_cluster.spare)
    await eventually(lambda: _hears(store, own_cluster), 5.0)
    assert await store.grant(TOKEN) == GRANT
    own_cluster.spare.cli("HSET", key, "enabled", "0")
    await eventually(lambda: _disabled(store), 1.0)
    await store.close()


async def _hears(store: RedisStore, cluster: RedisCluster) -> bool:
    """Whether the store listens on the newcomer and answers again."""
    listening = any(
        " flags=tB " in line for line in cluster.spare.cli("CLIENT", "LIST").split("\n")
    )
    return listening and "up)" in repr(store)


async def test_lost_primary(own_cluster: RedisCluster) -> None:
    """One primary lost is an outage: known grants work, the rest is an error at once."""
    plant(own_cluster.cli)
    store = RedisStore(own_cluster.url)
    await store.open()
    assert await store.grant(TOKEN) == GRANT
    own_cluster.primaries[2].kill()
    await eventually(lambda: "down" in repr(store), 1.0)
    assert await store.grant(TOKEN) == GRANT
    with pytest.raises(StoreUnavailableError):
        await store.grant(digest_of("unknown"))
    await store.close()


async def test_failover(own_sentinel: RedisSentinel) -> None:
    """After a failover the store follows: writes go to the new master, pushes come from it."""
    changes: list[bool] = []
    store = RedisStore(own_sentinel.url, on_change=changes.append)
    await store.open()
    await store.save_grant(TOKEN, GRANT)
    await asyncio.to_thread(own_sentinel.fail_over)
    await eventually(lambda: _saves(store), 10.0)
    assert await store.grant(TOKEN) == GRANT
    own_sentinel.cli("HSET", f"dsp:token:{TOKEN}", "enabled", "0")
    await eventually(lambda: _disabled(store), 1.0)
    assert changes == [False, True]
    await store.close()


async def test_dead_master(own_sentinel: RedisSentinel) -> None:
    """A master that dies is replaced by Sentinel, and the store follows without help."""
    store = RedisStore(own_sentinel.url)
    await store.open()
    own_sentinel.master.kill()
    await eventually(lambda: "down" in repr(store), 1.0)
    await eventually(lambda: _saves(store), 15.0)
    await store.close()


async def test_sentinel_may_be_away(own_sentinel: RedisSentinel) -> None:
    """Without Sentinel nobody can say where the master is, but the one that works still works."""
    changes: list[bool] = []
    store = RedisStore(own_sentinel.url, on_change=changes.append)
    await store.open()
    own_sentinel.sentinel.kill()
    end = time.monotonic() + 3 * LOOK_AROUND
    while time.monotonic() < end:
        await store.ping()
        await asyncio.sleep(0.05)
    assert changes == []
    await store.close()


async def _all_gone(store: RedisStore) -> bool:
    return await _counts(store, 0)


async def _counts(store: RedisStore, expected: int) -> bool:
    grants = [await store.grant(digest) for digest in TOKENS]
    return sum(grant is not None for grant in grants) == expected


async def _disabled(store: RedisStore) -> bool:
    grant = await store.grant(TOKEN)
    return grant is not None and not grant.enabled


async def _saves(store: RedisStore) -> bool:
    try:
        await store.save_grant(TOKEN, GRANT)
    except StoreUnavailableError:
        return False
    return True


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for loopback that nobody signed; its key lies beside it, ending in `.key`."""
    path = tmp_path / "certificate"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    names = ["-subj", "/CN=localhost", "-addext", f"subjectAltName=IP:{HOST}"]
    files = ["-keyout", f"{path}.key", "-out", str(path)]
    subprocess.run([*make.split(), *names, *files], check=True, capture_output=True)
    return path


async def test_tls(certificate: Path) -> None:
    """`rediss://` speaks TLS and believes only whom it was told to believe."""
    files = ["--tls-cert-file", str(certificate), "--tls-key-file", f"{certificate}.key"]
    port = str(free_port())
    with RedisServer.started(*files, "--tls-port", port, "--tls-auth-clients", "no") as redis:
        plant(redis.cli)
        trusting = RedisStore(f"rediss://{HOST}:{port}?ssl_ca_certs={certificate}")
        doubting = RedisStore(f"rediss://{HOST}:{port}")
        await asyncio.gather(trusting.open(), doubting.open())
        assert await trusting.grant(TOKEN) == GRANT
        with pytest.raises(StoreUnavailableError):
            await doubting.grant(TOKEN)
        assert "CERTIFICATE_VERIFY_FAILED" in doubting.trouble
        redis.cli("DEL", f"dsp:token:{TOKEN}")
        await eventually(lambda: _is_none(trusting), 1.0)
        await asyncio.gather(trusting.close(), doubting.close())


async def test_unix_socket(tmp_path: Path) -> None:
    """A server on this machine may be reached without a port, and its databases are apart."""
    path = tmp_path / "redis.sock"
    with RedisServer.started("--unixsocket", str(path)):
        first = RedisStore(f"unix://{path}")
        second = RedisStore(f"unix://{path}?db=1")
        await asyncio.gather(first.open(), second.open())
        await first.save_grant(TOKEN, GRANT)
        assert await first.grant(TOKEN) == GRANT
        assert await second.grant(TOKEN) is None
        await asyncio.gather(first.close(), second.close())


async def _is_none(store: RedisStore) -> bool:
    return await store.grant(TOKEN) is None
