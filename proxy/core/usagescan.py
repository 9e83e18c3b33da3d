"""Reading the `usage` out of an answer that passes by, in any chunks, without keeping the answer.

Rule 1: what is read does not depend on how the bytes were cut: it is what one would find who
        parsed the whole.
Rule 2: memory is bounded, whatever passes: `MOST_WHOLE` bytes of a document, and of a longer one
        what is below `usage` alone, no more than `usagefound.MOST_KEPT` values.
Rule 3: of several frames the later ones replace what the earlier ones said, member by member,
        but no number by a smaller one: DashScope's count up, OpenAI's tell once, Anthropic's
        tell the input first, and some say 0 of it in the end. What is told of a stream is one
        usage, wherever it stood.

`usage` stands at the root, or below what `usagefound.PLACES` names. Names with escapes in them
are not looked for.
"""

import json
from collections.abc import Callable, Mapping
from typing import Protocol

from proxy.core.headers import Fields, value_of
from proxy.core.jsonscan import JsonError, JsonScanner
from proxy.core.usagefound import ERRORS, USAGE, Found, Told

MOST_WHOLE = 64 * 1024
"""Bytes of a document that are kept and parsed at once; a longer one is scanned as it comes."""


class UsageReader(Protocol):
    """Reads along; what it found is known when it has finished.

    `told` is empty where there is no usage, `is_error` whether the answer says that it failed.
    """

    told: Told
    is_error: bool

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the answer."""
        ...

    def finish(self) -> None:
        """Take note that nothing more comes; the answer may be whole or not."""
        ...


def reader_for(fields: Fields) -> UsageReader:
    """Who reads an answer with this header; one that finds nothing where nobody could."""
    kind = (value_of(fields, "content-type") or "").partition(";")[0].strip().lower()
    coding = (value_of(fields, "content-encoding") or "identity").strip().lower()
    return (_READERS.get(kind, Blind) if coding == "identity" else Blind)()


class Blind:
    """Finds nothing: bytes of another kind tell no usage."""

    def __init__(self) -> None:
        self.told: Told = {}
        self.is_error = False

    def feed(self, chunk: bytes) -> None:
        """See `UsageReader.feed`."""

    def finish(self) -> None:
        """See `UsageReader.finish`."""


class JsonUsage:
    """Reads one JSON document."""

    def __init__(self) -> None:
        self.told: Told = {}
        self.is_error = False
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

    def finish(self) -> None:
        """See `UsageReader.finish`. Half a document, or none, is read as far as it goes."""
        if self._scanner is None and any(word in self._kept for word in _WORDS):
            try:
                answer: object = json.loads(self._kept)
            except (ValueError, RecursionError):
                self._scan_kept()
            else:
                self._found.look_at(answer)
        self.told, self.is_error = self._found.told, self._found.is_error

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
        self.told: Told = {}
        self.is_error = False
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

    def finish(self) -> None:
        """See `UsageReader.finish`. A last frame counts without the blank line behind it."""
        self._end_line()
        self._end_frame()

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
        frame.finish()
        self.is_error |= frame.is_error
        usages = [frame.told, *frame.told.values()]  # the root's own first, if there is one
        usage = next((one[USAGE] for one in usages if isinstance(one, dict) and USAGE in one), None)
        _update(self.told, {USAGE: usage} if usage else {})


_DATA = b"data:"
_WORDS = tuple(b'"%b"' % name.encode() for name in (USAGE, *ERRORS))
"""A document without any of them has nothing to tell."""

_READERS: Mapping[str, Callable[[], UsageReader]] = {
    "application/json": JsonUsage,
    "text/event-stream": EventUsage,
}


def _update(told: Told, later: Told) -> None:
    """What two frames tell together, in place of what the first one told."""
    for name, value in later.items():
        known = told.get(name)
        if isinstance(known, dict) and isinstance(value, dict):
            _update(known, value)
        elif not (isinstance(known, _NUMBER) and isinstance(value, _NUMBER) and value < known):
            told[name] = value


_NUMBER = (int, float)
