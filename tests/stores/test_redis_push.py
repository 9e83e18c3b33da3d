"""The feed: what is pushed, how fast, and what happens when nothing comes any more."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from redis_server import HOST, RedisServer, free_port
from stores.harness import GRANT, OTHER, TOKEN, Clock, eventually, plant
from stores.relay import Relay

from proxy.core.errors import StoreUnavailableError
from proxy.stores.redis import RedisStore

KEY = f"dsp:token:{TOKEN}"


class Watched:
    """A store that knows one token, its clock, and what it told about outages."""

    def __init__(self, url: str) -> None:
        self.clock = Clock(1000.0)
        self.changes: list[bool] = []
        self.store = RedisStore(url, clock=self.clock, on_change=self.changes.append)

    async def learn(self, redis: RedisServer) -> None:
        plant(redis.cli)
        await self.store.open()
        assert await self.store.grant(TOKEN) == GRANT

    async def works(self) -> bool:
        grant = await self.store.grant(TOKEN)
        return grant is not None and grant.enabled

    async def refuses(self, digest: str) -> None:
        """The lookup fails, and at once: nobody waits for what is known to be down."""
        begun = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            await self.store.grant(digest)
        assert time.monotonic() - begun < 0.1

    async def told(self, *words: str, within: float) -> None:
        """Exactly these changes have been told: "down", "up"."""
        expected = [word == "up" for word in words]
        await eventually(lambda: self.changes == expected, within)


@pytest.fixture
async def watched(redis: RedisServer) -> AsyncIterator[Watched]:
    watched = Watched(redis.url)
    await watched.learn(redis)
    yield watched
    await watched.store.close()


@pytest.fixture
async def fragile(own_redis: RedisServer) -> AsyncIterator[Watched]:
    watched = Watched(own_redis.url)
    await watched.learn(own_redis)
    yield watched
    await watched.store.close()


@pytest.mark.parametrize(
    "command",
    [
        ("HSET", KEY, "enabled", "0"),
        ("DEL", KEY),
        ("UNLINK", KEY),
        ("FLUSHALL",),
        ("FLUSHDB",),
        ("PEXPIRE", KEY, "100"),
        ("RENAME", KEY, "elsewhere"),
        ("SET", KEY, "rubbish"),
    ],
    ids=lambda command: command[0],
)
async def test_revocation(watched: Watched, redis: RedisServer, command: tuple[str, ...]) -> None:
    """Whatever takes a grant away, and whoever does, it counts within a second."""
    redis.cli(*command)
    await eventually(lambda: _not(watched), 1.0)
    assert watched.changes == []


async def test_expiry_without_a_push(redis: RedisServer) -> None:
    """A grant ends with its key's time to live, and does not wait for the push.

    Redis deletes expired keys by sampling, and pushes nothing before it has deleted.
    """
    redis.cli("HSET", KEY, "models", "*")
    redis.cli("PEXPIRE", KEY, "60000")
    watched = Watched(redis.url)
    await watched.store.open()
    assert await watched.works()
    with redis.monitor() as before:
        watched.clock.at += 59.0
        assert await watched.works()
    with redis.monitor() as after:
        watched.clock.at += 1.0
        assert await watched.works()
    assert not any("HGETALL" in line for line in before)
    assert any("HGETALL" in line for line in after)
    await watched.store.close()


async def test_frozen_redis(fragile: Watched, own_redis: RedisServer) -> None:
    """A frozen server is noticed within a second, told once, and recovered from by itself."""
    own_redis.pause()
    await fragile.told("down", within=1.0)
    for _ in range(100):
        assert await fragile.works()
        await fragile.refuses(OTHER)
    with pytest.raises(StoreUnavailableError):
        await fragile.store.ping()
    assert fragile.changes == [False]
    own_redis.resume()
    await fragile.told("down", "up", within=5.0)
    assert await fragile.works()
    assert await fragile.store.grant(OTHER) is None
    await fragile.store.ping()


async def test_staleness(fragile: Watched, own_redis: RedisServer) -> None:
    """In an outage a grant works for `max_staleness` seconds (300) and not one more."""
    own_redis.kill()
    await fragile.told("down", within=1.0)
    fragile.clock.at += 299.0
    assert await fragile.works()
    fragile.clock.at += 1.0
    await fragile.refuses(TOKEN)


async def test_restarted_redis(fragile: Watched, own_redis: RedisServer) -> None:
    """After a restart nothing from before counts: this server came back empty."""
    await asyncio.to_thread(own_redis.restart)
    await fragile.told("down", "up", within=5.0)
    assert await fragile.store.grant(TOKEN) is None


async def test_lookup_under_way_is_cut(redis: RedisServer) -> None:
    """Who waits for an answer when the outage begins is told so, and nothing is remembered."""
    async with Relay(redis.port) as relay:
        watched = Watched(relay.url)
        await watched.learn(redis)
        relay.hold(b"HGETALL")
        waiting = asyncio.create_task(watched.store.grant(OTHER))
        await relay.held.wait()
        begun = time.monotonic()
        redis.cli("CLIENT", "KILL", "ID", _tracking_id(redis))
        with pytest.raises(StoreUnavailableError):
            await waiting
        assert time.monotonic() - begun < 0.5
        relay.release()
        await watched.told("down", "up", within=5.0)
        redis.cli("HSET", f"dsp:token:{OTHER}", "models", "*")
        assert await watched.store.grant(OTHER) is not None
        await watched.store.close()


async def test_half_open_connection(redis: RedisServer) -> None:
    """A network that swallows packets is noticed within a second, like a closed connection."""
    async with Relay(redis.port) as relay:
        watched = Watched(relay.url)
        await watched.learn(redis)
        relay.freeze()
        await watched.told("down", within=1.0)
        assert await watched.works()
        await watched.refuses(OTHER)
        relay.thaw()
        await watched.told("down", "up", within=5.0)
        assert await watched.works()
        await watched.store.close()


async def test_this_process_was_held_up(redis: RedisServer) -> None:
    """An event loop that stood still while the answer lay ready takes that for no outage."""
    async with Relay(redis.port) as relay:
        watched = Watched(relay.url)
        await watched.learn(redis)
        for _ in range(3):
            await relay.passes(b"PING")
            time.sleep(0.5)  # noqa: ASYNC251  # the point of this test
        await relay.passes(b"PING")
        assert watched.changes == []
        await watched.store.close()


async def test_killed_connections(watched: Watched, redis: RedisServer) -> None:
    """An operator who kills every connection costs a blink."""
    redis.cli("CLIENT", "KILL", "TYPE", "NORMAL")
    await watched.told("down", "up", within=2.0)
    assert await watched.works()


async def test_open_without_redis() -> None:
    """Opening succeeds while Redis is down; lookups fail until it is there, then work."""
    with RedisServer.started() as server:
        server.kill()
        watched = Watched(server.url)
        await watched.store.open()
        assert watched.changes == [False]
        await watched.refuses(TOKEN)
        await asyncio.to_thread(server.restart)
        await watched.told("down", "up", within=5.0)
        assert await watched.store.grant(TOKEN) is None
        await watched.store.close()


async def test_healthy_start_is_silent(watched: Watched) -> None:
    """A first connection that succeeds is no news."""
    assert watched.changes == []
    assert repr(watched.store).startswith("RedisStore(Feed(dsp:token:, up)")


async def test_trouble_is_told() -> None:
    """The reason of an outage is there for the operator."""
    watched = Watched(f"redis://{HOST}:{free_port()}")
    await watched.store.open()
    assert "ConnectionError" in watched.store.trouble
    await watched.store.close()


async def test_password() -> None:
    """A server with a password lets in who has it, and the wrong one is an outage, not a crash."""
    with RedisServer.started("--requirepass", "s3cret") as server:
        right = Watched(server.url.replace("//", "//:s3cret@"))
        await right.store.open()
        await right.store.ping()
        wrong = Watched(server.url.replace("//", "//:guess@"))
        await wrong.store.open()
        assert wrong.changes == [False]
        assert "s3cret" not in wrong.store.trouble
        await asyncio.gather(right.store.close(), wrong.store.close())


async def test_close_is_no_outage(fragile: Watched) -> None:
    """Closing tells nobody of an outage, and ends what is under way."""
    await fragile.store.close()
    assert fragile.changes == []
    await fragile.refuses(OTHER)


async def _not(watched: Watched) -> bool:
    return not await watched.works()


def _tracking_id(redis: RedisServer) -> str:
    """The connection of the only store there is that listens for pushes."""
    listed = redis.cli("CLIENT", "LIST").splitlines()
    (line,) = [line for line in listed if " flags=tB " in line or " flags=B" in line]
    return line.split()[0].removeprefix("id=")
