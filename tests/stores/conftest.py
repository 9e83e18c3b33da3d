"""Real servers for the whole run, emptied before each test, and a place per kind of store."""

import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy.ports import Store
from proxy.stores.memory import MemoryStore
from proxy.stores.redis import RedisStore
from proxy.stores.sqlite import SqliteStore
from tests.redis_server import RedisCluster, RedisSentinel, RedisServer
from tests.stores.harness import Clock


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


@dataclass
class Place:
    """One kind of store under test: `store` is open, `plant` writes a grant behind its back."""

    store: Store
    plant: Callable[[str, dict[str, str]], None]
    clock: Clock
    unreadable: list[tuple[str, str]] = field(default_factory=list)


@pytest.fixture(params=["memory", "sqlite", "redis", "redis-cluster", "redis-sentinel"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    clock = Clock()
    unreadable: list[tuple[str, str]] = []

    def note(digest: str, reason: str) -> None:
        unreadable.append((digest, reason))

    store: Store
    plant: Callable[[str, dict[str, str]], None]
    match request.param:
        case "memory":
            store = memory = MemoryStore(now=clock, on_unreadable=note)
            plant = memory.tokens.__setitem__
        case "sqlite":
            path = tmp_path / "store.db"
            store = SqliteStore(path, now=clock, on_unreadable=note)
            plant = _sqlite_planter(path)
        case kind:
            server = request.getfixturevalue(kind.removeprefix("redis-"))
            store = RedisStore(server.url, now=clock, on_unreadable=note)
            plant = _redis_planter(server.cli)
    await store.open()
    yield Place(store, plant, clock, unreadable)
    await store.close()


def _sqlite_planter(path: Path) -> Callable[[str, dict[str, str]], None]:
    def plant(digest: str, fields: dict[str, str]) -> None:
        with sqlite3.connect(path) as connection:
            connection.execute("INSERT INTO tokens VALUES (?, ?)", (digest, json.dumps(fields)))
        connection.close()

    return plant


def _redis_planter(cli: Callable[..., str]) -> Callable[[str, dict[str, str]], None]:
    def plant(digest: str, fields: dict[str, str]) -> None:
        cli("HSET", f"dsp:token:{digest}", *(word for pair in fields.items() for word in pair))

    return plant
