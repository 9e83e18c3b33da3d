"""The administrative listener: health, readiness, metrics, usage. Never on the public port."""

import json
import socket
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from proxy.edge.statements import Statements

Readiness = Callable[[], Awaitable[dict[str, str]]]
"""What the process depends on, by name: "ok", or what is wrong in words without secrets."""


class AdminServer:
    """Serves `admin_application` on bound sockets."""

    def __init__(
        self,
        readiness: Readiness,
        metrics: Callable[[], tuple[bytes, str]],
        statements: Statements,
    ) -> None:
        application = admin_application(readiness, metrics, statements)
        self._runner = web.AppRunner(application, access_log=None)

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Accept connections, within the running loop."""
        await self._runner.setup()
        for bound in sockets:
            await web.SockSite(self._runner, bound).start()

    async def stop(self) -> None:
        """Close the port and its connections."""
        await self._runner.cleanup()


def admin_application(
    readiness: Readiness, metrics: Callable[[], tuple[bytes, str]], statements: Statements
) -> web.Application:
    """The application behind `/healthz`, `/readyz`, `/metrics` and `/usage`.

    Alive is not ready: a store outage turns readiness red and leaves liveness green, because a
    restart would not bring the store back, and would forget the grants that still work.
    `metrics` returns the page and its content type.
    """

    async def healthz(_: web.Request) -> web.Response:
        return _json(200, {"status": "ok"})

    async def readyz(_: web.Request) -> web.Response:
        found = await readiness()
        ready = all(state == "ok" for state in found.values())
        return _json(200 if ready else 503, {"status": "ok" if ready else "not ready", **found})

    async def page(_: web.Request) -> web.Response:
        body, content_type = metrics()
        return web.Response(body=body, headers={"Content-Type": content_type})

    application = web.Application()
    application.router.add_get("/healthz", healthz)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", page)
    application.router.add_get("/usage", statements.answer)
    application.router.add_route("*", "/usage", statements.refuse)
    return application


def _json(status: int, value: dict[str, str]) -> web.Response:
    return web.Response(status=status, text=json.dumps(value), content_type="application/json")
