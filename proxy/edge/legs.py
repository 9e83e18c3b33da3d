"""The legs of one client's WebSocket: one to each upstream account that its tasks need.

A leg that is still being dialled holds back what is said on it and nothing else, so that the
tasks on other accounts do not wait for it. Each leg closes its own connection.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Self

from proxy.core.accounts import Account
from proxy.core.answers import AnswerUnreadableError, read_json
from proxy.core.closing import VANISHED
from proxy.core.errors import ProxyError, Situation
from proxy.core.headers import value_of
from proxy.core.policy import Grant
from proxy.ports import Channel, Closed, HandshakeRefusedError, Message, PeerGoneError

HELD = 1024 * 1024
"""Bytes that wait for a leg to open; who says more waits with them."""

Choose = Callable[[str | None, Grant, Collection[str]], Account]
Connect = Callable[[Account], AbstractAsyncContextManager[Channel]]
"""Opens a WebSocket to an account. Raises what `Upstream.connect` does."""


class Leg:
    """One WebSocket to upstream, which may still be opening: a `proxy.ports.Peer`.

    `why` is code and message for the tasks that are lost with it.
    """

    def __init__(self, opening: AbstractAsyncContextManager[Channel]) -> None:
        self.why = (Situation.BAD_GATEWAY.code, "Upstream broke off.")
        self._opening = opening
        self._lifetime = AsyncExitStack()
        self._channel: Channel | None = None
        self._held: deque[Message] = deque()
        self._dialled = asyncio.Event()

    @property
    def has_opened(self) -> bool:
        """Whether upstream granted the handshake."""
        return self._channel is not None

    async def open(self) -> Channel:
        """Shake hands, then say what was held back. Raises what `Upstream.connect` does."""
        try:
            channel = await self._lifetime.enter_async_context(self._opening)
            while self._held:
                await channel.send(self._held.popleft())
            self._channel = channel
        finally:
            self._dialled.set()
        return channel

    async def next(self) -> Message | Closed:
        """See `proxy.ports.Peer.next`. Opens the leg first, if nobody has."""
        try:
            channel = self._channel or await self.open()
        except HandshakeRefusedError as refused:
            self.why = _told_by(refused)
        except ProxyError as error:
            self.why = error.situation.code, error.message
        except PeerGoneError:
            pass
        else:
            return await channel.next()
        return Closed(VANISHED)

    async def send(self, message: Message) -> None:
        """See `proxy.ports.Peer.send`."""
        if self._channel is None and not self._dialled.is_set():
            if sum(len(held.data) for held in self._held) < HELD:
                self._held.append(message)
                return
            await self._dialled.wait()
        if self._channel is None:
            raise PeerGoneError
        await self._channel.send(message)

    async def close(self, closing: Closed, patience: float) -> None:
        """See `proxy.ports.Peer.close`."""
        try:
            if self._channel is not None:
                await self._channel.close(closing, patience)
        finally:
            await self.let_go()

    async def let_go(self) -> None:
        """Cut it off, if that has not been done."""
        await self._lifetime.aclose()


class Legs:
    """Legs by model. Leaving the context cuts off those that are still there."""

    def __init__(self, choose: Choose, connect: Connect) -> None:
        self._choose = choose
        self._connect = connect
        self._at: dict[str, Leg] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for leg in list(self._at.values()):
            await leg.let_go()

    def of(self, model: str | None, grant: Grant, also: Collection[str] = ()) -> tuple[str, Leg]:
        """The account for a model, and the leg there, new or not. Raises `ProxyError`."""
        name = (account := self._choose(model, grant, also)).name
        if name not in self._at:
            self._at[name] = Leg(self._connect(account))
        return name, self._at[name]

    def forget(self, leg: Leg) -> None:
        """Leave a leg to who closes it; the next task there gets a new one."""
        self._at = {name: other for name, other in self._at.items() if other is not leg}


def _told_by(refused: HandshakeRefusedError) -> tuple[str, str]:
    """Code and message of upstream's answer to a handshake, or ours where it has none."""
    try:
        told = read_json(refused.body, value_of(refused.headers, "content-encoding"))
    except AnswerUnreadableError:
        told = None
    found = told if isinstance(told, dict) else {}
    code, message = found.get("code"), found.get("message")
    if isinstance(code, str) and code and isinstance(message, str):
        return code, message
    status = f"Upstream refused the WebSocket with status {refused.status}."
    return Situation.BAD_GATEWAY.code, status
