"""What is said again for a while: in its time, in its place, and never too much of it."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.recent import OVERHEAD, Recent


def test_it_is_said_until_its_time_is_over() -> None:
    """Up to the moment, and not at it; a later value has the place and a time of its own."""
    recent: Recent[str, str] = Recent(10 * OVERHEAD, 100)
    assert recent.get("a", 0) is None
    recent.put("a", "x", 1, until=5)
    assert [recent.get("a", now) for now in (0, 4.9, 5, 0)] == ["x", "x", None, None]
    assert recent.size == 0
    recent.put("a", "y", 1, until=9)
    recent.put("a", "z", 2, until=8)
    assert (recent.get("a", 7), recent.get("b", 7), len(recent), recent.size) == (
        *("z", None, 1),
        2 + OVERHEAD,
    )


def test_what_is_too_large_is_not_kept() -> None:
    """It takes the place of nobody else, and its own older value is gone."""
    recent: Recent[str, str] = Recent(10 * OVERHEAD, 10)
    recent.put("a", "x", 10, until=5)
    recent.put("b", "x", 1, until=5)
    recent.put("a", "y", 11, until=5)
    assert (recent.get("a", 0), recent.get("b", 0)) == (None, "x")


def test_entries_of_nothing_take_room_too() -> None:
    """However small what is kept, what keeps it is not."""
    recent: Recent[int, str] = Recent(10 * OVERHEAD, OVERHEAD)
    for number in range(1000):
        recent.put(number, "x", 0, until=5)
    assert [key for key in range(1000) if recent.get(key, 0)] == [*range(990, 1000)]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 60)), max_size=40))
def test_memory_is_bounded(puts: list[tuple[str, int]]) -> None:
    """Whatever is put: never over the capacity, and what came last is there, the oldest gone."""
    recent: Recent[str, int] = Recent(100 * OVERHEAD, 50 * OVERHEAD)
    kept: list[tuple[str, int]] = []
    for number, (key, size) in enumerate(puts):
        recent.put(key, number, size * OVERHEAD, until=1)
        kept = [pair for pair in kept if pair[0] != key] + [(key, size + 1)] * (size <= 50)
        while sum(pair[1] for pair in kept) > 100:
            kept.pop(0)
        assert recent.size == sum(pair[1] for pair in kept) * OVERHEAD <= 100 * OVERHEAD
        assert recent.get(key, 0) == (number if size <= 50 else None)
    assert len(recent) == len(kept)
    assert all(recent.get(key, 0) is not None for key, _ in kept)
