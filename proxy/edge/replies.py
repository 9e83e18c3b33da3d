"""Answers on their way to the client: relayed as they come, or made here.

Heads and framing are written here and not by aiohttp's response, which would lose bytes that
are not UTF-8, guess a `Content-Type`, and reorder what it thinks it knows. It is told only
whether the connection goes on.

An envelope is possible only before the first byte. After it, an event stream whose clients know
an error frame (`proxy.core.envelope.sse_frame`) can still end with one, where one frame has
ended and the next not begun; everything else can only be broken off, so that no client takes
half an answer for a whole one.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from http import HTTPMethod, HTTPStatus

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from proxy.core.envelope import CONTENT_TYPE, ID_FIELDS, render, sse_frame
from proxy.core.errors import ProxyError, Situation
from proxy.core.headers import REQUEST_ID, SHOULD_RETRY, inbound, value_of
from proxy.core.routes import Envelope
from proxy.edge.backlog import not_taken
from proxy.edge.endings import abort_if_closing, close_within, reset
from proxy.edge.intake import ClientGoneError
from proxy.edge.listener import SERVER
from proxy.ports import Headers, Visit

SAFE = frozenset({HTTPMethod.GET, HTTPMethod.HEAD, HTTPMethod.OPTIONS})
_BODILESS = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
CLIENT_GONE = 499
"""What nginx notes for a client that hung up; it is never sent."""

_SPLITTING = re.compile(r"[\r\n\0]")


class Replier:
    """Writes one answer to one request and notes on its `visit` what went out.

    `patience` is seconds for which a client may take nothing of what waits. `closing` is asked
    when an answer begins: whether it is to be the last one on its connection. `envelope` is the
    shape of its errors, to be set as soon as it is known.
    """

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
        self._visit = visit
        self._patience = patience
        self._closing = closing
        self._framing = _Framing(request, 0, ())

    async def relay(
        self,
        status: int,
        reason: str,
        fields: Headers,
        chunks: AsyncIterator[bytes],
        added: Headers = (),
        hear: Callable[[bytes], None] | None = None,
    ) -> web.StreamResponse:
        """Upstream's answer, chunk by chunk; a client that reads slowly slows upstream down.

        Who wants to `hear` gets each chunk, and an empty one at a clean end.
        """
        crossing = inbound(fields, self._visit.request_id, added)
        await self._write(self._begin(status, reason, crossing))
        stream = _EventStream(fields)
        try:
            async for chunk in chunks:
                if hear is not None:
                    hear(chunk)
                await self._write_body(chunk)
                stream.passed(chunk)
            if hear is not None:
                hear(b"")
        except ProxyError as error:
            self._visit.code = error.situation.code
            frame = sse_frame(error, self.envelope, self._visit.request_id)
            if self._framing.is_sized or not stream.is_between_frames or frame is None:
                return self.break_off()
            await self._write_body(frame)
        return await self._end()

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
        head = self._begin(status, HTTPStatus(status).phrase, fields)
        shown = b"" if self._framing.is_bodiless else body
        await self._write(head + shown)
        self._visit.bytes_out += len(shown)
        return await self._end()

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
        return _Written(keep_alive=False)

    def break_off(self) -> web.StreamResponse:
        """End the connection without ending the answer: truncation must be visible.

        A closed connection shows it where the answer has a length or chunks; where the end of
        the connection is the end of the answer (HTTP/1.0), only a reset does.
        """
        transport = self._request.transport
        if transport is None:
            return _Written(keep_alive=False)
        if self._framing.is_framed:
            close_within(transport, self._patience)
        else:
            reset(transport)
        return _Written(keep_alive=False)

    def _begin(self, status: int, reason: str, fields: Headers) -> bytes:
        """The head. Raises `ProxyError` for a field that would be two (no server may send one)."""
        framing = self._framing = _Framing(self._request, status, fields)
        keep_alive = self._request.keep_alive and framing.is_ended and not self._closing()
        framing.keep_alive = keep_alive
        head = framing.head(reason, fields)
        self.has_begun = True
        self._visit.status = status
        self._visit.first_byte = time.perf_counter() - self._visit.started
        return head

    async def _write_body(self, chunk: bytes) -> None:
        if chunk and not self._framing.is_bodiless:
            await self._write(self._framing.wrapped(chunk))
            self._visit.bytes_out += len(chunk)

    async def _end(self) -> web.StreamResponse:
        if self._framing.is_chunked:
            await self._write(b"0\r\n\r\n")
        await self._room()
        if self._request.transport is not None:
            abort_if_closing(self._request.transport, self._patience)
        return _Written(keep_alive=self._framing.keep_alive)

    async def _write(self, data: bytes) -> None:
        """Write now, then wait while the client has too much to take in already."""
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ClientGoneError
        transport.write(data)
        self._request.writer.output_size += len(data)  # an answer has begun
        await self._room()

    async def _room(self) -> None:
        """Wait for a client that is behind.

        Raises `ClientGoneError` for one that hung up, or takes nothing any more.
        """
        if not self._request.protocol.writing_paused:
            return
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
        transport = self._request.transport
        return not_taken(transport) if transport else 0


class _Framing:
    """How one answer is delimited, and its head."""

    def __init__(self, request: web.BaseRequest, status: int, fields: Headers) -> None:
        self.keep_alive = False
        self.is_sized = value_of(fields, "content-length") is not None
        self.is_bodiless = request.method == HTTPMethod.HEAD or status in _BODILESS
        self._is_modern = request.version >= (1, 1)
        self.is_chunked = self._is_modern and not self.is_sized and not self.is_bodiless
        self._version = f"HTTP/{request.version[0]}.{request.version[1]}"
        self._status = status

    @property
    def is_framed(self) -> bool:
        """Whether a client can see that some of the body is missing."""
        return self.is_sized or self.is_chunked

    @property
    def is_ended(self) -> bool:
        """Whether the answer ends before its connection does."""
        return self.is_framed or self.is_bodiless

    def head(self, reason: str, fields: Headers) -> bytes:
        """Status line and fields as they are; what is missing comes behind them."""
        lines = [f"{self._version} {self._status} {reason}"]
        lines += [f"{name}: {value}" for name, value in (*fields, *self._added(fields))]
        if self._status == HTTPStatus.NO_CONTENT:  # RFC 9110 section 8.6: it must not have one
            lines = [line for line in lines if not line.lower().startswith("content-length:")]
        if any(map(_SPLITTING.search, lines)):
            raise ProxyError(Situation.BAD_GATEWAY, "Upstream's header is not valid.")
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")

    def wrapped(self, chunk: bytes) -> bytes:
        """A piece of the body as it goes over the wire."""
        return b"%x\r\n%b\r\n" % (len(chunk), chunk) if self.is_chunked else chunk

    def _added(self, fields: Headers) -> Headers:
        added = []
        if value_of(fields, "server") is None:
            added.append(("Server", SERVER))
        if value_of(fields, "date") is None:  # RFC 9110 section 6.6.1: whoever relays adds it
            added.append(("Date", formatdate(usegmt=True)))
        if self.is_chunked:
            added.append(("Transfer-Encoding", "chunked"))
        if self._is_modern and not self.keep_alive:
            added.append(("Connection", "close"))
        elif self.keep_alive and not self._is_modern:
            added.append(("Connection", "keep-alive"))
        return added


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


class _EventStream:
    """Knows whether a stream is a readable native one, and stands between two frames."""

    def __init__(self, fields: Headers) -> None:
        kind = (value_of(fields, "content-type") or "").lower()
        coding = (value_of(fields, "content-encoding") or "identity").lower()
        self._readable = kind.startswith("text/event-stream") and coding == "identity"
        self._end = b"\n\n"

    @property
    def is_between_frames(self) -> bool:
        return self._readable and self._end.replace(b"\r", b"").endswith(b"\n\n")

    def passed(self, chunk: bytes) -> None:
        if self._readable:
            self._end = (self._end + chunk)[-4:]
