"""Long streams, quiet streams, compressed streams: what crosses, when, and what ends them."""

import asyncio
import dataclasses
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from edge.rig import (
    LIMITS,
    PLAIN,
    Client,
    Conversation,
    calling,
    eventually,
    rig,
    scripted,
)

from proxy.ports import Visit
from proxy.sandbox.delivery import COMPRESSION

STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream;charset=UTF-8\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
FRAME = b'id:1\nevent:result\n:HTTP_STATUS/200\ndata:{"output":{}}\n\n'
LAST = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Stage:
    """Upstream says a part when the test tells it to."""

    def __init__(self, client: Client, conversation: Conversation, visits: list[Visit]) -> None:
        self.client = client
        self.visits = visits
        self._conversation = conversation

    async def say(self, wire: bytes) -> None:
        await self._conversation.send(wire)

    async def passes(self, wire: bytes) -> None:
        """What upstream says is with the client, as it is, before upstream says more."""
        await self.say(wire)
        assert await self.client.take(len(wire)) == wire

    def reset(self) -> None:
        self._conversation.reset()


@asynccontextmanager
async def staged(
    head: bytes, *, version: bytes = b"HTTP/1.1", read_timeout: float = LIMITS.read_timeout
) -> AsyncIterator[Stage]:
    """A call whose answer has this head; what follows is the test's to say."""
    over = asyncio.Event()

    async def script(told: Conversation) -> None:
        await told.whole()
        await told.send(head)
        await over.wait()

    limits = dataclasses.replace(LIMITS, read_timeout=read_timeout)
    async with (
        scripted(script) as upstream,
        rig(upstream.url, limits=limits) as made,
        calling(made.url) as client,
    ):
        await client.send(made.post(path=PLAIN).replace(b"HTTP/1.1", version))
        assert (await client.head()).startswith(version + b" 200")
        yield Stage(client, await upstream.heard(), made.telemetry.visits)
        over.set()


async def test_heartbeats_pass() -> None:
    """A comment that keeps a stream alive is with the client at once, alone or behind a frame."""
    async with staged(STREAM + CHUNKED) as stage:
        for part in (b":\n\n", FRAME, b": ping\n\n", b":\r\n\r\n", b"\n"):
            await stage.passes(chunk(part))
        await stage.passes(LAST)


async def test_a_stream_lives_as_long_as_it_speaks_in_time() -> None:
    """Silences below the read timeout end nothing, however many: there is no limit for the sum."""
    patience = 1.0
    async with staged(STREAM + CHUNKED, read_timeout=patience) as stage:
        for _ in range(4):
            await asyncio.sleep(0.4 * patience)
            await stage.passes(chunk(b":\n\n"))
        await stage.passes(LAST)
        await eventually(lambda: stage.visits)
        assert stage.visits[0].total > 1.5 * patience
        assert (stage.visits[0].status, stage.visits[0].code) == (200, "")


async def test_every_flush_of_a_compressed_stream_can_be_read_at_once() -> None:
    """A gzip frame that upstream flushed is decodable when it comes; bytes and chunks are kept."""
    packer, reader = zlib.compressobj(wbits=COMPRESSION), zlib.decompressobj(wbits=COMPRESSION)
    async with staged(STREAM + b"Content-Encoding: gzip\r\n" + CHUNKED) as stage:
        for number in range(5):
            frame = FRAME.replace(b"1", b"%d" % number, 1)
            wire = chunk(packer.compress(frame) + packer.flush(zlib.Z_SYNC_FLUSH))
            await stage.say(wire)
            size = int(await stage.client.until(b"\r\n"), 16)
            assert reader.decompress(await stage.client.take(size)) == frame
            await stage.client.until(b"\r\n")
        await stage.passes(chunk(packer.flush()) + LAST)


async def test_compressed_json_keeps_its_chunks() -> None:
    """So does an answer that is no stream: its bytes are not looked into."""
    body = zlib.compress(b'{"output":{"text":"hello"}}', wbits=COMPRESSION)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
    async with staged(head + CHUNKED) as stage:
        for at in range(0, len(body), 7):
            await stage.passes(chunk(body[at : at + 7]))
        await stage.passes(LAST)


ENDINGS = {
    "lines": (FRAME, True),
    "carriage returns": (FRAME.replace(b"\n", b"\r\n"), True),
    "a heartbeat": (FRAME + b":\n\n", True),
    "half a line break": (FRAME.replace(b"\n", b"\r\n")[:-1], False),
    "one line break": (FRAME[:-1], False),
    "half a frame": (FRAME + FRAME[:20], False),
    "half a heartbeat": (FRAME + b":", False),
}


@pytest.mark.parametrize("name", ENDINGS)
@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
async def test_silence_beyond_the_timeout_ends_a_stream(name: str, version: bytes) -> None:
    """Between frames with the native error frame and a good end, within one by breaking off."""
    said, is_between = ENDINGS[name]
    is_chunked = version == b"HTTP/1.1"
    async with staged(STREAM + CHUNKED, version=version, read_timeout=0.3) as stage:
        await stage.say(chunk(said))
        expected = chunk(said) if is_chunked else said
        assert await stage.client.take(len(expected)) == expected
        if not is_between and not is_chunked:
            with pytest.raises(ConnectionResetError):
                await stage.client.rest()
            return
        rest = await stage.client.until(LAST) if is_between and is_chunked else b""
        rest = rest or await stage.client.rest()
        if not is_between:
            assert not rest
            return
        frame = rest[rest.index(b"event:error") : rest.index(b"}\n\n") + 3]
        assert frame.startswith(b"event:error\n:HTTP_STATUS/504\ndata:{")
        assert json.loads(frame.split(b"data:")[1])["code"] == "GatewayTimeout"
        assert rest == (chunk(frame) + LAST if is_chunked else frame)
    assert stage.visits[0].code == "GatewayTimeout"


async def test_the_type_of_a_stream_may_be_spelled_in_any_way() -> None:
    """Media types and codings have no case: a stream is one however upstream spells it."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream\r\nContent-Encoding: Identity\r\n"
    async with staged(head + CHUNKED) as stage:
        await stage.passes(chunk(FRAME))
        stage.reset()
        assert b"event:error\n:HTTP_STATUS/502\n" in await stage.client.until(LAST)
