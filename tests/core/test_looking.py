"""When an open task is looked at: soon, ever rarer, once before upstream forgets it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.freshness import LIFE
from proxy.core.looking import LAST, LONGEST, is_given_up, next_look
from proxy.core.settlement import FIRST_LOOK, TASK_HOLD


def looks(first: float = FIRST_LOOK) -> list[float]:
    """The ages at which a task is looked at, until its hold lapses."""
    ages = [first]
    while ages[-1] < TASK_HOLD:
        ages.append(next_look(0, ages[-1], first))
    return ages


def test_soon_at_first_and_then_ever_rarer() -> None:
    """A task of some minutes is seen within half of its age, one of a day once in half an hour."""
    assert looks()[:6] == [60, 120, 180, 270, 405, 607.5]
    waits = [after - before for before, after in zip(looks(), looks()[1:], strict=False)]
    assert max(waits) == LONGEST
    assert len(looks()) < 70


def test_once_more_before_upstream_forgets() -> None:
    """The last moment at which upstream surely knows it is not missed."""
    assert LAST in looks()
    assert LAST < LIFE


@given(st.floats(0, 2 * TASK_HOLD), st.floats(0.1, 3600))
def test_always_later(age: float, first: float) -> None:
    """Never at once again, and never later than the longest wait."""
    wait = next_look(1000.0, 1000.0 + age, first) - (1000.0 + age)
    assert 0 < wait < LONGEST + 0.001


@pytest.mark.parametrize(
    ("age", "state", "given_up"),
    [
        (LIFE - 1, "UNKNOWN", False),
        (LIFE - 1, None, False),
        (LIFE, "UNKNOWN", True),
        (LIFE, None, True),
        (LIFE, "RUNNING", False),
        (TASK_HOLD, "RUNNING", True),
        (TASK_HOLD, "SUCCEEDED", False),
    ],
)
def test_when_nobody_looks_any_more(age: float, state: str | None, given_up: bool) -> None:  # noqa: FBT001 - a table
    """After a day, unless upstream still runs it: then when its hold lapses."""
    assert is_given_up(age, state) is given_up
