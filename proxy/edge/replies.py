"""Answers on their way to the client: relayed as they come, or made here.

aiohttp's response has no part in it (see `framing`): it is told only whether the connection goes
on.

An envelope is possible only before the first byte. After it, an event stream whose clients know
an error frame (`proxy.core.envelope.sse_frame`) can still end with one, where one frame has
ended and the next not begun; everything else can only be broken off, so that no client takes
half an answer for a whole one.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Protocol

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter

from proxy.core.envelope import CONTENT_TYPE, ID_FIELDS, render, sse_frame
from proxy.core.errors import ProxyError
from proxy.core.headers import REQUEST_ID, SHOULD_RETRY, inbound, value_of
from proxy.core.routes import SAFE, Envelope
from proxy.edge.backlog import not_taken
from proxy.edge.chunking import LAST_CHUNK
from proxy.edge.endings import abort_if_closing, close_within, reset
from proxy.edge.framing import Framing
from proxy.edge.intake import ClientGoneError
from proxy.ports import Headers, Take, Visit

CLIENT_GONE = 499
"""What nginx notes for a client that hung up; it is never sent."""

_FRAME_END = b"\r\n\r\n"
"""The longest end of a frame; a stream begins as if one had ended."""


def deaf(_: bytes) -> None:
    """For answers that nobody listens to."""


class Source(Protocol):
    """A body that comes bit by bit."""

    async def pour(self, take: Take) -> bool:
        """See `proxy.ports.Reply.pour`."""
        ...


class Replier:
    """Writes one answer to one request and notes on its `visit` what went out.

    `patience` is seconds for which a client may take nothing of what waits. `closing` is asked
    when an answer begins: whether it is to be the last one on its connection. `envelope` is the
    shape of its errors, to be set as soon as it is known.
    """

    __slots__ = (
        *("_closing", "_framing", "_hear", "_passed", "_patience", "_protocol", "_request"),
        *("_visit", "envelope", "has_begun"),
    )

    def __init__(
        self,
        request: web.BaseRequest,
        visit: Visit,
        patience: float,
        closing: Callable[[], bool],
    ) -> None:
        self.has_begun = False
        self.envelope = Envelope.NATIVE
        self._request = request
        self._protocol = request.protocol
        self._visit = visit
        self._patience = patience
        self._closing = closing
        self._framing: Framing
        self._hear: Callable[[bytes], None]
        self._passed = _FRAME_END

    async def relay(
        self,
        status: int,
        reason: str,
        fields: Headers,
        body: Source | bytes,
        added: Headers = (),
        hear: Callable[[bytes], None] = deaf,
    ) -> web.StreamResponse:
        """Upstream's answer: at once, or chunk by chunk, where a slow client slows upstream down.

        Who wants to `hear` gets all that passes: a whole body once, and that is its end; of one
        that comes bit by bit each bit, and nothing (`b""`) at a clean end.
        """
        visit = self._visit
        crossing = inbound(fields, visit.request_id, added)
        framing, head = self._begin(status, reason, crossing)
        if framing.is_bodiless:
            body = b""
        if isinstance(body, bytes):
            hear(body)  # empty or not: it is the end, too
            self._write_whole(framing, head, body)
            return await self._end(framing)
        self._write(head)
        self._hear = hear
        try:
            while not await body.pour(self._take):
                await self._room()
            hear(b"")
        except ProxyError as error:
            visit.code = error.situation.code
            frame = sse_frame(error, self.envelope, visit.request_id)
            if framing.is_sized or frame is None or not _is_between_frames(fields, self._passed):
                return self.break_off()
            self._write(framing.wrapped((frame,)))
            visit.bytes_out += len(frame)
        if framing.is_chunked:
            self._write(LAST_CHUNK)
        return await self._end(framing)

    async def send_json(
        self, status: int, body: bytes, headers: Headers = ()
    ) -> web.StreamResponse:
        """An answer the proxy gives for upstream."""
        fields = [
            ("Content-Type", CONTENT_TYPE),
            (REQUEST_ID, self._visit.request_id),
            *headers,
            ("Content-Length", str(len(body))),
        ]
        if self.envelope in ID_FIELDS:
            fields.append((ID_FIELDS[self.envelope], self._visit.request_id))
        return await self._send(status, HTTPStatus(status).phrase, fields, body)

    async def tell(
        self, status: int, reason: str, fields: Headers, body: bytes
    ) -> web.StreamResponse:
        """An answer that is all here, and of whose header everything may cross."""
        told = [*fields, (REQUEST_ID, self._visit.request_id)]
        return await self._send(status, reason, told, body)

    async def refuse(self, error: ProxyError) -> web.StreamResponse:
        """An error of ours, in the caller's shape; nobody re-sends what costs money.

        An answer that has begun is broken off instead.
        """
        self._visit.code = error.situation.code
        if self.has_begun:
            return self.break_off()
        headers = list(error.headers)
        if self._request.method not in SAFE:
            headers.append((SHOULD_RETRY, "false"))
        body = render(error, self.envelope, self._visit.request_id)
        return await self.send_json(error.situation.status, body, headers)

    def gone(self) -> web.StreamResponse:
        """Nothing, for a client that hung up; a connection half open is closed."""
        self._visit.status = CLIENT_GONE
        transport = self._request.transport
        if transport is not None:
            transport.abort()
        return _LAST_ONE

    def break_off(self) -> web.StreamResponse:
        """End the connection without ending the answer: truncation must be visible.

        A closed connection shows it where the answer has a length or chunks; where the end of
        the connection is the end of the answer (HTTP/1.0), only a reset does.
        """
        transport = self._request.transport
        if transport is None:
            return _LAST_ONE
        if not self.has_begun or self._framing.is_framed:
            close_within(transport, self._patience)
        else:
            reset(transport)
        return _LAST_ONE

    async def _send(
        self, status: int, reason: str, fields: Headers, body: bytes
    ) -> web.StreamResponse:
        framing, head = self._begin(status, reason, fields)
        self._write_whole(framing, head, body)
        return await self._end(framing)

    def _begin(self, status: int, reason: str, fields: Headers) -> tuple[Framing, bytes]:
        """The head, and how it says that the answer ends.

        Raises `ProxyError` for one that cannot be written.
        """
        request = self._request
        known = {name.lower() for name, _ in fields}
        is_modern, is_sized = request.version >= HttpVersion11, "content-length" in known
        framing = Framing(request.method, status, is_modern=is_modern, is_sized=is_sized)
        framing.keep_alive = request.keep_alive and framing.is_ended and not self._closing()
        head = framing.head(status, reason, fields, known)
        self._framing = framing
        self.has_begun = True
        request.writer.output_size += len(head)  # as aiohttp is told that an answer has begun
        self._visit.status = status
        self._visit.first_byte = time.perf_counter() - self._visit.started
        return framing, head

    def _write_whole(self, framing: Framing, head: bytes, body: bytes) -> None:
        """A whole answer in one write: a packet for its head alone costs both ends another turn."""
        wire = framing.wrapped((body,)) if body else b""
        self._write(head + wire + LAST_CHUNK if framing.is_chunked else head + wire)
        if wire:
            self._visit.bytes_out += len(body)

    def _take(self, chunks: Sequence[bytes]) -> bool:
        """Write pieces of the body in one go: a call of the system for each was most of the work.

        See `_write`. No function within `relay`: what that shares with it lies all about memory,
        and to fetch it for each event of many streams is what takes the time.
        """
        told = b"".join(chunks)
        self._hear(told)
        self._passed = (self._passed + told[-4:])[-4:]
        is_behind = self._write(self._framing.wrapped(chunks))
        self._visit.bytes_out += len(told)
        return is_behind

    async def _end(self, framing: Framing) -> web.StreamResponse:
        if self._protocol.writing_paused:
            await self._room()
        transport = self._protocol.transport
        if transport is not None:
            abort_if_closing(transport, self._patience)
        return _GOES_ON if framing.keep_alive else _LAST_ONE

    def _write(self, data: bytes) -> bool:
        """Write now; whether the client has too much to take in already, and there must be `_room`.

        Raises `ClientGoneError`. No coroutine: for the chunks of a stream one was most of the work.
        """
        transport = self._protocol.transport
        if transport is None or transport.is_closing():
            raise ClientGoneError
        transport.write(data)
        return self._protocol.writing_paused

    async def _room(self) -> None:
        """Wait for a client that is behind.

        Raises `ClientGoneError` for one that hung up, or takes nothing any more.
        """
        draining = asyncio.ensure_future(self._request.writer.drain())
        try:
            while not draining.done():
                waiting = self._waiting
                await asyncio.wait({draining}, timeout=self._patience)
                if not draining.done() and self._waiting >= waiting:
                    raise ClientGoneError
            await draining
        except ConnectionError as error:
            raise ClientGoneError from error
        finally:
            draining.cancel()

    @property
    def _waiting(self) -> int:
        """Bytes the client has not taken yet."""
        transport = self._protocol.transport
        return not_taken(transport) if transport else 0


class _Written(web.StreamResponse):
    """What aiohttp gets back when all has been written: whether the connection goes on."""

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._goes_on = keep_alive

    @property
    def keep_alive(self) -> bool:
        """See `aiohttp.web.StreamResponse.keep_alive`."""
        return self._goes_on

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:  # noqa: ARG002 - aiohttp's signature
        """Do nothing: the head has been written."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: the end has been written."""


_GOES_ON, _LAST_ONE = _Written(keep_alive=True), _Written(keep_alive=False)
"""One of each for all requests: nothing is kept in them, and making one cost as much as a head."""


def _is_between_frames(fields: Headers, passed: bytes) -> bool:
    """Whether an answer is a readable native stream, and what has `passed` ends a frame."""
    kind = (value_of(fields, "content-type") or "").lower()
    coding = (value_of(fields, "content-encoding") or "identity").lower()
    is_readable = kind.startswith("text/event-stream") and coding == "identity"
    return is_readable and passed.replace(b"\r", b"").endswith(b"\n\n")
