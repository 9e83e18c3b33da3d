"""What the fake forgets: the contract is held in `test_ledger_contract.py`."""

from stores.harness import NOW, Clock, held, money, usage

from proxy.core.holds import Rate
from proxy.core.settlement import Kind, Settlement
from proxy.stores.memory import MemoryStore
from proxy.stores.usage_fields import SETTLEMENTS_KEPT


async def test_buckets_leave_when_they_are_empty() -> None:
    """Two minutes later nothing is left of a token that made a call."""
    clock = Clock()
    store = MemoryStore(now=clock)
    await store.hold(held("h1", Rate("token:a", "requests", 5)))
    clock.at = NOW + 120
    await store.hold(held("h2", Rate("token:b", "requests", 5)))
    clock.at = NOW  # back in time, the old call would count again if it were still there
    assert (await store.hold(held("h3", Rate("token:a", "requests", 5)))).left[0].amount == 4


async def test_settlements_are_known_for_a_week() -> None:
    """Then their sender is long gone."""
    clock = Clock()
    store = MemoryStore(now=clock)
    one = Settlement("process-1", 1, (usage("c", kind=Kind.CALL),))
    await store.settle(one)
    clock.at = NOW + SETTLEMENTS_KEPT - 1
    await store.settle(one)
    assert len(await store.records("", 10)) == 1
    clock.at = NOW + SETTLEMENTS_KEPT
    await store.settle(one)
    assert len(await store.records("", 10)) == 2


async def test_a_level_that_is_empty_takes_no_room() -> None:
    """A day's budget is gone from memory with its last hold."""
    store = MemoryStore(now=Clock())
    await store.hold(held("h1", money(5)))
    await store.settle(Settlement("process-1", 1, released=("h1",)))
    assert not store._held  # noqa: SLF001  # what is not there has no public way to be seen
