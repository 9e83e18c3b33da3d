"""`WireUpstream` keeps the port's contract, and what else it promises."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import closing

import pytest
from edge.contract import Opened, UpstreamContract, call, whole
from edge.rig import Conversation, answering, ok, scripted

from proxy.core.errors import ProxyError, Situation
from proxy.edge.transport import WireUpstream
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

    async def test_a_head_answer_costs_its_connection(self, upstream: Upstream) -> None:
        """Nobody can tell whether a body follows that should not."""
        wire = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
        async with scripted(answering(wire)) as server:
            for _ in range(2):
                await whole(upstream, call(server.url, method="HEAD", headers=(), body=None))
            assert server.connections == 2
