"""Holds in Redis: the script says what the rule says, however its connection fares."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from itertools import count
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis_server import RedisServer
from stores.harness import NOW, Clock, fields_of, held, money, record, usage
from stores.relay import Relay

from proxy.core.errors import StoreUnavailableError
from proxy.core.holds import MOST_HELD, Bound, Hold, Level, Rate, Ruling
from proxy.core.money import MOST, NANOS
from proxy.core.ruling import EMPTY_AFTER
from proxy.core.settlement import Kind, Settlement
from proxy.ports import Store
from proxy.stores.memory import MemoryStore
from proxy.stores.redis import RedisStore
from proxy.stores.redis_holds import LAPSING
from proxy.stores.sqlite import SqliteStore

CALLS = Rate("token:tok_1", "requests", 60)
TASKS = Level("token:tok_1", "tasks", "", 1, 2)
BUDGET = ("token:tok_1", "money", "2027-01")
PREFIXES = (f"p{number}:" for number in count())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(redis: RedisServer, clock: Clock) -> AsyncIterator[RedisStore]:
    store = RedisStore(redis.url, now=clock, server_now=clock)
    await store.open()
    yield store
    await store.close()


# What may happen to a ledger: a name, and what it takes. Few names, so that they meet.

Step: TypeAlias = tuple[str, object]

WHO = st.sampled_from(["token:tok_1", "tenant:{ü}:\n"])
IDS = st.sampled_from(["h1", "h2", "h3"])
AMOUNTS = st.one_of(
    st.integers(0, 5),
    st.sampled_from([MOST * NANOS - 1, MOST * NANOS, 2**52, MOST_HELD - 1, MOST_HELD]),
)
MOST_OF = st.one_of(st.none(), st.integers(0, 10), st.just(MOST * NANOS), st.just(2**52 + 1))
PERIODS = st.sampled_from([("tasks", ""), ("streams", ""), ("money", "2027-01-15"),
                           ("money", "2027-01"), ("money", "total")])  # fmt: skip
RATES = st.builds(
    Rate,
    WHO,
    st.just("requests"),
    st.sampled_from([0, 1, 2, 3, 7, 7, 7, 61, 999_999_999]),
)
LEVELS = st.builds(
    lambda who, what, amount, most: Level(who, what[0], what[1], amount, most),
    WHO,
    PERIODS,
    AMOUNTS,
    MOST_OF,
)


def apart(bounds: Iterable[Bound]) -> list[Bound]:
    """Each bound once, as a hold has them."""
    return list({one[:3] if isinstance(one, Level) else one[:2]: one for one in bounds}.values())


HOLDS = st.builds(
    lambda hold, bounds, lease: held(hold, *apart(bounds), lease=lease),
    IDS,
    st.one_of(st.lists(RATES, max_size=2), st.lists(st.one_of(RATES, LEVELS), max_size=4)),
    st.sampled_from([0.001, 30.0, 60.0, 3600.0]),
)
WAITS = st.one_of(st.sampled_from([-0.005, 0.001, 0.5, 30.0, 60.0]), st.floats(0, 90))
WHAT_OF = {
    "hold": HOLDS,
    "crowd": st.lists(HOLDS, min_size=2, max_size=5),
    "renew": st.tuples(st.lists(IDS, max_size=3), st.floats(0, 100)),
    "release": IDS,
    "call": st.tuples(IDS, st.integers(0, 9)),
    "task": st.tuples(IDS, st.integers(0, 9)),
    "claim": IDS,
    "wait": WAITS,
}
KINDS = st.sampled_from([*5 * ["hold"], *3 * ["crowd"], *2 * ["wait"], *WHAT_OF])
STEP = KINDS.flatmap(lambda kind: st.tuples(st.just(kind), WHAT_OF[kind]))
STEPS: st.SearchStrategy[list[Step]] = st.lists(STEP, min_size=20, max_size=40)


async def said(store: Store, step: Step, number: int) -> object:
    """What a store says to a step."""
    match step:
        case "hold", Hold() as hold:
            return await store.hold(hold)
        case "crowd", list() as holds:
            return await asyncio.gather(*map(store.hold, holds))
        case "renew", (list() as holds, float() as later):
            await store.renew(holds, later)
        case "release", str() as hold_id:
            await store.settle(Settlement("s", number, released=(hold_id,)))
        case "call", (str() as hold_id, int() as amount):
            call = usage(f"c{number}", kind=Kind.CALL, hold=hold_id, amount=amount)
            await store.settle(Settlement("s", number, (call,)))
        case "task", (str() as hold_id, int() as amount):
            task = usage(f"task-{hold_id}", hold=hold_id, amount=amount)
            await store.settle(Settlement("s", number, (task,)))
        case "claim", str() as hold_id:
            await store.claim(record(f"task-{hold_id}", hold=hold_id))
    return None


async def told(store: Store) -> object:
    """All that a store tells of what it has."""
    bounds = [
        (who, *what)
        for who in ("token:tok_1", "tenant:ada", "tenant:{ü}:\n")
        for what in (("tasks", ""), ("streams", ""), ("money", "2027-01"), ("money", "total"))
    ]
    due = sorted(task.task_id for task in await store.due_tasks(10))
    records = [one for _, one in await store.records("", 100)]
    return await store.standings(bounds), due, records, await store.totals("2027-01-15", "3")


async def play(store: Store, clock: Clock, steps: list[Step]) -> None:
    """Each step on this store and on the one that runs the rule itself: they say the same."""
    model = MemoryStore(now=clock)
    await store.open()
    try:
        for number, step in enumerate(steps, start=1):
            if isinstance(step[1], float):
                clock.at += step[1]
            answer = await said(store, step, number)
            assert answer == await said(model, step, number)
        assert await told(store) == await told(model)
    finally:
        await store.close()


SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]


@settings(max_examples=200, deadline=None, suppress_health_check=SLOW)
@given(STEPS)
def test_redis_follows_the_rule(shared_redis: RedisServer, steps: list[Step]) -> None:
    """The scripts and the pure rule agree in every answer and every sum, whatever happens."""
    clock = Clock()
    store = RedisStore(shared_redis.url, prefix=next(PREFIXES), now=clock, server_now=clock)
    asyncio.run(play(store, clock, steps))


@settings(max_examples=30, deadline=None, suppress_health_check=SLOW)
@given(STEPS)
def test_sqlite_follows_the_rule(steps: list[Step]) -> None:
    """So does what is added up in SQL."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(SqliteStore(Path(folder) / "store.db", now=clock), clock, steps))


async def test_layout(store: RedisStore, redis: RedisServer) -> None:
    """A hold's levels, their sum, when it lapses; a bucket, which expires. All in one slot."""
    await store.hold(held("h1", CALLS, TASKS, money(5)))
    assert redis.cli("ZSCORE", "dsp:{ledger}:due", "h1") == str(int((NOW + 60) * 1000))
    held_now = {"tasks::token:tok_1": "1", "money:2027-01:token:tok_1": "5000000000"}
    assert fields_of(redis, "dsp:{ledger}:held") == held_now
    assert redis.cli("HGET", "dsp:{ledger}:holds", "h1") == (
        '["tasks::token:tok_1","1","money:2027-01:token:tok_1","5000000000"]'
    )
    bucket = "dsp:{ledger}:rate:requests:token:tok_1"
    assert redis.cli("GET", bucket) == f"60000 {int(NOW * 1000)}"
    assert 0 < int(redis.cli("PTTL", bucket)) <= EMPTY_AFTER


async def test_nothing_stays(store: RedisStore, redis: RedisServer) -> None:
    """Of a hold that has ended, but for its calls' bucket, which goes by itself."""
    await store.hold(held("h1", CALLS, TASKS, money(5)))
    await store.hold(held("h2", money(0)))
    await store.settle(Settlement("s", 1, released=("h1", "h2")))
    keys = ["dsp:{ledger}:rate:requests:token:tok_1", "dsp:{ledger}:settled:s:0"]
    assert sorted(redis.cli("KEYS", "*").split()) == keys


async def test_one_round_trip(store: RedisStore, redis: RedisServer) -> None:
    """A hold is one command, whatever is in it."""
    with redis.monitor() as lines:
        await store.hold(held("h1", CALLS, TASKS, money(5)))
    asked = [line for line in lines if "lua]" not in line and '"PING"' not in line]
    assert len(asked) == 1
    assert '"EVAL"' in asked[0]


async def test_more_lapse_than_one_script_takes(
    store: RedisStore, redis: RedisServer, clock: Clock
) -> None:
    """It is asked again before anything is ruled, so that none of the dead counts."""
    plant = """
    for n = 1, tonumber(ARGV[1]) do
      redis.call('ZADD', KEYS[1], ARGV[2], 'h' .. n)
      redis.call('HSET', KEYS[2], 'h' .. n, '["money:2027-01:token:tok_1","1000000000"]')
      redis.call('HINCRBY', KEYS[3], 'money:2027-01:token:tok_1', 1000000000)
    end
    """
    keys = [f"dsp:{{ledger}}:{name}" for name in ("due", "holds", "held")]
    many = 2 * LAPSING + 1
    redis.cli("EVAL", plant, "3", *keys, str(many), str(int((NOW + 60) * 1000)))
    assert (await store.standings([BUDGET]))[0].held == many * NANOS
    clock.at = NOW + 60
    with redis.monitor() as lines:
        ruling = await store.hold(held("next", money(50), lease=60.0))
    assert ruling.refused is None
    assert sum('"EVAL"' in line for line in lines) == 3
    assert redis.cli("ZCARD", keys[0]) == "1"


async def test_replicas_whose_clocks_differ(redis: RedisServer) -> None:
    """Redis says what time it is: who is ahead lapses nobody's holds, and takes nobody's lead."""
    clocks = [Clock(time.time() + ahead) for ahead in (0.0, 3600.0, -3600.0)]
    replicas = [RedisStore(redis.url, now=clock) for clock in clocks]
    for replica in replicas:
        await replica.open()
    try:
        rulings = [await one.hold(held(f"h{n}", money(50))) for n, one in enumerate(replicas)]
        assert [ruling.refused for ruling in rulings] == [None, money(50), money(50)]
        assert [await one.lead(str(n), 60) for n, one in enumerate(replicas)] == [True] + 2 * [
            False
        ]
        assert await replicas[1].standings([BUDGET]) == await replicas[0].standings([BUDGET])
    finally:
        for replica in replicas:
            await replica.close()


GARBAGE = ["{", "7", "null", "[1]", '["a"]', '["tasks::token:tok_1","x"]', '[["a"],"1"]', '{"a":1}']


@pytest.mark.parametrize("text", GARBAGE)
async def test_a_hold_that_cannot_be_read(
    store: RedisStore, redis: RedisServer, clock: Clock, text: str
) -> None:
    """It is dropped with what it held, and nobody else is refused for it."""
    for name in ("h1", "h2"):
        redis.cli("HSET", "dsp:{ledger}:holds", name, text)
        redis.cli("ZADD", "dsp:{ledger}:due", str(int(clock.at * 1000) + 500), name)
    call = usage("c1", kind=Kind.CALL, hold="h1")
    await store.settle(Settlement("s", 1, (call,), ("h1",)))
    clock.at += 1
    assert (await store.hold(held("h3", TASKS))).refused is None
    assert [one for _, one in await store.records("", 10)] == [call]
    assert redis.cli("ZRANGE", "dsp:{ledger}:due", "0", "-1") == "h3"
    assert redis.cli("HKEYS", "dsp:{ledger}:holds") == "h3"


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.999, 1.0])
async def test_cut_anywhere(redis: RedisServer, clock: Clock, share: float, times: int) -> None:
    """Wherever the connection breaks: tried again, a hold is held once, its call counted once."""
    async with Relay(redis.port) as relay:
        store = RedisStore(relay.url, now=clock, server_now=clock)
        await store.open()
        relay.cut(b"EVAL", share, times)
        hold = held("h1", CALLS, TASKS, money(20))
        try:
            ruling = await store.hold(hold)
        except StoreUnavailableError:
            assert times == 2
            ruling = await store.hold(hold)
        assert [left.amount for left in ruling.left] == [59, 1, 30 * NANOS]
        assert (await store.standings([BUDGET]))[0].held == 20 * NANOS
        await store.close()


async def test_one_that_meets_rubbish_fails_alone(store: RedisStore, redis: RedisServer) -> None:
    """What somebody wrote at one tenant's key is no trouble of whoever is held with it."""
    redis.cli("SADD", "dsp:{ledger}:rate:requests:token:other", "rubbish")
    other = CALLS._replace(who="token:other")
    holds = [held("h1", CALLS), held("h2", other, TASKS), held("h3", TASKS)]
    told = await asyncio.gather(*map(store.hold, holds), return_exceptions=True)
    assert [type(one) for one in told] == [Ruling, StoreUnavailableError, Ruling]
    assert redis.cli("ZRANGE", "dsp:{ledger}:due", "0", "-1").split() == ["h1", "h3"]
