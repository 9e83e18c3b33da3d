"""An answer whose body is still coming: what has come, in upstream's chunks, until it is taken."""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol, Self

from proxy.ports import Headers, Take

READ_BUFFER = 12 * 1024
"""Bytes of an answer that may wait for a slow client; what one read brought in comes on top. It is
more than a read of a stream brings, or each read of a busy one would be followed by a pause."""

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
        *("_rested", "_taker", "_waiter", "headers", "reason", "status"),
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
        self._waiter: asyncio.Future[bool] | None = None
        self._taker: Take | None = None
        self._pieces: list[bytes] = []
        self._part = b""
        self._held = 0
        self._is_held_back = False
        self._is_over = False
        self._failure: Exception | None = None

    # -- what the connection tells -----------------------------------------------------------

    def add(self, part: bytes) -> None:
        """Take in bytes of a chunk, which may go on."""
        self._part = whole = self._part + part
        if len(whole) >= LARGE:
            self.end_chunk()

    def end_chunk(self) -> None:
        """Let what has come of a chunk leave as a piece."""
        part = self._part
        if part:
            self._part = b""
            self._pieces.append(part)

    def end_read(self) -> None:
        """No more has come for now: who waits is given what is here.

        Nor do they wait long for the rest of a chunk. What nobody waits for holds the flow back.
        """
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            if self._pieces:
                self._give(waiter)
            if self._part and self._rested is None:
                self._wait_for_the_rest()
        if self._pieces and not self._is_held_back:
            self._hold_back_if_it_is_much()

    def end(self) -> None:
        """The body is all here: what comes through the flow now is none of it."""
        self.end_chunk()
        self._is_over = True
        if self._is_held_back:
            self._go_on()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(False)

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

    async def pour(self, take: Take) -> bool:
        """See `proxy.ports.Reply.pour`.

        What comes while it waits is given within the turn of the loop in which it was read: to
        wake a task for each event of a stream took a fifth of all that an event took.
        """
        while True:
            if self._pieces and take(self._all()):
                return False
            if self._failure is not None:
                raise self._failure
            if self._is_over:
                return True
            self._taker = take
            if await self._told():
                return False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self._failure is not None:
                raise self._failure
            if self._is_over:
                raise StopAsyncIteration
            await self._told()
        return self._take()

    async def _told(self) -> bool:
        """Wait for a piece, or the end; whether the taker has had enough."""
        if self._is_held_back:
            self._go_on()
        if self._part:
            self._wait_for_the_rest()
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiter = waiter
        try:
            return await waiter
        finally:
            self._waiter = self._taker = None
            self._wait_no_more()

    def _all(self) -> list[bytes]:
        pieces, self._pieces = self._pieces, []
        if self._is_held_back:
            self._go_on()
        return pieces

    def _take(self) -> bytes:
        piece = self._pieces.pop(0)
        self._held -= len(piece) + _OVERHEAD
        if self._is_held_back and self._held <= READ_BUFFER // 2:
            self._go_on()
        return piece

    # -- between the two ---------------------------------------------------------------------

    def _give(self, waiter: asyncio.Future[bool]) -> None:
        """Give what is here to who waits for it: at once where there is a taker."""
        take = self._taker
        if take is None:
            waiter.set_result(False)
            return
        if self._rested is not None:
            self._wait_no_more()
        pieces, self._pieces = self._pieces, []
        try:
            if take(pieces):
                waiter.set_result(True)
        except Exception as error:  # noqa: BLE001 - the taker's own, and told who called `pour`
            waiter.set_exception(error)

    def _wait_for_the_rest(self) -> None:
        self._rested = asyncio.get_running_loop().call_later(self._rest, self._waited_enough)

    def _wait_no_more(self) -> None:
        if self._rested is not None:
            self._rested.cancel()
            self._rested = None

    def _waited_enough(self) -> None:
        self._rested = None
        self.end_chunk()
        self.end_read()

    def _hold_back_if_it_is_much(self) -> None:
        self._held = sum(map(len, self._pieces)) + _OVERHEAD * len(self._pieces)
        if self._held > READ_BUFFER:
            self._is_held_back = True
            self._flow.hold_back()

    def _go_on(self) -> None:
        self._is_held_back = False
        self._flow.go_on()
