"""RedisStore: its memory, its single question per token, and what it promises in an outage."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator

import pytest
from redis_server import RedisServer
from stores.harness import GRANT, NOW, OTHER, TOKEN, Clock, eventually, plant, record
from stores.relay import Relay

from proxy.core.errors import StoreUnavailableError
from proxy.core.policy import GrantUnreadableError
from proxy.stores.redis import RedisStore

KEY = f"dsp:token:{TOKEN}"


@pytest.fixture
async def store(redis: RedisServer) -> AsyncIterator[RedisStore]:
    store = RedisStore(redis.url, now=Clock())
    await store.open()
    yield store
    await store.close()


async def test_hot_path_is_silent(redis: RedisServer) -> None:
    """A token seen before, and a task seen before, cost no command.

    MONITOR shows what the feed asks in any case: is it alive, and still a primary.
    """
    plant(redis.cli)
    store = RedisStore(redis.url, now=Clock())
    await store.open()
    await store.claim(record())
    await store.observe("task-1", "RUNNING", NOW)
    assert await store.grant(TOKEN) == GRANT
    assert await store.grant(OTHER) is None
    with redis.monitor() as lines:
        end = time.monotonic() + 0.6
        while time.monotonic() < end:
            assert await store.grant(TOKEN) == GRANT
            assert await store.grant(OTHER) is None
            assert await store.owner("task-1", "ada") is not None
            await store.observe("task-1", "RUNNING", NOW)
            await asyncio.sleep(0)
    assert lines
    assert all('"PING"' in line or '"ROLE"' in line for line in lines), lines
    await store.close()


async def test_one_question_for_many(redis: RedisServer) -> None:
    """Many who ask for the same unknown token at once make one question, and one of its tenant."""
    async with Relay(redis.port) as relay:
        store = RedisStore(relay.url)
        plant(redis.cli)
        await store.open()
        relay.hold(b"HGETALL")
        asking = [asyncio.create_task(store.grant(TOKEN)) for _ in range(50)]
        await relay.held.wait()
        relay.release()
        assert await asyncio.gather(*asking) == [GRANT] * 50
        assert relay.seen.count(TOKEN.encode()) == 2  # HGETALL and PTTL, in one
        assert relay.seen.count(b"HGETALL") == 2
        await store.close()


async def test_first_asker_leaves(redis: RedisServer) -> None:
    """When the one who asked first goes away, the others still get their answer."""
    async with Relay(redis.port) as relay:
        store = RedisStore(relay.url)
        plant(redis.cli)
        await store.open()
        relay.hold(b"HGETALL")
        first = asyncio.create_task(store.grant(TOKEN))
        second = asyncio.create_task(store.grant(TOKEN))
        await relay.held.wait()
        first.cancel()
        relay.release()
        assert await second == GRANT
        assert first.cancelled()
        await store.close()


async def test_change_overtakes_answer(redis: RedisServer) -> None:
    """An answer read before a revocation and arriving after it is not remembered.

    The relay keeps the answer back. The push for another token, written after the revocation,
    proves that the revocation's own push has been handled by then.
    """
    async with Relay(redis.port) as relay:
        store = RedisStore(relay.url)
        plant(redis.cli)
        plant(redis.cli, OTHER)
        await store.open()
        assert await store.grant(OTHER) == GRANT
        relay.hold(b"HGETALL")
        early = asyncio.create_task(store.grant(TOKEN))
        await relay.held.wait()
        redis.cli("HSET", KEY, "enabled", "0")
        redis.cli("DEL", f"dsp:token:{OTHER}")
        await eventually(lambda: _is_none(store, OTHER), 1.0)
        relay.release()
        assert await early == GRANT
        late = await store.grant(TOKEN)
        assert late is not None
        assert not late.enabled
        await store.close()


async def test_late_answer(redis: RedisServer) -> None:
    """An answer that does not come is an error after about a second, for that lookup alone."""
    changes: list[bool] = []
    async with Relay(redis.port) as relay:
        store = RedisStore(relay.url, on_change=changes.append)
        plant(redis.cli)
        await store.open()
        relay.hold(b"HGETALL")
        begun = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            await store.grant(TOKEN)
        assert 0.5 < time.monotonic() - begun < 1.5
        relay.release()
        assert await store.grant(TOKEN) == GRANT
        assert changes == []
        await store.close()


async def test_unreadable_is_reported_once(redis: RedisServer) -> None:
    """A grant nobody can read is reported once per reading from Redis, not once per request."""
    told: list[tuple[str, str]] = []
    clock = Clock(0.0)
    store = RedisStore(redis.url, clock=clock, on_unreadable=lambda *what: told.append(what))
    redis.cli("HSET", KEY, "models", "*", "created", "yesterday")
    await store.open()
    for _ in range(3):
        assert await store.grant(TOKEN) is None
        clock.at += 3600.0
    assert told == [(TOKEN[:16], "created: 'yesterday' is not Unix seconds")]
    redis.cli("HSET", KEY, "created", "1")
    await eventually(lambda: _is_grant(store, TOKEN), 1.0)
    await store.close()


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (("SET", KEY, "*"), "the key is not a hash"),
        (("EVAL", "redis.call('HSET', KEYS[1], 'models', '\\255')", "1", KEY), "not UTF-8"),
    ],
)
async def test_rubbish_is_unreadable(
    redis: RedisServer, write: tuple[str, ...], reason: str
) -> None:
    """Whatever lies under a token's key, it grants nothing and takes nothing else down."""
    told: list[str] = []
    store = RedisStore(redis.url, on_unreadable=lambda _, why: told.append(why))
    redis.cli(*write)
    await store.open()
    assert await store.grant(TOKEN) is None
    assert len(told) == 1
    assert reason in told[0]
    await store.save_grant(OTHER, GRANT)
    found = {digest: grant async for digest, grant in store.grants()}
    assert isinstance(found[TOKEN], GrantUnreadableError)
    assert found[OTHER] == GRANT
    await store.close()


async def test_prefixes_are_apart(redis: RedisServer) -> None:
    """Two prefixes are two stores, even when one reads like a pattern for the other."""
    first = RedisStore(redis.url, prefix="a*:", now=Clock())
    second = RedisStore(redis.url, prefix="ab:", now=Clock())
    await asyncio.gather(first.open(), second.open())
    await first.save_grant(TOKEN, GRANT)
    await second.save_grant(OTHER, GRANT)
    assert await second.grant(TOKEN) is None
    assert [digest async for digest, _ in first.grants()] == [TOKEN]
    redis.cli("DEL", f"a*:token:{TOKEN}")
    await eventually(lambda: _is_none(first, TOKEN), 1.0)
    await asyncio.gather(first.close(), second.close())


async def test_many_grants(store: RedisStore, redis: RedisServer) -> None:
    """Administration sees every one of many grants exactly once."""
    plant = "for n = 1, 1234 do redis.call('HSET', 'dsp:token:' .. n, 'models', '*') end"
    redis.cli("EVAL", plant, "0")
    found = [digest async for digest, _ in store.grants()]
    assert sorted(found, key=int) == [str(n) for n in range(1, 1235)]


async def test_another_process(redis: RedisServer) -> None:
    """A revocation by one process counts in another within a second."""
    store = RedisStore(redis.url)
    plant(redis.cli)
    await store.open()
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _WATCHER, redis.url, TOKEN, stdout=asyncio.subprocess.PIPE
    )
    assert other.stdout is not None
    assert await other.stdout.readline() == b"granted\n"
    await store.remove_grant(TOKEN)
    assert await asyncio.wait_for(other.stdout.readline(), 1.0) == b"revoked\n"
    assert await other.wait() == 0
    await store.close()


_WATCHER = """
import asyncio, sys
from proxy.stores import open_store

async def watch(url, digest):
    store = open_store(url)
    await store.open()
    assert await store.grant(digest) is not None
    print("granted", flush=True)
    while await store.grant(digest) is not None:
        await asyncio.sleep(0.001)
    print("revoked", flush=True)
    await store.close()

asyncio.run(watch(*sys.argv[1:]))
"""


async def test_task_polls_survive(own_redis: RedisServer) -> None:
    """Known tasks stay known through an outage; unknown ones are an error, not `None`."""
    store = RedisStore(own_redis.url, now=Clock())
    await store.open()
    await store.claim(record("claimed"))
    own_redis.kill()
    await eventually(lambda: "down" in repr(store), 1.0)
    assert await store.owner("claimed", "ada") == record("claimed")
    with pytest.raises(StoreUnavailableError):
        await store.owner("never-seen", "ada")
    with pytest.raises(StoreUnavailableError):
        await store.claim(record("new"))
    with pytest.raises(StoreUnavailableError):
        await store.observe("claimed", "RUNNING", NOW)
    with pytest.raises(StoreUnavailableError):
        await store.tasks_of("ada", 0, NOW)
    with pytest.raises(StoreUnavailableError):
        [pair async for pair in store.grants()]
    await store.close()


async def test_strangers_learn_nothing(store: RedisStore, redis: RedisServer) -> None:
    """Another's task costs what an unknown one costs, command by command.

    However often its owner polls it here: Redis is asked, and does not even read the record.
    """
    await store.claim(record("hers"))
    heard = []
    for task_id in ("hers", "none"):
        assert await store.owner("hers", "ada") == record("hers")
        with redis.monitor() as lines:
            assert await store.owner(task_id, "eve") is None
        asked = [line for line in lines if task_id in line]
        heard.append([line.split("] ", 1)[1].split()[0] for line in asked])
    assert heard == [['"EVAL"', '"HGET"']] * 2


async def test_strangers_in_an_outage(own_redis: RedisServer) -> None:
    """While Redis is away, another's task that is known here is as unavailable as an unknown."""
    store = RedisStore(own_redis.url, now=Clock())
    await store.open()
    await store.claim(record("hers"))
    own_redis.kill()
    await eventually(lambda: "down" in repr(store), 1.0)
    assert await store.owner("hers", "ada") == record("hers")
    for task_id in ("hers", "none"):
        with pytest.raises(StoreUnavailableError):
            await store.owner(task_id, "eve")
    await store.close()


async def test_polls_of_others_tasks_survive(own_redis: RedisServer) -> None:
    """A task claimed by another process is known here once it was polled here."""
    here, there = (RedisStore(own_redis.url, now=Clock()) for _ in range(2))
    await asyncio.gather(here.open(), there.open())
    await there.claim(record())
    assert await here.owner("task-1", "ada") == record()
    own_redis.kill()
    await eventually(lambda: "down" in repr(here), 1.0)
    assert await here.owner("task-1", "ada") == record()
    await asyncio.gather(here.close(), there.close())


async def _is_none(store: RedisStore, digest: str) -> bool:
    return await store.grant(digest) is None


async def _is_grant(store: RedisStore, digest: str) -> bool:
    return await store.grant(digest) is not None
