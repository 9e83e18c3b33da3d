"""Connections that end without ending a message: at once, visibly, seen while nobody reads."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from edge.rig import PATIENCE, eventually

from proxy.edge.connections import abort_if_closing, close_within, has_hung_up, reset


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


async def test_a_reset_is_no_end() -> None:
    """The peer is told of a break, not of an end, and at once, whatever waits to go out."""
    async with pair() as (end, peer):
        fill(end)
        reset(end.ours)
        await eventually(lambda: end.is_lost)
        with pytest.raises(ConnectionResetError):
            drain(peer)


@pytest.mark.parametrize("how", ["close", "shutdown"])
async def test_a_peer_that_left_is_seen_while_nobody_reads(how: str) -> None:
    """An end behind bytes nobody reads is seen; a peer that only waits has not hung up."""
    async with pair() as (end, peer):
        peer.send(b"some bytes")
        assert not has_hung_up(end.ours)
        if how == "close":
            peer.close()
        else:
            peer.shutdown(socket.SHUT_WR)
        await eventually(lambda: has_hung_up(end.ours))
        assert not end.is_lost


async def test_closing_lets_out_what_was_written() -> None:
    """A peer that reads gets all of it, then the end."""
    async with pair() as (end, peer):
        fill(end)
        close_within(end.ours, PATIENCE)
        assert await asyncio.to_thread(drain, peer) == 2**25


async def test_closing_waits_so_long_only() -> None:
    """A peer that takes nothing keeps no connection beyond its time."""
    async with pair() as (end, _):
        fill(end)
        close_within(end.ours, 0.05)
        assert not end.is_lost
        await eventually(lambda: end.is_lost)


async def test_what_is_not_closing_is_left_alone() -> None:
    """A connection that goes on is not cut for being slow."""
    async with pair() as (end, peer):
        fill(end)
        abort_if_closing(end.ours, 0)
        size = 0
        while size < 2**25:
            size += len(await asyncio.to_thread(peer.recv, 2**20))
        assert not end.is_lost


async def test_a_lost_connection_has_no_peer() -> None:
    """A transport that has lost its socket has lost its peer."""
    async with pair() as (end, _):
        end.ours.abort()
        await eventually(lambda: end.is_lost)
        assert has_hung_up(end.ours)
