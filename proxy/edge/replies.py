"""Answers on their way to the client: relayed as they come, or made here.

An envelope is possible only before the first byte. After it, a native event stream can still
end with an error frame, where one frame has ended and the next not begun; everything else can
only be broken off, so that no client takes half an answer for a whole one.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from http import HTTPMethod, HTTPStatus

from aiohttp import web

from proxy.core.envelope import CONTENT_TYPE, render, sse_frame
from proxy.core.errors import ProxyError
from proxy.core.headers import REQUEST_ID, SHOULD_RETRY, inbound, value_of
from proxy.core.routes import Envelope
from proxy.edge.listener import SERVER
from proxy.ports import Headers, Visit

SAFE = frozenset({HTTPMethod.GET, HTTPMethod.HEAD, HTTPMethod.OPTIONS})
_BODILESS = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
CLIENT_GONE = 499
"""What nginx notes for a client that hung up; it is never sent."""


class Replier:
    """Writes answers to one request and notes on its `visit` what went out.

    `patience` is seconds that a client may take to accept what was written. `closing` is asked
    when an answer begins: whether it is to be the last one on its connection.
    """

    def __init__(
        self,
        request: web.BaseRequest,
        visit: Visit,
        patience: float,
        closing: Callable[[], bool],
    ) -> None:
        self._request = request
        self._visit = visit
        self._patience = patience
        self._closing = closing

    async def relay(
        self, status: int, reason: str, fields: Headers, chunks: AsyncIterator[bytes]
    ) -> web.StreamResponse:
        """Upstream's answer, chunk by chunk; a client that reads slowly slows upstream down."""
        crossing = inbound(fields, self._visit.request_id)
        response = await self._begin(status, reason, crossing)
        stream = _EventStream(fields)
        try:
            async for chunk in chunks:
                await self._write(response, chunk)
                stream.passed(chunk)
        except ProxyError as error:
            self._visit.code = error.situation.code
            if not stream.is_between_frames:
                return self._break_off(response)
            await self._write(response, sse_frame(error, self._visit.request_id))
        await response.write_eof()
        return response

    async def _send(self, status: int, fields: Headers, body: bytes) -> web.StreamResponse:
        """An answer of ours, which is all here."""
        whole = [*fields, ("Content-Length", str(len(body)))]
        response = await self._begin(status, None, whole)
        if self._request.method != HTTPMethod.HEAD:
            await self._write(response, body)
        await response.write_eof()
        return response

    async def send_json(self, status: int, body: bytes) -> web.StreamResponse:
        """An answer the proxy gives for upstream."""
        fields = [("Content-Type", CONTENT_TYPE), (REQUEST_ID, self._visit.request_id)]
        return await self._send(status, fields, body)

    async def refuse(self, error: ProxyError, envelope: Envelope) -> web.StreamResponse:
        """An error of ours, in the caller's shape; nobody re-sends what costs money."""
        self._visit.code = error.situation.code
        fields = [
            ("Content-Type", CONTENT_TYPE),
            (REQUEST_ID, self._visit.request_id),
            *error.headers,
        ]
        if self._request.method not in SAFE:
            fields.append((SHOULD_RETRY, "false"))
        body = render(error, envelope, self._visit.request_id)
        return await self._send(error.situation.status, fields, body)

    def gone(self) -> web.StreamResponse:
        """Nothing, for a client that hung up; a connection half open is closed."""
        self._visit.status = CLIENT_GONE
        response = web.StreamResponse(status=CLIENT_GONE)
        return self._break_off(response)

    async def _begin(self, status: int, reason: str | None, fields: Headers) -> web.StreamResponse:
        response = web.StreamResponse(status=status, reason=reason, headers=list(fields))
        if "Server" not in response.headers:
            response.headers["Server"] = SERVER
        unframed = response.content_length is None and status not in _BODILESS
        if unframed and self._request.version >= (1, 1):
            response.enable_chunked_encoding()
        if self._closing() or (unframed and not response.chunked):
            response.force_close()  # for HTTP/1.0 the connection's end is the answer's end
        self._visit.status = status
        self._visit.first_byte = time.perf_counter() - self._visit.started
        await response.prepare(self._request)
        return response

    async def _write(self, response: web.StreamResponse, chunk: bytes) -> None:
        async with asyncio.timeout(self._patience):
            await response.write(chunk)
        self._visit.bytes_out += len(chunk)

    def _break_off(self, response: web.StreamResponse) -> web.StreamResponse:
        """End the connection without ending the answer: truncation must be visible.

        A closed connection shows it where the answer has a length or chunks; where the end of
        the connection is the end of the answer (HTTP/1.0), only a reset does.
        """
        transport = self._request.transport
        if transport is not None:
            framed = response.chunked or response.content_length is not None
            (transport.close if framed else transport.abort)()
        return response


class _EventStream:
    """Knows whether a stream is a readable native one, and stands between two frames."""

    def __init__(self, fields: Headers) -> None:
        kind = value_of(fields, "content-type") or ""
        coded = value_of(fields, "content-encoding") not in {None, "identity"}
        self._readable = kind.startswith("text/event-stream") and not coded
        self._end = b"\n\n"

    @property
    def is_between_frames(self) -> bool:
        return self._readable and self._end.replace(b"\r", b"").endswith(b"\n\n")

    def passed(self, chunk: bytes) -> None:
        if self._readable:
            self._end = (self._end + chunk)[-4:]
