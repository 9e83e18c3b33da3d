"""`ClientSession` behind the `Upstream` port. Its exceptions end here."""

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from proxy.core.errors import ProxyError, Situation
from proxy.core.headers import value_of
from proxy.ports import Call, Headers

KEEP_ALIVE = 15.0
"""Seconds an idle connection is kept: well below upstream's own limit, because a request sent
on a connection that is being closed may or may not have arrived, and a submit costs money."""

# Everything aiohttp would add by itself: the client's header is upstream's header.
_NO_AUTOMATIC = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class SessionReply:
    """An answer whose head has arrived."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self.reason = response.reason or ""
        self.headers: Headers = [
            (name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape"))
            for name, value in response.raw_headers
        ]
        self._response = response

    async def chunks(self) -> AsyncIterator[bytes]:
        """See `proxy.ports.Reply.chunks`."""
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except aiohttp.ServerTimeoutError as error:
            raise ProxyError(
                Situation.GATEWAY_TIMEOUT, "Upstream stopped in the middle of its answer."
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise ProxyError(
                Situation.BAD_GATEWAY, "Upstream broke off in the middle of its answer."
            ) from error


class SessionUpstream:
    """The `Upstream` port on one `ClientSession` for all accounts. `open` it before use."""

    def __init__(self, connect_timeout: float) -> None:
        self._connect_timeout = connect_timeout
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Create the session, within the running loop."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE),
            cookie_jar=aiohttp.DummyCookieJar(),  # `acw_tc` would stick to the next tenant
            auto_decompress=False,
            skip_auto_headers=_NO_AUTOMATIC,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def send(self, call: Call) -> AsyncIterator[SessionReply]:
        """See `proxy.ports.Upstream.send`."""
        body = _Watched(call.body) if isinstance(call.body, AsyncIterable) else call.body
        response = await self._head(call, body)
        try:
            yield SessionReply(response)
        finally:
            # A connection whose answer was not read to its end is not reused; one that was
            # read has already gone back by itself.
            response.close()

    async def _head(self, call: Call, body: "_Watched | bytes | None") -> aiohttp.ClientResponse:
        assert self._session is not None, "open() comes first"  # noqa: S101 - a bug in app.py
        unframed = body is not None and value_of(call.headers, "content-length") is None
        try:
            return await self._session.request(
                call.method,
                URL(call.account.url + call.target, encoded=True),
                headers=call.headers,
                data=body,
                chunked=True if unframed else None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=self._connect_timeout, sock_read=call.read_timeout
                ),
            )
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            if isinstance(body, _Watched) and body.failure is not None:
                raise body.failure from error
            raise _translated(error) from error


class _Watched:
    """A body whose own failure is remembered, since the session wraps it in one of its own."""

    def __init__(self, body: AsyncIterable[bytes]) -> None:
        self.failure: Exception | None = None
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._body:
                yield part
        except Exception as error:
            self.failure = error
            raise


def _translated(error: Exception) -> ProxyError:
    """What went wrong before an answer began, without saying where upstream is."""
    match error:
        case aiohttp.ConnectionTimeoutError():
            return ProxyError(Situation.GATEWAY_TIMEOUT, "Upstream could not be reached in time.")
        case aiohttp.ServerTimeoutError() | TimeoutError():
            return ProxyError(
                Situation.GATEWAY_TIMEOUT,
                "Upstream did not answer in time; the request may have been carried out.",
            )
        case aiohttp.ClientConnectorError():
            return ProxyError(Situation.BAD_GATEWAY, "Upstream refused the connection.")
        case _:
            return ProxyError(
                Situation.BAD_GATEWAY,
                "Upstream broke off before answering; the request may have been carried out.",
            )
