"""How a connection ends when its message does not: at once, and never like a good end.

`close` waits until everything written has gone out. From a peer that takes nothing, that is
never; and what has gone out then looks like an end.
"""

import asyncio
import socket
import struct

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
    if not transport.get_write_buffer_size():
        return

    def look() -> None:
        if transport.is_closing():
            transport.abort()

    asyncio.get_running_loop().call_later(seconds, look)
