"""A client that reads slowly: upstream waits, memory does not grow, nothing is lost.

How much a proxy holds itself is counted: what upstream sent, less what lies in the kernel's
buffers on the way and with the client.
"""

import asyncio
import dataclasses
import fcntl
import socket
import struct
import termios
from contextlib import suppress
from pathlib import Path

import pytest
from edge.rig import (
    BODY,
    LIMITS,
    PLAIN,
    Conversation,
    calling,
    eventually,
    request,
    rig,
    scripted,
    settled,
)

from proxy.edge.backlog import WRITE_BUFFER
from proxy.edge.transport.answers import READ_BUFFER

READ = 256 * 1024
"""Bytes that are taken from a socket at a time, of an answer with a length."""

PIECE = 10_000
PIECES = 6_000
"""Sixty megabytes: more than all the kernel's buffers take."""

HELD = {
    "length": WRITE_BUFFER + READ_BUFFER + 2 * READ,
    "chunks": WRITE_BUFFER + READ_BUFFER + 4 * PIECE,
}
"""Bytes of one answer in the proxy at most: written and not gone, read and not written, what one
read brought beyond that, and the piece that is on its way from one to the other. A stream has
chunks: whatever upstream sends at a time, it is read in small pieces."""


def queued(descriptor: int, what: int) -> int:
    """Bytes in one of a socket's two queues; none in those of a socket that only listens."""
    with suppress(OSError):
        number: int = struct.unpack("i", fcntl.ioctl(descriptor, what, bytes(4)))[0]
        return number
    return 0


def in_the_kernel() -> int:
    """Bytes sent and not read, on all connections of this process: both ends are in it."""
    ends = [int(one.name) for one in Path("/proc/self/fd").iterdir() if one.is_socket()]
    return sum(queued(end, termios.FIONREAD) + queued(end, termios.TIOCOUTQ) for end in ends)


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_what_a_sleeping_client_does_not_take_stays_outside(framing: str) -> None:
    """Upstream stalls, the proxy holds no more than `HELD`; awake, the client gets every byte."""
    sent = 0
    piece = b"x" * PIECE
    if framing == "chunks":
        piece = b"%x\r\n%b\r\n" % (PIECE, piece)

    async def script(told: Conversation) -> None:
        nonlocal sent
        await told.whole()
        if framing == "length":
            await told.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (PIECE * PIECES))
        else:
            await told.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        told.writer.transport.set_write_buffer_limits(0)
        for _ in range(PIECES):
            told.writer.write(piece)
            sent += len(piece)
            await told.writer.drain()
        if framing == "chunks":
            await told.send(b"0\r\n\r\n")

    async with (
        scripted(script) as upstream,
        rig(upstream.url) as made,
        calling(made.url) as client,
    ):
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]  # noqa: SLF001 - a client asleep
        await client.send(request("POST", PLAIN, BODY))
        await eventually(lambda: sent > HELD[framing])
        await settled(lambda: sent)
        assert sent < PIECE * PIECES
        assert sent - in_the_kernel() < HELD[framing] + 2 * PIECE
        client.reader._transport.resume_reading()  # type: ignore[attr-defined]  # noqa: SLF001 - awake
        await client.head()
        left = PIECE * PIECES
        while left:
            size = PIECE
            if framing == "chunks":  # one that came with a pause in it may be in parts
                size = int(await client.until(b"\r\n"), 16)
            assert 0 < size <= PIECE
            assert await client.take(size) == b"x" * size
            if framing == "chunks":
                assert await client.take(2) == b"\r\n"
            left -= size


async def test_whoever_takes_a_little_is_not_cut_off() -> None:
    """The write timeout is for who takes nothing: a byte of progress begins it anew."""
    limits = dataclasses.replace(LIMITS, write_timeout=0.4)
    left = asyncio.Event()

    async def script(told: Conversation) -> None:
        await told.whole()
        await told.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % 2**30)
        try:
            while True:
                await told.send(bytes(2**16))
        finally:
            left.set()

    loop = asyncio.get_running_loop()
    async with scripted(script) as upstream, rig(upstream.url, limits=limits) as made:
        host, _, port = made.url.removeprefix("http://").partition(":")
        with socket.socket() as end:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            end.setblocking(False)  # noqa: FBT003 - its only form
            await loop.sock_connect(end, (host, int(port)))
            await loop.sock_sendall(end, request("POST", PLAIN, BODY))
            ends = loop.time() + 5 * limits.write_timeout
            while loop.time() < ends:
                assert await loop.sock_recv(end, 8192)
                await asyncio.sleep(0.05)
            assert not made.telemetry.visits, "cut off while it read"
            visit = await made.finished()
            assert visit.status == 499
            await asyncio.wait_for(left.wait(), 10)
