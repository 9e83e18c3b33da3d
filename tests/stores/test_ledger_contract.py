"""The contract of `proxy.ports.Ledger`, held against every store there is."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal

import pytest
from stores.harness import GRANT, NOW, OTHER, TOKEN, UNIT, Place, held, money, record, usage

from proxy.core.errors import StoreUnavailableError
from proxy.core.holds import Hold, Level, Rate
from proxy.core.limits import NO_LIMITS, Limits, LimitUnreadableError
from proxy.core.settlement import FIRST_LOOK, MOST_RECORDS, TASK_HOLD, Kind, Settlement, UsageRecord
from proxy.core.tasks import RETENTION, TaskConflictError
from proxy.core.usage import Used
from proxy.ports.ledger import Standing, Total

CALLS = Rate("token:tok_1", "requests", 60)
TASKS = Level("token:tok_1", "tasks", "", 1, 2)
ANY_TASKS = Level("tenant:ada", "tasks", "", 1, None)
MONEY = ("token:tok_1", "money", "2027-01")


async def standing(place: Place, *bound: str) -> Standing:
    who, what, period = bound
    (found,) = await place.store.standings([(who, what, period)])
    return found


def settled(number: int, *records: UsageRecord, released: tuple[str, ...] = ()) -> Settlement:
    return Settlement("process-1", number, records, released)


async def written(place: Place) -> list[UsageRecord]:
    return [one for _, one in await place.store.records("", 1000)]


async def test_a_hold_is_taken(place: Place) -> None:
    """It counts from now on, and what is left of each limit is told."""
    ruling = await place.store.hold(held("h1", CALLS, TASKS, money(20), ANY_TASKS))
    assert (ruling.refused, ruling.wait) == (None, None)
    assert [(left.bound, left.amount) for left in ruling.left] == [
        (CALLS, 59),
        (TASKS, 1),
        (money(20), 30 * UNIT),
    ]
    assert await standing(place, *MONEY) == Standing(20 * UNIT, 0)
    assert await standing(place, "token:tok_1", "tasks", "") == Standing(1, 0)
    assert await standing(place, "tenant:ada", "tasks", "") == Standing(1, 0)
    assert await standing(place, "tenant:eve", "tasks", "") == Standing(0, 0)


async def test_nothing_is_held_twice(place: Place) -> None:
    """The same id again, after an answer that was lost, takes no more, and is told the same."""
    hold = held("h1", CALLS, TASKS._replace(most=1), money(50))
    first = await place.store.hold(hold)
    assert first.refused is None
    assert await place.store.hold(hold) == first
    assert await standing(place, *MONEY) == Standing(50 * UNIT, 0)


async def test_a_refusal_leaves_nothing_behind(place: Place) -> None:
    """All of a hold or nothing: what would have fitted, calls included, is not taken."""
    await place.store.hold(held("h1", TASKS, money(50)))
    for _ in range(70):
        ruling = await place.store.hold(held("h2", CALLS, TASKS, money(1)))
        assert ruling.refused == money(1)
        assert [left.amount for left in ruling.left] == [60, 1, 0]
    assert await standing(place, "token:tok_1", "tasks", "") == Standing(1, 0)
    assert (await place.store.hold(held("h3", CALLS))).left[0].amount == 59


async def test_the_first_bound_it_meets(place: Place) -> None:
    """Rates come first, then levels, in the hold's order; what is no limit refuses nothing."""
    nothing = CALLS._replace(per_minute=0)
    full = TASKS._replace(most=0)
    ruling = await place.store.hold(held("h1", full, money(9 * 10**6, None), nothing))
    assert ruling.refused == nothing
    assert ruling.wait is None
    assert (await place.store.hold(held("h1", money(51), full))).refused == money(51)
    assert (await place.store.hold(held("h1", money(9 * 10**6, None)))).refused is None


async def test_a_rate(place: Place) -> None:
    """A minute's calls at once, then one for each second that passes; waiting as told helps."""
    for n in range(60):
        assert (await place.store.hold(held(f"h{n}", CALLS))).refused is None
    ruling = await place.store.hold(held("late", CALLS))
    assert (ruling.refused, ruling.wait) == (CALLS, 1.0)
    assert ruling.left[0] == (CALLS, 0, 60.0)
    place.clock.at = NOW + 0.75
    assert (await place.store.hold(held("late", CALLS))).wait == 0.25
    place.clock.at = NOW + 1
    assert (await place.store.hold(held("late", CALLS))).refused is None
    assert (await place.store.hold(held("later", CALLS))).refused == CALLS


@pytest.mark.parametrize("ahead", [0.5, 120.0])
async def test_clocks_that_differ(place: Place, ahead: float) -> None:
    """A call noted by a clock that is ahead frees nothing early; one far ahead is not believed."""
    place.clock.at = NOW if ahead < 1 else NOW + ahead
    await place.store.hold(held("h1", CALLS))
    place.clock.at = NOW - ahead if ahead < 1 else NOW
    await place.store.hold(held("h2", CALLS))
    place.clock.at = NOW + 1
    assert (await place.store.hold(held("h3", CALLS))).left[0] == (CALLS, 58, 2.0)


async def test_a_clock_that_is_set_back(place: Place) -> None:
    """A rate that a clock took for empty already is not, when that clock has been set back."""
    one = CALLS._replace(per_minute=1)
    await place.store.hold(held("h1", one))
    place.clock.at = NOW + 60
    await place.store.hold(held("h2", one._replace(who="token:other")))
    place.clock.at = NOW + 59.5
    ruling = await place.store.hold(held("h3", one))
    assert (ruling.refused, ruling.wait) == (one, 0.5)


async def test_a_rate_outlives_its_hold(place: Place) -> None:
    """A call that was made was made: its end gives back levels, not rates."""
    one = CALLS._replace(per_minute=1)
    await place.store.hold(held("h1", one, TASKS))
    await place.store.settle(settled(1, released=("h1",)))
    ruling = await place.store.hold(held("h2", one, TASKS))
    assert (ruling.refused, ruling.left[1].amount) == (one, 2)


async def test_a_hold_lapses(place: Place) -> None:
    """Past its due it counts no more, to the millisecond, for whoever asks."""
    await place.store.hold(held("h1", money(50)))
    place.clock.at = NOW + 59.999
    assert (await place.store.hold(held("h2", money(1)))).refused == money(1)
    assert await standing(place, *MONEY) == Standing(50 * UNIT, 0)
    place.clock.at = NOW + 60
    assert await standing(place, *MONEY) == Standing(0, 0)
    assert (await place.store.hold(held("h2", money(50)))).refused is None


async def test_a_lease_begins_when_it_is_taken(place: Place) -> None:
    """However long ago the call came: it may have waited for another with its key."""
    hold = held("h1", money(50))
    place.clock.at = NOW + 3600
    assert (await place.store.hold(hold)).refused is None
    place.clock.at = NOW + 3600 + 59.999
    assert (await place.store.hold(held("h2", money(1)))).refused == money(1)


async def test_many_holds_lapse(place: Place) -> None:
    """However many were left behind by a process that died: the next hold finds them gone."""
    for n in range(0, 1200, 100):
        some = (held(f"h{n + m}", money(1, None)) for m in range(100))
        await asyncio.gather(*map(place.store.hold, some))
    place.clock.at = NOW + 60
    ruling = await place.store.hold(held("next", money(50)))
    assert (ruling.refused, ruling.left[0].amount) == (None, 0)


async def test_renewed(place: Place) -> None:
    """Who says that it lives, holds on; never for shorter than before; what is gone stays gone."""
    await place.store.hold(held("h1", money(10)))
    await place.store.hold(held("h2", money(5)))
    await place.store.renew(["h1", "unknown"], 120)
    await place.store.renew(["h1"], 1)
    place.clock.at = NOW + 100
    await place.store.renew(["h2"], 100)
    assert await standing(place, *MONEY) == Standing(10 * UNIT, 0)
    place.clock.at = NOW + 120
    assert await standing(place, *MONEY) == Standing(0, 0)
    await place.store.renew([], 100)


async def test_a_lapsed_hold_may_be_taken_anew(place: Place) -> None:
    """The same id after its lapse is a new hold."""
    await place.store.hold(held("h1", money(10)))
    place.clock.at = NOW + 60
    await place.store.hold(held("h1", money(20)))
    assert await standing(place, *MONEY) == Standing(20 * UNIT, 0)


async def test_exactly_fifty(place: Place) -> None:
    """Of 200 at the same time, exactly as many as the budget has room for."""
    holds = [held(f"h{n}", money(1), ANY_TASKS) for n in range(200)]
    rulings = await asyncio.gather(*map(place.store.hold, holds))
    assert sum(ruling.refused is None for ruling in rulings) == 50
    assert await standing(place, *MONEY) == Standing(50 * UNIT, 0)
    assert await standing(place, "tenant:ada", "tasks", "") == Standing(50, 0)


async def test_the_largest_amounts(place: Place) -> None:
    """The highest budget there is, spent to the last billionth, is not overdrawn by one."""
    most = 9_000_000 * UNIT
    level = money(0)._replace(most=most)
    assert (await place.store.hold(held("h1", level._replace(amount=most - 1)))).refused is None
    last = await place.store.hold(held("h2", level._replace(amount=1)))
    assert (last.refused, last.left[0].amount) == (None, 0)
    assert (await place.store.hold(held("h3", level._replace(amount=1)))).refused is not None
    unbound = level._replace(amount=2**53 - 1, most=None)
    assert (await place.store.hold(held("h4", unbound))).refused is None
    assert await standing(place, *MONEY) == Standing(most + 2**53 - 1, 0)
    await place.store.settle(settled(1, released=("h2", "h4", "h1")))
    assert await standing(place, *MONEY) == Standing(0, 0)


async def test_a_task_is_settled(place: Place) -> None:
    """Its record is there, its price is spent by token and tenant, its hold is over."""
    await place.store.hold(held("h1", money(50), TASKS))
    await place.store.claim(record(hold="h1"))
    done = usage(hold="h1")
    await place.store.settle(settled(1, done))
    assert await written(place) == [done]
    for who in ("token:tok_1", "tenant:ada"):
        for period in ("2027-01-15", "2027-01", "total"):
            assert await standing(place, who, "money", period) == Standing(0, 3 * UNIT)
    assert await standing(place, "token:tok_1", "tasks", "") == Standing(0, 0)
    ruling = await place.store.hold(held("h2", money(48)))
    assert (ruling.refused, ruling.left[0].amount) == (money(48), 47 * UNIT)


async def test_a_task_is_settled_once(place: Place) -> None:
    """By whoever is first, of many processes, whatever the others say then."""
    await place.store.claim(record())
    several = [Settlement(f"process-{n}", 1, (usage(), usage())) for n in range(10)]
    await asyncio.gather(*map(place.store.settle, several))
    assert await written(place) == [usage()]
    assert await standing(place, *MONEY) == Standing(0, 3 * UNIT)


async def test_a_task_nobody_claimed(place: Place) -> None:
    """Is not settled, and its hold stays: its claim may wait in an outbox."""
    await place.store.hold(held("h1", money(10)))
    await place.store.settle(settled(1, usage(hold="h1")))
    assert await written(place) == []
    assert await standing(place, *MONEY) == Standing(10 * UNIT, 0)
    await place.store.claim(record(hold="h1"))
    await place.store.settle(settled(2, usage(hold="h1")))
    assert await written(place) == [usage(hold="h1")]
    assert await standing(place, *MONEY) == Standing(0, 3 * UNIT)


async def test_a_late_claim_opens_no_settled_task(place: Place) -> None:
    """A claim that is carried over once more, for as long as it can come."""
    await place.store.claim(record())
    await place.store.settle(settled(1, usage()))
    place.clock.at = NOW + RETENTION - 1
    await place.store.claim(record())
    assert await place.store.due_tasks(10) == []
    await place.store.settle(settled(2, usage()))
    assert await written(place) == [usage()]


async def test_calls_are_settled_by_number(place: Place) -> None:
    """What was handed over twice counts once; numbers come in any order, and by several senders."""
    call = usage("req-1", kind=Kind.CALL)
    for number in (2, 2, 1, 70_000, 3, 1, 70_000):
        await place.store.settle(settled(number, call))
    await place.store.settle(Settlement("process-2", 2, (call,)))
    assert len(await written(place)) == 5
    assert await standing(place, *MONEY) == Standing(0, 15 * UNIT)


async def test_what_was_written_is_told(place: Place) -> None:
    """Who hands over hears of which records something came: of a task, that is one of all.

    Where the same was handed over before, calls are written for certain; of tasks nobody knows.
    """
    await place.store.claim(record())
    call, other = usage("req-1", kind=Kind.CALL), usage("req-2", kind=Kind.CALL)
    first = settled(1, usage("task-0"), usage(), call)
    assert sorted(await place.store.settle(first)) == ["req-1", usage().id]
    assert sorted(await place.store.settle(first)) == ["req-1"]
    assert sorted(await place.store.settle(settled(2, usage(), other))) == ["req-2"]
    assert sorted(await place.store.settle(settled(3, released=("h1",)))) == []


async def test_released(place: Place) -> None:
    """A hold that came to nothing is over; one that is not there, or ended twice, is no matter."""
    await place.store.hold(held("h1", money(10), TASKS))
    await place.store.hold(held("h2", money(5)))
    await place.store.settle(settled(1, released=("h1", "h1", "unknown")))
    await place.store.settle(settled(2, released=("h1",)))
    assert await standing(place, *MONEY) == Standing(5 * UNIT, 0)
    assert await standing(place, "token:tok_1", "tasks", "") == Standing(0, 0)


async def test_a_whole_settlement(place: Place) -> None:
    """As much as may be handed over at once is written in its order."""
    holds = [f"h{n}" for n in range(MOST_RECORDS)]
    for hold in holds:
        await place.store.hold(held(hold, money(1, None)))
    calls = [usage(f"c{n}", kind=Kind.CALL, amount=1) for n in range(MOST_RECORDS)]
    await place.store.settle(settled(1, *calls, released=tuple(holds)))
    assert await written(place) == calls
    assert await standing(place, *MONEY) == Standing(0, MOST_RECORDS)


async def test_a_claim_prolongs_its_hold(place: Place) -> None:
    """Until upstream has forgotten the task, and no longer."""
    await place.store.hold(held("h1", money(10)))
    await place.store.claim(record(hold="h1"))
    place.clock.at = NOW + TASK_HOLD - 1
    assert await standing(place, *MONEY) == Standing(10 * UNIT, 0)
    place.clock.at = NOW + TASK_HOLD
    assert await standing(place, *MONEY) == Standing(0, 0)


async def test_a_task_keeps_its_hold(place: Place) -> None:
    """Who finds the task knows what it holds."""
    await place.store.claim(record(hold="h1"))
    assert await place.store.owner("task-1", "ada") == record(hold="h1")
    assert await place.store.tasks_of("ada", NOW, NOW) == [record(hold="h1")]


async def test_a_claim_of_anothers_task(place: Place) -> None:
    """Opens nothing of its own: the task is settled for its owner, once."""
    await place.store.claim(record())
    with pytest.raises(TaskConflictError):
        await place.store.claim(record(tenant="eve"))
    place.clock.at = NOW + FIRST_LOOK
    assert await place.store.due_tasks(10) == [record()]


async def test_due_tasks(place: Place) -> None:
    """Open tasks a minute after their creation, the longest overdue first, as they are known."""
    for n in (2, 0, 1):
        await place.store.claim(record(f"task-{n}", created=NOW + n, hold=f"h{n}"))
    place.clock.at = NOW + FIRST_LOOK - 1
    assert await place.store.due_tasks(10) == []
    await place.store.observe("task-1", "RUNNING", NOW + 30)
    place.clock.at = NOW + FIRST_LOOK + 1
    first = record("task-0", created=NOW, hold="h0")
    second = record("task-1", created=NOW + 1, hold="h1", status="RUNNING", updated=NOW + 30)
    assert await place.store.due_tasks(10) == [first, second]
    assert await place.store.due_tasks(1) == [first]


async def test_look_later(place: Place) -> None:
    """An open task is put off; one that is settled, or unknown, does not come back by that."""
    await place.store.claim(record())
    await place.store.claim(record("task-2"))
    await place.store.settle(settled(1, usage("task-2")))
    for task in ("task-1", "task-2", "unknown"):
        await place.store.look_later(task, NOW + 500)
    place.clock.at = NOW + 499
    assert await place.store.due_tasks(10) == []
    place.clock.at = NOW + 500
    assert await place.store.due_tasks(10) == [record()]


async def test_a_forgotten_task_is_not_due(place: Place) -> None:
    """Nobody looks for what has no owner any more."""
    await place.store.claim(record())
    place.clock.at = NOW + RETENTION
    assert await place.store.due_tasks(10) == []


async def test_one_leads(place: Place) -> None:
    """One process at a time, which may go on as long as it asks; then another."""
    assert await place.store.lead("process-1", 30)
    assert not await place.store.lead("process-2", 30)
    place.clock.at = NOW + 29
    assert await place.store.lead("process-1", 30)
    place.clock.at = NOW + 58
    assert not await place.store.lead("process-2", 30)
    place.clock.at = NOW + 59
    assert await place.store.lead("process-2", 30)
    assert not await place.store.lead("process-1", 30)


async def test_totals(place: Place) -> None:
    """Sums by day, tenant, token, model and currency, exact, for the days asked."""
    used = Used(Decimal("5.25"), 720, 1, 10, 20, 30)
    calls = [
        usage("a", kind=Kind.CALL, used=used, amount=1),
        usage("b", kind=Kind.CALL, used=used, amount=2),
        usage("c", kind=Kind.CALL, used=used, model="qwen"),
        usage("d", kind=Kind.CALL, created=NOW - 86_400, currency="", tenant="a:\n\x00ü"),
    ]
    await place.store.settle(settled(1, *calls))
    today, yesterday = "2027-01-15", "2027-01-14"
    key = ("ada", "tok_1")
    mine = Total(today, *key, "qwen", "CNY", 1, 3 * UNIT, "5.25", 1, 10, 20, 30)
    both = Total(today, *key, "wan2.6-t2v", "CNY", 2, 3, "10.5", 2, 20, 40, 60)
    old = Total(
        yesterday, "a:\n\x00ü", "tok_1", "wan2.6-t2v", "", 1, 3 * UNIT, "5", 0, 0, 0, 0
    )  # fmt: skip
    assert await place.store.totals(yesterday, today) == [old, mine, both]
    assert await place.store.totals(today, today) == [mine, both]
    assert await place.store.totals("2027-01-16", "2027-01-20") == []
    assert await place.store.totals("2000-01-01", "2999-12-31") == [old, mine, both]


async def test_records_page_by_page(place: Place) -> None:
    """Whoever bills goes on behind the place it has come to."""
    calls = [usage(f"c{n}", kind=Kind.CALL) for n in range(7)]
    await place.store.settle(settled(1, *calls))
    found: list[UsageRecord] = []
    after = ""
    while page := await place.store.records(after, 3):
        assert len(page) <= 3
        found += [one for _, one in page]
        after = page[-1][0]
    assert found == calls
    assert await place.store.records(after, 3) == []


async def test_limits_of_a_tenant(place: Place) -> None:
    """They are saved as a whole, listed, and go when there are none."""
    limits = Limits(requests_per_minute=5, budget_total=12_500_000_000)
    assert await place.store.tenant_limits("ada") == NO_LIMITS
    await place.store.limit_tenant("ada", limits)
    await place.store.limit_tenant("a b:{}*", Limits(concurrent_tasks=0))
    assert await place.store.tenant_limits("ada") == limits
    assert await place.store.limited_tenants() == ["a b:{}*", "ada"]
    await place.store.limit_tenant("ada", Limits(budget_day=1))
    assert await place.store.tenant_limits("ada") == Limits(budget_day=1)
    await place.store.limit_tenant("ada", NO_LIMITS)
    assert await place.store.tenant_limits("ada") == NO_LIMITS
    assert await place.store.limited_tenants() == ["a b:{}*"]


async def test_a_grant_has_its_tenants_limits(place: Place) -> None:
    """Those of now, and they are not saved with it."""
    await place.store.save_grant(TOKEN, GRANT)
    assert await place.store.grant(TOKEN) == GRANT
    limits = Limits(concurrent_tasks=3)
    await place.store.limit_tenant("ada", limits)
    limited = replace(GRANT, tenant_limits=limits)
    assert await place.store.grant(TOKEN) == limited
    await place.store.save_grant(OTHER, limited)
    await place.store.limit_tenant("ada", NO_LIMITS)
    assert await place.store.grant(TOKEN) == GRANT
    assert await place.store.grant(OTHER) == GRANT


async def test_unreadable_limits_of_a_tenant(place: Place) -> None:
    """Its tokens grant nothing, and the field is named; others go on, and so does saving anew."""
    await place.store.save_grant(TOKEN, GRANT)
    await place.store.save_grant(OTHER, replace(GRANT, tenant="eve"))
    place.plant_tenant("ada", {"budget_day": "plenty"})
    assert await place.store.grant(TOKEN) is None
    assert place.unreadable[0][0] == TOKEN[:16]
    assert "budget_day: 'plenty'" in place.unreadable[0][1]
    assert await place.store.grant(OTHER) is not None
    with pytest.raises(LimitUnreadableError, match="budget_day"):
        await place.store.tenant_limits("ada")
    await place.store.limit_tenant("ada", NO_LIMITS)
    assert await place.store.grant(TOKEN) == GRANT


HOLD = Hold("h1", (CALLS,), (TASKS,), NOW + 60)
METHODS: dict[str, Callable[[Place], Awaitable[object]]] = {
    "hold": lambda place: place.store.hold(HOLD),
    "renew": lambda place: place.store.renew(["h1"], 1),
    "settle": lambda place: place.store.settle(settled(1, usage("c", kind=Kind.CALL))),
    "due_tasks": lambda place: place.store.due_tasks(1),
    "look_later": lambda place: place.store.look_later("task-1", NOW),
    "lead": lambda place: place.store.lead("process-1", 1),
    "standings": lambda place: place.store.standings([MONEY]),
    "totals": lambda place: place.store.totals("2027-01-15", "2027-01-15"),
    "records": lambda place: place.store.records("", 1),
    "tenant_limits": lambda place: place.store.tenant_limits("ada"),
    "limit_tenant": lambda place: place.store.limit_tenant("ada", NO_LIMITS),
    "limited_tenants": lambda place: place.store.limited_tenants(),
}


@pytest.mark.parametrize("method", METHODS)
async def test_a_closed_store_is_unavailable(place: Place, method: str) -> None:
    """After closing there is no ledger: an error, not a hang and not a foreign exception."""
    await place.store.close()
    with pytest.raises(StoreUnavailableError):
        await METHODS[method](place)
