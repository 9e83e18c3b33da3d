"""One connection with both of its ends: ours as a transport, and a peer under a test's hand."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from edge.rig import PATIENCE, eventually


class End(asyncio.Protocol):
    """Our end of a connection; reads nothing."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # uvloop's is none by its class
        self.ours.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.is_lost = True

    @property
    def ours(self) -> asyncio.Transport:
        assert self.transport is not None
        return self.transport


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[End, socket.socket]]:
    """Our end, and a peer that does only what a test says."""
    loop = asyncio.get_running_loop()
    end = End()
    server = await loop.create_server(lambda: end, "127.0.0.1", 0)
    with socket.create_connection(server.sockets[0].getsockname()) as peer:
        peer.settimeout(PATIENCE)
        await eventually(lambda: end.transport)
        yield end, peer
    end.ours.abort()
    server.close()


def fill(end: End) -> None:
    """Write more than all buffers on the way take."""
    end.ours.write(bytes(2**25))
    assert end.ours.get_write_buffer_size()


def drain(peer: socket.socket) -> int:
    """How much comes until the end."""
    return sum(map(len, iter(partial(peer.recv, 2**20), b"")))
