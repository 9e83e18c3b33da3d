"""What is left without any policy: `python -m bench.bare [URL]`, the floor of all that we measure.

aiohttp's low-level server, as the proxy has it. With a URL it relays to it on the proxy's own
transport; without one it answers by itself, always the same. Nobody is asked who he is, nothing is
judged, counted, logged or charged.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable

from aiohttp import web

from bench.configs import TASK
from proxy.core.accounts import Account
from proxy.edge.transport import WireUpstream
from proxy.ports import Call, Headers

PATIENCE = 60.0
"""Seconds that upstream may take."""

JSON = (("Content-Type", "application/json"),)

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def answering() -> Handler:
    """Everybody gets the answer to a poll."""
    body = TASK.replace("STATUS", "RUNNING").encode()
    told = written(200, "OK", (*JSON, ("Content-Length", str(len(body)))), body)

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return sent(request, told)

    return handle


def relaying(account: Account, upstream: WireUpstream) -> Handler:
    """Everything to one account: body and answer whole, headers as they are."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        body = await request.content.read()
        fields = [(name.decode(), value.decode()) for name, value in request.raw_headers]
        crossing = [(name, value) for name, value in fields if name != "Host"]
        call = Call(request.method, account, request.raw_path, crossing, body, PATIENCE)
        async with upstream.send(call) as reply:
            told = reply.rest()
            if told is None:
                told = b"".join([chunk async for chunk in reply.chunks()])
            return sent(request, written(reply.status, reply.reason, reply.headers, told))

    return handle


def written(status: int, reason: str, fields: Headers, body: bytes) -> bytes:
    """An answer as it is on the wire."""
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join([*lines, "", ""]).encode() + body


def sent(request: web.BaseRequest, told: bytes) -> web.StreamResponse:
    """Write it past aiohttp's response, as the proxy does, if the client is there still."""
    if request.transport is not None:
        request.transport.write(told)
    return _WRITTEN


class _Written(web.StreamResponse):
    """What aiohttp gets back when all has been written."""

    async def prepare(self, request: web.BaseRequest) -> None:
        """Do nothing."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing."""

    keep_alive = True


_WRITTEN = _Written()


async def main() -> None:
    """Serve on a free port, print it, go on until killed."""
    upstream = WireUpstream(PATIENCE)
    await upstream.open()
    urls = sys.argv[1:]
    handler = relaying(Account("bench", urls[0], ""), upstream) if urls else answering()
    server = web.Server(handler, access_log=None)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", flush=True)  # noqa: T201 - read by the parent
    await listening.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
