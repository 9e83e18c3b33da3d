"""A body on its way up, as it comes: a task, since the answer may come before its end."""

import asyncio
from collections.abc import AsyncIterable
from typing import Protocol

from proxy.edge.chunking import LAST_CHUNK, chunk


class Outlet(Protocol):
    """Whatever the body goes out through."""

    def write(self, data: bytes) -> None:
        """Send, or keep for sending."""
        ...

    async def room(self) -> bool:
        """Wait until what was written has mostly gone out; False when nothing will any more."""
        ...

    def body_ended(self, failure: Exception | None) -> None:
        """The body is written to its end, or never will be."""
        ...


class Upload:
    """Writes a body in the chunked coding, or where `length` is given as it is."""

    __slots__ = ("_left", "_outlet", "_parts", "_task")

    def __init__(self, outlet: Outlet, parts: AsyncIterable[bytes], length: int | None) -> None:
        self._outlet = outlet
        self._parts = parts
        self._left = length
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Ask the body for no more, and wait until it has understood."""
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def _run(self) -> None:
        try:
            async for part in self._parts:
                if part:
                    self._outlet.write(self._framed(part))
                if not await self._outlet.room():
                    return
            self._finish()
        except Exception as failure:  # noqa: BLE001 - the caller's own, and told the caller
            self._outlet.body_ended(failure)
        else:
            self._outlet.body_ended(None)

    def _framed(self, part: bytes) -> bytes:
        if self._left is None:
            return chunk(part)
        if len(part) > self._left:
            raise ValueError("the body is longer than its Content-Length")
        self._left -= len(part)
        return part

    def _finish(self) -> None:
        if self._left is None:
            self._outlet.write(LAST_CHUNK)
        elif self._left:
            raise ValueError("the body is shorter than its Content-Length")
