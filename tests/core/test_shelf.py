"""Memory of states: bounded by bytes, least recently used out first."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.freshness import NOTHING, Known, Sighting
from proxy.core.shelf import Key, Shelf


def key(task_id: str, target: str = "/api/v1/tasks/x", account: str = "main") -> Key:
    return Key(account, task_id, target)


def known(size: int = 100) -> Known:
    return Known(Sighting(200, "OK", [("Content-Type", "application/json")], b"x" * size, 1.0))


def test_what_was_put_is_got() -> None:
    """By account, task and target; anything else is nothing known."""
    shelf = Shelf()
    one = known()
    shelf.put(key("a"), one)
    assert shelf.get(key("a")) is one
    for other in (key("b"), key("a", "/api/v1/tasks/x/"), key("a", account="other")):
        assert shelf.get(other) is NOTHING


def test_the_least_recently_used_goes() -> None:
    """Looking at it is using it."""
    shelf = Shelf(capacity=15_000)
    for name in "abc":
        shelf.put(key(name), known(3000))
    shelf.get(key("a"))
    shelf.put(key("d"), known(3000))
    assert [shelf.get(key(name)) is NOTHING for name in "abcd"] == [False, True, False, False]


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 9000)), max_size=60))
def test_the_sum_is_kept(puts: list[tuple[str, int]]) -> None:
    """Never over the capacity, and nothing is left when all is dropped."""
    shelf = Shelf(capacity=20_000, largest=8000)
    for name, size in puts:
        shelf.put(key(name), known(size) if size else Known(failed=1.0))
        assert 0 <= shelf.size <= 20_000
    for name in "abcdefgh":
        shelf.drop(name)
    assert (len(shelf), shelf.size) == (0, 0)


def test_a_large_answer_is_not_kept_nor_what_it_replaced() -> None:
    """What was known before it is out of date."""
    shelf = Shelf(largest=1000)
    shelf.put(key("a"), known(1000))
    shelf.put(key("a"), known(1001))
    assert shelf.get(key("a")) is NOTHING
    assert shelf.size == 0


def test_a_task_is_dropped_whole() -> None:
    """Under every target, and no other task."""
    shelf = Shelf()
    for one in (key("a"), key("a", "/api/v1/tasks/x/"), key("b")):
        shelf.put(one, known())
    shelf.drop("a")
    assert len(shelf) == 1
    assert shelf.get(key("b")) is not NOTHING
