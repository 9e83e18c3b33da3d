"""How long what a poll said may be said again, and what is said when upstream fails.

SDKs give a paid task up at the first poll that is not 200, or ask again without a pause
(protocol section 4). So a poll is answered with a state: upstream's, or the last one known.

| upstream's last answer | is said again without asking | is said when asking fails |
|---|---|---|
| PENDING, RUNNING, UNKNOWN and others | for `hold` seconds | until the task is a day old |
| SUCCEEDED, FAILED, CANCELED | until the task is a day old | - |
| none yet | - | the record's state, until the task is a day old |
| no state, see `verdict` | that it failed: for `hold` seconds | - |
"""

import json
import math
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from http import HTTPStatus

from proxy.core.headers import Fields
from proxy.core.listing import BEIJING
from proxy.core.tasks import PENDING, TaskRecord

LIFE = 24 * 60 * 60
"""Seconds that upstream keeps a task, and mostly its results (protocol section 5)."""

KEPT = frozenset({"SUCCEEDED", "FAILED", "CANCELED"})
"""States that no later answer changes. UNKNOWN is none: it is what a wrong account says, too."""

RUNNING = "RUNNING"

SOFT = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,  # our key, not the caller's, who was let in here
        HTTPStatus.FORBIDDEN,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)
"""Refusals that say nothing about the task."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One answer to a poll, whole. `at` is when it was heard, in seconds on a monotonic clock.

    `state` is the task's, None where the answer tells none.
    """

    status: int
    reason: str
    headers: Fields
    body: bytes
    at: float
    state: str | None = None


class Verdict(Enum):
    """What an answer to a poll is worth."""

    STATE = auto()
    """It tells a state."""
    FAILURE = auto()
    """It says nothing about the task: a state known before is better."""
    FINAL = auto()
    """An error that would be the same again."""


def verdict(status: int, state: str | None) -> Verdict:
    """Judge an answer by its status and the state that was read in it."""
    if status == HTTPStatus.OK:
        return Verdict.STATE if state else Verdict.FAILURE
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in SOFT:
        return Verdict.FINAL
    return Verdict.FAILURE


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered about a task: the last state heard, and when asking failed last."""

    sighting: Sighting | None = None
    failed: float = -math.inf


NOTHING = Known()


class Step(Enum):
    """What to do about a poll."""

    ASK = auto()
    SAY_AGAIN = auto()
    SAY_LAST_KNOWN = auto()


def next_step(known: Known, age: float, now: float, hold: float) -> Step:
    """What to do about a poll of a task that is `age` seconds old; `now` is monotonic seconds."""
    seen = known.sighting
    if seen and (now - seen.at < hold or (seen.state in KEPT and age < LIFE)):
        return Step.SAY_AGAIN
    if now - known.failed < hold and age < LIFE:
        return Step.SAY_LAST_KNOWN
    return Step.ASK


def known_since(known: Known, age: float, now: float) -> float:
    """When a task was last asked about, in monotonic seconds; at first, when it was made."""
    asked = max(known.failed, known.sighting.at if known.sighting else -math.inf)
    return asked if asked > -math.inf else now - age


def stand_in(record: TaskRecord, request_id: str) -> bytes:
    """A poll's answer made of our own record, in upstream's shape.

    Never an end: an end without its result would be believed.
    """
    is_pending = record.status == PENDING
    output = {
        "task_id": record.task_id,
        "task_status": PENDING if is_pending else RUNNING,
        "submit_time": _beijing(record.created),
    }
    if not is_pending:
        output["scheduled_time"] = _beijing(record.updated or record.created)
    answer = {"request_id": request_id, "output": output}
    return json.dumps(answer, separators=(",", ":")).encode()


def aged(fields: Fields, seconds: float) -> Fields:
    """The header of an answer that was heard a while ago (RFC 9111 section 5.1)."""
    others = [pair for pair in fields if pair[0].lower() != "age"]
    return [*others, ("Age", str(max(0, int(seconds))))]


def _beijing(at: float) -> str:
    """A time as polls tell it: to the millisecond, without its zone."""
    return datetime.fromtimestamp(at, BEIJING).isoformat(" ", "milliseconds").partition("+")[0]
