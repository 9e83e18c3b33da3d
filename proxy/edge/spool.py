"""Where a body waits whose `model` comes late: memory first, then a file nobody else can open."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from typing import Any, BinaryIO, ParamSpec, TypeVar

from proxy.core.errors import ProxyError, Situation

Given = ParamSpec("Given")
Result = TypeVar("Result")

IN_MEMORY = 256 * 1024
"""Bytes of one body kept in memory: most requests with an inlined picture's head, none whole.
What is more goes to the file, so much at a time: asking a thread costs as much as copying this."""

ADVICE = "Too many large bodies name their model late; put `model` first, or try again."

_ROOM = memoryview(bytearray(256 * 1024))
"""Where all are read back into, piece by piece: small enough to be sent on out of a cache."""

_NOWAIT: int | None = getattr(os, "RWF_NOWAIT", None)
"""Linux reads what it has in memory, and nothing that a disk would have to be asked for."""


class SpoolBudget:
    """Space shared by all spools of a process, in bytes: the sum is bounded, not the number.

    No tenant gets more than half of it, so that one who stalls does not stop the others.
    `advice` is what a client is told when there is not enough.
    """

    def __init__(self, total: int, advice: str = ADVICE) -> None:
        self._free = total
        self._advice = advice
        self._share = total // 2
        self._taken: dict[str, int] = {}

    def take(self, tenant: str, size: int) -> None:
        """Reserve space. Raises `ProxyError` (`BUSY`) when there is not enough."""
        taken = self._taken.get(tenant, 0) + size
        if size > self._free or taken > self._share:
            raise ProxyError(Situation.BUSY, self._advice)
        self._free -= size
        self._taken[tenant] = taken

    def give_back(self, tenant: str, size: int) -> None:
        """Return space that was taken."""
        self._free += size
        self._taken[tenant] = self._taken.get(tenant, 0) - size
        if not self._taken[tenant]:
            del self._taken[tenant]


class Spool:
    """The head of one tenant's body, written then read back once. Close it whatever happens.

    What fits into memory is this request's own; only the file counts against the budget. There,
    too, the end of what was written so far waits in memory until it is worth a turn.
    """

    def __init__(self, budget: SpoolBudget, tenant: str) -> None:
        self.tenant = tenant
        self._budget = budget
        self._reserved = 0  # for what is in the file
        self._memory: list[bytes] = []  # behind that
        self._unwritten = 0
        self._file: BinaryIO | None = None
        self._thread: asyncio.Future[Any] | None = None

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._reserved + self._unwritten

    @property
    def is_in_memory(self) -> bool:
        """Whether reading it back needs no file."""
        return self._file is None

    @property
    def is_open(self) -> bool:
        """Whether it still holds a file or a share of the budget."""
        return self._file is not None or bool(self._reserved)

    def keep(self, data: bytes) -> bool:
        """Keep `data` in memory, or tell that it has to be written out."""
        size = self._unwritten + len(data)
        if size > IN_MEMORY:
            return False
        self._unwritten = size
        if data:
            self._memory.append(data)
        return True

    def take(self) -> bytes:
        """What is in memory, all of it, and let go of everything."""
        kept = self._memory[0] if len(self._memory) == 1 else b"".join(self._memory)
        self.close()
        return kept

    async def write(self, data: bytes) -> None:
        """Keep `data`. Raises `ProxyError` (`BUSY`) when the budget is spent or the disk full."""
        if self.keep(data):
            return
        size = self._unwritten + len(data)
        self._budget.take(self.tenant, size)
        self._reserved += size
        waiting, self._memory, self._unwritten = self._memory, [], 0
        try:
            await asyncio.shield(self._start(self._write_out, (*waiting, data)))
        except OSError as error:
            raise ProxyError(
                Situation.BUSY, "No space for a body whose model comes late; put `model` first."
            ) from error

    async def drain(self) -> AsyncIterator[bytes]:
        """Yield what was written, in order, and let go of it."""
        if self._file is not None:
            at = 0
            while data := await self._read(self._file.fileno(), at):
                yield data
                at += len(data)
        if kept := self.take():
            yield kept

    def close(self) -> None:
        """Give memory, file and budget back, once a thread that is at it has ended.

        A thread closes the file, too: to let go of a gigabyte takes the kernel 0.2 s.
        """
        if self._thread is not None and not self._thread.done():
            self._thread.add_done_callback(lambda _: self.close())
            return
        if self._file is not None:
            self._start(self._file.close)
            self._file = None
        self._memory.clear()
        self._unwritten = 0
        if self._reserved:
            self._budget.give_back(self.tenant, self._reserved)
            self._reserved = 0

    async def _read(self, file: int, at: int) -> bytes:
        """A piece of the file from there on: without a thread where the kernel has it in memory.

        To ask a thread for each piece was 7 % of the CPU of an upload of half a gigabyte.
        """
        if _NOWAIT is not None:
            with suppress(OSError):  # a disk would have to be asked, or nobody can tell
                size = os.preadv(file, (_ROOM,), at, _NOWAIT)
                if size:  # Linux 5.9 and 5.10 tell of an end where there is none, see preadv2(2)
                    piece = bytes(_ROOM[:size])
                    await asyncio.sleep(0)  # upstream may take all at once, and nobody has a turn
                    return piece
        return await asyncio.shield(self._start(os.pread, file, len(_ROOM), at))

    def _start(
        self, work: Callable[Given, Result], *given: Given.args, **_: Given.kwargs
    ) -> asyncio.Future[Result]:
        """Run blocking work. To be shielded: a thread goes on when nobody waits for it any more."""
        running = asyncio.get_running_loop().run_in_executor(None, work, *given)
        self._thread = running
        return running

    def _write_out(self, parts: Iterable[bytes]) -> None:
        """Move to a file, which has no name: it is gone with the process, whatever happens."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by `close`
        for part in parts:
            left = memoryview(part)
            while left:  # a disk that is nearly full takes a part, and refuses the next one
                left = left[self._file.write(left) :]
