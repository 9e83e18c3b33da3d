"""The event streams of the soak, as whoever writes and whoever reads them must agree on them.

One chunk is one frame: `data:<number> <when> <padding>`, numbered from 0, `when` in nanoseconds of
the clock that all processes of a machine share. Some frames come in pairs, in one write.
"""

import time
from dataclasses import dataclass, field

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream;charset=UTF-8\r\n"
    b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
)
END = b"0\r\n\r\n"

SMALL = 300
"""Bytes of padding in a frame of an ordinary stream."""

LARGE = 4000
"""Bytes of padding in a frame of a stream that is more than its reader takes."""

PER_SECOND = 5
"""Times a second that a stream says something, if it is not a steady one."""

STEADY = 33
"""Times a second that a steady stream says one frame."""

LARGE_PER_TIME = 50
"""Frames that a large stream says each time, in one write."""


def chunk(number: int, padding: int) -> bytes:
    """One frame, in one chunk, written now."""
    frame = b"data:%d %d %b\n\n" % (number, time.monotonic_ns(), b"x" * padding)
    return b"%x\r\n%b\r\n" % (len(frame), frame)


@dataclass
class Reading:
    """What one reader saw of one stream; feed it what came behind the head."""

    chunks: int = 0
    merged: int = 0
    split: int = 0
    lost: int = 0
    is_whole: bool = False
    delays: list[float] = field(default_factory=list)
    _buffer: bytearray = field(default_factory=bytearray)
    _frames: int = 0
    _part: bytes = b""

    def feed(self, data: bytes) -> None:
        """Take chunks out of what has come."""
        now = time.monotonic_ns()
        self._buffer += data
        at = 0
        while (line := self._buffer.find(b"\r\n", at)) >= 0:
            size = int(self._buffer[at:line], 16)
            if len(self._buffer) < line + size + 4:
                break
            self._take(bytes(self._buffer[line + 2 : line + 2 + size]), now)
            at = line + size + 4
        del self._buffer[:at]

    def _take(self, body: bytes, now: int) -> None:
        """One chunk, which should be one frame."""
        if not body:
            self.is_whole = True
            return
        self.chunks += 1
        *frames, part = (self._part + body).split(b"\n\n")
        self.merged += len(frames) > 1
        self.split += bool(part)
        self._part = part
        for frame in frames:
            number, when, _ = frame.removeprefix(b"data:").split(b" ")
            self.lost += int(number) != self._frames
            self._frames = int(number) + 1
            self.delays.append((now - int(when)) / 1e9)
