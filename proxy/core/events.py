"""What upstream tells on a WebSocket, as far as it ends something or says what was used.

Whatever cannot be read is nothing of the kind: it is passed on all the same.
"""

import json
from collections.abc import Mapping
from typing import NamedTuple

MAX_EVENT = 1024 * 1024
"""Bytes of an event that is looked at; the longest known have some 10,000."""

FINISHED = "task-finished"
ENDINGS = frozenset({FINISHED, "task-failed"})
"""Events after which a task runs no more."""

NO_ANSWERS = ENDINGS | {"task-started"}
"""Events that bring the client nothing it asked for."""

CREATED = "response.created"
DONE = "response.done"
_OF_RESPONSES = (CREATED.encode(), DONE.encode())


class TaskEvent(NamedTuple):
    """An event of a task. `payload` may have `usage`, of all the task so far."""

    name: str
    task_id: str
    payload: Mapping[str, object]


class ResponseEvent(NamedTuple):
    """A response in a session that begins (`CREATED`) or has come to its end (`DONE`)."""

    name: str
    response_id: str
    response: Mapping[str, object]

    @property
    def is_answer(self) -> bool:
        """Whether it came to its end as it should, or says what it used on the way to another."""
        return self.response.get("status") == "completed" or isinstance(
            self.response.get("usage"), dict
        )

    @property
    def is_cut_short(self) -> bool:
        """Whether somebody ended it, and it does not say what it used until then."""
        return not self.is_answer and self.response.get("status") != "failed"


NO_TASK = TaskEvent("", "", {})


def task_event(text: bytes) -> TaskEvent:
    """The event in a text frame of the frames protocol; empty where there is none."""
    told = _object(text)
    header = _member(told, "header")
    return TaskEvent(_text(header, "event"), _text(header, "task_id"), _member(told, "payload"))


def response_event(text: bytes) -> ResponseEvent | None:
    """The beginning or the end of a response in a session; None for every other event.

    Sound comes in hundreds of events a second: what does not name what is looked for is not read.
    """
    if not any(name in text for name in _OF_RESPONSES):
        return None
    told = _object(text)
    name, response = _text(told, "type"), _member(told, "response")
    response_id = _text(response, "id")
    is_known = name in {CREATED, DONE} and response_id
    return ResponseEvent(name, response_id, response) if is_known else None


def tells_of_response(text: bytes) -> bool:
    """Whether an event in a session brings a piece of a response. A look, no reading."""
    return b'"response.' in text and b'.delta"' in text


def is_error(text: bytes) -> bool:
    """Whether an event in a session says that something the client asked for was not done."""
    return b'"error"' in text and _text(_object(text), "type") == "error"


def _object(text: bytes) -> Mapping[str, object]:
    try:
        told = json.loads(text) if len(text) <= MAX_EVENT else None
    except (ValueError, RecursionError):
        told = None
    return told if isinstance(told, dict) else {}


def _member(told: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = told.get(name)
    return found if isinstance(found, dict) else {}


def _text(told: Mapping[str, object], name: str) -> str:
    found = told.get(name)
    return found if isinstance(found, str) else ""
