"""Recorded bytes read as HTTP/1.1: heads, framing, bodies, chunks, and WebSocket frames.

A message that breaks off is still read, as far as it came: `framing` says `cut`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

BODILESS = {204, 304}
SWITCHING = 101


class CutError(Exception):
    """The bytes end in the middle of something."""


@dataclass
class Message:
    """One message. `fields` keep order, spelling and blanks; `chunks` are None where a length is.

    `interim` are the heads of 1xx answers before this one, `frames` what follows the upgrade to a
    WebSocket in this message's direction.
    """

    line: str
    fields: list[tuple[str, str]]
    body: bytes = b""
    chunks: list[bytes] | None = None
    framing: str = "none"
    trailers: list[tuple[str, str]] = field(default_factory=list)
    interim: list[str] = field(default_factory=list)
    frames: list["Frame"] = field(default_factory=list)

    @property
    def method(self) -> str:
        return self.line.partition(" ")[0]

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]

    @property
    def status(self) -> int:
        return int(self.line.split(" ")[1])

    def values(self, name: str) -> list[str]:
        """The values of a field, without the blanks around them."""
        return [value.strip(" \t") for key, value in self.fields if key.lower() == name]


@dataclass(frozen=True)
class Frame:
    """One WebSocket frame, unmasked. `bits` are FIN and the reserved ones, `opcode` RFC 6455's."""

    bits: int
    opcode: int
    payload: bytes


class _Cursor:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def until(self, end: bytes) -> bytes:
        found = self.data.find(end, self.at)
        if found < 0:
            raise CutError
        part, self.at = self.data[self.at : found], found + len(end)
        return part

    def take(self, size: int) -> bytes:
        """That many bytes, or as many as there are."""
        part = self.data[self.at : self.at + size]
        self.at += len(part)
        return part

    def exactly(self, size: int) -> bytes:
        part = self.take(size)
        if len(part) < size:
            raise CutError
        return part

    @property
    def is_at_end(self) -> bool:
        return self.at >= len(self.data)


def requests_in(data: bytes) -> Iterator[tuple[int, Message]]:
    """The requests in one direction of a connection, each with the offset of its first byte."""
    cursor = _Cursor(data)
    while not cursor.is_at_end:
        start = cursor.at
        try:
            message = _head(cursor)
        except CutError:
            return
        _read_body(cursor, message)
        yield start, message
        if message.values("upgrade"):
            message.frames = list(_frames(cursor))
            return


def answers_in(data: bytes, methods: Sequence[str], *, closed: bool) -> list[Message]:
    """The answers to requests with these methods. `closed`: the connection ended in order."""
    cursor = _Cursor(data)
    found: list[Message] = []
    for method in methods:
        try:
            message = _final_head(cursor)
        except CutError:
            break
        if message.status == SWITCHING:
            message.framing, message.frames = "upgraded", list(_frames(cursor))
        elif method != "HEAD" and message.status not in BODILESS:
            _read_body(cursor, message)
            if message.framing == "none":
                message.body = cursor.take(len(data))
                message.framing = "close" if closed else "cut"
        found.append(message)
    return found


def _final_head(cursor: _Cursor) -> Message:
    interim: list[str] = []
    while True:
        message = _head(cursor)
        if not 100 <= message.status < 200 or message.status == SWITCHING:
            message.interim = interim
            return message
        interim.append(message.line)


def _head(cursor: _Cursor) -> Message:
    lines = cursor.until(b"\r\n\r\n").decode("utf-8", "surrogateescape").split("\r\n")
    return Message(lines[0], list(map(_field, lines[1:])))


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value


def _read_body(cursor: _Cursor, message: Message) -> None:
    """Fill in the body as `Transfer-Encoding` or `Content-Length` delimits it."""
    lengths = message.values("content-length")
    if message.values("transfer-encoding"):
        message.framing, message.chunks = "chunked", []
        try:
            _read_chunks(cursor, message, message.chunks)
        except CutError:
            message.framing = "cut"
        message.body = b"".join(message.chunks)
    elif lengths:
        message.body = cursor.take(int(lengths[0]))
        message.framing = "length" if len(message.body) == int(lengths[0]) else "cut"


def _read_chunks(cursor: _Cursor, message: Message, chunks: list[bytes]) -> None:
    while size := int(cursor.until(b"\r\n").partition(b";")[0], 16):
        chunks.append(cursor.take(size))
        if cursor.until(b"\r\n"):
            raise CutError
    while line := cursor.until(b"\r\n"):
        message.trailers.append(_field(line.decode("utf-8", "surrogateescape")))


def _frames(cursor: _Cursor) -> Iterator[Frame]:
    """The whole frames that are left."""
    while not cursor.is_at_end:
        try:
            yield _frame(cursor)
        except CutError:
            return


def _frame(cursor: _Cursor) -> Frame:
    first, second = cursor.exactly(2)
    size = second & 0x7F
    if size >= 126:
        size = int.from_bytes(cursor.exactly(2 if size == 126 else 8), "big")
    mask = cursor.exactly(4) if second & 0x80 else bytes(4)
    payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(cursor.exactly(size)))
    return Frame(first >> 4, first & 0x0F, payload)
