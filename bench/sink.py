"""A lean upstream that takes bodies: `python -m bench.sink`. It answers when all of one is here."""

import asyncio
import re
from typing import cast

from bench.configs import CALL

ANSWER = (
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    f"Content-Length: {len(CALL)}\r\n\r\n{CALL}"
).encode()

ROOM = 1 << 20
"""Bytes read at once: a call of Python for each 64 KiB would be what is measured."""


class Sink(asyncio.BufferedProtocol):
    """One connection, one request after the other, each with a length."""

    def __init__(self) -> None:
        self._room = memoryview(bytearray(ROOM))
        self._head = b""
        self._missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BufferedProtocol`."""
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """See `asyncio.BufferedProtocol`."""
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        """Count; the head is looked at once it is whole."""
        if not self._missing:
            self._head += bytes(self._room[:nbytes])
            head, found, body = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
            if length is None:
                raise ValueError(head)
            self._head, nbytes, self._missing = b"", len(body), int(length[1])
        self._missing -= nbytes
        if not self._missing:
            self._transport.write(ANSWER)


async def main() -> None:
    """Serve on a free port, print it, go on until killed."""
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)  # noqa: T201 - read by the parent
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
