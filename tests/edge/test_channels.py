"""WebSockets to upstream, opened without a client."""

from collections.abc import AsyncIterator

import pytest
from edge.rig import PATIENCE, Conversation, account, answering, chunked, eventually, scripted
from edge.wsrig import accept

from proxy.core.errors import ProxyError, Situation
from proxy.edge.channels import MAX_REFUSAL
from proxy.edge.transport import WireUpstream
from proxy.ports import Call, Closed, HandshakeRefusedError, Message, PeerGoneError, Terms

TERMS = Terms(max_message=1000, patience=PATIENCE, heartbeat=PATIENCE, subprotocols=("a", "b"))


@pytest.fixture
async def session() -> AsyncIterator[WireUpstream]:
    upstream = WireUpstream(connect_timeout=PATIENCE)
    await upstream.open()
    yield upstream
    await upstream.close()


def call(url: str) -> Call:
    return Call("GET", account(url), "/ws?x=%20", [("X-One", "1"), ("x-one", "2")], None, PATIENCE)


async def test_the_calls_header_is_sent_as_it_stands(session: WireUpstream) -> None:
    """Behind `Host` and the handshake's own fields, in its order and spelling; nothing is added."""

    async def script(told: Conversation) -> None:
        await accept(told, b"Sec-WebSocket-Protocol: b", b"X-Two: \xff")
        await told.gone()

    async with scripted(script) as upstream, session.connect(call(upstream.url), TERMS) as channel:
        asked = (await upstream.heard()).request
        assert asked.first_line == b"GET /ws?x=%20 HTTP/1.1"
        assert [name for name, _ in asked.fields] == [
            b"Host",
            b"Upgrade",
            b"Connection",
            b"Sec-WebSocket-Version",
            b"Sec-WebSocket-Key",
            b"Sec-WebSocket-Protocol",
            b"X-One",
            b"x-one",
        ]
        assert channel.subprotocol == "b"
        assert ("X-Two", "\udcff") in channel.headers


@pytest.mark.parametrize("coding", [b"", b"Content-Encoding: gzip\r\n"])
async def test_a_refusal_comes_whole(session: WireUpstream, coding: bytes) -> None:
    """Body and header as they came, neither decoded nor cut; the connection may serve again."""
    body = bytes(200_000)
    head = b"HTTP/1.1 429 Slow\r\n%bContent-Length: %d\r\n\r\n" % (coding, len(body))
    async with scripted(answering(head, body)) as upstream:
        for _ in range(2):
            with pytest.raises(HandshakeRefusedError) as caught:
                async with session.connect(call(upstream.url), TERMS):
                    pass
            refused = caught.value
            assert (refused.status, refused.reason, refused.body) == (429, "Slow", body)
        assert len(upstream.conversations) == 2


async def test_a_refusal_without_end_is_none(session: WireUpstream) -> None:
    """More than anybody would say is not kept: a bad gateway, and the connection is closed."""
    size = MAX_REFUSAL + 1
    head = b"HTTP/1.1 500 Hm\r\nContent-Length: %d\r\n\r\n" % (2 * size)
    async with scripted(answering(head, bytes(size))) as upstream:
        with pytest.raises(ProxyError) as caught:
            async with session.connect(call(upstream.url), TERMS):
                pass
        assert caught.value.situation is Situation.BAD_GATEWAY
        await eventually(lambda: not upstream.running)


async def test_a_refusal_in_a_transfer_coding_is_none(session: WireUpstream) -> None:
    """What cannot be decoded is a bad gateway, and never the body itself."""
    head = b"HTTP/1.1 429 Slow\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
    async with scripted(answering(head, chunked(b"\x1f\x8b"))) as upstream:
        with pytest.raises(ProxyError) as caught:
            async with session.connect(call(upstream.url), TERMS):
                pass
        assert caught.value.situation is Situation.BAD_GATEWAY
        assert "transfer coding" in caught.value.message


async def test_leaving_the_context_cuts_it_off(session: WireUpstream) -> None:
    """Whoever forgot to say goodbye leaves no connection behind; nothing can be said then."""

    async def script(told: Conversation) -> None:
        end = await accept(told)
        assert (await end.hear()).code == 1001
        await told.gone()

    async with scripted(script) as upstream:
        async with session.connect(call(upstream.url), TERMS) as channel:
            pass
        await eventually(lambda: not upstream.running)
        with pytest.raises(PeerGoneError):
            await channel.send(Message(b"x", is_text=False))
        assert isinstance(await channel.next(), Closed)
