"""The body of upstream's answer: its chunks stay what they were, and nothing of it is lost."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from edge.rig import PATIENCE, Conversation, Script, chunked, scripted, settled
from edge.session.reply import READ_BUFFER, SessionReply, broken

from proxy.core.errors import ProxyError, Situation

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@asynccontextmanager
async def replying(script: Script, rest: float = PATIENCE) -> AsyncIterator[SessionReply]:
    """An answer as the script gives it, behind its head."""
    async with (
        scripted(script) as upstream,
        aiohttp.ClientSession(auto_decompress=False, read_bufsize=READ_BUFFER) as session,
        session.get(upstream.url) as response,
    ):
        yield SessionReply(response, rest)


def saying(*parts: bytes) -> Script:
    """A head, then these bytes, each in a write of its own."""

    async def script(told: Conversation) -> None:
        await told.send(HEAD)
        for part in parts:
            await told.send(part)
            await asyncio.sleep(0)

    return script


async def collect(reply: SessionReply, into: list[bytes]) -> None:
    """All chunks, those before an error too."""
    async for chunk in reply.chunks():
        into.append(chunk)  # noqa: PERF401 - a comprehension would keep them to itself


async def test_chunks_read_at_once_stay_apart() -> None:
    """However many chunks one read brings, each comes as itself."""
    sent = [b"x" * size for size in (1, 5, 1, 900, 1, 1)]
    async with replying(saying(chunked(*sent))) as reply:
        assert [chunk async for chunk in reply.chunks()] == sent


async def test_a_read_that_ends_within_a_chunk_does_not_cut_it() -> None:
    """A megabyte of small chunks, more than any buffer on the way: as many, of the same sizes."""
    sizes = list(itertools.islice(itertools.cycle([1, 1000, 3000, 7]), 1000))
    async with replying(saying(chunked(*(bytes(size) for size in sizes)))) as reply:
        assert [len(chunk) async for chunk in reply.chunks()] == sizes


@pytest.mark.parametrize("at", range(1, 12))
async def test_a_chunk_in_two_segments_comes_whole(at: int) -> None:
    """Wherever a segment ends, in the size, the bytes or the line break behind them."""
    wire = chunked(b"hello", b"you")
    async with replying(saying(wire[:at], wire[at:])) as reply:
        assert [chunk async for chunk in reply.chunks()] == [b"hello", b"you"]


async def test_a_pause_within_a_chunk_holds_nothing_up() -> None:
    """What has come is told after `rest` seconds, whether the chunk has ended or not."""
    go = asyncio.Event()

    async def script(told: Conversation) -> None:
        await told.send(HEAD, b"8\r\nhalf")
        await go.wait()
        await told.send(b"half\r\n0\r\n\r\n")

    async with replying(script, rest=0.001) as reply:
        chunks = reply.chunks()
        assert await anext(chunks) == b"half"
        go.set()
        assert [chunk async for chunk in chunks] == [b"half"]


async def test_a_large_chunk_comes_in_parts() -> None:
    """A chunk beyond the buffer is not waited for: its parts come, all of them, in order."""
    body = bytes(range(256)) * 8192
    async with replying(saying(chunked(body, b"end"))) as reply:
        chunks = [chunk async for chunk in reply.chunks()]
    assert len(chunks) > 2
    assert b"".join(chunks) == body + b"end"
    assert chunks[-1] == b"end"


@pytest.mark.parametrize("last", [b"", b"9\r\nthe"], ids=["between", "within"])
async def test_what_came_before_a_break_is_not_lost(last: bytes) -> None:
    """A reader who is late still gets what arrived, in its chunks, and then hears of the break."""
    sent = [b"one", b"two", b"three"]
    ended = asyncio.Event()

    async def script(told: Conversation) -> None:
        await told.send(HEAD, chunked(*sent).removesuffix(b"0\r\n\r\n"), last)
        told.writer.close()
        ended.set()

    async with replying(script) as reply:
        await ended.wait()
        await settled(lambda: 0)  # the break has arrived by then
        seen: list[bytes] = []
        with pytest.raises(ProxyError) as caught:
            await collect(reply, seen)
        assert seen == sent + ([b"the"] if last else [])
        assert caught.value.situation is Situation.BAD_GATEWAY


def test_exceptions_within_an_answer() -> None:
    """Silence is a timeout, all else a break."""
    assert broken(aiohttp.ServerTimeoutError()).situation is Situation.GATEWAY_TIMEOUT
    assert broken(aiohttp.ClientPayloadError()).situation is Situation.BAD_GATEWAY
