"""Real servers for the whole run, emptied before each test, and a place per kind of store."""

import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from redis_server import RedisCluster, RedisSentinel, RedisServer
from stores.harness import Clock, Place, Planter

from proxy.stores.memory import MemoryStore
from proxy.stores.outbox import Outbox, Outboxed
from proxy.stores.redis import RedisStore
from proxy.stores.sqlite import SqliteStore


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisServer]:
    with RedisServer.started() as server:
        yield server


@pytest.fixture(scope="session")
def shared_cluster() -> Iterator[RedisCluster]:
    with RedisCluster.started() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def shared_sentinel() -> Iterator[RedisSentinel]:
    with RedisSentinel.started() as sentinel:
        yield sentinel


@pytest.fixture
def redis(shared_redis: RedisServer) -> RedisServer:
    """An empty server that tests leave as healthy as they found it."""
    shared_redis.cli("FLUSHALL")
    return shared_redis


@pytest.fixture
def cluster(shared_cluster: RedisCluster) -> RedisCluster:
    shared_cluster.flush()
    return shared_cluster


@pytest.fixture
def sentinel(shared_sentinel: RedisSentinel) -> RedisSentinel:
    shared_sentinel.flush()
    return shared_sentinel


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A server for one test, which may do to it what it likes."""
    with RedisServer.started() as server:
        yield server


KINDS = ["memory", "sqlite", "redis", "redis-cluster", "redis-sentinel", "outboxed"]


@pytest.fixture(params=KINDS)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """An open store of each kind, with nothing in it."""
    clock = Clock()
    unreadable: list[tuple[str, str]] = []

    def note(digest: str, reason: str) -> None:
        unreadable.append((digest, reason))

    match request.param:
        case "memory":
            memory = MemoryStore(now=clock, on_unreadable=note)
            place = Place(memory, _memory_planter(memory), clock, unreadable)
        case "sqlite":
            path = tmp_path / "store.db"
            sqlite = SqliteStore(path, now=clock, on_unreadable=note)
            place = Place(sqlite, _sqlite_planter(path), clock, unreadable)
        case "outboxed":
            inner = MemoryStore(now=clock, on_unreadable=note)
            outboxed = Outboxed(inner, Outbox(tmp_path, now=clock), now=clock)
            place = Place(outboxed, _memory_planter(inner), clock, unreadable)
        case kind:
            server = request.getfixturevalue(kind.removeprefix("redis-"))
            redis = RedisStore(server.url, now=clock, server_now=clock, on_unreadable=note)
            place = Place(redis, _redis_planter(server.cli), clock, unreadable)
    await place.store.open()
    yield place
    await place.store.close()


def _memory_planter(store: MemoryStore) -> Planter:
    def plant(kind: str, key: str, fields: dict[str, str]) -> None:
        {"token": store.tokens, "tenant": store.tenants}[kind][key] = fields

    return plant


def _sqlite_planter(path: Path) -> Planter:
    def plant(kind: str, key: str, fields: dict[str, str]) -> None:
        with sqlite3.connect(path) as connection:
            insert = f"INSERT INTO {kind}s VALUES (?, ?)"  # noqa: S608  # one of ours
            connection.execute(insert, (key, json.dumps(fields)))
        connection.close()

    return plant


def _redis_planter(cli: Callable[..., str]) -> Planter:
    def plant(kind: str, key: str, fields: dict[str, str]) -> None:
        cli("HSET", f"dsp:{kind}:{key}", *(word for pair in fields.items() for word in pair))

    return plant
