"""A TCP relay that changes nothing and keeps every byte, so that no client has to cooperate.

async with Relay(lambda: sandbox.url) as relay:
    ...  # let a client talk to relay.url
for exchange in relay.exchanges(): ...
"""

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from conformance.wire import Message, answers_in, requests_in

PATIENCE = 30.0
"""Seconds until a wait for bytes is given up."""


@dataclass
class Tape:
    """One connection: the bytes of either direction, and how the answering side ended it.

    `marks` says at which tick of the relay's clock which byte of `up` arrived.
    """

    up: bytearray = field(default_factory=bytearray)
    down: bytearray = field(default_factory=bytearray)
    marks: list[tuple[int, int]] = field(default_factory=list)
    end: str = "open"

    @property
    def is_socket(self) -> bool:
        """Whether it became a WebSocket."""
        return self.down.startswith(b"HTTP/1.1 101 ")

    def exchanges(self) -> Iterator[tuple[int, "Exchange"]]:
        """Each request with its answer and the tick at which it began."""
        asked = list(requests_in(bytes(self.up)))
        answers = answers_in(
            bytes(self.down), [message.method for _, message in asked], closed=self.end == "closed"
        )
        for number, (start, request) in enumerate(asked):
            answer = answers[number] if number < len(answers) else None
            tick = max(tick for offset, tick in self.marks if offset <= start)
            yield tick, Exchange(request, answer, self.end)


@dataclass(frozen=True)
class Exchange:
    """A request and its answer, None where none came; `end` is how the connection ended."""

    request: Message
    answer: Message | None
    end: str


class Relay:
    """Relays to the root URL that `target` gives when a client connects."""

    def __init__(self, target: Callable[[], str]) -> None:
        self.tapes: list[Tape] = []
        self._target = target
        self._ticks = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._grown = asyncio.Event()

    @property
    def url(self) -> str:
        """Root URL to talk to."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def exchanges(self) -> list[Exchange]:
        """Everything that was said, in the order in which requests began."""
        found = [pair for tape in self.tapes for pair in tape.exchanges()]
        return [exchange for _, exchange in sorted(found, key=lambda pair: pair[0])]

    async def answered(self, size: int) -> None:
        """Return when the latest answer has brought `size` bytes of body past this relay."""
        async with asyncio.timeout(PATIENCE):
            while self._latest() < size:
                await self._grown.wait()

    async def sockets_closed(self) -> None:
        """Return when every WebSocket has come to its end: the last frames come late."""
        async with asyncio.timeout(PATIENCE):
            while any(tape.is_socket and tape.end == "open" for tape in self.tapes):
                self._grown.clear()
                await self._grown.wait()

    def _latest(self) -> int:
        self._grown.clear()
        latest = [answer for exchange in self.exchanges()[-1:] if (answer := exchange.answer)]
        return sum(len(answer.body) for answer in latest)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        parts = urlsplit(self._target())
        far_reader, far_writer = await asyncio.open_connection(parts.hostname, parts.port)
        tape = Tape()
        self.tapes.append(tape)
        ways = [
            asyncio.create_task(self._carry_up(tape, reader, far_writer)),
            asyncio.create_task(self._carry_down(tape, far_reader, writer)),
        ]
        try:
            await asyncio.gather(*ways)
        except (ConnectionError, asyncio.CancelledError):
            pass  # one side has left, or the relay is over
        finally:
            for way in ways:
                way.cancel()
            _close(writer, reset=tape.end == "reset")
            far_writer.transport.abort()

    async def _carry_up(
        self, tape: Tape, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(65536):
            self._ticks += 1
            tape.marks.append((len(tape.up), self._ticks))
            tape.up += data
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    async def _carry_down(
        self, tape: Tape, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while data := await reader.read(65536):
                tape.down += data
                writer.write(data)
                self._grown.set()
                await writer.drain()
            tape.end = "closed"
            writer.write_eof()
        except ConnectionError:
            tape.end = "reset"
            raise
        finally:
            self._grown.set()


def _close(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    """Close; with a reset where the other side was reset, or an end would look like an order."""
    if reset:
        connection: socket.socket = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    else:
        writer.close()
