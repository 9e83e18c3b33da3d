"""aiohttp's low-level server with our own words for what it would refuse by itself.

Out of the box a request that is no HTTP gets text/plain and a traceback in the log. Here it
gets the error table's answer and a line like every other request.
"""

import asyncio
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from http import HTTPStatus
from typing import cast

from aiohttp import web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import LineTooLong

from proxy.core.envelope import CONTENT_TYPE, render
from proxy.core.errors import ProxyError, Situation
from proxy.core.headers import REQUEST_ID, SHOULD_RETRY
from proxy.core.request_header import Field, RequestHeader, RequestHeaders
from proxy.core.routes import Envelope
from proxy.edge.backlog import WRITE_BUFFER
from proxy.edge.endings import abort_if_closing
from proxy.edge.hangups import Hangups, hangups
from proxy.ports import Telemetry, Visit

IDLE = 330.0
"""Seconds a connection may be idle, or take to send a header: longer than OkHttp's pool keeps
one (300), so that it is the client who closes and no request meets a closing socket."""

UPLOAD_LINGER = 30.0
"""Seconds for which the rest of a refused upload is read and dropped: a client that is cut off
while it sends takes that for a network error, and sends it all again."""

MAX_FIELD = 16 * 1024
"""Bytes of one header field or of the request line."""

_LOOK = 0.02
"""Seconds between two looks whether everybody has asked."""

_LAST_WORDS = 0.5
"""Seconds a handler has to notice that it was cut off."""

SERVER = "dashscope-proxy"
"""What stands in `Server` where upstream's own does not: no version for those who collect them."""

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Connection(web.RequestHandler):
    """One client connection; refuses in the native envelope what is no HTTP.

    That is for every path: the parser keeps nothing of a request it gives up, not even its target.
    """

    __slots__ = ("_descriptor", "_hangups", "_telemetry", "request_headers")

    def __init__(self, server: "Listener", telemetry: Telemetry, hung_up: Hangups) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # aiohttp's own way to say "none"
            auto_decompress=False,
            keepalive_timeout=IDLE,
            lingering_time=UPLOAD_LINGER,
            max_field_size=MAX_FIELD,
            max_line_size=MAX_FIELD,
        )
        self._telemetry = telemetry
        self._hangups = hung_up
        self._descriptor = -1
        self.request_headers = RequestHeaders()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        cast("asyncio.Transport", transport).set_write_buffer_limits(WRITE_BUFFER)
        self._descriptor = transport.get_extra_info("socket").fileno()
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """See `asyncio.Protocol`."""
        self._hangups.forget(self._descriptor)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`; a body whose coding breaks fails its request at once.

        aiohttp tells of it as of another request, whose turn comes when this one has ended; and
        this one waits for its body.
        """
        super().data_received(data)
        request = self._current_request
        last = self._messages[-1][0] if self._messages else None
        if request is None or last is None or isinstance(last, RawRequestMessage):
            return
        if not request.content.is_eof():
            request.content.set_exception(last.exc)
            request.content.feed_eof()  # nobody need wait for the rest
            self.close()

    def eof_received(self) -> None:
        """Take a client that has shut its sending side for one that has left.

        The two are one on the wire: closing a socket sends FIN, like half-closing it, and only
        writing tells them apart. A client that leaves must cost upstream nothing more, and there
        may be nothing to write for minutes; so who wants an answer keeps its side open, as
        nginx has it. What waits to go out must not keep the connection, and upstream's, open.
        """
        if self.transport is not None and self._request_in_progress:
            self.transport.abort()

    def force_close(self) -> None:
        """See `web.RequestHandler`; whoever takes nothing is not waited for."""
        if self.transport is not None:
            abort_if_closing(self.transport, UPLOAD_LINGER)
        super().force_close()

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - aiohttp's
        """See `aiohttp.base_protocol`; it asks with each piece of a body, paused or not.

        `_reading_paused` and the two methods below are aiohttp's own, as of 3.14: nobody is told
        in public whether reading is paused.
        """
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def _pause_transport_reading(self) -> None:
        """Have a client's leaving told: a transport hears of it only while it is read."""
        super()._pause_transport_reading()
        if self.transport is not None and not self.transport.is_closing():
            self._hangups.watch(self._descriptor, self.transport.abort)

    def _resume_transport_reading(self) -> None:
        self._hangups.forget(self._descriptor)
        super()._resume_transport_reading()

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a request."""
        return self._waiter is not None and not self._waiter.done()

    def close_if_idle(self) -> None:
        """Close unless a request is being served; what runs, its upload too, goes on.

        aiohttp's `close` is no help in a drain: it drops what still comes of a body, and leaves
        an idle connection open and deaf.
        """
        if self.is_idle:
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes the request, which may hold a secret
    ) -> web.StreamResponse:
        """Answer what aiohttp refuses; called by it, and by nobody else."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun, nothing can be said any more")
        visit = Visit(uuid.uuid4().hex, time.perf_counter())
        error = _explained(status, exc)
        visit.status, visit.code = error.situation.status, error.situation.code
        if exc is not None and error.situation is Situation.INTERNAL_ERROR:
            self._telemetry.bug(exc, visit.request_id)
        self._telemetry.started()
        self._telemetry.finished(visit)
        response = web.Response(
            status=error.situation.status,
            body=render(error, Envelope.NATIVE, visit.request_id),
            headers={
                "Content-Type": CONTENT_TYPE,
                REQUEST_ID: visit.request_id,
                SHOULD_RETRY: "false",
                "Server": SERVER,
            },
        )
        response.force_close()
        return response


class Listener(web.Server):
    """Makes a `Connection` for each client; a client that leaves cancels its handler."""

    def __init__(self, handler: Handler, telemetry: Telemetry) -> None:
        super().__init__(handler, handler_cancellation=True)
        self._telemetry = telemetry
        self._hangups = hangups()

    def __call__(self) -> web.RequestHandler:
        """Make the protocol for one connection, as asyncio asks for it."""
        return Connection(self, self._telemetry, self._hangups)

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - aiohttp's
        """See `web.Server`."""
        await super().shutdown(timeout)
        self._hangups.close()

    def has_idle(self) -> bool:
        """Whether there are connections that wait for a request."""
        return any(isinstance(one, Connection) and one.is_idle for one in self.connections)

    def close_idle(self) -> None:
        """Close the connections on which nothing runs."""
        for connection in self.connections:
            if isinstance(connection, Connection):
                connection.close_if_idle()


def header_of(request: web.BaseRequest) -> tuple[RequestHeader, Field | None]:
    """What the header of a request to a `Connection` says, see `RequestHeaders.read`."""
    return cast("Connection", request.protocol).request_headers.read(request.raw_headers)


def _accepted(bound: socket.socket) -> Iterator[socket.socket]:
    """The connections in a port's queue."""
    while True:
        try:
            peer, _ = bound.accept()
        except OSError:  # none is left, or the port is closed
            return
        peer.setblocking(False)  # noqa: FBT003 - its only form
        yield peer


def _explained(status: int, exc: BaseException | None) -> ProxyError:
    if isinstance(exc, LineTooLong):
        return ProxyError(
            Situation.TOO_LARGE, f"A header field or the path is longer than {MAX_FIELD} bytes."
        )
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return ProxyError(Situation.ILLEGAL_INPUT, "The request is not valid HTTP/1.1.")
    return ProxyError(Situation.INTERNAL_ERROR, "The proxy failed; its log says why.")


class PublicServer:
    """The public port: accepts on bound sockets, and lets go in good order."""

    def __init__(self, handler: Handler, telemetry: Telemetry) -> None:
        self._handler = handler
        self._telemetry = telemetry
        self._listener: Listener | None = None
        self._servers: list[asyncio.Server] = []
        self._bound: Sequence[socket.socket] = ()

    async def start(self, sockets: Sequence[socket.socket], backlog: int) -> None:
        """Accept connections, within the running loop.

        `backlog` is what the kernel keeps of them while we are busy: servers say it anew to sockets
        that listen already.
        """
        loop = asyncio.get_running_loop()
        self._listener = Listener(self._handler, self._telemetry)
        self._bound = sockets
        self._servers = [
            await loop.create_unix_server(self._listener, sock=bound, backlog=backlog)
            if bound.family == socket.AF_UNIX
            else await loop.create_server(self._listener, sock=bound, backlog=backlog)
            for bound in sockets
        ]

    async def close_ports(self, grace: float) -> None:
        """Refuse new connections; who is connected by then has `grace` seconds to ask.

        The kernel tells a client that it is connected before we know of it: closing a port
        resets whoever still waits there, and that client has sent its request.
        """
        if self._listener is None:
            return
        waiting = [peer for bound in self._bound for peer in _accepted(bound)]
        for server in self._servers:
            server.close()
        loop = asyncio.get_running_loop()
        for peer in waiting:
            await loop.connect_accepted_socket(self._listener, peer)
        ends = loop.time() + grace
        while self._listener.has_idle() and loop.time() < ends:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(_LOOK)

    def stop_accepting(self) -> None:
        """Close the ports and the idle connections; requests that run go on."""
        for server in self._servers:
            server.close()
        if self._listener is not None:
            self._listener.close_idle()

    async def stop(self) -> None:
        """Cut off what still runs."""
        self.stop_accepting()
        if self._listener is not None:
            await self._listener.shutdown(timeout=_LAST_WORDS)
