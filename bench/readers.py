"""Readers of event streams: clients that note when each event came, and may be slow."""

import asyncio
import socket
from collections.abc import Sequence
from functools import partial
from typing import cast
from urllib.parse import urlsplit

from bench.contestants import Contestant
from bench.frames import Reading
from bench.load import CALL
from bench.machine import resident

SMALL_BUFFER = 32 * 1024
"""Bytes that a slow reader's kernel takes ahead of it."""

PATIENCE = 30.0
"""Seconds until every stream must have begun."""


class Reader(asyncio.Protocol):
    """One client and what it read. `nap` is seconds of sleep after each read."""

    def __init__(self, kind: str, token: str, nap: float = 0.0) -> None:
        self.reading = Reading()
        self.over = asyncio.get_running_loop().create_future()
        self._body = b'{"model":"m","input":{"kind":"%b"}}' % kind.encode()
        self._token = token
        self._nap = nap
        self._head: bytes | None = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        self._transport = cast("asyncio.Transport", transport)
        head = (
            f"POST {CALL.path} HTTP/1.1\r\nHost: soak\r\nAuthorization: Bearer {self._token}\r\n"
            "Content-Type: application/json\r\nX-DashScope-SSE: enable\r\n"
            f"Content-Length: {len(self._body)}\r\n\r\n"
        )
        self._transport.write(head.encode() + self._body)

    def data_received(self, data: bytes) -> None:
        """Read what came behind the head, then sleep if that is this reader's way."""
        if self._head is not None:
            self._head += data
            head, found, data = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode())
            self._head = None
        self.reading.feed(data)
        if self.reading.is_whole:
            self._transport.close()
        elif self._nap:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(self._nap, self._transport.resume_reading)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """See `asyncio.Protocol`."""
        if not self.over.done():
            self.over.set_result(None)

    def wake(self) -> None:
        """Be slow no more."""
        self._nap = 0.0

    def leave(self) -> None:
        """Hang up."""
        self._transport.abort()


async def opened(url: str, kind: str, token: str, count: int, nap: float = 0.0) -> list[Reader]:
    """So many readers of one kind, connected one after the other."""
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    readers = []
    for _ in range(count):
        end = socket.socket()
        end.setblocking(False)  # noqa: FBT003 - its only form
        if nap:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        await loop.sock_connect(end, (parts.hostname, parts.port))
        made = partial(Reader, kind, token, nap)
        _, reader = await loop.create_connection(made, sock=end)
        readers.append(reader)
    return readers


async def begun(readers: Sequence[Reader]) -> None:
    """Return when every stream has said something. Raises `TimeoutError`."""
    async with asyncio.timeout(PATIENCE):
        while not all(reader.reading.chunks for reader in readers):  # noqa: ASYNC110 - counted elsewhere
            await asyncio.sleep(0.05)


async def idle(contestant: Contestant, streams: int) -> int:
    """Bytes that a contestant grows by for so many streams that say nothing after one frame."""
    before = resident(contestant.pid)
    readers = await opened(contestant.url, "idle", contestant.token, streams)
    await begun(readers)
    grown = resident(contestant.pid) - before
    for reader in readers:
        reader.leave()
    return grown
