"""WebSockets spoken byte for byte, on both sides of a gateway.

    async with scripted(echoing) as upstream, rig(upstream.url) as made:
        async with shaken(made.url) as client:
            await client.say(run_task("t1", "cosyvoice-v2"))
            event = await client.hear()

What a library would do by itself (answer pings and closes, put fragments together) is done here
only where a test says so.
"""

import base64
import hashlib
import json
import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from edge.rig import TOKEN, Client, Conversation, Message, Wire, calling, head_of

INFERENCE = "/api-ws/v1/inference"
REALTIME = "/api-ws/v1/realtime?model=qwen-omni"

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass(frozen=True)
class Heard:
    """One frame as it came."""

    kind: int
    data: bytes
    is_last: bool = True

    @property
    def code(self) -> int:
        """Of a close: its code, 1005 for none."""
        assert self.kind == CLOSE, self
        return int(struct.unpack(">H", self.data[:2])[0]) if self.data else 1005

    @property
    def reason(self) -> str:
        assert self.kind == CLOSE, self
        return self.data[2:].decode()

    def json(self) -> dict[str, dict[str, object]]:
        assert self.kind == TEXT, self
        value: dict[str, dict[str, object]] = json.loads(self.data)
        return value

    @property
    def event(self) -> tuple[object, object]:
        """Of a task's event: what, and of which task."""
        header = self.json()["header"]
        return header["event"], header["task_id"]


def frame(kind: int, data: bytes = b"", *, is_last: bool = True, masked: bool = True) -> bytes:
    """A frame on the wire."""
    head = bytes([0x80 * is_last | kind])
    mask = os.urandom(4) if masked else b""
    flag = 0x80 * masked
    if len(data) < 126:
        head += bytes([flag | len(data)])
    elif len(data) < 65536:
        head += bytes([flag | 126]) + struct.pack(">H", len(data))
    else:
        head += bytes([flag | 127]) + struct.pack(">Q", len(data))
    return head + mask + (unmasked(data, mask) if masked else data)


def unmasked(data: bytes, mask: bytes) -> bytes:
    key = (mask * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(len(data), "big")


def closing(code: int | None, reason: str = "") -> bytes:
    """What a close frame holds."""
    return b"" if code is None else struct.pack(">H", code) + reason.encode()


class End:
    """One end of an open WebSocket. Clients mask what they send, servers do not."""

    def __init__(self, wire: Wire, *, masked: bool) -> None:
        self.wire = wire
        self._masked = masked

    async def say(self, what: bytes | str | dict[str, object], kind: int | None = None) -> None:
        """Send text or, with bytes, a binary message; in one frame."""
        if isinstance(what, dict):
            what = json.dumps(what)
        given = TEXT if isinstance(what, str) else BINARY
        data = what.encode() if isinstance(what, str) else what
        await self.wire.send(frame(kind or given, data, masked=self._masked))

    async def close(self, code: int | None, reason: str = "") -> None:
        await self.wire.send(frame(CLOSE, closing(code, reason), masked=self._masked))

    async def hear(self) -> Heard:
        """The next frame, whatever it is."""
        first, second = await self.wire.take(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack(">H", await self.wire.take(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", await self.wire.take(8))
        assert bool(second & 0x80) is not self._masked, "clients mask, servers do not"
        assert not first & 0x70, "no extension was agreed on"
        mask = await self.wire.take(4) if second & 0x80 else b""
        data = await self.wire.take(size)
        return Heard(first & 0x0F, unmasked(data, mask) if mask else data, bool(first & 0x80))


class SocketClient(End):
    """The client's end, with the answer to its handshake."""

    def __init__(self, wire: Wire, answer: Message) -> None:
        super().__init__(wire, masked=True)
        self.answer = answer


def handshake(path: str = INFERENCE, *fields: bytes, token: str | None = TOKEN) -> bytes:
    """A client's request for a WebSocket."""
    key = base64.b64encode(os.urandom(16))
    asks = [b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Version: 13"]
    return head_of("GET", path, *asks, b"Sec-WebSocket-Key: " + key, *fields, token=token)


async def shake(client: Client, path: str = INFERENCE, *fields: bytes) -> SocketClient:
    """Shake hands on a connection; it must be granted."""
    await client.send(handshake(path, *fields))
    answer = Message(await client.head())
    assert answer.status == 101, answer.head
    return SocketClient(client, answer)


@asynccontextmanager
async def shaken(url: str, path: str = INFERENCE, *fields: bytes) -> AsyncIterator[SocketClient]:
    """An open WebSocket through the proxy."""
    async with calling(url) as client:
        yield await shake(client, path, *fields)


async def accept(told: Conversation, *fields: bytes) -> End:
    """Upstream's answer to a handshake that was asked for."""
    key = told.request.value("sec-websocket-key")
    assert key is not None
    accepted = base64.b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324 - RFC 6455's choice
    lines = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade"]
    lines += [b"Sec-WebSocket-Accept: " + accepted, *fields]
    await told.send(b"\r\n".join(lines) + b"\r\n\r\n")
    return End(told, masked=False)


def run_task(task_id: str, model: str | None, **more: object) -> dict[str, object]:
    """The frame that begins a task."""
    payload = {"task": "x", **({"model": model} if model is not None else {}), **more}
    return {"header": {"action": "run-task", "task_id": task_id}, "payload": payload}


def go_on(task_id: str, action: str = "continue-task", **payload: object) -> dict[str, object]:
    """A frame of a task that runs."""
    return {"header": {"action": action, "task_id": task_id}, "payload": payload}


def event(kind: str, task_id: str) -> dict[str, object]:
    """What upstream tells of a task."""
    return {"header": {"event": kind, "task_id": task_id}, "payload": {}}


class Obeying:
    """An upstream that starts and finishes tasks as asked, and sends bytes back.

    Of everything else it says nothing. A close is answered by the same. `heard` is every frame.
    """

    def __init__(self) -> None:
        self.heard: list[Heard] = []

    def was_told(self, text: str) -> bool:
        """Whether any frame had this in it."""
        return any(text.encode() in one.data for one in self.heard)

    async def __call__(self, told: Conversation) -> None:
        end = await accept(told)
        while True:
            heard = await end.hear()
            self.heard.append(heard)
            if heard.kind == CLOSE:
                await end.close(None if heard.code == 1005 else heard.code)
                told.writer.close()
                return
            if heard.kind == BINARY:
                await end.say(heard.data)
            if heard.kind == TEXT:
                header = heard.json().get("header", {})
                told_of = {"run-task": "task-started", "finish-task": "task-finished"}
                if header.get("action") in told_of:
                    kind = told_of[str(header["action"])]
                    await end.say(event(kind, str(header["task_id"])))


async def obeying(told: Conversation) -> None:
    """The same, for who does not look at what it heard."""
    await Obeying()(told)
