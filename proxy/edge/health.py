"""Which upstream accounts are worth trying: learnt from traffic, forgotten after a while."""

import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from types import TracebackType

from proxy.core.errors import ProxyError, Situation
from proxy.ports import Call, Channel, HandshakeRefusedError, Reply, Terms, Upstream

THRESHOLD = 3
"""Failures in a row that make an account unhealthy: one may be chance, two a coincidence."""

COOLDOWN = 5.0
"""Seconds until an unhealthy account is tried again."""

_UPSTREAMS_FAULT = frozenset({Situation.BAD_GATEWAY, Situation.GATEWAY_TIMEOUT})

_UNAUTHORIZED = int(HTTPStatus.UNAUTHORIZED)  # a member of this enum takes as long as a call

_NOBODY: frozenset[str] = frozenset()


class AccountHealth:
    """Counts failures per account. `clock` is monotonic seconds."""

    def __init__(self, names: Iterable[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._failures = dict.fromkeys(names, 0)
        self._down_until: dict[str, float] = {}
        self._clock = clock

    def succeeded(self, name: str) -> None:
        """Note that the account answered."""
        if self._failures[name]:
            self._failures[name] = 0
            self._down_until.pop(name, None)

    def failed(self, name: str) -> None:
        """Note that it could not be reached, broke off, or refused its own key."""
        self._failures[name] += 1
        if self._failures[name] >= THRESHOLD:
            self._down_until[name] = self._clock() + COOLDOWN

    def unhealthy(self) -> frozenset[str]:
        """Names of the accounts not to choose now."""
        if not self._down_until:
            return _NOBODY
        now = self._clock()
        return frozenset(name for name, until in self._down_until.items() if until > now)

    def all_down(self) -> bool:
        """Whether no account is worth trying."""
        return len(self.unhealthy()) == len(self._failures)


class Watching:
    """An `Upstream` that tells `AccountHealth` how each call began."""

    def __init__(self, upstream: Upstream, health: AccountHealth) -> None:
        self._upstream = upstream
        self._health = health

    @asynccontextmanager
    async def connect(self, call: Call, terms: Terms) -> AsyncIterator[Channel]:
        """See `proxy.ports.Upstream.connect`."""
        name = call.account.name
        async with AsyncExitStack() as stack:
            opening = self._upstream.connect(call, terms)
            try:
                channel = await stack.enter_async_context(opening)
            except HandshakeRefusedError as refused:
                self.began(name, refused.status)
                raise
            except ProxyError as error:
                self.failed(name, error)
                raise
            self._health.succeeded(name)
            yield channel

    def send(self, call: Call) -> AbstractAsyncContextManager[Reply]:
        """See `proxy.ports.Upstream.send`."""
        return _Watched(self, call.account.name, self._upstream.send(call))

    def began(self, name: str, status: int) -> None:
        """Note an answer; a 401 speaks of our key, since the caller's stayed here."""
        if status == _UNAUTHORIZED:
            self._health.failed(name)
        else:
            self._health.succeeded(name)

    def failed(self, name: str, error: ProxyError) -> None:
        """Note that no answer came, where that is upstream's fault."""
        if error.situation in _UPSTREAMS_FAULT:
            self._health.failed(name)


class _Watched:
    """A call whose beginning is told: no generator, which takes ten times as long."""

    __slots__ = ("_name", "_sent", "_watching")

    def __init__(
        self, watching: Watching, name: str, sent: AbstractAsyncContextManager[Reply]
    ) -> None:
        self._watching = watching
        self._name = name
        self._sent = sent

    async def __aenter__(self) -> Reply:
        try:
            reply = await self._sent.__aenter__()
        except ProxyError as error:
            self._watching.failed(self._name, error)
            raise
        self._watching.began(self._name, reply.status)
        return reply

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> bool | None:
        return await self._sent.__aexit__(kind, error, frames)
