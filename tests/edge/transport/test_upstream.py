"""`WireUpstream` keeps the port's contract, and what else it promises."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from edge.contract import SILENCE, Opened, UpstreamContract, call, whole
from edge.rig import Conversation, answering, eventually, ok, scripted

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

    async def test_a_read_that_was_not_answered_in_time_is_not_sent_again(
        self, upstream: Upstream
    ) -> None:
        """Its time is over; only a connection that upstream let go of is reason to try another."""

        async def script(told: Conversation) -> None:
            if len(server.conversations) == 1:
                await told.send(ok())
            else:
                await told.reader.read()

        async with scripted(script) as server:
            reads = [
                call(server.url, method="GET", headers=(), body=None, read_timeout=SILENCE)
            ] * 2
            await whole(upstream, reads[0])
            with pytest.raises(ProxyError) as caught:
                await whole(upstream, reads[1])
            assert caught.value.situation is Situation.GATEWAY_TIMEOUT
            assert len(server.conversations) == 2

    async def test_a_call_cancelled_anywhere_leaves_nothing_open(self, upstream: Upstream) -> None:
        """At whatever turn of the loop: the connection is in the pool, or it is closed."""
        async with scripted(answering(ok())) as server:
            for turns in range(40):
                asking = asyncio.ensure_future(whole(upstream, call(server.url)))
                for _ in range(turns):
                    await asyncio.sleep(0)
                asking.cancel()
                with suppress(asyncio.CancelledError):
                    await asking
            await whole(upstream, call(server.url))
            await eventually(lambda: server.open_connections == 1)

    async def test_cancelled_with_its_answer_in_hand(self, upstream: Upstream) -> None:
        """The end of the answer and the caller's in one turn: still nothing stays open."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"http://127.0.0.1:{server.getsockname()[1]}"
            asking = asyncio.ensure_future(whole(upstream, call(url)))
            loop = asyncio.get_running_loop()
            server.setblocking(False)  # noqa: FBT003 - its only form
            peer, _ = await loop.sock_accept(server)
            one, other = socket.socketpair()
            with peer, one, other:
                peer.setblocking(False)  # noqa: FBT003 - its only form
                await loop.sock_recv(peer, 65536)
                loop.add_reader(other, asking.cancel)
                peer.send(ok())  # both are there when the loop looks, in this order
                one.send(b"x")
                with pytest.raises(asyncio.CancelledError):
                    await asking
                loop.remove_reader(other)
                assert await asyncio.wait_for(loop.sock_recv(peer, 1), 10) == b""

    async def test_two_hundred_calls_at_once(self, upstream: Upstream) -> None:
        """Whatever upstream does to some of them: each gets its own answer, all seats are free."""

        async def script(told: Conversation) -> None:
            body = await told.whole()
            match int(body.body) % 5:
                case 0:
                    told.reset()
                case 1:
                    await told.send(ok(body.body)[:-1])
                    told.writer.close()
                case _:
                    await told.send(ok(body.body))

        async with scripted(script) as server:

            async def ask(number: int) -> None:
                body = b"%d" % number
                made = call(server.url, headers=(("Content-Length", str(len(body))),), body=body)
                made = made._replace(account=replace(made.account, connections=10))
                if number % 5 > 1:
                    assert (await whole(upstream, made))[3] == body
                else:
                    with pytest.raises(ProxyError):
                        await whole(upstream, made)

            for _ in range(2):
                await asyncio.wait_for(asyncio.gather(*map(ask, range(200))), 30)
            assert server.open_connections <= 10

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

    @pytest.mark.parametrize("is_cut", [False, True])
    async def test_tls_that_is_cut_off_ends_no_answer(
        self, certificate: Path, *, is_cut: bool
    ) -> None:
        """Where only the end of the connection ends it: anybody on the way could make one."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, f"{certificate}.key")

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n{}")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\nhalf")
            await writer.drain()
            if is_cut:
                writer.transport.abort()
            else:
                writer.close()

        trust = partial(ssl.create_default_context, cafile=str(certificate))
        upstream = WireUpstream(10, Dialler(10, trust=trust))
        await upstream.open()
        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
            made = call(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            if is_cut:
                with pytest.raises(ProxyError) as caught:
                    await whole(upstream, made)
                assert caught.value.situation is Situation.BAD_GATEWAY
            else:
                assert (await whole(upstream, made))[3] == b"half"
        await upstream.close()

    async def test_a_head_answer_costs_its_connection(self, upstream: Upstream) -> None:
        """Nobody can tell whether a body follows that should not."""
        wire = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
        async with scripted(answering(wire)) as server:
            for _ in range(2):
                await whole(upstream, call(server.url, method="HEAD", headers=(), body=None))
            assert server.connections == 2
