"""aiohttp's two ends of a WebSocket, as the `Peer` that a relay talks to.

Left to itself aiohttp would answer a close with another code than it was given, take a lost
connection for a good end, and count the time in which *we* do not read against the other end.
"""

import asyncio
import os
import socket
from contextlib import suppress
from typing import Any, TypeAlias

import aiohttp
from aiohttp import web

from proxy.core.closing import GOING_AWAY, NO_CODE, VANISHED
from proxy.ports import Closed, Message, PeerGoneError, Terms

LINGER = 5.0
"""Seconds for which the rest of a message that is too large is read and dropped: closing at once
would be a reset, and the sender would not learn why."""

_LAST_LOOK = 0.1
"""Seconds in which what is in the kernel already is read."""

End: TypeAlias = web.WebSocketResponse[Any] | aiohttp.ClientWebSocketResponse[Any]

_MESSAGES = frozenset({aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY})


class SocketPeer:
    """One end. Who was asked whether it is there has half a heartbeat to say anything at all."""

    def __init__(self, end: End, terms: Terms) -> None:
        self._end = end
        self._patience = terms.patience
        self._heartbeat = terms.heartbeat
        self._connection: socket.socket = end.get_extra_info("socket")
        self._closed: Closed | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._errand: asyncio.Task[object] | None = None
        self._rest: asyncio.Task[None] | None = None

    async def next(self) -> Message | Closed:
        """See `proxy.ports.Peer.next`. Pings are answered; who is silent is asked, then given up.

        Time counts only while somebody waits here: whoever is slowed down is not silent.
        """
        while self._closed is None:
            came = await self._receive()
            if came.type in _MESSAGES:
                return Message(came.data, came.type is aiohttp.WSMsgType.TEXT)
            if came.type is aiohttp.WSMsgType.PING:
                with suppress(ConnectionError):
                    await self._end.pong(came.data)
            elif came.type is not aiohttp.WSMsgType.PONG:
                self._closed = _ending(came)
                if came.type is aiohttp.WSMsgType.ERROR:
                    self._let_it_finish()
        return self._closed

    async def send(self, message: Message) -> None:
        """See `proxy.ports.Peer.send`."""
        kind = aiohttp.WSMsgType.TEXT if message.is_text else aiohttp.WSMsgType.BINARY
        try:
            async with asyncio.timeout(self._patience):
                await self._end.send_frame(message.data, kind)
        except (ConnectionError, TimeoutError) as error:
            raise PeerGoneError from error

    async def close(self, closing: Closed, patience: float) -> None:
        """See `proxy.ports.Peer.close`."""
        try:
            with suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(patience):
                    await self._end.close(code=closing.code, message=closing.reason.encode())
            if self._rest is not None:
                await self._rest  # for `LINGER` at most, however short a goodbye is
        finally:
            for task in (self._errand, self._rest):
                if task is not None:
                    task.cancel()

    async def _receive(self) -> aiohttp.WSMessage:
        self._timer = asyncio.get_running_loop().call_later(self._heartbeat, self._ask)
        try:
            came: aiohttp.WSMessage = await self._end.receive()
            return came
        finally:
            self._timer.cancel()

    def _ask(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._heartbeat / 2, self._look_again)
        self._errand = loop.create_task(self._ping())

    def _look_again(self) -> None:
        """When this process stood still, what came meanwhile is read after the timers are run."""
        self._timer = asyncio.get_running_loop().call_later(_LAST_LOOK, self._give_up)

    def _give_up(self) -> None:
        """End the waiting for a message; what closes a socket does that."""
        closing = self._end.close(code=GOING_AWAY)
        self._errand = asyncio.get_running_loop().create_task(closing)

    def _let_it_finish(self) -> None:
        """Hear out an end that broke the rules; aiohttp is about to close the connection."""
        with suppress(OSError):
            connection = socket.socket(fileno=os.dup(self._connection.fileno()))
            self._rest = asyncio.get_running_loop().create_task(_dropped(connection))

    async def _ping(self) -> None:
        with suppress(ConnectionError):
            await self._end.ping()


async def _dropped(connection: socket.socket) -> None:
    """Read and forget until the other end has heard us and closes."""
    loop = asyncio.get_running_loop()
    with connection, suppress(OSError, TimeoutError):
        connection.setblocking(False)  # noqa: FBT003 - its only form
        async with asyncio.timeout(LINGER):
            while await loop.sock_recv(connection, 64 * 1024):
                pass


def _ending(came: aiohttp.WSMessage) -> Closed:
    """What the end of a socket means: a close, a breach of the protocol, or nothing at all."""
    if came.type is aiohttp.WSMsgType.CLOSE:
        return Closed(came.data or NO_CODE, came.extra or "")
    if came.type is aiohttp.WSMsgType.ERROR and isinstance(came.data, aiohttp.WebSocketError):
        return Closed(came.data.code, str(came.data))
    return Closed(VANISHED)
