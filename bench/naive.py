"""A naive relay, to measure against: `python -m bench.naive URL`.

As short as aiohttp allows and without any policy.
"""

import asyncio
import sys
from contextlib import suppress

from aiohttp import ClientResponse, ClientSession, DummyCookieJar, TCPConnector, web


def relay(url: str, session: ClientSession) -> web.Server:
    """Everything to `url`: body and answer read whole, event streams as they come."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        body = await request.content.read()
        headers = {"Content-Type": "application/json", "Authorization": "Bearer x"}
        async with session.request(
            request.method, url + request.raw_path, data=body, headers=headers
        ) as answer:
            if answer.content_type == "text/event-stream":
                return await streamed(request, answer)
            return web.Response(
                status=answer.status, body=await answer.read(), content_type=answer.content_type
            )

    return web.Server(handle, access_log=None)


async def streamed(request: web.BaseRequest, answer: ClientResponse) -> web.StreamResponse:
    """Chunk by chunk."""
    response = web.StreamResponse(headers={"Content-Type": answer.headers["Content-Type"]})
    with suppress(ConnectionResetError):  # the reader has left
        await response.prepare(request)
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
    return response


async def main() -> None:
    """Serve on a free port, print it, go on until killed."""
    connector = TCPConnector(limit=0)
    async with ClientSession(cookie_jar=DummyCookieJar(), connector=connector) as session:
        server = relay(sys.argv[1], session)
        listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
        print(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", flush=True)  # noqa: T201 - read by the parent
        await listening.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
