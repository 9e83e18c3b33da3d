"""The client's body on its way in: bounded, timed, and let through the gate while it arrives."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Self

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError

from proxy.core.errors import ProxyError, Situation
from proxy.core.gate import Gate
from proxy.edge.spool import Spool, SpoolBudget
from proxy.ports import Visit

SLICE = 8 * 1024
"""Bytes judged at a time. The worst bodies cost half a microsecond a byte, and while
one is judged nobody else is served."""

FAIR = 0.001
"""Seconds after which the others get their turn."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class ClientGoneError(Exception):
    """The client hung up. Nobody's fault, and nobody is left to tell."""


class Intake:
    """One request's body: `next` by `next`, as it arrives, within the limits.

    `limit` is bytes, `patience` seconds without a byte; `visit` counts what came. Raises
    `ProxyError` (`TOO_LARGE`, `BODY_TIMEOUT`, `ILLEGAL_INPUT` for broken framing) and
    `ClientGoneError`.
    """

    def __init__(self, request: web.BaseRequest, visit: Visit, limit: int, patience: float) -> None:
        self.exists = request.body_exists
        self._request = request
        self._content = request.content
        self._visit = visit
        self._limit = limit
        self._patience = patience

    @property
    def is_complete(self) -> bool:
        """Whether the last byte has been taken out, and all is well."""
        return self._content.at_eof() and self._content.exception() is None

    def refuse_at_once(self) -> None:
        """Refuse what the header already tells, before a byte of the body is read.

        Chunks cross as chunks; any other transfer coding would be passed on without its name.
        """
        if self._request.headers.get(hdrs.TRANSFER_ENCODING, "chunked").lower() != "chunked":
            raise ProxyError(
                Situation.ILLEGAL_INPUT, "Transfer-Encoding: `chunked` is the only one known here."
            )
        length = self._request.content_length
        if length is not None and length > self._limit:
            raise self._too_large()

    async def invite(self) -> None:
        """Answer `Expect: 100-continue`, now that the caller is known (RFC 9110 section 10.1.1)."""
        request = self._request
        expected = request.headers.get(hdrs.EXPECT, "").lower() == "100-continue"
        if expected and request.version >= (1, 1) and not request.content.total_bytes:
            await request.writer.write(CONTINUE)
            request.writer.output_size = 0  # no answer has begun yet

    async def next(self) -> bytes:
        """What has come, or what comes next; empty at the end."""
        try:
            chunk = self._content.read_nowait() or await self._awaited()
        except (RequestPayloadError, HttpProcessingError) as error:
            raise ProxyError(
                Situation.ILLEGAL_INPUT, "The body's transfer coding is broken."
            ) from error
        except OSError as error:
            raise ClientGoneError from error
        self._visit.bytes_in += len(chunk)
        if self._visit.bytes_in > self._limit:
            raise self._too_large()
        return chunk

    async def _awaited(self) -> bytes:
        """The next bytes. Most bodies came with their head: no timer is made for those."""
        if self._content.is_eof():
            return b""
        try:
            async with asyncio.timeout(self._patience):
                return await self._content.readany()
        except TimeoutError:
            raise ProxyError(
                Situation.BODY_TIMEOUT, f"Nothing came for {self._patience:g} s; send the body."
            ) from None

    def _too_large(self) -> ProxyError:
        return ProxyError(
            Situation.TOO_LARGE, f"The body is larger than the limit of {self._limit} bytes."
        )


class Passage:
    """The way of one body through the gate, or past it where a route names no model.

    `all_sent` turns true before the last bytes are handed on: from then on upstream may act.
    Who must know that it never will `abandon`s the passage. Leave its context whatever happens.
    """

    __slots__ = ("_gate", "_intake", "_is_abandoned", "_is_whole", "_noted", "_spool", "all_sent")

    def __init__(self, intake: Intake, gate: Gate | None, spool: Spool) -> None:
        self.all_sent = False
        self._is_abandoned = False
        self._intake = intake
        self._gate = gate
        self._noted: Mapping[str, str] = {}
        self._spool = spool
        self._is_whole = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        """Let go of what was not sent."""
        self._spool.close()

    @property
    def noted(self) -> Mapping[str, str]:
        """Price inputs that the body named so far."""
        return self._gate.noted if self._gate else self._noted

    async def judge(self, *, whole: bool = False) -> None:
        """Read until every place is judged; a body that is here by then is judged to its end.

        `whole` waits for the end in any case.

        Raises `ProxyError` for a refusal and what `Intake.next` raises.
        """
        gate, intake = self._gate, self._intake
        if gate is None:
            return
        while chunk := await intake.next():
            await self._spool.write(await judged_fairly(gate, chunk))
            if gate.judged and not whole:
                break
        if intake.is_complete:
            await self._spool.write(gate.finish())
            self._is_whole = True

    async def rewrite(
        self, rewrite: Callable[[bytes], bytes], gate: Gate | None, room: SpoolBudget
    ) -> int:
        """Put another body in the place of this one, judged by a gate of its own; its size.

        This one is read and judged to its end first, and only then held in memory, within what
        `room` has. Raises `ProxyError` as `judge` does, and what `rewrite` raises.
        """
        async for chunk in self._unread():
            await self._spool.write(chunk)
        size, tenant = self._spool.size, self._spool.tenant
        room.take(tenant, size)
        try:
            other = rewrite(b"".join([part async for part in self._spool.drain()]))
        finally:
            room.give_back(tenant, size)
        self._gate, self._is_whole = gate, True
        if gate is not None:
            other = await judged_fairly(gate, other) + gate.finish()
        await self._spool.write(other)
        return len(other)

    async def _unread(self) -> AsyncIterator[bytes]:
        """What is still to come of a judged body, up to the bytes that complete it."""
        if self._gate is None or self._is_whole:
            return
        while chunk := await self._intake.next():
            yield await judged_fairly(self._gate, chunk)
        yield self._gate.finish()

    def abandon(self) -> bool:
        """Never hand on the last bytes; False when they have been. What it said once, it stays.

        Cancelling the task that sends is too late: it lands some turns of the loop from now.
        """
        self._is_abandoned = not self.all_sent
        return self._is_abandoned

    def body(self) -> AsyncIterator[bytes] | bytes | None:
        """What goes up: bytes when it is short and all here, else a stream of what comes.

        The stream raises `ClientGoneError` at its end when the passage was abandoned.
        """
        if self._gate is None:
            self.all_sent = not self._intake.exists
            return self._unjudged() if self._intake.exists else None
        if self._is_whole and self._spool.is_in_memory:
            self.all_sent = True
            # It has said all it knows. An answer may stream for an hour; a gate takes 5 KB of it.
            self._noted, self._gate = self._gate.noted, None
            return self._spool.take()
        return self._approved(self._gate)

    async def _unjudged(self) -> AsyncIterator[bytes]:
        while chunk := await self._intake.next():
            if self._intake.is_complete:
                self._end()
            yield chunk
        self._end()

    async def _approved(self, gate: Gate) -> AsyncIterator[bytes]:
        """What waited, then what comes; the bytes that complete the body, when it ended well."""
        async for part, is_last in _with_last(self._spool.drain()):
            if self._is_whole and is_last:
                self._end()
            yield part
        if self._is_whole:
            return
        approved = b""
        while chunk := await self._intake.next():
            approved = await judged_fairly(gate, chunk)
            if self._intake.is_complete:
                break
            if approved:
                yield approved
                approved = b""
        last = approved + gate.finish()
        self._end()
        yield last

    def _end(self) -> None:
        """The last bytes are about to be handed on, unless nobody wants that any more."""
        if self._is_abandoned:
            raise ClientGoneError
        self.all_sent = True


async def judged_fairly(
    gate: Gate, chunk: bytes, clock: Callable[[], float] = time.perf_counter
) -> bytes:
    """Feed a chunk in slices; others run behind each that takes longer than is fair by `clock`."""
    end = _slice_end(gate, chunk, 0)
    if end >= len(chunk):
        return gate.feed(chunk)
    approved, at = [], 0
    while at < len(chunk):
        started = clock()
        approved.append(gate.feed(chunk[at:end]))
        if clock() - started > FAIR:
            await asyncio.sleep(0)
        at, end = end, _slice_end(gate, chunk, end)
    return b"".join(approved)


def _slice_end(gate: Gate, chunk: bytes, at: int) -> int:
    """Where to end what is judged at a time.

    What is plain within a string, a picture's as a rule, is one slice: looked through at gigabytes
    a second, it takes half as long as in pieces that must be put together again.
    """
    end = at + SLICE
    if end >= len(chunk) or not gate.is_in_text:
        return end
    quote = chunk.find(b'"', at)
    plain = len(chunk) if quote < 0 else quote
    escape = chunk.find(b"\\", at, plain)
    return max(end, plain if escape < 0 else escape)


async def _with_last(parts: AsyncIterator[bytes]) -> AsyncIterator[tuple[bytes, bool]]:
    """Each part, and whether it is the last one."""
    held: bytes | None = None
    async for part in parts:
        if held is not None:
            yield held, False
        held = part
    if held is not None:
        yield held, True
