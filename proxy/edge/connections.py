"""How a connection ends when its message does not: at once, and never like a good end.

`close` waits until everything written has gone out. From a peer that takes nothing, that is
never; and what has gone out then looks like an end.
"""

import asyncio
import fcntl
import select
import socket
import struct
import termios

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey

WRITE_BUFFER = 64 * 1024
"""Bytes waiting to go out to a client, beyond which nothing more is read from upstream."""

_INT = struct.Struct("i")
_RESET = struct.pack("ii", 1, 0)
"""`SO_LINGER` on, for zero seconds: closing then sends RST."""


def reset(transport: asyncio.WriteTransport) -> None:
    """Break the connection off: unlike FIN, a reset ends no message, and waits for nobody."""
    connection: socket.socket | None = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


def close_within(transport: asyncio.WriteTransport, seconds: float) -> None:
    """Close; what was written goes out if the peer takes it in time."""
    transport.close()
    abort_if_closing(transport, seconds)


def abort_if_closing(transport: asyncio.WriteTransport, seconds: float) -> None:
    """Abort a connection that is still closing then, because its peer takes nothing."""

    def look() -> None:
        if transport.is_closing():
            transport.abort()

    if transport.get_write_buffer_size():
        asyncio.get_running_loop().call_later(seconds, look)


def not_taken(transport: asyncio.WriteTransport) -> int:
    """Bytes written that the peer has not taken, those in the kernel included.

    It takes megabytes to make room in a kernel's buffer, and a slow peer hours to take them: its
    progress shows in there long before it shows here.
    """
    connection: socket.socket | None = transport.get_extra_info("socket")
    if connection is None or connection.fileno() < 0:
        return 0
    queued = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(_INT.size))
    return transport.get_write_buffer_size() + int(_INT.unpack(queued)[0])


def has_hung_up(transport: asyncio.BaseTransport) -> bool:
    """Whether the peer's end is in the kernel, though nobody reads as far as that."""
    connection: socket.socket | None = transport.get_extra_info("socket")
    if connection is None or connection.fileno() < 0:
        return True
    look = select.poll()
    look.register(connection.fileno(), select.POLLRDHUP)
    return bool(look.poll(0))


class Connector(aiohttp.TCPConnector):
    """Gives connections up at once; aiohttp's own first waits for an upload to go out."""

    def _release(
        self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False
    ) -> None:
        transport = protocol.transport
        if should_close and transport is not None and transport.get_write_buffer_size():
            reset(transport)
        super()._release(key, protocol, should_close=should_close)
