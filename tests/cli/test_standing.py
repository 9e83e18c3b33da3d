"""What counts against limits at the moment, as people are told of it."""

import time

from proxy.cli.standing import HEADER, Use, uses_of
from proxy.core.beijing import periods_of
from proxy.core.holds import Hold, Level
from proxy.core.limits import Limits
from proxy.core.settlement import Kind, Settlement, UsageRecord
from proxy.stores.memory import MemoryStore

WHO = "token:tok_1"


async def test_uses_are_what_the_ledger_counts() -> None:
    """What runs, and of each budget what is spent, held and left, in the budget's own period."""
    store = MemoryStore()
    await store.open()
    now = time.time()
    day, month, always = periods_of(now)
    levels = [Level(WHO, "money", period, 2_000_000_000, None) for period in (day, month, always)]
    levels.append(Level(WHO, "tasks", "", 1, 5))
    await store.hold(Hold("one", (), tuple(levels), now + 60))
    spent = UsageRecord(
        *("call-1", Kind.CALL, "studio", "tok_1", "main", "m", "SUCCEEDED"),
        *(now, now),
        amount=1_500_000_000,
        currency="CNY",
    )
    await store.settle(Settlement("test", 1, (spent,)))
    uses = await uses_of(store, WHO, Limits(concurrent_tasks=5, budget_day=10_000_000_000))
    assert [use.name for use in uses] == ["tasks", "streams", "day", "month", "total"]
    tasks, streams, today, this_month, total = uses
    assert tasks.facts() == {"limit": 5, "held": 1, "left": 4}
    assert streams.facts() == {"limit": None, "held": 0, "left": None}
    assert today.facts() == {
        "period": day,
        "limit": "10",
        "spent": "1.5",
        "held": "2",
        "left": "6.5",
    }
    assert (this_month.period, this_month.limit, this_month.spent) == (month, None, 1_500_000_000)
    assert total.row("token") == ("token", "money", always, "-", "1.5", "2", "-")
    assert len(total.row("token")) == len(HEADER)


def test_an_overdrawn_budget_has_nothing_left() -> None:
    """A limit may be set below what was spent; less than nothing is not to be had."""
    use = Use("day", "money", "2026-11-20", limit=1, held=1, spent=1)
    assert use.left == 0
    assert Use("tasks", "tasks", "", 2, 1, 0).row("tenant") == (
        *("tenant", "tasks", "now", "2", "-", "1", "1"),
    )
