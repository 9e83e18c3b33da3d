"""A lean upstream and a naive relay, to measure against: `python -m bench.upstream [URL]`.

Without a URL it answers every request with a fixed task; with one it relays there, as short as
aiohttp allows and without any policy.
"""

import asyncio
import json
import sys

from aiohttp import ClientSession, DummyCookieJar, web

ANSWER = json.dumps(
    {"output": {"task_id": "00000000-0000-0000-0000-000000000000", "task_status": "PENDING"}}
).encode()


def relay(url: str, session: ClientSession) -> web.Server:
    """Everything to `url`, body and answer read whole."""

    async def handle(request: web.BaseRequest) -> web.Response:
        body = await request.content.read()
        headers = {"Content-Type": "application/json", "Authorization": "Bearer x"}
        async with session.request(
            request.method, url + request.raw_path, data=body, headers=headers
        ) as answer:
            return web.Response(
                status=answer.status, body=await answer.read(), content_type=answer.content_type
            )

    return web.Server(handle, access_log=None)


def fixed() -> web.Server:
    """The same answer to everything."""

    async def handle(request: web.BaseRequest) -> web.Response:
        await request.content.read()
        return web.Response(body=ANSWER, content_type="application/json")

    return web.Server(handle, access_log=None)


async def main() -> None:
    """Serve on a free port, print it, go on until killed."""
    async with ClientSession(cookie_jar=DummyCookieJar()) as session:
        server = relay(sys.argv[1], session) if len(sys.argv) > 1 else fixed()
        listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
        print(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", flush=True)  # noqa: T201 - read by the parent
        await listening.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
