"""A lean source of event streams: `python -m bench.source SECONDS`.

What a stream is like stands in the request's body: `"ordinary"`, `"steady"`, `"large"` or `"idle"`.
It goes on for so many seconds, or as long as its reader is behind, and ends well.
"""

import asyncio
import socket
import sys
from typing import cast

from bench.frames import END, HEAD, LARGE, LARGE_PER_TIME, PER_SECOND, SMALL, STEADY, chunk

SMALL_BUFFER = 32 * 1024
"""Bytes that the kernel takes ahead of the proxy: a stream that is slowed is soon seen to be."""


class Source(asyncio.Protocol):
    """One connection, one stream."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._asked = b""
        self._number = 0
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._telling: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """See `asyncio.Protocol`."""
        if self._telling:
            self._telling.cancel()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._may_write.set()

    def data_received(self, data: bytes) -> None:
        """Begin when all of the request is here: its body ends in braces."""
        self._asked += data
        if self._telling is None and self._asked.endswith(b"}}"):
            self._telling = asyncio.create_task(self._tell())

    async def _tell(self) -> None:
        self._transport.write(HEAD)
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._seconds
        pause = 1 / (STEADY if b'"steady"' in self._asked else PER_SECOND)
        while loop.time() < ends:
            self._say()
            await asyncio.sleep(pause)
            await self._may_write.wait()
        self._transport.write(END)
        self._transport.close()

    def _say(self) -> None:
        """One write, of as many chunks as it is the stream's turn to say."""
        if b'"idle"' in self._asked:
            count, padding = int(not self._number), SMALL
        elif b'"large"' in self._asked:
            count, padding = LARGE_PER_TIME, LARGE
        elif b'"steady"' in self._asked:
            count, padding = 1, SMALL
        else:
            count, padding = 1 + self._number % 2, SMALL
        numbers = range(self._number, self._number + count)
        self._transport.write(b"".join(chunk(number, padding) for number in numbers))
        self._number += count


async def main() -> None:
    """Serve on a free port, print it, go on until killed."""
    seconds = float(sys.argv[1])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Source(seconds), "127.0.0.1", 0, backlog=1000)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)  # noqa: T201 - read by the parent
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
