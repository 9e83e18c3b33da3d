"""How long what a poll said may be said again, and what is said when upstream fails.

SDKs give a paid task up at the first poll that is not 200, or ask again without a pause
(protocol section 4). So a poll is answered with a state: upstream's, or the last one known.

| what asking came to (`proxy.core.hearings`) | is said | again, without asking |
|---|---|---|
| SUCCEEDED, FAILED, CANCELED | as it is | until the task is a day old |
| any other state, UNKNOWN too | as it is | for `hold` seconds |
| an error about the task or the request | as it is | for `hold` seconds |
| else, until the task is a day old | the last state, or the record's | for `hold` seconds |
| else, later | as it is | for `hold` seconds |
| no turn, or no such account any more | as in the two rows above | never |
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from proxy.core.beijing import local_time
from proxy.core.compact import compact
from proxy.core.headers import Fields
from proxy.core.hearings import Hearing, Sighting, Verdict
from proxy.core.tasks import PENDING, TaskRecord

LIFE = 24 * 60 * 60
"""Seconds that upstream keeps a task, and mostly its results (protocol section 5)."""

KEPT = frozenset({"SUCCEEDED", "FAILED", "CANCELED"})
"""States that no later answer changes. UNKNOWN is none: it is what a wrong account says, too."""

RUNNING = "RUNNING"


class PollOutcome(StrEnum):
    """How a poll was answered, as the log and the metrics call it."""

    FRESH = "fresh"
    """Upstream was asked for this poll."""
    COALESCED = "coalesced"
    """Upstream was being asked for another one."""
    HELD = "held"
    """What upstream said a while ago."""
    LAST_KNOWN = "last_known"
    """The last state known, because upstream said nothing of use."""

    @property
    def is_new(self) -> bool:
        """Whether upstream said this just now."""
        return self is PollOutcome.FRESH or self is PollOutcome.COALESCED


@dataclass(frozen=True, slots=True)
class Recalled:
    """What is remembered of a task: the last state heard, and what asking came to last."""

    state: Sighting | None = None
    latest: Hearing | None = None

    def after(self, hearing: Hearing) -> "Recalled":
        """What is remembered when this was heard as well."""
        if isinstance(hearing, Sighting) and hearing.verdict is Verdict.STATE:
            return Recalled(hearing, hearing)
        return Recalled(self.state, hearing)


NOTHING = Recalled()


class Step(NamedTuple):
    """What to say about a task: `said`, or what the record says where that is None."""

    outcome: PollOutcome
    said: Hearing | None


def next_step(recalled: Recalled, age: float, now: float, hold: float) -> Step | None:
    """What to say of a task that is `age` seconds old; None is to ask. `now` is monotonic."""
    state, latest = recalled.state, recalled.latest
    if state and state.state in KEPT and age < LIFE:
        return Step(PollOutcome.HELD, state)
    if latest and now - latest.at < hold:
        return step_after(latest, state, age, PollOutcome.HELD)
    return None


def step_after(hearing: Hearing, state: Sighting | None, age: float, outcome: PollOutcome) -> Step:
    """What to say when asking came to this; `state` is the last one heard before."""
    if hearing.verdict.is_about_the_task or age >= LIFE:
        return Step(outcome, hearing)
    return Step(PollOutcome.LAST_KNOWN, state)


def stand_in(record: TaskRecord, request_id: str) -> bytes:
    """A poll's answer made of our own record, in upstream's shape.

    Never an end: an end without its result would be believed.
    """
    is_pending = record.status == PENDING
    output = {
        "task_id": record.task_id,
        "task_status": PENDING if is_pending else RUNNING,
        "submit_time": local_time(record.created),
    }
    if not is_pending:
        output["scheduled_time"] = local_time(record.updated or record.created)
    return compact({"request_id": request_id, "output": output})


def aged(lasting: Fields, seconds: float) -> Fields:
    """The header of an answer that was heard a while ago (RFC 9111 section 5.1)."""
    return [*lasting, ("Age", str(max(0, int(seconds))))]
