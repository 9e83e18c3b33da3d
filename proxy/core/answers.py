"""What the proxy reads in upstream's answers: task ids to claim, states to remember.

The answer itself crosses as it came; this is a reading of a copy.
"""

import json
import zlib
from collections.abc import Iterable

from proxy.core.jsonscan import Path
from proxy.core.tasks import is_task_id

MAX_READ = 1024 * 1024
"""Bytes of an answer that are looked at; a submit's has some 150, a poll's a few thousand."""

_WINDOW = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


class AnswerUnreadableError(ValueError):
    """An answer that should have been read cannot be: not JSON, or in a coding unknown here."""


def read_json(body: bytes, coding: str | None, most: int = MAX_READ) -> object:
    """Decode a copy of an answer, of `most` bytes when inflated.

    Raises `AnswerUnreadableError`, also for half a surrogate pair: no store could keep it.
    """
    try:
        text = _identity(body, (coding or "").strip().lower(), most).decode()
        answer: object = json.loads(text)
        if "\\u" in text:
            json.dumps(answer, ensure_ascii=False).encode()
    except (ValueError, RecursionError, zlib.error) as error:
        raise AnswerUnreadableError(str(error)) from error
    return answer


def task_ids(answer: object, places: Iterable[Path]) -> list[str]:
    """The task ids an answer gives away, at the places the route names; each once.

    Raises `AnswerUnreadableError` for an id that could not be put into a URL: it would leave
    without an owner.
    """
    values = (_at(answer, place) for place in places)
    found = [text for text in values if isinstance(text, str) and text]
    for text in found:
        if not is_task_id(text):
            raise AnswerUnreadableError("a task id of an unknown form")
    return list(dict.fromkeys(found))


def task_status(answer: object) -> str | None:
    """The state in a poll's answer, or None where it tells none."""
    status = _at(answer, ("output", "task_status"))
    return status if isinstance(status, str) else None


def error_code(answer: object) -> str:
    """The code of an error, in either of upstream's shapes; empty where there is none."""
    codes = (_at(answer, place) for place in (("code",), ("error", "code")))
    return next((code for code in codes if isinstance(code, str)), "")


def request_id(answer: object) -> str:
    """Upstream's own id of the request, which users quote to its support; may be empty."""
    found = _at(answer, ("request_id",))
    return found if isinstance(found, str) else ""


def _at(value: object, path: Path) -> object:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _identity(body: bytes, coding: str, most: int) -> bytes:
    """Undo a content coding, up to `most` bytes: a small answer may inflate without end."""
    if coding in {"", "identity"}:
        return body
    if coding not in _WINDOW:
        raise AnswerUnreadableError(f"content-encoding {coding}")
    return zlib.decompressobj(_WINDOW[coding]).decompress(body, most)
