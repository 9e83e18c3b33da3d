"""When an open task is looked at that nobody polls to its end, and when nobody looks any more.

Soon at first, then ever rarer: each wait is half of what the task is old, so that a task that
takes an hour is asked about some ten times. Once more shortly before upstream forgets it; what is
not over then is over as UNKNOWN.
"""

from proxy.core.freshness import KEPT, LIFE
from proxy.core.settlement import FIRST_LOOK, TASK_HOLD

LONGEST = 30 * 60.0
"""Seconds between two looks: what a task holds of its token's limits is held until it is seen."""

LAST = LIFE - 10 * 60.0
"""Seconds from a task's creation to the last look while upstream surely knows it."""


def next_look(created: float, now: float, first: float = FIRST_LOOK) -> float:
    """When to look at a task again that was looked at now. All in seconds, `first` at least."""
    at = now + min(max((now - created) / 2, first), LONGEST)
    last = created + LAST
    return last if now < last < at else at


def is_given_up(age: float, state: str | None) -> bool:
    """Whether a task is UNKNOWN for good; `state` is what upstream says, None where it is silent.

    One that upstream still runs after a day is waited for until its hold lapses.
    """
    if state in KEPT:
        return False
    is_known = state is not None and state != "UNKNOWN"
    return age >= (TASK_HOLD if is_known else LIFE)
