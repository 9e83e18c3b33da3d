"""What the proxy reads in upstream's answers: task ids to claim, states to remember.

The answer itself crosses as it came; this is a reading of a copy.
"""

import json
import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from http import HTTPStatus

from proxy.core.headers import REPLAYED, SHOULD_RETRY, Fields, value_of
from proxy.core.jsonscan import Path
from proxy.core.tasks import is_task_id

MAX_READ = 1024 * 1024
"""Bytes of an answer that are looked at; a submit's has some 150, a poll's a few thousand."""

WINDOW = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
"""How zlib undoes the content codings known here."""


class AnswerUnreadableError(ValueError):
    """An answer that should have been read cannot be: not JSON, or in a coding unknown here."""


@dataclass(frozen=True, slots=True)
class Held:
    """An answer to a call that creates tasks: all here, and each of its `tasks` has an owner.

    `request_id` is upstream's. `has_code` says that a success names an error all the same, and no
    task. `replayed` says that it was given before.
    """

    status: int
    reason: str
    headers: Fields
    body: bytes
    tasks: tuple[str, ...] = ()
    request_id: str = ""
    has_code: bool = False
    replayed: bool = False

    @property
    def is_success(self) -> bool:
        """Whether there may be tasks in it that the caller is to have."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def is_refusal(self) -> bool:
        """Whether upstream says that it did not take the call on: no task came of it.

        Neither a timeout nor an error on its side says so, and a redirect says nothing.
        """
        of_client = HTTPStatus.BAD_REQUEST <= self.status < HTTPStatus.INTERNAL_SERVER_ERROR
        return self.has_code or (of_client and self.status != HTTPStatus.REQUEST_TIMEOUT)

    @property
    def marks(self) -> Fields:
        """What the client's header says on top of upstream's.

        SDKs send a call again by themselves on 408 and 5xx, and on what they are told to; where
        a task may have been made, or the same comes again, they are told not to.
        """
        resent = self.status == HTTPStatus.REQUEST_TIMEOUT or self.status >= 500  # noqa: PLR2004 - 5xx and beyond
        told = value_of(self.headers, SHOULD_RETRY) is not None
        marks = [(REPLAYED, "true")] if self.replayed else []
        if (resent or (self.replayed and not self.is_success)) and not told:
            marks.append((SHOULD_RETRY, "false"))
        return marks

    def again(self) -> "Held":
        """The same to a repeat, which would only hear it once more, whatever upstream advised."""
        kept = [pair for pair in self.headers if pair[0].lower() != SHOULD_RETRY]
        headers = self.headers if self.is_success else tuple(kept)
        return replace(self, headers=headers, replayed=True)


def read_json(body: bytes, coding: str | None, most: int = MAX_READ) -> object:
    """Decode a copy of an answer, of `most` bytes when inflated.

    Numbers that JSON has not (`NaN`, `1e999`) are read as null: told again, they would be none.
    Raises `AnswerUnreadableError`, also for half a surrogate pair: no store could keep it.
    """
    try:
        text = _identity(body, (coding or "").strip().lower(), most).decode()
        answer: object = _DECODER.decode(text)
        if "\\u" in text:
            json.dumps(answer, ensure_ascii=False).encode()
    except (ValueError, RecursionError, zlib.error) as error:
        raise AnswerUnreadableError(str(error)) from error
    return answer


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


# `json.loads` with hooks makes a decoder each time, which takes longer than to read an answer.
_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)


def task_ids(answer: object, places: Iterable[Path]) -> list[str]:
    """The task ids an answer gives away, at the places the route names; each once.

    Raises `AnswerUnreadableError` for an id that is no text or could not be put into a URL: it
    would leave without an owner.
    """
    values = (_at(answer, place) for place in places)
    found = []
    for value in values:
        if value is None or value == "":
            continue
        if not isinstance(value, str) or not is_task_id(value):
            raise AnswerUnreadableError("a task id of an unknown form")
        found.append(value)
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
    if coding not in WINDOW:
        raise AnswerUnreadableError(f"content-encoding {coding}")
    return zlib.decompressobj(WINDOW[coding]).decompress(body, most)
