"""Memory of answers: bounded by bytes, least recently used out first."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.freshness import NOTHING, Recalled
from proxy.core.hearings import Sighting
from proxy.core.shelf import Key, Shelf


def key(task_id: str, account: str = "main") -> Key:
    return Key(account, task_id)


def seen(size: int, state: str | None = "RUNNING") -> Sighting:
    return Sighting(200, "OK", [("Content-Type", "application/json")], b"x" * size, 1.0, state)


def recalled(size: int = 100) -> Recalled:
    return NOTHING.after(seen(size))


def test_what_was_put_is_got() -> None:
    """By account and task; anything else is nothing known."""
    shelf = Shelf()
    one = recalled()
    shelf.put(key("a"), one)
    assert shelf.get(key("a")) is one
    for other in (key("b"), key("a", account="other")):
        assert shelf.get(other) is NOTHING


def test_the_least_recently_used_goes() -> None:
    """Looking at it is using it."""
    shelf = Shelf(capacity=15_000)
    for name in "abc":
        shelf.put(key(name), recalled(3000))
    shelf.get(key("a"))
    shelf.put(key("d"), recalled(3000))
    assert [shelf.get(key(name)) is NOTHING for name in "abcd"] == [False, True, False, False]


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 9000)), max_size=60))
def test_the_sum_is_kept(puts: list[tuple[str, int]]) -> None:
    """Never over the capacity, and nothing is left when all is dropped."""
    shelf = Shelf(capacity=20_000, largest=8000)
    for name, size in puts:
        hearing = seen(size, "RUNNING" if size % 2 else None)
        shelf.put(key(name), shelf.get(key(name)).after(hearing))
        assert 0 <= shelf.size <= 20_000
    for name in "abcdefgh":
        shelf.drop(key(name))
    assert (len(shelf), shelf.size) == (0, 0)


def test_both_answers_take_their_place() -> None:
    """The last state and what came after it count; the same answer counts once."""
    shelf = Shelf()
    shelf.put(key("a"), recalled(1000))
    one = shelf.size
    shelf.put(key("a"), recalled(1000).after(seen(1000, None)))
    assert one < shelf.size < 2 * one
    assert shelf.size - one >= 1000


def test_a_large_answer_is_not_kept_nor_what_it_replaced() -> None:
    """What was known before it is out of date."""
    shelf = Shelf(largest=1000)
    shelf.put(key("a"), recalled(1000))
    shelf.put(key("a"), recalled(1001))
    assert shelf.get(key("a")) is NOTHING
    assert shelf.size == 0


def test_one_task_is_dropped() -> None:
    """And no other."""
    shelf = Shelf()
    for one in (key("a"), key("b"), key("a", "other")):
        shelf.put(one, recalled())
    shelf.drop(key("a"))
    assert [shelf.get(one) is NOTHING for one in (key("a"), key("b"))] == [True, False]
    assert len(shelf) == 2
