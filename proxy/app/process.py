"""One process: everything built once, started, drained, and taken down in reverse."""

import asyncio
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import uvloop

from proxy.app.sockets import bind_all, name_of
from proxy.config import ConfigError
from proxy.config.settings import Settings
from proxy.core.errors import StoreUnavailableError
from proxy.edge.admin import AdminServer
from proxy.edge.gateway import Gateway, Limits
from proxy.edge.health import AccountHealth, Watching
from proxy.edge.listener import PublicServer
from proxy.edge.upstream import SessionUpstream
from proxy.ports import Store
from proxy.stores import open_store
from proxy.telemetry import Metrics, StructuredTelemetry


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
            on_change=lambda is_up: telemetry.store_changed(is_up=is_up),
            on_unreadable=lambda digest, why: telemetry.event(
                "grant_unreadable", digest=digest, why=why
            ),
        )
        self._health = AccountHealth(account.name for account in settings.accounts)
        self._upstream = SessionUpstream(env.connect_timeout)
        self._gateway = Gateway(
            settings.routing.table,
            settings.accounts,
            self.store,
            Watching(self._upstream, self._health),
            telemetry,
            Limits(
                max_body=env.max_body,
                spool=env.spool,
                body_timeout=env.body_timeout,
                read_timeout=env.read_timeout,
                write_timeout=env.write_timeout,
            ),
            self._health,
        )
        self._public = PublicServer(self._gateway.handle, telemetry)
        self._admin = AdminServer(self.readiness, metrics.page)
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
                raise ConfigError([f"PROXY_STORE: {error}"]) from error
            await self._upstream.open()
            lifetimes.push_async_callback(self._upstream.close)
            await self._admin.start(self._admin_sockets)
            lifetimes.push_async_callback(self._admin.stop)
            await self._public.start(self._sockets)
            lifetimes.push_async_callback(self._public.stop)
            self._lifetimes = lifetimes.pop_all()
        self._telemetry.event(
            "listening",
            public=self.urls,
            admin=self.admin_urls,
            store=self._settings.store.partition(":")[0],
            accounts=[account.name for account in self._settings.accounts],
        )

    async def stop(self) -> None:
        """Stop accepting, let what runs finish for a while, take everything down."""
        self._gateway.closing = True
        self._public.stop_accepting()
        try:
            async with asyncio.timeout(self._settings.env.drain):
                await self._gateway.drained()
        except TimeoutError:
            self._telemetry.event("drain_cut_short", seconds=self._settings.env.drain)
        await self._lifetimes.aclose()
        self._telemetry.event("stopped")

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


def run_process(
    settings: Settings,
    sockets: Sequence[socket.socket],
    admin_sockets: Sequence[socket.socket],
    greet: Callable[[Store], Awaitable[None]] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, drain, return. `greet` is called when all is up."""
    log = settings.env.log_format
    console = log == "console" or (log == "auto" and sys.stdout is not None and sys.stdout.isatty())
    metrics = Metrics(shared=settings.env.workers > 1)
    telemetry = StructuredTelemetry(metrics, console=console)
    telemetry.adopt_logging()
    proxy = Proxy(settings, telemetry, metrics, sockets, admin_sockets)
    uvloop.run(_until_told(proxy, telemetry, greet))


async def _until_told(
    proxy: Proxy,
    telemetry: StructuredTelemetry,
    greet: Callable[[Store], Awaitable[None]] | None,
) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    telemetry.adopt_loop(loop)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    async with proxy:
        if greet is not None:
            await greet(proxy.store)
        await told.wait()
