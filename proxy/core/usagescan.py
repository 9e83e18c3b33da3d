"""Reading the `usage` out of an answer that passes by, in any chunks, without keeping the answer.

Rule 1: what is read does not depend on how the bytes were cut: it is what one would find who
        parsed the whole.
Rule 2: memory is bounded, whatever passes: `MOST_WHOLE` bytes of a document, and of a longer one
        what is below `usage` alone, no more than `usagefound.MOST_KEPT` values.
Rule 3: of several frames the later ones replace what the earlier ones said, member by member,
        but no number by a smaller one: DashScope's count up, OpenAI's tell once, Anthropic's
        tell the input first, and some say 0 of it in the end. What is told of a stream is one
        usage, wherever it stood.
Rule 4: numbers that are told before all is made are not the last word; `OPENING` says which.
Rule 5: a stream that names an error has failed when nothing else came; else it broke off.

`usage` stands at the root, or below what `usagefound.PLACES` names. Names with escapes in them
are not looked for.
"""

import json
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from proxy.core.jsonscan import JsonError, JsonScanner
from proxy.core.usagefound import ERRORS, USAGE, Found, Told

MOST_WHOLE = 64 * 1024
"""Bytes of a document that are kept and parsed at once; a longer one is scanned as it comes."""


OPENING: Mapping[str, frozenset[str]] = {
    "message_start": frozenset({"output_tokens"}),
    "response.created": frozenset({"input_tokens", "output_tokens"}),
    "response.queued": frozenset({"input_tokens", "output_tokens"}),
    "response.in_progress": frozenset({"input_tokens", "output_tokens"}),
    "ping": frozenset(),
}
"""Events that open a stream and say nothing of the answer itself, and the numbers that are not
final where one tells them. All others tell what was made so far, or in the end: DashScope's own
frames count up as they go, OpenAI's chat tells once, Anthropic's `message_delta` comes last."""


class Heard(NamedTuple):
    """What an answer told: empty where there is no usage, `unfinished` the numbers not final.

    `is_error` says that the answer is none but names an error.
    """

    told: Told
    is_error: bool = False
    unfinished: frozenset[str] = frozenset()


class UsageReader(Protocol):
    """Reads along; what it heard is known when it has finished."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the answer."""
        ...

    def finish(self) -> Heard:
        """Nothing more comes, be the answer whole or not: what was heard."""
        ...


class JsonUsage:
    """Reads one JSON document."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._found = Found()
        self._scanner: JsonScanner | None = None

    def feed(self, chunk: bytes) -> None:
        """See `UsageReader.feed`."""
        if self._scanner is not None:
            self._scan(chunk)
            return
        self._kept += chunk
        if len(self._kept) > MOST_WHOLE:
            self._scan_kept()

    @property
    def kind(self) -> str:
        """The document's `type`, once it has finished, if there is anything else of interest."""
        return self._found.kind

    @property
    def is_blank(self) -> bool:
        """Whether nothing stands here, or only what ends a stream of OpenAI's."""
        return self._scanner is None and bytes(self._kept.strip()) in {b"", b"[DONE]"}

    def finish(self) -> Heard:
        """See `UsageReader.finish`. Half a document, or none, is read as far as it goes."""
        if self._scanner is None and any(word in self._kept for word in _WORDS):
            try:
                answer: object = json.loads(self._kept)
            except (ValueError, RecursionError):
                self._scan_kept()
            else:
                self._found.look_at(answer)
        return Heard(self._found.told, self._found.is_error)

    def _scan_kept(self) -> None:
        self._scanner = JsonScanner(self._found)
        self._scan(bytes(self._kept))
        self._kept.clear()

    def _scan(self, chunk: bytes) -> None:
        assert self._scanner is not None, "it has begun"  # noqa: S101 - a bug of this class
        if self._found.is_spoilt:
            return
        try:
            self._scanner.feed(chunk)
        except JsonError:
            self._found.is_spoilt = True


class EventUsage:
    """Reads an event stream (WHATWG, server-sent events), frame by frame."""

    def __init__(self) -> None:
        self._told: Told = {}
        self._unfinished: frozenset[str] = frozenset()
        self._names_error = False
        self._has_content = False
        self._frame = JsonUsage()
        self._start = b""  # of a line whose field is not known yet
        self._is_data: bool | None = None  # whether the line is data, once that is known
        self._ended_in_cr = False

    def feed(self, chunk: bytes) -> None:
        """See `UsageReader.feed`."""
        if b"\r" in chunk or self._ended_in_cr:
            chunk = self._with_plain_ends(chunk)
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            self._take(part)
            self._end_line()
        self._take(rest)

    def finish(self) -> Heard:
        """See `UsageReader.finish`. A last frame counts without the blank line behind it."""
        self._end_line()
        self._end_frame()
        if self._names_error and not self._has_content:
            return Heard({}, is_error=True)
        return Heard(self._told, unfinished=self._unfinished)

    def _with_plain_ends(self, chunk: bytes) -> bytes:
        """The chunk with LF for every CR and CRLF, wherever it was cut."""
        seen = chunk.removeprefix(b"\n") if self._ended_in_cr else chunk
        self._ended_in_cr = chunk.endswith(b"\r") if chunk else self._ended_in_cr
        return seen.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _take(self, part: bytes) -> None:
        """More of a line: the document's, when the line is data."""
        if self._is_data:
            self._frame.feed(part)
        elif self._is_data is None:
            self._start += part
            if len(self._start) >= len(_DATA) + 1:
                self._decide()

    def _decide(self) -> None:
        self._is_data = self._start.startswith(_DATA)
        if self._is_data:
            self._frame.feed(self._start[len(_DATA) :].removeprefix(b" "))

    def _end_line(self) -> None:
        """Several lines of data in a frame are one document."""
        if self._is_data is None:
            if not self._start:
                self._end_frame()
            self._decide()
        if self._is_data:
            self._frame.feed(b"\n")
        self._start, self._is_data = b"", None

    def _end_frame(self) -> None:
        frame, self._frame = self._frame, JsonUsage()
        heard = frame.finish()
        usage = _usage_of(heard.told)
        if usage:
            _update(self._told, {USAGE: usage})
            self._unfinished = OPENING.get(frame.kind, self._unfinished.difference(usage))
        if heard.is_error and not usage:
            self._names_error = True
        elif frame.kind not in OPENING and not frame.is_blank:
            self._has_content = True


_DATA = b"data:"
_WORDS = tuple(b'"%b"' % name.encode() for name in (USAGE, *ERRORS, "ping"))
"""A document without any of them has nothing to tell."""


def _usage_of(told: Told) -> dict[str, object]:
    """The usage of one frame: the root's own, if there is one."""
    usages = (one.get(USAGE) for one in (told, *told.values()) if isinstance(one, dict))
    return next((one for one in usages if isinstance(one, dict)), {})


def _update(told: Told, later: Told) -> None:
    """What two frames tell together, in place of what the first one told."""
    for name, value in later.items():
        known = told.get(name)
        if isinstance(known, dict) and isinstance(value, dict):
            _update(known, value)
        elif not (isinstance(known, _NUMBER) and isinstance(value, _NUMBER) and value < known):
            told[name] = value


_NUMBER = (int, float)
