"""One process: everything built once, started, drained, and taken down in reverse."""

import asyncio
import gc
import os
import resource
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Self

import uvloop

from proxy.app.leash import when_parent_ends
from proxy.app.notices import telemetry_of, told_to
from proxy.app.sockets import BACKLOG, bind_all, close_all, name_of
from proxy.config import ConfigError
from proxy.config.settings import Environment, Settings
from proxy.core.accounts import shared
from proxy.core.errors import StoreUnavailableError
from proxy.edge.admin import AdminServer
from proxy.edge.gateway import Gateway, Limits
from proxy.edge.health import AccountHealth, Watching
from proxy.edge.listener import PublicServer
from proxy.edge.metering import Meter
from proxy.edge.settling import Settler
from proxy.edge.sockets import SocketLimits
from proxy.edge.statements import Statements
from proxy.edge.transport import WireUpstream
from proxy.ports import Store
from proxy.stores import open_store
from proxy.telemetry import Metrics, StructuredTelemetry

GRACE = 1.0
"""Seconds in which who connected just before the ports closed may send its request."""

ENDING = (signal.SIGTERM, signal.SIGINT)
"""Signals that end a process."""


class Proxy:
    """A proxy in this process, on sockets that are bound already.

    Use it as an async context, or `start` and `stop` it; `stop` drains for `PROXY_DRAIN` s.
    """

    def __init__(
        self,
        settings: Settings,
        telemetry: StructuredTelemetry,
        metrics: Metrics,
        sockets: Sequence[socket.socket] | None = None,
        admin_sockets: Sequence[socket.socket] | None = None,
    ) -> None:
        env = settings.env
        self._settings = settings
        self._telemetry = telemetry
        self._sockets = sockets or bind_all(env.listen, "PROXY_LISTEN")
        self._admin_sockets = admin_sockets or bind_all(env.admin_listen, "PROXY_ADMIN_LISTEN")
        self.store = open_store(
            settings.store,
            prefix=env.store_prefix,
            max_staleness=env.staleness,
            on_change=self._store_changed,
            on_unreadable=lambda digest, why: telemetry.event(
                "grant_unreadable", digest=digest, why=why
            ),
            outbox=settings.outbox,
            outbox_notices=told_to(telemetry),
        )
        self._health = AccountHealth(account.name for account in settings.accounts)
        self._upstream = WireUpstream(env.connect_timeout)
        self._meter = Meter(self.store, settings.routing.prices, telemetry, env.lease)
        self._gateway = Gateway(
            settings.routing.table,
            shared(settings.accounts, env.workers),
            self.store,
            Watching(self._upstream, self._health),
            telemetry,
            _limits_of(env),
            self._health,
            meter=self._meter,
        )
        self._settler = Settler(
            self.store,
            self._gateway.queries,
            settings.accounts,
            self._meter,
            telemetry,
            first_look=env.first_look,
            lease=env.lease,
        )
        self._public = PublicServer(self._gateway.handle, telemetry)
        self._admin = AdminServer(self.readiness, metrics.page, Statements(self.store))
        self._drain: asyncio.Timeout | None = None
        self._hurried = False
        self._lifetimes = AsyncExitStack()

    @property
    def urls(self) -> list[str]:
        """Where the public listeners are reached."""
        return [name_of(bound) for bound in self._sockets]

    @property
    def admin_urls(self) -> list[str]:
        """Where the administrative listeners are reached."""
        return [name_of(bound) for bound in self._admin_sockets]

    async def start(self) -> None:
        """Build up, innermost first; what was built is taken down again if a later step fails.

        Raises `ConfigError` for a store that no waiting would make usable.
        """
        async with AsyncExitStack() as lifetimes:
            lifetimes.push_async_callback(self.store.close)
            try:
                await self.store.open()
            except ValueError as error:  # a file of a later version
                close_all([*self._sockets, *self._admin_sockets])
                raise ConfigError([f"PROXY_STORE: {error}"]) from error
            await self._meter.start()
            lifetimes.push_async_callback(self._meter.stop)
            await self._upstream.open()
            lifetimes.push_async_callback(self._upstream.close)
            self._settler.start()
            lifetimes.push_async_callback(self._settler.stop)
            await self._admin.start(self._admin_sockets)
            lifetimes.push_async_callback(self._admin.stop)
            await self._public.start(self._sockets, BACKLOG)
            lifetimes.push_async_callback(self._public.stop)
            self._lifetimes = lifetimes.pop_all()
        self._telemetry.event(
            "listening",
            pid=os.getpid(),
            public=self.urls,
            admin=self.admin_urls,
            store=self._settings.store.partition(":")[0],
            accounts=[account.name for account in self._settings.accounts],
        )

    async def stop(self) -> None:
        """Stop accepting, let what runs finish for a while, take everything down."""
        started = time.monotonic()
        self._gateway.closing = True
        self._gateway.sockets.drain()
        try:
            self._drain = asyncio.timeout(0 if self._hurried else self._settings.env.drain)
            async with self._drain:
                await self._public.close_ports(GRACE)
                self._public.stop_accepting()
                await self._gateway.drained()
        except TimeoutError:
            self._telemetry.event("drain_cut_short", seconds=round(time.monotonic() - started, 3))
            self._gateway.sockets.end()
        await self._lifetimes.aclose()
        self._telemetry.event("stopped", pid=os.getpid())

    def hurry(self) -> None:
        """Let `stop`, which runs or will, wait for nobody any more."""
        self._hurried = True
        if self._drain is not None and not self._drain.expired():
            self._drain.reschedule(0)

    def _store_changed(self, is_up: bool) -> None:  # noqa: FBT001 - the stores' own form
        why = "" if is_up else self.store.trouble
        self._telemetry.store_changed(is_up=is_up, why=why)

    async def readiness(self) -> dict[str, str]:
        """What this process depends on, by name: "ok", or what is wrong."""
        found = {"store": "ok", "upstream": "ok"}
        try:
            await self.store.ping()
        except StoreUnavailableError:
            found["store"] = "unavailable"
        if self._health.all_down():
            found["upstream"] = "no account answers, or none accepts its key"
        if self._gateway.closing:
            found["process"] = "draining"
        return found

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        await self.stop()


def _limits_of(env: Environment) -> Limits:
    """What a request may take, as the variables say."""
    return Limits(
        max_body=env.max_body,
        spool=env.spool,
        body_timeout=env.body_timeout,
        read_timeout=env.read_timeout,
        write_timeout=env.write_timeout,
        poll_hold=env.poll_hold,
        trusted=env.trusted_proxies,
        sockets=SocketLimits(
            max_message=env.max_message,
            idle=env.socket_idle,
            handshake=env.connect_timeout,
            patience=env.write_timeout,
            per_token=env.max_sockets,
        ),
    )


def run_process(
    settings: Settings,
    sockets: Sequence[socket.socket],
    admin_sockets: Sequence[socket.socket],
    greet: Callable[[Store], Awaitable[None]] | None = None,
    *,
    is_worker: bool = False,
) -> None:
    """Serve until told to stop, drain, return. `greet` is called when all is up.

    Told by SIGTERM, by SIGINT, of which a second one ends the drain, or, as a worker, by the
    end of the parent. Raises `ConfigError`, and what `greet` raises.
    """
    _raise_descriptor_limit()
    metrics = Metrics(shared=settings.env.workers > 1)
    telemetry = telemetry_of(settings, metrics)
    telemetry.adopt_logging()
    proxy = Proxy(settings, telemetry, metrics, sockets, admin_sockets)

    async def run() -> None:
        telemetry.adopt_loop(asyncio.get_running_loop())
        told = _listen_for_the_end(proxy, is_worker=is_worker)
        async with proxy:
            if greet is not None:
                await greet(proxy.store)
            spare_what_is_here()
            await told.wait()
        # On the way out: with the loop go its handlers, and the next signal would be a traceback.
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)

    uvloop.run(run())


YOUNG = 10_000
"""Objects made and not let go of, after which the youngest are looked through for garbage. With
Python's 700 that is for every few calls, where some dozens under way hold thousands; a call took
0.96 times the CPU with this (14 rounds in turns)."""


def spare_what_is_here() -> None:
    """Look for garbage among what comes from now on, not among modules and tables that stay.

    Everybody waits for such a look: at 64 connections this took the 99th percentile of a call from
    91 ms to 49 (medians of four rounds in turns), and a twentieth off its CPU time.
    """
    gc.freeze()
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])


def _raise_descriptor_limit() -> None:
    """Take as many descriptors as the system grants: each request has two connections.

    The usual soft limit of 1,024 is there for programs that use `select`; this one does not.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # as it was, then: some systems grant less than they say
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _listen_for_the_end(proxy: Proxy, *, is_worker: bool) -> asyncio.Event:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()

    def interrupted() -> None:
        # A worker's SIGINT is the parent's second word, even if it overtakes the first.
        if is_worker or told.is_set():
            proxy.hurry()
        told.set()

    # A second SIGTERM is none: a supervisor may send it to the parent and to all workers, and
    # the parent passes on its own.
    loop.add_signal_handler(signal.SIGTERM, told.set)
    loop.add_signal_handler(signal.SIGINT, interrupted)
    if is_worker:
        when_parent_ends(told.set)
    return told
