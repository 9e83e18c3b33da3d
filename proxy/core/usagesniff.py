"""Who reads the usage of an answer: told by what it is, whatever its header says that it is.

A `Content-Type` that is missing, or that nobody expects, hides no usage. Neither does a content
coding that was not asked for, as far as `MOST_INFLATED` bytes of what it hides.
"""

import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache

from proxy.core.answers import WINDOW
from proxy.core.headers import Fields, value_of
from proxy.core.usagescan import Heard, JsonUsage, UsageReader
from proxy.core.usagestream import EventUsage

MOST_INFLATED = 4 * 1024 * 1024
"""Bytes that are looked at behind a coding: a small answer may inflate without end."""

_PART = 64 * 1024
"""Bytes that are inflated at once."""

_BOM = b"\xef\xbb\xbf"
_BLANKS = b" \t\r\n"
_UNREADABLE = ("audio/", "image/", "video/")
_EVENTS = "text/event-stream"
_KNOWN = frozenset({"identity", *WINDOW})


def reader_for(fields: Fields) -> UsageReader:
    """Who reads an answer with this header; one that finds nothing where nobody could."""
    kind = value_of(fields, "content-type") or ""
    otherwise, coding = _ways(kind, value_of(fields, "content-encoding") or "identity")
    if otherwise is None:
        return BLIND
    sniffed = Sniffed(otherwise)
    return Inflated(sniffed, coding) if coding in WINDOW else sniffed


class Blind:
    """Finds nothing: bytes of another kind tell no usage."""

    def feed(self, chunk: bytes) -> None:
        """See `UsageReader.feed`."""

    def finish(self) -> Heard:
        """See `UsageReader.finish`."""
        return Heard({})


BLIND = Blind()


@lru_cache(maxsize=64)  # upstream says the same few all day
def _ways(kind: str, coding: str) -> tuple[Callable[[], UsageReader] | None, str]:
    """Who reads what no byte tells apart, and the coding to undo; nobody reads what nobody can."""
    kind = kind.partition(";")[0].strip().lower()
    coding = coding.strip().lower()
    if kind.startswith(_UNREADABLE) or coding not in _KNOWN:
        return None, coding
    return (EventUsage if kind == _EVENTS else Blind), coding


class Sniffed:
    """Looks at the first byte that means anything, and lets who knows such answers read them.

    `otherwise` reads what no byte tells apart.
    """

    __slots__ = ("_otherwise", "_reader", "_start")

    def __init__(self, otherwise: Callable[[], UsageReader]) -> None:
        self._otherwise = otherwise
        self._start = b""
        self._reader: UsageReader | None = None

    def feed(self, chunk: bytes) -> None:
        """See `UsageReader.feed`."""
        if self._reader is None:
            self._start += chunk
            if _BOM.startswith(self._start):
                return
            chunk = self._start.removeprefix(_BOM).lstrip(_BLANKS)
            self._start = b" "
            if not chunk:
                return
            self._reader = _FIRST.get(chunk[:1], self._otherwise)()
        self._reader.feed(chunk)

    def finish(self) -> Heard:
        """See `UsageReader.finish`."""
        return self._reader.finish() if self._reader else Heard({})


class Inflated:
    """Undoes a content coding of `WINDOW` for another reader, within bounds."""

    def __init__(self, reader: UsageReader, coding: str) -> None:
        self._reader = reader
        self._inflate = zlib.decompressobj(WINDOW[coding])
        self._left = MOST_INFLATED

    def feed(self, chunk: bytes) -> None:
        """See `UsageReader.feed`. What is no such coding is not read any further."""
        try:
            self._undo(chunk)
        except zlib.error:
            self._left = 0

    def finish(self) -> Heard:
        """See `UsageReader.finish`."""
        return self._reader.finish()

    def _undo(self, chunk: bytes) -> None:
        is_more = True
        while is_more and self._left and not self._inflate.eof:
            most = min(_PART, self._left)
            part = self._inflate.decompress(chunk, most)
            self._left -= len(part)
            self._reader.feed(part)
            chunk = self._inflate.unconsumed_tail
            is_more = bool(chunk) or len(part) == most


_FIRST: Mapping[bytes, Callable[[], UsageReader]] = {
    b"{": JsonUsage,
    **dict.fromkeys((b"d", b"e", b"i", b"r", b":"), EventUsage),
}
"""A document begins with a brace; a stream with `data`, `event`, `id`, `retry`, or a comment."""
