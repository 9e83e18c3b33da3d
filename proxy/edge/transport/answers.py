"""An answer whose body is still coming: what has come, in upstream's chunks, until it is taken."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Protocol, Self

from proxy.ports import Headers

READ_BUFFER = 8 * 1024
"""Bytes of an answer that may wait for a slow client; what one read brought in comes on top."""

LARGE = 64 * 1024
"""Bytes of a chunk that does not wait for its end."""

REST = 0.05
"""Seconds that the beginning of a chunk waits for its end. A read ends anywhere; what one write
of upstream's brought should leave in one, and what takes longer than this to come does not wait."""

_OVERHEAD = 64
"""Bytes that a piece takes beside its own: a body of tiny chunks is mostly this."""


class Flow(Protocol):
    """Whatever the answer comes through."""

    def hold_back(self) -> None:
        """Let nothing more come for now."""
        ...

    def go_on(self) -> None:
        """Let it come again."""
        ...


class Answer:
    """The `Reply` port. The connection fills it, the client empties it. `rest` is like `REST`."""

    __slots__ = (
        *("_failure", "_flow", "_held", "_is_held_back", "_is_over", "_part", "_pieces", "_rest"),
        *("_rested", "_waiter", "headers", "reason", "status"),
        "__weakref__",
    )

    def __init__(
        self, status: int, reason: str, headers: Headers, flow: Flow, rest: float = REST
    ) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self._flow = flow
        self._rest = rest
        self._rested: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._pieces: deque[bytes] = deque()
        self._part = b""
        self._held = 0
        self._is_held_back = False
        self._is_over = False
        self._failure: Exception | None = None

    # -- what the connection tells -----------------------------------------------------------

    def add(self, piece: bytes) -> None:
        """Take in bytes of a body that has no chunks."""
        self._pieces.append(piece)
        self._held += len(piece) + _OVERHEAD
        if self._held > READ_BUFFER:
            self._hold_back()
        self._wake()

    def add_part(self, part: bytes) -> None:
        """Take in bytes of a chunk, which may go on."""
        self._part += part
        if len(self._part) >= LARGE:
            self.end_chunk()

    def end_read(self) -> None:
        """No more has come for now: who waits does not wait long for the rest of a chunk."""
        if self._part and self._waiter is not None and self._rested is None:
            self._wait_for_the_rest()

    def end_chunk(self) -> None:
        """Let what has come of a chunk leave as a piece."""
        part = self._part
        if part:
            self._part = b""
            self.add(part)

    def end(self) -> None:
        """The body is all here: what comes through the flow now is none of it."""
        if self._part:
            self.end_chunk()
        self._is_over = True
        if self._is_held_back:
            self._go_on()
        self._wake()

    def fail(self, failure: Exception) -> None:
        """End `chunks` with this behind what has come, unless the body is all here."""
        if not self._is_over:
            self._failure = failure
            self.end()

    # -- what the client asks ----------------------------------------------------------------

    def chunks(self) -> AsyncIterator[bytes]:
        """See `proxy.ports.Reply.chunks`."""
        return self

    def rest(self) -> bytes | None:
        """See `proxy.ports.Reply.rest`."""
        if not self._is_over or self._failure is not None or len(self._pieces) > 1:
            return None
        return self._take() if self._pieces else b""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self._failure is not None:
                raise self._failure
            if self._is_over:
                raise StopAsyncIteration
            try:
                await self._more()
            finally:
                self._waiter = None
                if self._rested is not None:
                    self._rested.cancel()
                    self._rested = None
        return self._take()

    def _take(self) -> bytes:
        piece = self._pieces.popleft()
        self._held -= len(piece) + _OVERHEAD
        if self._is_held_back and self._held <= READ_BUFFER // 2:
            self._go_on()
        return piece

    def _more(self) -> asyncio.Future[None]:
        """What to wait for: a piece, or the end. No coroutine, for there is one for each piece."""
        if self._is_held_back:
            self._go_on()
        if self._part:
            self._wait_for_the_rest()
        self._waiter = waiter = asyncio.get_running_loop().create_future()
        return waiter

    # -- between the two ---------------------------------------------------------------------

    def _wait_for_the_rest(self) -> None:
        self._rested = asyncio.get_running_loop().call_later(self._rest, self.end_chunk)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _hold_back(self) -> None:
        if not self._is_held_back:
            self._is_held_back = True
            self._flow.hold_back()

    def _go_on(self) -> None:
        self._is_held_back = False
        self._flow.go_on()
