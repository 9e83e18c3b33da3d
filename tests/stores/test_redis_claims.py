"""A claim in Redis: one round trip, three writes, and what is there when it broke off."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis_server import RedisServer
from stores.harness import NOW, Clock, Place, fields_of, held, money, record
from stores.relay import Relay

from proxy.core.errors import StoreUnavailableError
from proxy.core.settlement import FIRST_LOOK, TASK_HOLD
from proxy.core.tasks import RETENTION, TaskConflictError
from proxy.stores.records import record_to_fields
from proxy.stores.redis import RedisStore


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(redis: RedisServer, clock: Clock) -> AsyncIterator[RedisStore]:
    store = RedisStore(redis.url, now=clock, server_now=clock)
    await store.open()
    yield store
    await store.close()


async def test_layout(store: RedisStore, redis: RedisServer) -> None:
    """A task is the hash `dsp:task:<id>`, the index `dsp:tasks:{<tenant>}`, and open.

    The first two expire.
    """
    await store.claim(record(hold="h1"))
    assert fields_of(redis, "dsp:task:task-1") == record_to_fields(record(hold="h1"))
    indexed = redis.cli("ZRANGE", "dsp:tasks:{ada}", "0", "-1", "WITHSCORES").split()
    assert indexed == ["task-1", str(int(NOW))]
    for key in ("dsp:task:task-1", "dsp:tasks:{ada}"):
        assert RETENTION - 60 < int(redis.cli("TTL", key)) <= RETENTION
    keys = ["dsp:task:task-1", "dsp:tasks:{ada}", "dsp:{ledger}:open"]
    assert sorted(redis.cli("KEYS", "*").split()) == keys
    assert redis.cli("ZSCORE", keys[-1], "task-1") == str(int(NOW + FIRST_LOOK))


async def test_one_round_trip(redis: RedisServer, clock: Clock) -> None:
    """Everything a claim writes leaves at once: no answer has to come back in between."""
    async with Relay(redis.port) as relay:
        store = RedisStore(relay.url, now=clock, server_now=clock)
        await store.open()
        relay.hold(b"ZADD")
        with pytest.raises(StoreUnavailableError):
            await store.claim(record(hold="h1"))
        relay.release()
        assert redis.cli("EXISTS", "dsp:task:task-1") == "1"
        assert redis.cli("ZCARD", "dsp:{ledger}:open") == "1"
        await store.close()


async def test_claim_again_keeps_the_end(store: RedisStore, redis: RedisServer) -> None:
    """Claiming again does not make a task live longer."""
    await store.claim(record())
    redis.cli("EXPIRE", "dsp:task:task-1", "100")
    await store.claim(record())
    assert int(redis.cli("TTL", "dsp:task:task-1")) <= 100


async def test_index_is_trimmed(store: RedisStore, redis: RedisServer, clock: Clock) -> None:
    """A tenant who is always busy does not grow an index for ever."""
    await store.claim(record("old"))
    clock.at += RETENTION + 1
    await store.claim(record("new", created=clock.at))
    assert redis.cli("ZRANGE", "dsp:tasks:{ada}", "0", "-1") == "new"


@pytest.mark.parametrize("gone", ["dsp:tasks:{ada}", "dsp:{ledger}:open", "dsp:task:task-1"])
async def test_healed(store: RedisStore, redis: RedisServer, clock: Clock, gone: str) -> None:
    """A claim that died between its writes is completed by claiming again."""
    await store.claim(record())
    redis.cli("DEL", gone)
    await store.claim(record())
    assert await store.tasks_of("ada", NOW, NOW) == [record()]
    clock.at = NOW + FIRST_LOOK
    assert await store.due_tasks(10) == [record()]


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.999, 1.0])
async def test_cut_anywhere(redis: RedisServer, clock: Clock, share: float, times: int) -> None:
    """Wherever the connection breaks: the claim is taken once, or fails and is taken then."""
    async with Relay(redis.port) as relay:
        store = RedisStore(relay.url, now=clock, server_now=clock)
        await store.open()
        await store.hold(held("h1", money(20)))
        relay.cut(b"ZADD", share, times)
        try:
            await store.claim(record(hold="h1"))
        except StoreUnavailableError:
            assert times == 2
            await store.claim(record(hold="h1"))
        assert await store.tasks_of("ada", NOW, NOW) == [record(hold="h1")]
        clock.at = NOW + FIRST_LOOK
        assert await store.due_tasks(10) == [record(hold="h1")]
        clock.at = NOW + TASK_HOLD - 1
        (standing,) = await store.standings([("token:tok_1", "money", "2027-01")])
        assert standing.held == money(20).amount
        await store.close()


@pytest.mark.parametrize("place", ["redis", "redis-cluster"], indirect=True)
async def test_many_slots(place: Place) -> None:
    """The three places of a claim may lie on three servers."""
    tasks = [record(f"task-{n}", f"tenant-{n}") for n in range(50)]
    for task in tasks:
        await place.store.claim(task)
        assert await place.store.tasks_of(task.tenant, NOW, NOW) == [task]
    place.clock.at = NOW + FIRST_LOOK
    due = await place.store.due_tasks(100)
    assert sorted(task.task_id for task in due) == sorted(task.task_id for task in tasks)


async def test_a_crowd(redis: RedisServer, clock: Clock) -> None:
    """Claims of one moment share a round trip, and each is there in full."""
    tasks = [record(f"task-{n}", f"tenant-{n % 3}", hold=f"h{n}") for n in range(50)]
    async with Relay(redis.port) as relay:
        store = RedisStore(relay.url, now=clock, server_now=clock)
        await store.open()
        relay.seen.clear()
        await asyncio.gather(*map(store.claim, tasks))
        # One index script for each tenant, and one for the ledger's open tasks.
        assert relay.seen.count(b"ZREMRANGEBYSCORE") == 3
        assert relay.seen.count(b"dsp:{ledger}:open") == 1
        for n in range(3):
            mine = await store.tasks_of(f"tenant-{n}", NOW, NOW)
            assert {task.task_id for task in mine} == {f"task-{i}" for i in range(n, 50, 3)}
        clock.at = NOW + FIRST_LOOK
        assert len(await store.due_tasks(100)) == 50
        await store.close()


async def test_conflicts_are_ones_own(store: RedisStore) -> None:
    """Whose task it is already is told to that claimant only; the first owner stays."""
    await store.claim(record("task-1", "eve"))
    outcomes = await asyncio.gather(
        *(store.claim(record(f"task-{n}")) for n in range(3)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [type(None), TaskConflictError, type(None)]
    assert await store.owner("task-1", "ada") is None
    assert await store.owner("task-1", "eve") == record("task-1", "eve")


async def test_a_broken_index_is_ones_own(store: RedisStore, redis: RedisServer) -> None:
    """What Redis refuses of one tenant's keeps no other tenant's claim from being made."""
    redis.cli("SET", "dsp:tasks:{eve}", "no index")
    outcomes = await asyncio.gather(
        *(store.claim(record(f"task-{who}", who)) for who in ("ada", "eve", "bob")),
        return_exceptions=True,
    )
    assert [type(one) for one in outcomes] == [type(None), StoreUnavailableError, type(None)]


async def test_what_cannot_be_written_is_ones_own(store: RedisStore) -> None:
    """A record that is no Unicode fails alone, before it shares anything."""
    outcomes = await asyncio.gather(
        store.claim(record("task-1", model="\ud800")),
        store.claim(record("task-2")),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [UnicodeEncodeError, type(None)]


async def test_who_leaves(redis: RedisServer, clock: Clock) -> None:
    """Who is cancelled while claims are under way takes none of them along."""
    async with Relay(redis.port) as relay:
        store = RedisStore(relay.url, now=clock, server_now=clock)
        await store.open()
        relay.hold(b"task-1")
        claims = [asyncio.create_task(store.claim(record(f"task-{n}"))) for n in (1, 2, 3)]
        await relay.held.wait()
        claims[0].cancel()
        relay.release()
        await asyncio.gather(*claims[1:])
        assert len(await store.tasks_of("ada", NOW, NOW)) == 3
        await store.close()
