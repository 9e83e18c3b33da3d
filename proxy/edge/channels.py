"""WebSockets to upstream on aiohttp's client: the `Upstream` port's `connect`.

`ws_connect` reports a refused handshake by its status alone, follows redirects, and sends a
header of its own making. A middleware stands in between: it puts the call's header into the
request, and takes the whole answer out when that is no WebSocket.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from http import HTTPStatus

import aiohttp

from proxy.core.closing import GOING_AWAY
from proxy.edge.client_calls import translated, url_of
from proxy.edge.failures import refuse_coded
from proxy.edge.peers import SocketPeer
from proxy.ports import Call, HandshakeRefusedError, Headers, Terms

MAX_REFUSAL = 1024 * 1024
"""Bytes of an answer to a refused handshake; upstream's own have some 150."""

CLOSE_WITHIN = 2.0
"""Seconds that aiohttp itself waits for upstream's part of a goodbye."""

_OF_THE_HANDSHAKE = (
    "Host",
    "Upgrade",
    "Connection",
    "Sec-WebSocket-Version",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Protocol",
)


class SocketChannel(SocketPeer):
    """An open WebSocket to upstream."""

    def __init__(
        self, socket: aiohttp.ClientWebSocketResponse[bool], terms: Terms, headers: Headers
    ) -> None:
        super().__init__(socket, terms)
        self.headers = headers
        self.subprotocol = socket.protocol


class Channels:
    """Opens WebSockets, on connections of their own. `connect_timeout` is seconds."""

    def __init__(self, connect_timeout: float) -> None:
        self._connect_timeout = connect_timeout
        self._connector: aiohttp.TCPConnector | None = None

    async def open(self) -> None:
        """Be ready, within the running loop."""
        self._connector = aiohttp.TCPConnector(limit=0)

    async def close(self) -> None:
        """Close all connections."""
        if self._connector is not None:
            await self._connector.close()

    @asynccontextmanager
    async def connect(self, call: Call, terms: Terms) -> AsyncIterator[SocketChannel]:
        """See `proxy.ports.Upstream.connect`."""
        assert self._connector is not None, "open() comes first"  # noqa: S101 - a bug in app.py
        patience = aiohttp.ClientTimeout(
            total=None, sock_connect=self._connect_timeout, sock_read=call.read_timeout
        )
        async with AsyncExitStack() as stack:
            opening = _open_channel(self._connector, call, terms, patience)
            try:
                channel = await stack.enter_async_context(opening)
            except (TimeoutError, aiohttp.ClientError, OSError) as error:
                raise translated(error) from error
            yield channel


@asynccontextmanager
async def _open_channel(
    connector: aiohttp.BaseConnector,
    call: Call,
    terms: Terms,
    patience: aiohttp.ClientTimeout,
) -> AsyncIterator[SocketChannel]:
    """Shake hands. Raises `HandshakeRefusedError`, `aiohttp.ClientError`, `TimeoutError`."""
    handshake = _Handshake(call)
    session = aiohttp.ClientSession(
        connector=connector,
        connector_owner=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        middlewares=(handshake,),
        timeout=patience,
        trust_env=False,
    )
    async with session:
        socket = await session.ws_connect(
            url_of(call),
            protocols=terms.subprotocols,
            autoclose=False,
            autoping=False,
            compress=0,
            max_msg_size=terms.max_message + 1,  # it refuses what is as long as its limit
            decode_text=False,
            timeout=aiohttp.ClientWSTimeout(ws_receive=None, ws_close=CLOSE_WITHIN),
        )
        try:
            yield SocketChannel(socket, terms, handshake.answered)
        finally:
            await _cut_off(socket)


async def _cut_off(socket: aiohttp.ClientWebSocketResponse[bool]) -> None:
    """Close the connection; who wants to say goodbye has done so."""
    with suppress(TimeoutError):
        async with asyncio.timeout(0):
            await socket.close(code=GOING_AWAY)


class _Handshake:
    """Makes the session's request the call's own, and hears the whole answer."""

    def __init__(self, call: Call) -> None:
        self.answered: Headers = ()
        self._call = call

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        own = [
            (name, request.headers[name]) for name in _OF_THE_HANDSHAKE if name in request.headers
        ]
        request.headers.clear()
        request.headers.extend([*own, *self._call.headers])
        response = await handler(request)
        self.answered = [
            (name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape"))
            for name, value in response.raw_headers
        ]
        if response.status == HTTPStatus.SWITCHING_PROTOCOLS:
            return response
        async with response:
            refuse_coded(self.answered)
            body = await _gathered(response)
        raise HandshakeRefusedError(response.status, response.reason or "", self.answered, body)


async def _gathered(response: aiohttp.ClientResponse) -> bytes:
    """The answer's body, undecoded. Raises `aiohttp.ClientPayloadError` beyond `MAX_REFUSAL`."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_REFUSAL:
            raise aiohttp.ClientPayloadError
    return bytes(body)
