"""What is settled in Redis: its layout, and that it is written once and whole."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from redis_server import RedisServer
from stores.harness import NOW, UNIT, Clock, eventually, fields_of, held, money, record, usage
from stores.relay import Relay

from proxy.core.errors import StoreUnavailableError
from proxy.core.settlement import Kind, Settlement
from proxy.core.tasks import RETENTION
from proxy.core.usage import Used
from proxy.stores.redis import RedisStore
from proxy.stores.redis_settlements import NUMBERS
from proxy.stores.usage_fields import (
    DAY,
    DAYS_KEPT,
    MONTHS_KEPT,
    SETTLEMENTS_KEPT,
    TOTALS_KEPT,
    usage_to_fields,
)

BUDGET = ("token:tok_1", "money", "2027-01")
CALL = usage("req-1", kind=Kind.CALL)
KEYS = ["due", "holds", "held", "open", "done", "usage", "settled:s:0", "sums:2027-01-15"]
KEYS += ["spent:2027-01-15", "spent:2027-01", "spent:total"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(redis: RedisServer, clock: Clock) -> AsyncIterator[RedisStore]:
    store = RedisStore(redis.url, now=clock, server_now=clock)
    await store.open()
    yield store
    await store.close()


def key(name: str) -> str:
    return f"dsp:{{ledger}}:{name}"


async def test_layout(store: RedisStore, redis: RedisServer) -> None:
    """A record is one entry of the stream, its fields as documented; sums, and what was spent."""
    await store.settle(Settlement("s", 1, (CALL,)))
    place, *words = redis.cli("XRANGE", key("usage"), "-", "+").splitlines()
    told = dict(zip(words[::2], words[1::2], strict=True))
    assert told == usage_to_fields(CALL)
    assert (await store.records("", 1))[0][0] == place
    sums = fields_of(redis, key("sums:2027-01-15"))
    assert sums['["ada", "tok_1", "wan2.6-t2v", "CNY", "amount"]'] == str(3 * UNIT)
    for period in ("2027-01-15", "2027-01", "total"):
        spent = {"token:tok_1": str(3 * UNIT), "tenant:ada": str(3 * UNIT)}
        assert fields_of(redis, key(f"spent:{period}")) == spent


async def test_what_expires(store: RedisStore, redis: RedisServer) -> None:
    """Days, months, sums and senders, each in its time; what was spent of all times never."""
    await store.settle(Settlement("s", 1, (CALL,)))
    kept = {
        "spent:2027-01-15": DAYS_KEPT,
        "spent:2027-01": MONTHS_KEPT,
        "sums:2027-01-15": (TOTALS_KEPT + 1) * DAY,
        "settled:s:0": SETTLEMENTS_KEPT,
    }
    for name, seconds in kept.items():
        assert seconds - 60 < int(redis.cli("TTL", key(name))) <= seconds
    for name in ("spent:total", "usage"):
        assert redis.cli("TTL", key(name)) == "-1"


async def test_settled_tasks_are_forgotten(
    store: RedisStore, redis: RedisServer, clock: Clock
) -> None:
    """When their claim cannot come again."""
    await store.claim(record())
    await store.settle(Settlement("s", 1, (usage(),)))
    assert redis.cli("ZRANGE", key("done"), "0", "-1") == "task-1"
    assert redis.cli("EXISTS", key("open")) == "0"
    clock.at = NOW + RETENTION
    await store.settle(Settlement("s", 2))
    assert redis.cli("EXISTS", key("done")) == "0"


async def test_numbers_take_little_room(store: RedisStore, redis: RedisServer) -> None:
    """A bit each, and no key grows without end."""
    for number in (1, NUMBERS - 1, NUMBERS, 10**12):
        await store.settle(Settlement("s", number, (CALL,)))
        await store.settle(Settlement("s", number, (CALL,)))
    assert redis.cli("XLEN", key("usage")) == "4"
    seen = redis.cli("KEYS", key("settled:*").replace("{", "[{]")).split()
    assert len(seen) == 3
    assert all(int(redis.cli("STRLEN", one)) <= NUMBERS // 8 for one in seen)


@pytest.mark.parametrize("name", KEYS)
async def test_all_or_nothing(store: RedisStore, redis: RedisServer, name: str) -> None:
    """A key that holds something else fails a settlement before anything of it is written."""
    await store.claim(record(hold="h1"))
    await store.hold(held("h1", money(5)))
    wrong = key(name)
    redis.cli("DEL", wrong)
    redis.cli("SADD", wrong, "rubbish")
    before = await dumped(redis)
    with pytest.raises(StoreUnavailableError):
        await store.settle(Settlement("s", 1, (usage(hold="h1"), CALL), ("h1",)))
    assert await dumped(redis) == before


async def dumped(redis: RedisServer) -> dict[str, str]:
    """All there is, as Redis would save it."""
    keys = sorted(redis.cli("KEYS", "*").split())
    script = "return redis.sha1hex(redis.call('DUMP', KEYS[1]))"
    return {one: redis.cli("EVAL", script, "1", one) for one in keys}


async def test_a_sum_that_overflows_stays(store: RedisStore, redis: RedisServer) -> None:
    """Nine billion units spent are enough; the records go on."""
    redis.cli("HSET", key("spent:total"), "tenant:ada", str(2**63 - 1))
    await store.settle(Settlement("s", 1, (CALL,)))
    assert len(await store.records("", 10)) == 1
    assert (await store.standings([BUDGET]))[0].spent == 3 * UNIT
    assert (await store.standings([("tenant:ada", "money", "total")]))[0].spent == 2**63 - 1


async def test_foreign_entries(store: RedisStore, redis: RedisServer) -> None:
    """What others put into the stream is no record, and hides none."""
    for _ in range(5):
        redis.cli("XADD", key("usage"), "*", "note", "hello")
    bad = f"return redis.call('XADD', KEYS[1], '*', 'id', '{chr(92)}255')"
    redis.cli("EVAL", bad, "1", key("usage"))
    await store.settle(Settlement("s", 1, (CALL,)))
    ((place, found),) = await store.records("", 2)
    assert found == CALL
    assert await store.records(place, 2) == []


async def test_what_json_cannot_say(store: RedisStore) -> None:
    """A name that is no text in UTF-8 is written all the same, with a `?`."""
    odd = usage("req-1", kind=Kind.CALL, model="a\ud800b", used=Used(Decimal("0.1")))
    await store.settle(Settlement("s", 1, (odd,)))
    ((_, found),) = await store.records("", 2)
    assert found.model == "a?b"


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.999, 1.0])
async def test_cut_anywhere(redis: RedisServer, clock: Clock, share: float, times: int) -> None:
    """Wherever the connection breaks: handed over again, each record is there once."""
    async with Relay(redis.port) as relay:
        store = RedisStore(relay.url, now=clock, server_now=clock)
        await store.open()
        await store.claim(record(hold="h1"))
        await store.hold(held("h1", money(20)))
        await store.hold(held("h2", money(5)))
        relay.cut(b"EVAL", share, times)
        settlement = Settlement("s", 1, (usage(hold="h1"), CALL), ("h2",))
        try:
            await store.settle(settlement)
        except StoreUnavailableError:
            assert times == 2
            await store.settle(settlement)
        assert [one for _, one in await store.records("", 10)] == [usage(hold="h1"), CALL]
        assert await store.standings([BUDGET]) == [(0, 6 * UNIT)]
        await store.close()


async def test_two_processes(redis: RedisServer, clock: Clock) -> None:
    """Who settle the same tasks at the same time: each task has one record, spent once."""
    stores = [RedisStore(redis.url, now=clock, server_now=clock) for _ in range(2)]
    for store in stores:
        await store.open()
    tasks = [f"task-{n}" for n in range(100)]
    await asyncio.gather(*(stores[0].claim(record(task)) for task in tasks))
    ways = (tasks, tasks[::-1])
    await asyncio.gather(
        *(
            store.settle(Settlement(f"s{n}", number, (usage(task),)))
            for n, (store, way) in enumerate(zip(stores, ways, strict=True))
            for number, task in enumerate(way, start=1)
        )
    )
    found = [one.id for _, one in await stores[0].records("", 1000)]
    assert sorted(found) == sorted(tasks)
    assert await stores[1].standings([BUDGET]) == [(0, 100 * 3 * UNIT)]
    for store in stores:
        await store.close()


async def test_killed_and_started_again() -> None:
    """What Redis has on its disk is there: records, what was spent, open tasks and holds."""
    with RedisServer.started("--appendonly", "yes", "--appendfsync", "always") as redis:
        store = RedisStore(redis.url, now=Clock())
        await store.open()
        await store.hold(held("h1", money(20)))
        for task in ("task-1", "task-2"):
            await store.claim(record(task, hold="h1"))
        settlement = Settlement("s", 1, (usage(), CALL))
        await store.settle(settlement)
        await asyncio.to_thread(redis.restart)
        await eventually(lambda: _answers(store), 15.0)
        await store.settle(settlement)
        await store.settle(Settlement("s2", 1, (usage(),)))
        assert [one for _, one in await store.records("", 10)] == [usage(), CALL]
        assert await store.standings([BUDGET]) == [(20 * UNIT, 6 * UNIT)]
        await store.settle(Settlement("s2", 2, (usage("task-2", hold="h1"),)))
        assert await store.standings([BUDGET]) == [(0, 9 * UNIT)]
        await store.close()


async def _answers(store: RedisStore) -> bool:
    try:
        await store.ping()
    except StoreUnavailableError:
        return False
    return True
