"""What an SDK returned, as plain values that two runs can be compared by.

Ids, times and signatures differ from run to run, so each becomes a word for what it is; anything
else that differs is a difference.
"""

import re
from collections.abc import Iterable
from dataclasses import is_dataclass
from typing import Any

from pydantic import BaseModel

_WORDS = (
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "<hex>"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{3})?"), "<time>"),
    (re.compile(r"Expires=\d+"), "Expires=<time>"),
    (re.compile(r"Signature=[^&\s]+"), "Signature=<signature>"),
)
_THIS_CENTURY = 1_500_000_000


def plain(value: object, sandbox: str = "<no sandbox>") -> Any:  # noqa: ANN401 - JSON
    """JSON of an SDK's answer, exception or stream. `sandbox` is the URL results lead to."""
    match value:
        case BaseModel():
            return plain(value.model_dump(mode="json"), sandbox)
        case Exception():
            kept = {"status_code", "code", "message"} & vars(value).keys()
            told = {name: getattr(value, name) for name in kept}
            return {"raised": type(value).__name__, **plain(told, sandbox)}
        case dict():
            # The answer's header is no part of it: not all of upstream's may cross.
            pairs = {str(key): inner for key, inner in value.items() if key != "headers"}
            return {key: plain(inner, sandbox) for key, inner in pairs.items()}
        case _ if hasattr(value, "status_code") or is_dataclass(value):  # what has no mapping
            return plain(vars(value), sandbox)
        case list() | tuple():
            return [plain(inner, sandbox) for inner in value]
    return _leaf(value, sandbox)


def _leaf(value: object, sandbox: str) -> object:
    if isinstance(value, str):
        return words(value.replace(sandbox, "<sandbox>"))
    return "<time>" if isinstance(value, int | float) and value > _THIS_CENTURY else value


def words(text: str) -> str:
    """A text with what differs from run to run replaced."""
    for pattern, word in _WORDS:
        text = pattern.sub(word, text)
    return text


def gist(answers: Iterable[Any]) -> str:
    """A line for people: status, task status and code of each answer."""
    return ", ".join(map(_gist, answers))


def _gist(answer: Any) -> str:  # noqa: ANN401 - JSON
    if isinstance(answer, list):
        return f"{len(answer)} parts" + (f" to {_gist(answer[-1])}" if answer else "")
    if not isinstance(answer, dict):
        return str(answer)
    output = answer.get("output")
    state = output.get("task_status") if isinstance(output, dict) else None
    told = (
        answer.get("raised"),
        answer.get("status_code"),
        state or answer.get("status"),
        answer.get("code"),
    )
    return " ".join(str(word) for word in told if word) or "ok"
