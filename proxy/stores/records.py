"""What records look like at rest, how long a task counts, and which status may replace which.

Pure rules that all stores share, so that the contract suite meets one truth, not three.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping

from proxy.core.answers import Held
from proxy.core.idempotency import Lost, Outcome, Submission
from proxy.core.tasks import RETENTION, TERMINAL, TaskRecord

_ENCODER = json.JSONEncoder(separators=(",", ":"))

LIST_LIMIT = 10_000
"""Most records one `tasks_of` answers: a page for a person, a bound for the store."""


def is_kept(record: TaskRecord, now: float) -> bool:
    """Whether the record still counts at `now` (Unix seconds).

    Every store asks this on reading, so that the end of retention does not depend on when a
    store gets round to deleting.
    """
    return now < record.created + RETENTION


def supersedes(status: str, known: str) -> bool:
    """Whether a sighting of `status` changes a task last seen as `known`.

    Polls overtake each other, so a late RUNNING never revives a finished task. The same status
    again changes nothing: most polls cost the store no write.
    """
    return status != known and (known not in TERMINAL or status in TERMINAL)


def record_to_fields(record: TaskRecord) -> dict[str, str]:
    """The record as flat text, but for its id, which is the key. See `record_from_fields`."""
    fields = {
        "tenant": record.tenant,
        "token": record.token,
        "account": record.account,
        "model": record.model,
        "created": repr(record.created),
        "request_id": record.request_id,
        "inputs": inputs_to_text(record.inputs),
        "status": record.status,
        "updated": repr(record.updated),
    }
    return {**fields, "hold": record.hold} if record.hold else fields


def record_from_fields(task_id: str, fields: Mapping[str, str]) -> TaskRecord | None:
    """Read stored fields; None when a field is missing or makes no sense.

    A task whose owner cannot be read has no owner: nobody gets to see it.
    """
    try:
        return TaskRecord(
            task_id=task_id,
            tenant=fields["tenant"],
            token=fields["token"],
            account=fields["account"],
            model=fields["model"],
            created=float(fields["created"]),
            request_id=fields["request_id"],
            inputs=inputs_from_text(fields["inputs"]),
            status=fields["status"],
            updated=float(fields["updated"]),
            hold=fields.get("hold", ""),
        )
    except (KeyError, ValueError):
        return None


def inputs_to_text(inputs: Mapping[str, str]) -> str:
    """Price inputs as one JSON object."""
    return _ENCODER.encode(dict(inputs)) if inputs else "{}"


def inputs_from_text(text: str) -> dict[str, str]:
    """Inverse of `inputs_to_text`. Raises `ValueError` when it is not an object of texts."""
    inputs = json.loads(text)
    if not isinstance(inputs, dict) or not all(isinstance(value, str) for value in inputs.values()):
        msg = "inputs: not a JSON object of texts"
        raise ValueError(msg)
    return inputs


def submission_to_fields(submission: Submission) -> dict[str, str]:
    """A submission as flat text. See `submission_from_fields`."""
    return {
        "holder": submission.holder,
        "created": repr(submission.created),
        "due": repr(submission.due),
        "target": submission.target,
        "sending": "yes" if submission.is_sending else "no",
        "fingerprint": submission.fingerprint,
        "outcome": _outcome_to_text(submission.outcome),
    }


def submission_from_fields(fields: Mapping[str, str]) -> Submission:
    """Read stored fields.

    What cannot be read is a first call of which nothing is known: nobody may send it again.
    """
    try:
        return Submission(
            holder=fields["holder"],
            created=float(fields["created"]),
            due=float(fields["due"]),
            target=fields["target"],
            is_sending=fields["sending"] != "no",
            fingerprint=fields["fingerprint"],
            outcome=_outcome_from_text(fields["outcome"]),
        )
    except (KeyError, ValueError, TypeError, AttributeError):
        return Submission(holder="", created=float("inf"), due=0.0, is_sending=True)


def _outcome_to_text(outcome: Outcome | None) -> str:
    """One JSON object, of an answer or of why there is none; nothing when it still runs."""
    if outcome is None:
        return ""
    if isinstance(outcome, Lost):
        return json.dumps({"situation": outcome.situation, "message": outcome.message})
    return json.dumps(
        {
            "status": outcome.status,
            "reason": outcome.reason,
            "headers": [list(pair) for pair in outcome.headers],
            "body": b64encode(outcome.body).decode(),
            "tasks": list(outcome.tasks),
        }
    )


def _outcome_from_text(text: str) -> Outcome | None:
    """Inverse of `_outcome_to_text`. Raises what `submission_from_fields` catches."""
    if not text:
        return None
    told = json.loads(text)
    if "situation" in told:
        return Lost(str(told["situation"]), str(told["message"]))
    return Held(
        status=int(told["status"]),
        reason=str(told["reason"]),
        headers=tuple((str(name), str(value)) for name, value in told["headers"]),
        body=b64decode(told["body"]),
        tasks=tuple(map(str, told["tasks"])),
    )
