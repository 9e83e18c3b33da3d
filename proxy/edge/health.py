"""Which upstream accounts are worth trying: learnt from traffic, forgotten after a while."""

import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus

from proxy.core.errors import ProxyError, Situation
from proxy.ports import Call, Channel, HandshakeRefusedError, Reply, Terms, Upstream

THRESHOLD = 3
"""Failures in a row that make an account unhealthy: one may be chance, two a coincidence."""

COOLDOWN = 5.0
"""Seconds until an unhealthy account is tried again."""

_UPSTREAMS_FAULT = frozenset({Situation.BAD_GATEWAY, Situation.GATEWAY_TIMEOUT})


class AccountHealth:
    """Counts failures per account. `clock` is monotonic seconds."""

    def __init__(self, names: Iterable[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._failures = dict.fromkeys(names, 0)
        self._down_until = dict.fromkeys(self._failures, 0.0)
        self._clock = clock

    def succeeded(self, name: str) -> None:
        """Note that the account answered."""
        self._failures[name] = 0
        self._down_until[name] = 0.0

    def failed(self, name: str) -> None:
        """Note that it could not be reached, broke off, or refused its own key."""
        self._failures[name] += 1
        if self._failures[name] >= THRESHOLD:
            self._down_until[name] = self._clock() + COOLDOWN

    def unhealthy(self) -> frozenset[str]:
        """Names of the accounts not to choose now."""
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
                self._answered(name, refused.status)
                raise
            except ProxyError as error:
                if error.situation in _UPSTREAMS_FAULT:
                    self._health.failed(name)
                raise
            self._health.succeeded(name)
            yield channel

    @asynccontextmanager
    async def send(self, call: Call) -> AsyncIterator[Reply]:
        """See `proxy.ports.Upstream.send`."""
        name = call.account.name
        answered = False
        try:
            async with self._upstream.send(call) as reply:
                answered = True
                self._answered(name, reply.status)
                yield reply
        except ProxyError as error:
            if not answered and error.situation in _UPSTREAMS_FAULT:
                self._health.failed(name)
            raise

    def _answered(self, name: str, status: int) -> None:
        """Note an answer; a 401 speaks of our key, since the caller's stayed here."""
        if status == HTTPStatus.UNAUTHORIZED:
            self._health.failed(name)
        else:
            self._health.succeeded(name)
