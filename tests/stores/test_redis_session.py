"""Sessions under fire: whatever breaks, callers see the store's own error, and soon."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from redis_server import RedisCluster, RedisServer
from stores.harness import GRANT, NOW, Clock, record

from proxy.core.errors import StoreUnavailableError
from proxy.core.policy import digest_of
from proxy.stores.redis import RedisStore

STORM_SECONDS = 4.0


@pytest.fixture(params=["single", "cluster"])
def target(request: pytest.FixtureRequest) -> Iterator[tuple[str, list[RedisServer]]]:
    """A URL, and the servers behind it to break."""
    if request.param == "single":
        with RedisServer.started() as server:
            yield server.url, [server]
    else:
        with RedisCluster.started() as cluster:
            yield cluster.url, cluster.primaries


async def test_storm(target: tuple[str, list[RedisServer]]) -> None:
    """Connections cut, servers frozen and killed: an error of ours, soon, and then recovery.

    Nobody meets a foreign exception or waits for much more than a second, and closing is quick.
    """
    url, servers = target
    store = RedisStore(url, now=Clock())
    await store.open()
    end = time.monotonic() + STORM_SECONDS
    workers = [_work(store, f"worker-{n}", end) for n in range(20)]
    outcomes = await asyncio.gather(*workers, asyncio.to_thread(_break, servers, end))
    total = sum((counter for counter in outcomes if counter), Counter[str]())
    assert total.keys() == {"answered", "unavailable"}
    await _recovered(store)
    begun = time.monotonic()
    await store.close()
    assert time.monotonic() - begun < 1.0


async def _work(store: RedisStore, name: str, end: float) -> Counter[str]:
    """Ask for everything in turn; how often the store answered, and how often it said no."""
    outcomes: Counter[str] = Counter()
    turn = 0
    while (begun := time.monotonic()) < end:
        turn += 1
        try:
            await _one_of_each(store, f"{name}-{turn}", turn)
            outcomes["answered"] += 1
        except StoreUnavailableError:
            outcomes["unavailable"] += 1
        assert time.monotonic() - begun < 2.0
        await asyncio.sleep(0.005)
    return outcomes


async def _one_of_each(store: RedisStore, name: str, turn: int) -> None:
    match turn % 4:
        case 0:
            await store.save_grant(digest_of(name), GRANT)
        case 1:
            await store.grant(digest_of(name))
        case 2:
            await store.claim(record(name, tenant=name))
        case _:
            await store.tasks_of("ada", 0, NOW)


def _break(servers: list[RedisServer], end: float) -> None:
    """Break one server after the other in turn, in a thread, and leave all of them well."""
    ways: list[Callable[[RedisServer], None]] = [_cut, _freeze, _crash]
    turn = 0
    while time.monotonic() < end - 1.0:
        ways[turn % 3](servers[turn % len(servers)])
        turn += 1
        time.sleep(0.4)


def _cut(server: RedisServer) -> None:
    server.cli("CLIENT", "KILL", "TYPE", "NORMAL")


def _freeze(server: RedisServer) -> None:
    server.pause()
    time.sleep(0.8)
    server.resume()


def _crash(server: RedisServer) -> None:
    server.restart()


async def _recovered(store: RedisStore) -> None:
    async with asyncio.timeout(10.0):
        while True:
            try:
                await store.ping()
            except StoreUnavailableError:
                await asyncio.sleep(0.05)
            else:
                return
