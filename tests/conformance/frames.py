"""WebSockets by hand: a handshake and frames byte for byte as they stand here."""

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

from conformance.clients import BY_HAND
from conformance.operations import Answers, Place, Run
from conformance.relay import PATIENCE
from conformance.wire import Frame, answers_in

TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9

_HEAD = """\
GET %PATH% HTTP/1.1\r
X-Before: 1\r
uPGRADE: WebSocket\r
Connection: keep-alive, Upgrade\r
Host: %HOST%\r
X-DASHSCOPE-Tag: a; b\r
Authorization: Bearer %KEY%\r
Sec-WebSocket-Version: 13\r
Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r
User-Agent: by-hand/1\r
x-tag: 2\r
\r
"""


def frame(opcode: int, payload: bytes | str = b"", *, is_last: bool = True) -> bytes:
    """One masked frame of fewer than 65536 bytes."""
    data = payload.encode() if isinstance(payload, str) else payload
    is_short = len(data) < 126
    size = bytes([0x80 | len(data)]) if is_short else b"\xfe" + len(data).to_bytes(2, "big")
    mask = b"\x11\x22\x33\x44"
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
    return bytes([opcode | (0x80 if is_last else 0)]) + size + mask + masked


def closing(code: int, reason: str) -> bytes:
    """A goodbye."""
    return frame(CLOSE, code.to_bytes(2, "big") + reason.encode())


def framed(path: str, said: Sequence[tuple[bytes, bytes]]) -> dict[str, Run]:
    """Say each, and go on when a frame with the word has come; then wait for the end.

    A goodbye is answered with the same one, if none has been said.
    """

    async def run(at: Place) -> Answers:
        url = urlsplit(at.root)
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        words = {"PATH": path, "HOST": url.netloc, "KEY": at.key}
        head = _HEAD
        for name, value in words.items():
            head = head.replace(f"%{name}%", value)
        talk = _Talk(reader, writer)
        async with asyncio.timeout(PATIENCE):
            await talk.say(head.encode(), b"")
            for data, word in said:
                await talk.say(data, word)
            await talk.end()
        return [sum(one.opcode in {TEXT, BINARY} for one in talk.frames)]

    return {BY_HAND: run}


class _Talk:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._heard = b""
        self._has_left = False

    @property
    def frames(self) -> list[Frame]:
        answers = answers_in(self._heard, ["GET"], closed=False)
        return answers[0].frames if answers else []

    async def say(self, data: bytes, word: bytes) -> None:
        self._writer.write(data)
        self._has_left |= data[0] == 0x80 | CLOSE
        while word and not any(word in one.payload for one in self.frames):
            if not await self._hear():
                return

    async def end(self) -> None:
        while True:
            goodbyes = [one for one in self.frames if one.opcode == CLOSE]
            if goodbyes and not self._has_left:
                self._has_left = True
                self._writer.write(frame(CLOSE, goodbyes[0].payload))
            if not await self._hear():
                break
        self._writer.close()

    async def _hear(self) -> bool:
        try:
            data = await self._reader.read(65536)
        except ConnectionResetError:
            data = b""
        self._heard += data
        return bool(data)
