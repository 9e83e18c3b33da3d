"""Reading the `usage` out of an event stream (WHATWG, server-sent events) that passes by.

Rule 1: of several frames the later ones replace what the earlier ones said, member by member,
        but no number by a smaller one: DashScope's count up, OpenAI's tell once, Anthropic's
        tell the input first, and some say 0 of it in the end. What is told of a stream is one
        usage, wherever it stood.
Rule 2: numbers that are told before all is made are not the last word; `OPENING` says which.
Rule 3: a stream that names an error has failed when nothing else came; else it broke off.

The rules of `usagescan` hold here, too: for any chunks, in bounded memory.
"""

import re
from collections.abc import Mapping

from proxy.core.usagefound import USAGE, Findings, Told
from proxy.core.usagescan import BLANK, MOST_WHOLE, Heard, JsonUsage, findings_in

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


class EventUsage:
    """Reads an event stream frame by frame.

    What makes a long answer is content without a word of usage. Once there was any, frames without
    that word are not even told apart: 0.4 us for one of 200 bytes, where the walk by lines took 6.
    """

    __slots__ = (
        *("_ended_in_cr", "_has_content", "_long", "_names_error", "_rest", "_usage"),
        "_unfinished",
    )

    def __init__(self) -> None:
        self._usage: Told = {}
        self._unfinished: frozenset[str] = frozenset()
        self._names_error = False
        self._has_content = False
        self._rest = b""  # of a frame that has not ended
        self._long: _LongFrame | None = None
        self._ended_in_cr = False

    def feed(self, chunk: bytes) -> None:
        """See `UsageReader.feed`."""
        if self._ended_in_cr or _CR in chunk:
            chunk = self._with_plain_ends(chunk)
        if self._long is not None:
            behind = self._long.feed(chunk)
            if behind is None:
                return
            self._end_long(self._long)
            chunk = behind
        frames, _, self._rest = (self._rest + chunk).rpartition(b"\n\n")
        self._take(frames)
        if len(self._rest) > MOST_WHOLE:
            self._long = _LongFrame()
            self._long.feed(self._rest.lstrip(b"\n"))
            self._rest = b""

    def finish(self) -> Heard:
        """See `UsageReader.finish`. A last frame counts without the blank line behind it."""
        if self._long is not None:
            self._end_long(self._long)
        self._take(self._rest)
        if self._names_error and not self._has_content:
            return Heard({}, is_error=True)
        return Heard({USAGE: self._usage} if self._usage else {}, unfinished=self._unfinished)

    def _with_plain_ends(self, chunk: bytes) -> bytes:
        """The chunk with LF for every CR and CRLF, wherever it was cut."""
        seen = chunk.removeprefix(b"\n") if self._ended_in_cr else chunk
        self._ended_in_cr = chunk.endswith(b"\r") if chunk else self._ended_in_cr
        return seen.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _take(self, frames: bytes) -> None:
        """Several whole frames."""
        if self._has_content and not _may_tell(frames):
            return
        for frame in frames.split(b"\n\n"):
            if not self._has_content or _may_tell(frame):
                document = _document(frame)
                self._note(findings_in(document), is_blank=document.strip() in BLANK)

    def _end_long(self, frame: "_LongFrame") -> None:
        findings = frame.findings
        self._note(findings, is_blank=frame.is_blank)
        self._long = None

    def _note(self, found: Findings, *, is_blank: bool) -> None:
        """What one frame tells."""
        usage = _usage_of(found.told)
        if usage:
            _update(self._usage, usage)
            self._unfinished = OPENING.get(found.kind, self._unfinished.difference(usage))
        if found.is_error and not usage:
            self._names_error = True
        elif found.kind not in OPENING and not is_blank:
            self._has_content = True


class _LongFrame:
    """Reads one frame of a stream that is too long to be kept, line by line."""

    def __init__(self) -> None:
        self._document = JsonUsage()
        self._start = b""  # of a line whose field is not known yet
        self._is_data: bool | None = None  # whether the line is data, once that is known

    @property
    def findings(self) -> Findings:
        """What the frame's document tells, once it has finished."""
        self._end_line()
        return self._document.findings

    @property
    def is_blank(self) -> bool:
        """Whether it says nothing."""
        return self._document.is_blank

    def feed(self, chunk: bytes) -> bytes | None:
        """Take the next bytes; once the frame has ended, what stands behind it."""
        at = 0
        while (end := chunk.find(b"\n", at)) >= 0:
            self._add(chunk[at:end])
            at = end + 1
            if self._is_data is None and not self._start:
                return chunk[at:]
            self._end_line()
        self._add(chunk[at:])
        return None

    def _add(self, part: bytes) -> None:
        """More of a line: the document's, when the line is data."""
        if self._is_data:
            self._document.feed(part)
        elif self._is_data is None:
            self._start += part
            if len(self._start) > len(_DATA):
                self._decide()

    def _decide(self) -> None:
        self._is_data = self._start.startswith(_DATA)
        if self._is_data:
            self._document.feed(self._start[len(_DATA) :].removeprefix(b" "))

    def _end_line(self) -> None:
        """Several lines of data are one document."""
        if self._is_data is None:
            self._decide()
        if self._is_data:
            self._document.feed(b"\n")
        self._start, self._is_data = b"", None


_CR = ord("\r")  # looked for as a number: six times as fast, as `in` takes no bytes to be one
_DATA = b"data:"
_USAGE = re.compile(rb'"usage"(?!\s*:\s*null)')


def _may_tell(frames: bytes) -> bool:
    """Whether usage may stand in frames; OpenAI's say null in all but the last."""
    at = frames.find(b'"usage"')  # which is six times as fast as the expression alone
    return at >= 0 and _USAGE.search(frames, at) is not None


def _document(frame: bytes) -> bytes:
    """The data of a frame: of several lines one document."""
    lines = [line for line in frame.split(b"\n") if line.startswith(_DATA)]
    return b"".join([line[len(_DATA) :].removeprefix(b" ") + b"\n" for line in lines])


def _usage_of(told: Told) -> dict[str, object]:
    """The usage of one frame: the root's own, if there is one."""
    if isinstance(usage := told.get(USAGE), dict):
        return usage
    for inner in told.values():
        if isinstance(inner, dict) and isinstance(usage := inner.get(USAGE), dict):
            return usage
    return {}


def _update(told: Told, later: Told) -> None:
    """What two frames tell together, in place of what the first one told."""
    for name, value in later.items():
        known = told.get(name)
        if isinstance(known, dict) and isinstance(value, dict):
            _update(known, value)
        elif not (isinstance(known, _NUMBER) and isinstance(value, _NUMBER) and value < known):
            told[name] = value


_NUMBER = (int, float)
