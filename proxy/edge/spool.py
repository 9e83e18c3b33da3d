"""Where a body waits whose `model` comes late: memory first, then a file nobody else can open."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from typing import BinaryIO

from proxy.core.errors import ProxyError, Situation

IN_MEMORY = 256 * 1024
"""Bytes of one body kept in memory: most requests with an inlined picture's head, none whole."""

_READ = 256 * 1024


class SpoolBudget:
    """Space shared by all spools of a process, in bytes: the sum is bounded, not the number."""

    def __init__(self, total: int) -> None:
        self._free = total

    def take(self, size: int) -> None:
        """Reserve space. Raises `ProxyError` (`BUSY`) when there is not enough."""
        if size > self._free:
            raise ProxyError(
                Situation.BUSY,
                "Too many large bodies name their model late; put `model` first, or try again.",
            )
        self._free -= size

    def give_back(self, size: int) -> None:
        """Return space that was taken."""
        self._free += size


class Spool:
    """The head of one body, written then read back once. Close it whatever happens."""

    def __init__(self, budget: SpoolBudget) -> None:
        self._budget = budget
        self._size = 0
        self._memory: list[bytes] = []
        self._file: BinaryIO | None = None

    @property
    def is_in_memory(self) -> bool:
        """Whether reading it back needs no file."""
        return self._file is None

    async def write(self, data: bytes) -> None:
        """Keep `data`. Raises `ProxyError` (`BUSY`) when the budget is spent or the disk full."""
        self._budget.take(len(data))
        self._size += len(data)
        if self._file is None and self._size <= IN_MEMORY:
            self._memory.append(data)
            return
        try:
            await asyncio.to_thread(self._write_out, data)
        except OSError as error:
            raise ProxyError(
                Situation.BUSY, "No space for a body whose model comes late; put `model` first."
            ) from error

    async def drain(self) -> AsyncIterator[bytes]:
        """Yield what was written, in order, and let go of it."""
        if self._file is None:
            joined = b"".join(self._memory)
            self.close()
            if joined:
                yield joined
            return
        await asyncio.to_thread(self._file.seek, 0)
        while data := await asyncio.to_thread(self._file.read, _READ):
            yield data
        self.close()

    def close(self) -> None:
        """Give memory, file and budget back. Safe to call twice."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._memory.clear()
        self._budget.give_back(self._size)
        self._size = 0

    def _write_out(self, data: bytes) -> None:
        """Move to a file, which has no name: it is gone with the process, whatever happens."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by `close`
            data = b"".join((*self._memory, data))
            self._memory.clear()
        self._file.write(data)
