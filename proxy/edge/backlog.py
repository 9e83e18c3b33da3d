"""What was written to a connection and not taken yet: how much may be, and how much is."""

import asyncio
import fcntl
import struct
import termios

WRITE_BUFFER = 8 * 1024
"""Bytes waiting to go out to a client, beyond which nothing more is read from upstream. What a
client is behind by waits in the kernel, which has megabytes for it; here it would be ours."""

_INT = struct.Struct("i")


def not_taken(transport: asyncio.WriteTransport) -> int:
    """Bytes written that the peer has not taken, those in the kernel included.

    It takes megabytes to make room in a kernel's buffer, and a slow peer hours to take them: its
    progress shows in there long before it shows here.
    """
    connection = transport.get_extra_info("socket")
    if connection is None or connection.fileno() < 0:
        return 0
    queued = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(_INT.size))
    return transport.get_write_buffer_size() + int(_INT.unpack(queued)[0])
