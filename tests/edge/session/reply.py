"""An answer from upstream whose head is here: its body in the chunks in which upstream sent it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import aiohttp

from proxy.core.errors import ProxyError
from proxy.core.headers import value_of
from proxy.edge.failures import BROKEN, SILENT
from proxy.edge.transport.answers import REST
from proxy.ports import Headers, Take

READ_BUFFER = 64 * 1024
"""Bytes of an answer that may wait for a slow client: reading stops at twice as many, and what
one read brought in (up to 256 KiB with uvloop) comes on top. aiohttp's own choice is 256 KiB."""


class SessionReply:
    """An answer whose head has arrived. `rest` is seconds: see `REST`."""

    def __init__(self, response: aiohttp.ClientResponse, rest: float = REST) -> None:
        self.status = response.status
        self.reason = response.reason or ""
        self.headers = _fields(response)
        self._rest = rest
        self._is_chunked = value_of(self.headers, "transfer-encoding") is not None
        self._content = response.content
        self._held = b""
        self._pouring: AsyncIterator[bytes] | None = None
        connection = response.connection
        protocol = None if connection is None else connection.protocol
        self._closed = None if protocol is None else protocol.closed
        if self._closed is not None:
            self._closed.remove_done_callback(_heard)  # left by an earlier call on it
            self._closed.add_done_callback(_heard)
            self._closed.add_done_callback(self._lost)

    def fail(self, error: Exception) -> None:
        """End `chunks` with this exception, unless the answer is all here."""
        if not self._content.is_eof() and self._content.exception() is None:
            self._content.set_exception(error)

    def let_go(self) -> None:
        """Stop watching the connection, which may serve other calls now."""
        if self._closed is not None:
            self._closed.remove_done_callback(self._lost)

    async def chunks(self) -> AsyncIterator[bytes]:
        """See `proxy.ports.Reply.chunks`."""
        failure = None
        is_over = self._content is aiohttp.EMPTY_PAYLOAD  # shared by all: it ends only once
        while not is_over:
            try:
                piece, is_end = await self._content.readchunk()
                is_over = not piece and not is_end
                if piece and not is_end and self._is_chunked and not failure:
                    piece = await self._whole(piece)
            except (aiohttp.ClientError, OSError) as error:
                if failure:
                    raise failure from error
                failure = broken(error)
                piece, self._held = self._held, b""
                self._say_what_is_here()
            if piece:
                yield piece
        if failure:
            raise failure

    def rest(self) -> bytes | None:
        """See `proxy.ports.Reply.rest`. Chunks are not told apart here, so theirs is never told."""
        content = self._content
        if self._is_chunked or not content.is_eof() or content.exception() is not None:
            return None
        return content.read_nowait()

    async def pour(self, take: Take) -> bool:
        """See `proxy.ports.Reply.pour`."""
        if self._pouring is None:
            self._pouring = self.chunks()
        async for chunk in self._pouring:
            if take((chunk,)):
                return False
        return True

    async def _whole(self, piece: bytes) -> bytes:
        """The beginning of a chunk and what comes of the rest before long."""
        self._held = piece
        is_end = False
        with suppress(TimeoutError):
            async with asyncio.timeout(self._rest):
                while not is_end and len(self._held) < READ_BUFFER:
                    more, is_end = await self._content.readchunk()
                    self._held += more
                    is_end = is_end or not more
        piece, self._held = self._held, b""
        return piece

    def _say_what_is_here(self) -> None:
        """Let go of what arrived before a break; the session would keep it to itself.

        Every way to read a `StreamReader` (aiohttp 3.14) raises its exception first and for ever,
        also while there are bytes in its buffer, and none takes the exception back.
        """
        self._content._exception = None  # noqa: SLF001 - see above
        self._content.feed_eof()

    def _lost(self, _: asyncio.Future[None]) -> None:
        """The session tells nobody when it closes because of chunks that are none."""
        self.fail(aiohttp.ClientPayloadError("the connection was closed"))


def _fields(response: aiohttp.ClientResponse) -> Headers:
    return [
        (name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape"))
        for name, value in response.raw_headers
    ]


def _heard(closed: asyncio.Future[None]) -> None:
    """Look at how a connection ended, or asyncio reports every reset as an error of ours."""
    if not closed.cancelled():
        closed.exception()


def broken(error: Exception) -> ProxyError:
    """What went wrong in the middle of an answer."""
    return (SILENT if isinstance(error, aiohttp.ServerTimeoutError) else BROKEN).within()
