"""A TCP relay in front of a real server, to decide the order in which answers arrive."""

import asyncio
from types import TracebackType
from typing import Self

from redis_server import HOST


class Relay:
    """Relays to `port` on loopback. Use as an async context manager.

    `seen` collects what clients sent. After `hold(word)`, the answer on the first connection that
    sends `word` is kept back (`held` is set) until `release`; all others go on. While frozen,
    nothing crosses and no connection is closed: a network that swallows packets. After `cut`,
    connections that send `word` are closed in the middle of it, or before its answer.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._word: bytes | None = None
        self._awaited = b""
        self._passed = asyncio.Event()
        self._go = asyncio.Event()
        self._go.set()
        self._thawed = asyncio.Event()
        self._thawed.set()
        self.held = asyncio.Event()
        self._cut = (b"", 0.0, 0)
        self.seen = bytearray()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, HOST, 0)
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
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}"

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def passes(self, word: bytes) -> None:
        """Return right after a client has sent `word` once more."""
        self._awaited = word
        self._passed.clear()
        await self._passed.wait()

    def hold(self, word: bytes) -> None:
        self._word = word
        self._go.clear()
        self.held.clear()

    def cut(self, word: bytes, share: float, times: int = 1) -> None:
        """Let only this share of what has `word` in it through; 1.0 is all, and no answer."""
        self._cut = (word, share, times)

    def release(self) -> None:
        self._word = None
        self._go.set()

    def lead_to(self, port: int) -> None:
        """Where new connections go; those there are stay."""
        self._target = port

    def freeze(self) -> None:
        self._thawed.clear()

    def thaw(self) -> None:
        self._thawed.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        far_reader, far_writer = await asyncio.open_connection(HOST, self._target)
        asked, last = asyncio.Event(), asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._up(reader, far_writer, asked, last))
                group.create_task(self._down(far_reader, writer, asked, last))
        except* OSError:
            pass
        finally:
            writer.close()
            far_writer.close()

    async def _up(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        asked: asyncio.Event,
        last: asyncio.Event,
    ) -> None:
        while chunk := await reader.read(65536):
            await self._thawed.wait()
            self.seen += chunk
            if self._awaited in chunk:
                self._passed.set()
            if self._word is not None and self._word in chunk:
                asked.set()
                self._word = None
            word, share, times = self._cut
            if times and word in chunk:
                self._cut = (word, share, times - 1)
                if share < 1:
                    writer.write(chunk[: int(share * len(chunk))])
                    await writer.drain()
                    raise ConnectionResetError
                last.set()
            writer.write(chunk)
        writer.write_eof()

    async def _down(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        asked: asyncio.Event,
        last: asyncio.Event,
    ) -> None:
        while chunk := await reader.read(65536):
            await self._thawed.wait()
            if last.is_set():
                raise ConnectionResetError
            if asked.is_set():
                asked.clear()
                self.held.set()
                await self._go.wait()
            writer.write(chunk)
        writer.close()
