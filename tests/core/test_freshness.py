"""What may be said again, for how long, and what stands in: the table of the module."""

import json

import pytest

from proxy.core.freshness import (
    KEPT,
    LIFE,
    NOTHING,
    Known,
    Sighting,
    Step,
    Verdict,
    aged,
    known_since,
    next_step,
    stand_in,
    verdict,
)
from proxy.core.tasks import TERMINAL, TaskRecord

NOW = 1000.0


def seen(state: str, seconds_ago: float, failed_ago: float | None = None) -> Known:
    sighting = Sighting(200, "OK", [], b"", NOW - seconds_ago, state)
    return Known(sighting) if failed_ago is None else Known(sighting, NOW - failed_ago)


@pytest.mark.parametrize(
    ("status", "state", "expected"),
    [
        (200, "RUNNING", Verdict.STATE),
        (200, "UNKNOWN", Verdict.STATE),
        (200, None, Verdict.FAILURE),
        (200, "", Verdict.FAILURE),
        *((status, None, Verdict.FAILURE) for status in (401, 403, 408, 429)),
        *((status, None, Verdict.FAILURE) for status in (500, 502, 503, 504, 599)),
        *((status, None, Verdict.FAILURE) for status in (101, 201, 204, 206, 302, 304)),
        *((status, None, Verdict.FINAL) for status in (400, 404, 405, 410, 430)),
        (404, "RUNNING", Verdict.FINAL),
    ],
)
def test_what_an_answer_is_worth(status: int, state: str | None, expected: Verdict) -> None:
    """A state, a failure to be hidden, or an error that would be the same again."""
    assert verdict(status, state) is expected


@pytest.mark.parametrize(
    ("known", "age", "step"),
    [
        (NOTHING, 0, Step.ASK),
        (seen("RUNNING", 0.9), 60, Step.SAY_AGAIN),
        (seen("RUNNING", 1.1), 60, Step.ASK),
        (seen("UNKNOWN", 0.9), 60, Step.SAY_AGAIN),
        (seen("UNKNOWN", 1.1), 60, Step.ASK),
        *((seen(state, 3600), LIFE - 1, Step.SAY_AGAIN) for state in KEPT),
        *((seen(state, 3600), LIFE + 1, Step.ASK) for state in KEPT),
        (seen("SUCCEEDED", 0.5), LIFE + 1, Step.SAY_AGAIN),
        (Known(failed=NOW - 0.9), 60, Step.SAY_LAST_KNOWN),
        (Known(failed=NOW - 1.1), 60, Step.ASK),
        (Known(failed=NOW - 0.9), LIFE + 1, Step.ASK),
        (seen("RUNNING", 30, failed_ago=0.9), 60, Step.SAY_LAST_KNOWN),
        (seen("RUNNING", 30, failed_ago=1.1), 60, Step.ASK),
    ],
)
def test_what_to_do_about_a_poll(known: Known, age: float, step: Step) -> None:
    """The table of the module, with a second's hold."""
    assert next_step(known, age, NOW, hold=1.0) is step


@pytest.mark.parametrize("known", [seen("RUNNING", 0), Known(failed=NOW)])
def test_nothing_is_held_for_no_time(known: Known) -> None:
    """With a hold of 0 each poll asks, but for what has ended."""
    assert next_step(known, 60, NOW, hold=0) is Step.ASK
    assert next_step(seen("FAILED", 60), 60, NOW, hold=0) is Step.SAY_AGAIN


def test_since_when_a_task_is_known() -> None:
    """Since it was asked about last, with or without success; before that, since it was made."""
    assert known_since(NOTHING, 50, NOW) == NOW - 50
    assert known_since(seen("RUNNING", 3), 50, NOW) == NOW - 3
    assert known_since(seen("RUNNING", 3, failed_ago=1), 50, NOW) == NOW - 1
    assert known_since(Known(failed=NOW - 2), 50, NOW) == NOW - 2


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
    assert aged(fields, 2.9) == [fields[0], ("Age", "2")]
    assert aged([], -0.5) == [("Age", "0")]
