"""`ClientSession` behind the `Upstream` port. Its exceptions end here, and its habits too.

Left to itself the session would drop the `?` of an empty query, merge fields whose names are
spelled differently, add fields of its own, send DELETE and PUT again when a connection broke,
wait for ever for an upstream that does not read, and not notice that an answer's chunks have
turned into nonsense. What is done about each stands where it is done.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http import HTTPStatus

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from edge.session.reply import READ_BUFFER, SessionReply

from proxy.core.headers import value_of
from proxy.core.routes import SAFE
from proxy.edge.channels import Channels, SocketChannel
from proxy.edge.client_calls import translated, url_of
from proxy.edge.endings import reset
from proxy.edge.failures import protocol_changed, refuse_coded
from proxy.edge.transport.pool import KEEP_ALIVE
from proxy.ports import Call, Terms

MAX_FIELD = 64 * 1024
"""Bytes of one header field of an answer: what envoy, upstream's gateway, allows for all."""

_UNWATCHED = 64 * 1024
"""Bytes that always fit into the transport's buffer, so that writing them never waits."""


async def whole(body: bytes) -> AsyncIterator[bytes]:
    """A body that is all here, where one is taken as it comes."""
    yield body


class SessionUpstream:
    """The `Upstream` port on one `ClientSession` for all accounts. `open` it before use.

    What runs is `proxy.edge.transport`; this one is what the tests hold it against.
    """

    def __init__(self, connect_timeout: float) -> None:
        self._connect_timeout = connect_timeout
        self._channels = Channels(connect_timeout)
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Create the session, within the running loop."""
        self._session = aiohttp.ClientSession(
            connector=_Connector(limit=0, keepalive_timeout=KEEP_ALIVE),
            cookie_jar=aiohttp.DummyCookieJar(),  # `acw_tc` would stick to the next tenant
            auto_decompress=False,
            max_field_size=MAX_FIELD,
            max_line_size=MAX_FIELD,
            read_bufsize=READ_BUFFER,
            skip_auto_headers=("Content-Type",),  # it would be added behind `_Exactly`
            trust_env=False,
        )
        await self._channels.open()

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
        await self._channels.close()

    @asynccontextmanager
    async def send(self, call: Call) -> AsyncIterator[SessionReply]:
        """See `proxy.ports.Upstream.send`."""
        body = _watched(call)
        response = await self._head(call, body)
        reply = SessionReply(response)
        if isinstance(body, _Watched):
            body.tell(reply)
        try:
            if reply.status == HTTPStatus.SWITCHING_PROTOCOLS:
                raise protocol_changed()
            refuse_coded(reply.headers)
            yield reply
        finally:
            reply.let_go()
            # A connection whose answer was not read to its end is not reused; one that was
            # read has already gone back by itself.
            response.close()

    def connect(self, call: Call, terms: Terms) -> AbstractAsyncContextManager[SocketChannel]:
        """See `proxy.ports.Upstream.connect`."""
        return self._channels.connect(call, terms)

    async def _head(self, call: Call, body: "_Watched | bytes | None") -> aiohttp.ClientResponse:
        assert self._session is not None, "open() comes first"
        length = value_of(call.headers, "content-length")
        assert call.body is not None or length in {None, "0"}, "a length without a body"
        chunked = body is not None and length is None
        try:
            async with asyncio.timeout(None) as deadline:
                if isinstance(body, _Watched):
                    body.deadline = deadline
                return await self._session.request(
                    call.method,
                    url_of(call),
                    headers={} if length is None else {"Content-Length": length},
                    data=body,
                    chunked=True if chunked else None,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(
                        total=None, sock_connect=self._connect_timeout, sock_read=call.read_timeout
                    ),
                    middlewares=(_Exactly(call, chunked=chunked),),
                )
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            if isinstance(body, _Watched) and body.failure is not None:
                raise body.failure from error
            raise translated(error) from error


class _Connector(aiohttp.TCPConnector):
    """Gives connections up at once; aiohttp's own first waits for an upload to go out."""

    def _release(
        self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False
    ) -> None:
        transport = protocol.transport
        if should_close and transport is not None and transport.get_write_buffer_size():
            reset(transport)
        super()._release(key, protocol, should_close=should_close)


class _Exactly:
    """Makes the session's request the call's own, once it knows where it goes and how long it is.

    Its header becomes the call's, field by field, behind `Host`. And what broke is translated
    here already for all but safe methods, since what is no exception of its own the session does
    not try again.
    """

    def __init__(self, call: Call, *, chunked: bool) -> None:
        self._call = call
        self._chunked = chunked

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        host = request.headers["Host"]
        request.headers.clear()
        request.headers.extend([("Host", host), *self._call.headers])
        if self._chunked:
            request.headers["Transfer-Encoding"] = "chunked"
        try:
            return await handler(request)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            # The session would also send again what is merely idempotent: DELETE, PUT.
            if self._call.method in SAFE:
                raise
            raise translated(error) from error


class _Watched:
    """A body under observation: its own failure is remembered, and so is the time it takes.

    The session wraps a failure in one of its own, or hides it when the answer has begun. And it
    does not count the time while a body goes up: an upstream that takes none of it for
    `patience` seconds makes `deadline` due.
    """

    def __init__(self, parts: AsyncIterable[bytes], patience: float) -> None:
        self.failure: Exception | None = None
        self.deadline: asyncio.Timeout | None = None
        self._parts = parts
        self._patience = patience
        self._reply: SessionReply | None = None

    def tell(self, reply: SessionReply) -> None:
        """Let this reply, which came early, fail with the body."""
        self._reply = reply
        self.deadline = None
        if self.failure is not None:
            reply.fail(self.failure)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        try:
            async for part in self._parts:
                due = loop.call_later(self._patience, self._stalled)
                try:
                    yield part
                finally:
                    due.cancel()
        except Exception as error:
            self.failure = error
            if self._reply is not None:
                self._reply.fail(error)
            raise

    def _stalled(self) -> None:
        if self.deadline is not None and not self.deadline.expired():
            self.deadline.reschedule(0)


def _watched(call: Call) -> _Watched | bytes | None:
    if call.body is None or (isinstance(call.body, bytes) and len(call.body) <= _UNWATCHED):
        return call.body
    parts = whole(call.body) if isinstance(call.body, bytes) else call.body
    return _Watched(parts, call.read_timeout)
