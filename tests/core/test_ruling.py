"""Whether a hold may be taken, what is left, and when to come again."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.beijing import end_of
from proxy.core.holds import MOST_HELD, Bound, Hold, Left, Level, Rate, Ruling
from proxy.core.ruling import EMPTY, MINUTE, Bucket, Counted, content, milliseconds, poured, rule

NOW = 1_800_000_000.0
AT = milliseconds(NOW)
CALLS = Rate("token:t", "requests", 60)
TASKS = Level("token:t", "tasks", "", 1, 2)
DAY = Level("token:t", "money", "2027-01-15", 5, 10)
TOTAL = Level("tenant:a", "money", "total", 5, 10)
UNBOUND = Level("tenant:a", "money", "2027-01", 5, None)


def hold(*bounds: Bound) -> Hold:
    rates = tuple(one for one in bounds if isinstance(one, Rate))
    levels = tuple(one for one in bounds if isinstance(one, Level))
    return Hold("h", rates, levels)


def test_taken() -> None:
    """Each limit's rest is told with the hold in it, in the hold's order; no limit, no rest."""
    ruling = rule(hold(CALLS, TASKS, UNBOUND, DAY, TOTAL), Counted((0,), (0, 99, 5, 0)), NOW)
    midnight = end_of("2027-01-15")
    assert midnight is not None
    assert ruling == Ruling(
        left=(
            Left(CALLS, 59, 1.0),
            Left(TASKS, 1, None),
            Left(DAY, 0, midnight - NOW),
            Left(TOTAL, 5, None),
        )
    )


def test_refused() -> None:
    """The first bound that is met is named, and all rests are told as they stand without it."""
    ruling = rule(hold(CALLS, TASKS, TOTAL), Counted((0,), (2, 6)), NOW)
    assert ruling.refused == TASKS
    assert [left.amount for left in ruling.left] == [60, 0, 4]
    assert ruling.wait is None


def test_there_already() -> None:
    """A hold that is taken and counted is not counted again, nor refused."""
    ruling = rule(hold(TASKS), Counted((), (2,)), NOW, is_taken=True)
    assert ruling == Ruling(left=(Left(TASKS, 0, None),))


@pytest.mark.parametrize(
    ("bounds", "counted", "wait"),
    [
        ([CALLS], Counted((60 * MINUTE,), ()), 1.0),
        ([CALLS], Counted((60 * MINUTE - 30_000,), ()), 0.5),
        ([CALLS._replace(per_minute=7)], Counted((7 * MINUTE,), ()), 8.572),
        ([CALLS._replace(per_minute=0)], Counted((0,), ()), None),
        ([TASKS], Counted((), (2,)), None),
        ([TOTAL], Counted((), (10,)), None),
        ([DAY._replace(amount=11)], Counted((), (0,)), None),
        ([CALLS, TASKS], Counted((60 * MINUTE,), (2,)), None),
        ([CALLS._replace(what="submits"), CALLS], Counted((60 * MINUTE, 61 * MINUTE), ()), 2.0),
    ],
)
def test_wait(bounds: list[Bound], counted: Counted, wait: float | None) -> None:
    """So many seconds until all of it may be taken, where time alone can tell."""
    ruling = rule(hold(*bounds), counted, NOW)
    assert ruling.refused == bounds[0] if len(bounds) == 1 else ruling.refused in bounds
    assert ruling.wait == wait


def test_a_day_ends() -> None:
    """A day's money is there again when the day is over, in Beijing."""
    midnight = end_of("2027-01-15")
    assert midnight is not None
    assert rule(hold(DAY), Counted((), (10,)), NOW).wait == midnight - NOW
    assert rule(hold(DAY), Counted((), (10,)), midnight + 5).wait == 0.0


@given(
    st.one_of(st.integers(1, 12), st.integers(1, 999_999_999)),
    st.lists(st.one_of(st.integers(0, 50), st.integers(0, 90_000)), max_size=50),
)
def test_a_minutes_calls(per_minute: int, pauses: list[int]) -> None:
    """No minute has more than twice its calls: a bucket's, and what leaks out of it.

    When a ruling says how long to wait, that is long enough.
    """
    rate = CALLS._replace(per_minute=per_minute)
    bucket, now, taken = EMPTY, AT, []
    for pause in pauses:
        now += pause
        before = content(bucket, rate, now)
        assert 0 <= before <= per_minute * MINUTE < 2**53
        ruling = rule(hold(rate), Counted((before,), ()), now / 1000)
        if ruling.refused:
            assert ruling.wait is not None
            now += milliseconds(ruling.wait)
            assert content(bucket, rate, now) + MINUTE <= per_minute * MINUTE
        bucket = poured(bucket, rate, now)
        taken.append(now)
    for start in taken:
        assert sum(start <= one < start + MINUTE for one in taken) <= 2 * per_minute


def test_a_burst_then_a_steady_pace() -> None:
    """A minute's calls at once, then one a second."""
    bucket = EMPTY
    for _ in range(60):
        assert content(bucket, CALLS, AT) + MINUTE <= 60 * MINUTE
        bucket = poured(bucket, CALLS, AT)
    assert content(bucket, CALLS, AT) == 60 * MINUTE
    assert content(bucket, CALLS, AT + 999) + MINUTE > 60 * MINUTE
    assert content(bucket, CALLS, AT + 1000) + MINUTE == 60 * MINUTE


def test_clocks_that_differ() -> None:
    """Two processes a few milliseconds apart leak no more than one.

    A clock that is far ahead is not believed.
    """
    bucket = poured(EMPTY, CALLS, AT)
    for turn in range(1, 11):
        bucket = poured(bucket, CALLS, AT + turn)
        bucket = poured(bucket, CALLS, AT + turn - 5)
    assert bucket == Bucket(21 * MINUTE - 10 * 60, AT + 10)
    ahead = Bucket(MINUTE, AT + MINUTE + 1)
    assert poured(ahead, CALLS, AT) == Bucket(2 * MINUTE, AT)


def test_a_lowered_limit() -> None:
    """Locks nobody out for longer than a minute."""
    bucket = Bucket(1000 * MINUTE, AT)
    low = CALLS._replace(per_minute=2)
    assert content(bucket, low, AT) == 2 * MINUTE
    assert content(bucket, low, AT + MINUTE) == 0


@pytest.mark.parametrize("amount", [-1, MOST_HELD + 1])
def test_what_cannot_be_held(amount: int) -> None:
    """An amount that a script could not count is refused before it gets to a store."""
    with pytest.raises(ValueError, match="money"):
        replace(hold(TOTAL), levels=(TOTAL._replace(amount=amount),))


def test_nothing_is_held_for_no_time() -> None:
    """A hold that is over before it begins would protect nothing."""
    for lease in (0.0, -60.0):
        with pytest.raises(ValueError, match="nothing is held"):
            Hold("h", (), (), lease)
