"""`WireUpstream` keeps the port's contract, and what else it promises."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest
from edge.contract import Opened, UpstreamContract, call, whole
from edge.rig import Conversation, answering, ok, scripted

from proxy.core.errors import ProxyError, Situation
from proxy.edge.transport import WireUpstream
from proxy.edge.transport.dialling import Dialler
from proxy.ports import Upstream

CLOSED = [b"", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"]


class TestWireUpstream(UpstreamContract):
    def made(self, connect_timeout: float) -> Opened:
        return WireUpstream(connect_timeout)

    @pytest.mark.parametrize("said", CLOSED, ids=["silently", "with a word"])
    async def test_a_submit_is_not_lost_to_a_connection_that_just_ended(
        self, upstream: Upstream, said: bytes
    ) -> None:
        """Upstream closes an idle connection, we have not been told yet: the next call dials."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"http://127.0.0.1:{server.getsockname()[1]}"
            asking = asyncio.ensure_future(whole(upstream, call(url)))
            loop = asyncio.get_running_loop()
            server.setblocking(False)  # noqa: FBT003 - its only form
            first, _ = await loop.sock_accept(server)
            first.setblocking(False)  # noqa: FBT003 - its only form
            await loop.sock_recv(first, 65536)
            await loop.sock_sendall(first, ok())
            await asking
            with closing(first):  # between the two lines the loop has no turn
                first.send(said)
            asking = asyncio.ensure_future(whole(upstream, call(url)))
            second, _ = await asyncio.wait_for(loop.sock_accept(server), 10)
            with closing(second):
                second.setblocking(False)  # noqa: FBT003 - its only form
                assert (await loop.sock_recv(second, 65536)).startswith(b"POST")
                await loop.sock_sendall(second, ok(b"mine"))
                assert (await asking)[3] == b"mine"

    async def test_a_read_with_a_stream_is_not_sent_again(self, upstream: Upstream) -> None:
        """A body that has been taken is gone, and half of it would be another request."""

        async def body() -> AsyncIterator[bytes]:
            yield b"{}"

        async def script(told: Conversation) -> None:
            await told.whole()
            if len(server.conversations) == 1:
                await told.send(ok())
            else:
                told.reset()

        async with scripted(script) as server:
            await whole(upstream, call(server.url))
            with pytest.raises(ProxyError) as caught:
                await whole(upstream, call(server.url, method="GET", body=body()))
            assert caught.value.situation is Situation.BAD_GATEWAY
            assert len(server.conversations) == 2

    async def test_tls_connections_are_used_again(self, certificate: Path) -> None:
        """What the handshake leaves to be read is no reason to shake hands again."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, f"{certificate}.key")
        connections = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while await reader.readuntil(b"\r\n\r\n{}"):
                    writer.write(ok(b"x" * 100_000))
                    await writer.drain()
            writer.close()

        trust = partial(ssl.create_default_context, cafile=str(certificate))
        upstream = WireUpstream(10, Dialler(10, trust=trust))
        await upstream.open()
        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
            url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            for _ in range(5):
                assert len((await whole(upstream, call(url)))[3]) == 100_000
            assert connections == 1
            await upstream.close()

    async def test_a_head_answer_costs_its_connection(self, upstream: Upstream) -> None:
        """Nobody can tell whether a body follows that should not."""
        wire = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
        async with scripted(answering(wire)) as server:
            for _ in range(2):
                await whole(upstream, call(server.url, method="HEAD", headers=(), body=None))
            assert server.connections == 2
