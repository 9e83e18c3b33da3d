"""What may be said again, for how long, and what stands in: the table of the module."""

import json

import pytest

from proxy.core.errors import Situation
from proxy.core.freshness import (
    KEPT,
    LIFE,
    NOTHING,
    PollOutcome,
    Recalled,
    Step,
    aged,
    next_step,
    stand_in,
    step_after,
)
from proxy.core.hearings import Hearing, Sighting, Silence, Verdict
from proxy.core.tasks import TERMINAL, TaskRecord

NOW = 1000.0
YOUNG, OLD = LIFE - 1, LIFE + 1
HELD, LAST_KNOWN, FRESH = PollOutcome.HELD, PollOutcome.LAST_KNOWN, PollOutcome.FRESH


def seen(state: str, seconds_ago: float = 0) -> Sighting:
    return Sighting(200, "OK", [], b"", NOW - seconds_ago, state)


def refusal(status: int, code: str, seconds_ago: float = 0) -> Sighting:
    return Sighting(status, "No", [], b"", NOW - seconds_ago, None, code)


def silence(seconds_ago: float = 0) -> Silence:
    return Silence(Verdict.FAILURE, Situation.BAD_GATEWAY, "m", NOW - seconds_ago)


def recalled(*hearings: Hearing) -> Recalled:
    """What is remembered when this was heard, the latest last."""
    all_of_it = NOTHING
    for hearing in hearings:
        all_of_it = all_of_it.after(hearing)
    return all_of_it


FINAL = refusal(400, "InvalidParameter", 0.9)
LATE_FINAL = refusal(400, "InvalidParameter", 1.1)
ODD = refusal(409, "Odd", 0.9)
RUNNING = seen("RUNNING", 0.9)
LATE_RUNNING = seen("RUNNING", 1.1)
ENDS = [seen(state, 3600) for state in sorted(KEPT)]


@pytest.mark.parametrize(
    ("known", "age", "step"),
    [
        (NOTHING, 0, None),
        (recalled(RUNNING), YOUNG, Step(HELD, RUNNING)),
        (recalled(RUNNING), OLD, Step(HELD, RUNNING)),
        (recalled(LATE_RUNNING), YOUNG, None),
        (recalled(seen("UNKNOWN", 1.1)), YOUNG, None),
        *((recalled(end), YOUNG, Step(HELD, end)) for end in ENDS),
        *((recalled(end), OLD, None) for end in ENDS),
        *((recalled(end, silence(0.9)), YOUNG, Step(HELD, end)) for end in ENDS),
        (recalled(FINAL), YOUNG, Step(HELD, FINAL)),
        (recalled(LATE_RUNNING, FINAL), YOUNG, Step(HELD, FINAL)),
        (recalled(LATE_FINAL), YOUNG, None),
        (recalled(silence(0.9)), YOUNG, Step(LAST_KNOWN, None)),
        (recalled(silence(1.1)), YOUNG, None),
        (recalled(LATE_RUNNING, silence(0.9)), YOUNG, Step(LAST_KNOWN, LATE_RUNNING)),
        (recalled(LATE_RUNNING, ODD), YOUNG, Step(LAST_KNOWN, LATE_RUNNING)),
        (recalled(LATE_RUNNING, ODD), OLD, Step(HELD, ODD)),
        (recalled(silence(0.9)), OLD, Step(HELD, silence(0.9))),
    ],
)
def test_what_to_do_about_a_poll(known: Recalled, age: float, step: Step | None) -> None:
    """The table of the module, with a second's hold; None is to ask."""
    assert next_step(known, age, NOW, hold=1.0) == step


@pytest.mark.parametrize("hearing", [seen("RUNNING"), refusal(400, "BadRequest"), silence()])
def test_nothing_is_held_for_no_time(hearing: Hearing) -> None:
    """With a hold of 0 each poll asks, but for what has ended."""
    assert next_step(recalled(hearing), YOUNG, NOW, hold=0) is None
    end = seen("FAILED", 60)
    assert next_step(recalled(end), YOUNG, NOW, hold=0) == Step(HELD, end)


@pytest.mark.parametrize(
    ("hearing", "age", "step"),
    [
        (RUNNING, YOUNG, Step(FRESH, RUNNING)),
        (FINAL, YOUNG, Step(FRESH, FINAL)),
        (ODD, YOUNG, Step(LAST_KNOWN, LATE_RUNNING)),
        (silence(), YOUNG, Step(LAST_KNOWN, LATE_RUNNING)),
        (ODD, OLD, Step(FRESH, ODD)),
        (silence(), OLD, Step(FRESH, silence())),
    ],
)
def test_what_to_say_after_asking(hearing: Hearing, age: float, step: Step) -> None:
    """What is about the task, and to an old task everything; else the last state."""
    assert step_after(hearing, LATE_RUNNING, age, FRESH) == step


def test_a_state_outlasts_what_is_none() -> None:
    """The last one stays behind whatever came after it."""
    assert recalled(RUNNING, FINAL, ODD, silence()).state is RUNNING
    later = seen("SUCCEEDED")
    assert recalled(RUNNING, silence(), later) == Recalled(later, later)


def test_what_is_new() -> None:
    """What upstream said just now has no age, and names upstream in the log."""
    assert [str(one) for one in PollOutcome if one.is_new] == ["fresh", "coalesced"]


def record(status: str = "PENDING", updated: float = 0.0) -> TaskRecord:
    # 2026-01-02 03:04:05.678 in Beijing
    made = 1767294245.678
    return TaskRecord("t1", "a", "g", "main", "m", made, "up-1", status=status, updated=updated)


def test_a_stand_in_has_upstreams_shape() -> None:
    """Id, state and times as a poll tells them, in Beijing time."""
    assert json.loads(stand_in(record(), "r1")) == {
        "request_id": "r1",
        "output": {
            "task_id": "t1",
            "task_status": "PENDING",
            "submit_time": "2026-01-02 03:04:05.678",
        },
    }
    running = json.loads(stand_in(record("RUNNING", 1767294250.0), "r1"))["output"]
    assert running["task_status"] == "RUNNING"
    assert running["scheduled_time"] == "2026-01-02 03:04:10.000"


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_a_stand_in_never_ends(status: str) -> None:
    """An end without its result would be believed."""
    assert json.loads(stand_in(record(status), "r1"))["output"]["task_status"] == "RUNNING"


def test_age() -> None:
    """Whole seconds, in place of upstream's own; what else there is stays."""
    fields = [("Content-Type", "application/json"), ("age", "7")]
    heard = Sighting(200, "OK", fields, b"", NOW, "RUNNING")
    assert aged(heard.lasting, 2.9) == [fields[0], ("Age", "2")]
    assert heard.headers == fields
    assert aged([], -0.5) == [("Age", "0")]
