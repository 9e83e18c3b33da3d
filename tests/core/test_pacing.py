"""Turns: never more than the rate in any stretch, and none while paused."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.pacing import LONGEST_PAUSE, MARGIN, PAUSE, Pace, pause_after


def turns(pace: Pace, start: float, end: float) -> list[float]:
    """When somebody who always wants a turn gets one."""
    now, taken = start, []
    while now < end:
        delay = pace.delay(now)
        if delay:
            now += delay
            continue
        pace.take(now)
        taken.append(now)
        now = math.nextafter(now, math.inf)
    return taken


@given(
    rate=st.floats(min_value=0.2, max_value=50),
    wishes=st.lists(st.floats(min_value=0, max_value=3), max_size=200),
)
def test_never_more_than_the_rate(rate: float, wishes: list[float]) -> None:
    """In no stretch are there more turns than its whole ones, whenever they are wanted."""
    pace, now, taken = Pace(rate), 0.0, []
    for pause in wishes:
        now += pause
        if not pace.delay(now):
            pace.take(now)
            taken.append(now)
    most = max(1, int(rate))
    stretch = most / rate
    for first, last in zip(taken, taken[most:], strict=False):
        assert last - first > stretch


@pytest.mark.parametrize(("rate", "per_minute"), [(20, 1200), (20 / 3, 400), (0.5, 30)])
def test_the_rate_is_used(rate: float, per_minute: float) -> None:
    """Who always wants a turn gets the rate, but for the margin and a first stretch of turns."""
    taken = turns(Pace(rate), 0, 60)
    assert per_minute / MARGIN - 1 <= len(taken) <= per_minute / MARGIN + max(1, rate)


def test_a_quiet_account_answers_at_once() -> None:
    """A second's turns may be taken in one moment, the next one a good second later."""
    pace = Pace(20)
    for _ in range(20):
        assert pace.delay(100) == 0
        pace.take(100)
    assert pace.delay(100) == pytest.approx(MARGIN)
    assert pace.delay(100 + MARGIN) == pytest.approx(0, abs=1e-9)


def test_a_pause_gives_no_turn() -> None:
    """Not even the first; a shorter pause does not end a longer one."""
    pace = Pace(20)
    pace.pause(10, 3)
    pace.pause(10, 1)
    assert pace.delay(10) == 3
    assert pace.delay(13) == 0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2", 2),
        ("0", 0),
        ("3600", LONGEST_PAUSE),
        ("", PAUSE),
        ("-1", PAUSE),
        ("1.5", PAUSE),
        ("Fri, 31 Dec 1999 23:59:59 GMT", PAUSE),
        ("²", PAUSE),
    ],
)
def test_what_upstream_asks_for(text: str, seconds: float) -> None:
    """Its whole seconds up to a limit; whatever else it says is a second."""
    assert pause_after([("Retry-After", text)]) == seconds


def test_upstream_asks_for_nothing() -> None:
    """A 429 alone is a second."""
    assert pause_after([]) == PAUSE
