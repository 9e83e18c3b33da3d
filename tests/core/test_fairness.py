"""Who is next: tenants one after the other, of one tenant the lowest rank; and cheaply so."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.fairness import FairQueue, Ranked

Waits = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 50)), max_size=60)


def emptied(queue: FairQueue[Any]) -> list[Any]:
    """All who wait, in their order."""
    return [queue.pop() for _ in range(len(queue))]


def test_the_lowest_rank_is_first() -> None:
    """Equal ones as they came; who left is not in it."""
    ranked: Ranked[str] = Ranked()
    for rank, item in ((3, "c"), (1, "a"), (2, "gone"), (1, "b")):
        ranked.add(rank, item)
    ranked.discard("gone")
    ranked.discard("never there")
    assert [ranked.pop() for _ in range(len(ranked))] == ["a", "b", "c"]
    with pytest.raises(IndexError):
        ranked.pop()


def test_who_comes_back_has_its_new_rank() -> None:
    """The place that was left does not count."""
    ranked: Ranked[str] = Ranked()
    ranked.add(1, "a")
    ranked.add(2, "b")
    ranked.discard("a")
    ranked.add(3, "a")
    assert [ranked.pop() for _ in range(len(ranked))] == ["b", "a"]


@given(waits=Waits, leaving=st.sets(st.integers(0, 59)))
def test_each_tenant_has_its_order(waits: list[tuple[str, int]], leaving: set[int]) -> None:
    """Nobody is lost or served twice; each tenant's items come by rank."""
    queue: FairQueue[int] = FairQueue()
    for number, (tenant, rank) in enumerate(waits):
        queue.add(tenant, rank, number)
    for number in leaving & set(range(len(waits))):
        queue.discard(waits[number][0], number)
    served = emptied(queue)
    assert sorted(served) == [n for n in range(len(waits)) if n not in leaving]
    for one in "abc":
        ranks = [waits[number][1] for number in served if waits[number][0] == one]
        assert ranks == sorted(ranks)
    assert not queue


def test_a_thousand_waits_are_one_tenants() -> None:
    """Another one is next but one, however new its wait is and however often it comes."""
    queue: FairQueue[str] = FairQueue()
    for number in range(1000):
        queue.add("many", number, f"many {number}")
    for number in range(3):
        queue.add("one", 1e9, f"one {number}")
        assert "one" in queue.pop() + queue.pop()


def test_who_was_away_is_not_last() -> None:
    """A tenant who comes late is before those who were served meanwhile, not behind them."""
    queue: FairQueue[str] = FairQueue()
    queue.add("late", 0, "late")
    assert queue.pop() == "late"
    for tenant in "abcdef":
        queue.add(tenant, 0, f"{tenant}1")
        queue.add(tenant, 1, f"{tenant}2")
    assert [queue.pop() for _ in range(6)] == ["a1", "b1", "c1", "d1", "e1", "f1"]
    queue.add("late", 0, "late again")
    assert queue.pop() == "late again"


class Counted(float):
    """A rank that counts how often ranks are compared."""

    compared = 0

    def __lt__(self, other: object) -> bool:
        Counted.compared += 1
        return float.__lt__(self, other)  # type: ignore[operator]

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return float.__eq__(self, other)

    __hash__ = float.__hash__


def served(queue: FairQueue[int], number: int) -> None:
    for _ in range(number):
        queue.pop()


def gone(queue: FairQueue[int], number: int) -> None:
    for item in range(number):
        queue.discard("a", item)


@pytest.mark.parametrize("ends", [served, gone])
def test_ten_thousand_are_cheap(ends: Callable[[FairQueue[int], int], None]) -> None:
    """Some comparisons for each, not one with each, whether they are served or leave."""
    number = 10_000
    queue: FairQueue[int] = FairQueue()
    Counted.compared = 0
    for item in range(number):
        queue.add("a", Counted(-item), item)
    ends(queue, number)
    assert not queue
    assert Counted.compared < 100 * number
