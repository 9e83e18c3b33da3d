"""The contract any implementation of the `Upstream` port keeps: its `send`."""

import asyncio
import gc
import gzip
import weakref
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Protocol

import pytest
from edge.rig import (
    Conversation,
    account,
    answering,
    chunked,
    eventually,
    fields_of,
    ok,
    scripted,
    settled,
)

from proxy.core.errors import ProxyError, Situation
from proxy.ports import Call, Headers, Upstream

SILENCE = 0.2
"""The read timeout of tests that are about it: short, because they wait for it."""


def call(
    url: str,
    *,
    method: str = "POST",
    target: str = "/api/v1/x",
    headers: Headers = (("Content-Length", "2"),),
    body: AsyncIterator[bytes] | bytes | None = b"{}",
    read_timeout: float = 10.0,
) -> Call:
    return Call(method, account(url), target, headers, body, read_timeout)


async def parts(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def whole(upstream: Upstream, made: Call) -> tuple[int, str, Headers, bytes]:
    async with upstream.send(made) as reply:
        body = b"".join([chunk async for chunk in reply.chunks()])
        return reply.status, reply.reason, reply.headers, body


async def all_read(upstream: Upstream) -> None:
    """Return when all that had been sent by now has been read: a later call has come and gone."""
    async with scripted(answering(ok())) as other:
        await whole(upstream, call(other.url))


class Opened(Upstream, Protocol):
    """An implementation, which has a lifetime."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...


class UpstreamContract:
    """What the port promises. An implementation: subclass, and override `made`."""

    def made(self, connect_timeout: float) -> Opened:
        raise NotImplementedError

    @pytest.fixture
    async def upstream(self) -> AsyncIterator[Upstream]:
        made = self.made(10)
        await made.open()
        yield made
        await made.close()

    async def test_close_without_open(self) -> None:
        """Closing what was never opened is no mistake."""
        await self.made(10).close()

    # -- the request -------------------------------------------------------------------------

    @pytest.mark.parametrize(
        "target",
        [
            "/api/v1/x",
            "/api/v1/x/",
            "/api/v1/x?",
            "/api/v1/x?a=1&a=2&&b",
            "/api/v1/x?q=%E4%BD%A0%2f+%20",
            "/api/v1/x?q='()*,;:@!$~",
            "/api/v1/a%20b/%e4%bd%a0/c:d@e",
            "/api/v1/x?next=http://other.test/a?b=c",
            "/api/v1/x?q=你",
            '/api/v1/x?q=[1]{2}|^`"<>\\',
        ],
    )
    async def test_target_goes_as_it_is(self, upstream: Upstream, target: str) -> None:
        """The request line carries the target byte for byte."""
        async with scripted(answering(ok())) as server:
            await whole(upstream, call(server.url, target=target))
            assert server.conversations[0].target == target.encode()

    async def test_root_url_may_have_a_path(self, upstream: Upstream) -> None:
        """An account behind somebody's own gateway: its path comes before the target."""
        async with scripted(answering(ok())) as server:
            await whole(upstream, call(server.url + "/inner", target="/api/v1/x?"))
            assert server.conversations[0].target == b"/inner/api/v1/x?"

    async def test_header_goes_as_it_is(self, upstream: Upstream) -> None:
        """Order, spelling and repeats are kept; only `Host` is added, and it comes first."""
        headers = [
            ("X-Two", "1"),
            ("content-TYPE", "Application/JSON"),
            ("x-two", "2"),
            ("X-Empty", ""),
            ("X-Two", "3"),
            ("Content-Length", "2"),
            ("X-Ü".replace("Ü", "U"), "grün 你好 🙂"),
            ("x-TWO", "4"),
        ]
        async with scripted(answering(ok())) as server:
            await whole(upstream, call(server.url, headers=headers))
            host = server.url.removeprefix("http://").encode()
            sent = [(name.encode(), value.encode()) for name, value in headers]
            assert server.conversations[0].request.fields == [(b"Host", host), *sent]

    @pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS", "POST", "PUT", "PATCH"])
    async def test_nothing_is_added_to_a_bodiless_request(
        self, upstream: Upstream, method: str
    ) -> None:
        """No body, no framing, and none of what libraries like to add."""
        script = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        async with scripted(script) as server:
            await whole(upstream, call(server.url, method=method, headers=(), body=None))
            assert [n for n, _ in server.conversations[0].request.fields] == [b"Host"]

    async def test_content_length_stays_content_length(self, upstream: Upstream) -> None:
        """With a `Content-Length`, bytes or stream, the body goes unchunked."""
        async with scripted(answering(ok())) as server:
            headers = (("Content-Length", "6"),)
            await whole(upstream, call(server.url, headers=headers, body=b"abcdef"))
            await whole(upstream, call(server.url, headers=headers, body=parts(b"abc", b"def")))
            for conversation in server.conversations:
                assert conversation.request.wire == b"abcdef"
                assert not conversation.request.values("transfer-encoding")

    async def test_without_a_length_it_is_chunked(self, upstream: Upstream) -> None:
        """Without one it goes in chunks, bytes or stream, and an empty body too."""
        async with scripted(answering(ok())) as server:
            for body in (b"abcdef", parts(b"abc", b"def"), parts()):
                await whole(upstream, call(server.url, headers=(), body=body))
            sent = [conversation.request for conversation in server.conversations]
            assert [one.body for one in sent] == [b"abcdef", b"abcdef", b""]
            assert all(one.values("transfer-encoding") == [b"chunked"] for one in sent)
            assert all(
                [n for n, _ in one.fields] == [b"Host", b"Transfer-Encoding"] for one in sent
            )

    async def test_body_goes_as_it_comes(self, upstream: Upstream) -> None:
        """A part of the body is with upstream before the next one exists."""
        arrived = asyncio.Event()

        async def script(told: Conversation) -> None:
            assert await told.take(3) == b"abc"
            arrived.set()
            assert await told.take(3) == b"def"
            await told.send(ok())

        async def body() -> AsyncIterator[bytes]:
            yield b"abc"
            await asyncio.wait_for(arrived.wait(), 10)
            yield b"def"

        async with scripted(script) as server:
            headers = (("Content-Length", "6"),)
            found = await whole(upstream, call(server.url, headers=headers, body=body()))
            assert found[0] == 200

    async def test_slow_upstream_slows_the_body(self, upstream: Upstream) -> None:
        """Back-pressure: while upstream does not read, the body is not asked for more."""
        asked = 0
        go = asyncio.Event()

        async def body() -> AsyncIterator[bytes]:
            nonlocal asked
            for _ in range(1024):
                asked += 1
                yield bytes(64 * 1024)

        async def script(told: Conversation) -> None:
            await go.wait()
            await told.whole()
            await told.send(ok())

        async with scripted(script) as server:
            headers = (("Content-Length", str(64 * 1024 * 1024)),)
            running = asyncio.create_task(
                whole(upstream, call(server.url, headers=headers, body=body()))
            )
            await server.heard()
            await settled(lambda: asked)
            assert asked < 400
            go.set()
            assert (await running)[0] == 200
            assert asked == 1024

    # -- the answer --------------------------------------------------------------------------

    async def test_answer_comes_as_it_is(self, upstream: Upstream) -> None:
        """Status, reason, header fields in order, spelling and repeats, body untouched."""
        zipped = bytes.fromhex("1f8b0800000000000003ab5600043bf8e1d902000000")
        head = (
            b"HTTP/1.1 299 Fine, thanks\r\nX-B: 1\r\nx-a: 2\r\nX-b: 3\r\nContent-Encoding: gzip\r\n"
            b"Content-Length: %d\r\n\r\n" % len(zipped)
        )
        async with scripted(answering(head + zipped)) as server:
            status, reason, headers, body = await whole(upstream, call(server.url))
        assert (status, reason) == (299, "Fine, thanks")
        assert [(n.encode(), v.encode()) for n, v in headers] == fields_of(head)
        assert body == zipped

    async def test_odd_bytes_in_a_field_survive(self, upstream: Upstream) -> None:
        """Bytes that are not UTF-8 come as surrogates, so that they can go out as they were."""
        head = (
            b"HTTP/1.1 200 Gr\xfcn\r\nX-Name: \xfcbung\r\nX-More: \xe4\xbd\xa0\r\n"
            b"Content-Length: 0\r\n\r\n"
        )
        async with scripted(answering(head)) as server:
            _, reason, headers, _ = await whole(upstream, call(server.url))
        assert reason.encode("utf-8", "surrogateescape") == b"Gr\xfcn"
        found = dict(headers)
        assert found["X-Name"].encode("utf-8", "surrogateescape") == b"\xfcbung"
        assert found["X-More"] == "你"

    @pytest.mark.parametrize(
        "wire",
        [
            b"HTTP/1.1 204 No Content\r\n\r\n",
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ],
    )
    async def test_answers_without_a_body(self, upstream: Upstream, wire: bytes) -> None:
        """An answer that has no body ends with its head, and its connection is used again."""
        async with scripted(answering(wire)) as server:
            for _ in range(2):
                _, _, _, body = await whole(upstream, call(server.url, method="POST"))
                assert body == b""
            assert server.connections == 1

    async def test_head_has_no_body(self, upstream: Upstream) -> None:
        """The length in an answer to HEAD is about another answer."""
        wire = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
        async with scripted(answering(wire)) as server:
            made = call(server.url, method="HEAD", headers=(), body=None)
            _, _, headers, body = await whole(upstream, made)
            assert (dict(headers)["Content-Length"], body) == ("1000", b"")

    async def test_interim_answers_are_passed_over(self, upstream: Upstream) -> None:
        """100 and 103 announce the answer, they are none."""
        wire = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok()
        async with scripted(answering(wire)) as server:
            assert (await whole(upstream, call(server.url)))[0] == 200

    async def test_chunks_come_one_by_one(self, upstream: Upstream) -> None:
        """Each piece is handed over before the next is sent."""
        more = asyncio.Semaphore(0)

        async def script(told: Conversation) -> None:
            await told.whole()
            await told.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for piece in (b"one", b"two", b"three"):
                await told.send(b"%x\r\n%b\r\n" % (len(piece), piece))
                await asyncio.wait_for(more.acquire(), 10)
            await told.send(b"0\r\n\r\n")

        seen = []
        async with scripted(script) as server, upstream.send(call(server.url)) as reply:
            async for chunk in reply.chunks():
                seen.append(chunk)
                more.release()
        assert seen == [b"one", b"two", b"three"]

    async def test_slow_reader_slows_upstream(self, upstream: Upstream) -> None:
        """Back-pressure: while the chunks are not taken, upstream cannot send on for ever."""
        sent = 0

        async def script(told: Conversation) -> None:
            nonlocal sent
            await told.whole()
            await told.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % 2**26)
            for _ in range(1024):
                await told.send(bytes(64 * 1024))
                sent += 1

        async with scripted(script) as server, upstream.send(call(server.url)) as reply:
            await settled(lambda: sent)
            assert sent < 400
            assert sum([len(chunk) async for chunk in reply.chunks()]) == 2**26

    async def test_without_framing_it_lasts_until_the_end(self, upstream: Upstream) -> None:
        """An answer with neither length nor chunks ends with its connection, whole."""
        wire = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000
        async with scripted(answering(wire, close=True)) as server:
            assert (await whole(upstream, call(server.url)))[3] == b"x" * 100_000

    async def test_redirects_are_answers(self, upstream: Upstream) -> None:
        """A redirect is handed over, never followed."""
        wire = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
        async with scripted(answering(wire)) as server:
            assert (await whole(upstream, call(server.url)))[0] == 302
            assert len(server.conversations) == 1

    async def test_cookies_are_not_kept(self, upstream: Upstream) -> None:
        """What one answer sets, the next request does not carry."""
        async with scripted(answering(ok(b"{}", b"Set-Cookie: acw_tc=1"))) as server:
            for _ in range(2):
                await whole(upstream, call(server.url))
            assert not server.conversations[1].request.values("cookie")

    async def test_a_large_head_is_an_answer(self, upstream: Upstream) -> None:
        """Upstream's head may be as large as a gateway in front of it allows."""
        async with scripted(answering(ok(b"{}", b"X-Large: " + b"a" * 30_000))) as server:
            assert (await whole(upstream, call(server.url)))[0] == 200

    async def test_early_answer(self, upstream: Upstream) -> None:
        """An answer may come while the body goes up, and ends the upload."""
        ended = asyncio.Event()

        async def body() -> AsyncIterator[bytes]:
            try:
                yield b"abc"
                await asyncio.Event().wait()
            finally:
                ended.set()

        async def script(told: Conversation) -> None:
            await told.send(ok(b"no"))

        async with scripted(script) as server:
            headers = (("Content-Length", "6"),)
            found = await whole(upstream, call(server.url, headers=headers, body=body()))
            assert (found[0], found[3]) == (200, b"no")
            await asyncio.wait_for(ended.wait(), 10)
            # Half a request went up: nobody may use that connection again.
            await whole(upstream, call(server.url))
            assert server.connections == 2

    async def test_chunks_read_at_once_stay_apart(self, upstream: Upstream) -> None:
        """However many chunks one read brings, each comes as itself."""
        sent = [b"x" * size for size in (1, 5, 1, 900, 1, 1)]
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        async with (
            scripted(answering(head, chunked(*sent))) as server,
            upstream.send(call(server.url)) as reply,
        ):
            assert [chunk async for chunk in reply.chunks()] == sent

    async def test_what_is_poured_is_what_would_be_walked(self, upstream: Upstream) -> None:
        """All chunks, each by itself and in order, however often the taker has had enough."""
        sent = [b"x" * size for size in (1, 5, 1, 900, 1, 1)]
        taken: list[bytes] = []

        def take(chunks: Sequence[bytes]) -> bool:
            taken.extend(chunks)
            return len(taken) < len(sent)  # enough for now, up to the last one

        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        async with (
            scripted(answering(head, chunked(*sent))) as server,
            upstream.send(call(server.url)) as reply,
        ):
            while not await reply.pour(take):
                assert len(taken) < len(sent)
            assert taken == sent
            assert await reply.pour(take)

    async def test_what_is_poured_before_a_break_is_not_lost(self, upstream: Upstream) -> None:
        """What came is given, then `pour` raises, again and again."""
        taken: list[bytes] = []

        def take(chunks: Sequence[bytes]) -> bool:
            taken.extend(chunks)
            return False

        head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
        async with (
            scripted(answering(head + b"short", close=True)) as server,
            upstream.send(call(server.url)) as reply,
        ):
            with pytest.raises(ProxyError) as caught:
                await reply.pour(take)
            assert b"".join(taken) == b"short"
        assert caught.value.situation is Situation.BAD_GATEWAY

    async def test_a_small_answer_can_be_had_at_once(self, upstream: Upstream) -> None:
        """When all of it has come; it is taken then, and the connection serves again."""
        async with scripted(answering(ok(b"small"))) as server:
            for _ in range(2):
                async with upstream.send(call(server.url)) as reply:
                    await all_read(upstream)
                    assert reply.rest() == b"small"
                    assert [chunk async for chunk in reply.chunks()] == []
                    assert reply.rest() == b""
            assert server.connections == 1

    @pytest.mark.parametrize(
        ("wire", "whole"),
        [
            (b"Content-Length: 9\r\n\r\nshort", b"short"),
            (b"Transfer-Encoding: chunked\r\n\r\n" + chunked(b"a", b"b"), b"ab"),
            (b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n", b"a"),
            (b"X-End: 1\r\n\r\nopen", b"open"),
        ],
        ids=["short", "two chunks", "one chunk of several", "no framing"],
    )
    async def test_what_may_go_on_cannot(
        self, upstream: Upstream, wire: bytes, whole: bytes
    ) -> None:
        """A body that is not all here, or broken, or chunks that would be joined: walk it."""
        async with (
            scripted(answering(b"HTTP/1.1 200 OK\r\n" + wire)) as server,
            upstream.send(call(server.url)) as reply,
        ):
            await all_read(upstream)
            assert reply.rest() is None
            heard = b""
            chunks = reply.chunks()
            while heard != whole:
                heard += await anext(chunks)

    @pytest.mark.parametrize("last", [b"", b"9\r\nthe"], ids=["between", "within"])
    async def test_what_came_before_a_break_is_not_lost(
        self, upstream: Upstream, last: bytes
    ) -> None:
        """A reader who is late still gets what arrived, in its chunks, then hears of the break."""
        sent = [b"one", b"two", b"three"]
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        wire = chunked(*sent).removesuffix(b"0\r\n\r\n") + last
        async with (
            scripted(answering(head + wire, close=True)) as server,
            upstream.send(call(server.url)) as reply,
        ):
            await eventually(lambda: not server.running)
            await all_read(upstream)
            chunks = reply.chunks()
            for chunk in sent + ([b"the"] if last else []):
                assert await anext(chunks) == chunk
            with pytest.raises(ProxyError) as caught:
                await anext(chunks)
        assert caught.value.situation is Situation.BAD_GATEWAY

    @pytest.mark.parametrize("rubbish", [b"x", ok(b"not yours")])
    async def test_what_follows_an_answer_answers_nothing(
        self, upstream: Upstream, rubbish: bytes
    ) -> None:
        """The next call gets its own answer, on a connection of its own."""
        async with scripted(answering(ok(b"first") + rubbish)) as server:
            with suppress(ProxyError):  # who reads on may take it for a broken answer
                assert (await whole(upstream, call(server.url)))[3] == b"first"
            server.script = answering(ok(b"second"))
            assert (await whole(upstream, call(server.url)))[3] == b"second"
            assert server.connections == 2

    # -- what goes wrong ---------------------------------------------------------------------

    async def refused(self, upstream: Upstream, made: Call) -> Situation:
        with pytest.raises(ProxyError) as caught:
            await whole(upstream, made)
        assert made.account.url.removeprefix("http://") not in caught.value.message
        assert made.account.key not in caught.value.message
        return caught.value.situation

    async def failing(self, upstream: Upstream, made: Call, begun: asyncio.Event) -> Situation:
        """The way an answer fails whose chunks, when they come, set `begun`."""
        try:
            async with upstream.send(made) as reply:
                async for _ in reply.chunks():
                    begun.set()
        except ProxyError as error:
            return error.situation
        raise AssertionError(made)

    async def test_nobody_listens(self, upstream: Upstream) -> None:
        """A refused connection is a bad gateway, told without saying where upstream is."""
        async with scripted(answering(ok())) as server:
            url = server.url
        assert await self.refused(upstream, call(url)) is Situation.BAD_GATEWAY

    async def test_no_such_host(self, upstream: Upstream) -> None:
        """A name that does not resolve is a bad gateway."""
        made = call("http://upstream.invalid")
        assert await self.refused(upstream, made) is Situation.BAD_GATEWAY

    @pytest.mark.parametrize(
        "garbage",
        [
            b"hello\r\n\r\n",
            b"HTTP/1.1 abc OK\r\n\r\n",
            b"HTTP/9.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX-Nul: \0\r\nContent-Length: 0\r\n\r\n",
            b"\x15\x03\x01\x00\x02\x02\x50",
            b"HTTP/1.1 200 OK\r\nX-Half",
            b"",
        ],
    )
    async def test_what_is_no_answer(self, upstream: Upstream, garbage: bytes) -> None:
        """Garbage, or an end before the head's end, is a bad gateway."""
        async with scripted(answering(garbage, close=True)) as server:
            assert await self.refused(upstream, call(server.url)) is Situation.BAD_GATEWAY

    async def test_reset_before_the_head(self, upstream: Upstream) -> None:
        """A reset instead of an answer is a bad gateway."""

        async def script(told: Conversation) -> None:
            await told.whole()
            told.reset()

        async with scripted(script) as server:
            assert await self.refused(upstream, call(server.url)) is Situation.BAD_GATEWAY

    @pytest.mark.parametrize(
        "wire",
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
        ],
        ids=["length", "chunks", "trailer", "garbage"],
    )
    @pytest.mark.parametrize("closing", [True, False])
    async def test_break_midway(self, upstream: Upstream, wire: bytes, *, closing: bool) -> None:
        """An answer that ends before its end is a bad gateway, never a short answer."""

        async def script(told: Conversation) -> None:
            await told.whole()
            await told.send(wire)
            if closing:
                told.writer.close()
            elif wire.endswith(b"zz\r\n"):
                await told.gone()
            else:
                told.reset()

        async with scripted(script) as server:
            assert await self.refused(upstream, call(server.url)) is Situation.BAD_GATEWAY

    @pytest.mark.parametrize(
        "fields",
        [
            b"Transfer-Encoding: gzip, chunked\r\n",
            b"Transfer-Encoding: gzip\r\nTransfer-Encoding: Chunked\r\n",
            b"Transfer-Encoding: deflate\r\nConnection: close\r\n",
        ],
    )
    async def test_a_transfer_coding(self, upstream: Upstream, fields: bytes) -> None:
        """Its name is hop-by-hop, so the body would be taken for another: a bad gateway."""
        coded = gzip.compress(b"{}")

        async def script(told: Conversation) -> None:
            await told.whole()
            await told.send(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n" + chunked(coded))
            await told.gone()

        async with scripted(script) as server:
            assert await self.refused(upstream, call(server.url)) is Situation.BAD_GATEWAY

    async def test_a_protocol_that_changes_unasked(self, upstream: Upstream) -> None:
        """What follows a 101 is no HTTP, so it is no answer."""
        wire = b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhello"
        async with scripted(answering(wire)) as server:
            assert await self.refused(upstream, call(server.url)) is Situation.BAD_GATEWAY
            server.script = answering(ok())
            assert (await whole(upstream, call(server.url)))[0] == 200
            assert server.connections == 2

    @pytest.mark.parametrize(
        "fields",
        [
            b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
            b"Content-Length: 2\r\nContent-Length: 3\r\n",
            b"Content-Length: 2, 3\r\n",
        ],
    )
    async def test_two_ends_are_none(self, upstream: Upstream, fields: bytes) -> None:
        """An answer that ends in two places could be taken for two answers: a bad gateway."""
        wire = b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n" + chunked(b"{}")
        async with scripted(answering(wire)) as server:
            assert await self.refused(upstream, call(server.url)) is Situation.BAD_GATEWAY

    async def test_garbage_midway_ends_at_once(self, upstream: Upstream) -> None:
        """Broken framing is noticed when it is read, not when the silence behind it is."""
        wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
        seen = asyncio.Event()

        async def script(told: Conversation) -> None:
            await told.whole()
            await told.send(wire)
            await asyncio.wait_for(seen.wait(), 10)
            await told.send(b"zz\r\nnonsense\r\n")
            await told.gone()

        async with scripted(script) as server, asyncio.timeout(5):
            assert await self.failing(upstream, call(server.url), seen) == Situation.BAD_GATEWAY

    async def test_silence_is_a_timeout(self, upstream: Upstream) -> None:
        """No answer within the read timeout, counted from the request's end, is a timeout."""

        async def script(told: Conversation) -> None:
            await told.whole()
            await told.gone()

        async with scripted(script) as server:
            made = call(server.url, read_timeout=SILENCE)
            assert await self.refused(upstream, made) is Situation.GATEWAY_TIMEOUT

    async def test_silence_midway_is_a_timeout(self, upstream: Upstream) -> None:
        """The same in the middle of an answer."""

        async def script(told: Conversation) -> None:
            await told.whole()
            await told.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
            await told.gone()

        async with scripted(script) as server:
            made = call(server.url, read_timeout=SILENCE)
            assert await self.refused(upstream, made) is Situation.GATEWAY_TIMEOUT

    async def test_an_upstream_that_does_not_read_is_a_timeout(self, upstream: Upstream) -> None:
        """A body nobody takes: no byte either way for the read timeout."""

        async def script(told: Conversation) -> None:
            told.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it can
            await asyncio.Event().wait()

        async def body() -> AsyncIterator[bytes]:
            for _ in range(1024):
                yield bytes(64 * 1024)

        async with scripted(script) as server, asyncio.timeout(8):
            headers = (("Content-Length", str(2**26)),)
            made = call(server.url, headers=headers, body=body(), read_timeout=SILENCE)
            assert await self.refused(upstream, made) is Situation.GATEWAY_TIMEOUT

    async def test_a_slow_body_is_no_silence(self, upstream: Upstream) -> None:
        """While the body is still to come, it is not upstream that is silent."""

        async def body() -> AsyncIterator[bytes]:
            yield b"a"
            await asyncio.sleep(3 * SILENCE)  # the rule is about time: nothing else can show it
            yield b"b"

        async with scripted(answering(ok())) as server:
            made = call(
                server.url, headers=(("Content-Length", "2"),), body=body(), read_timeout=SILENCE
            )
            assert (await whole(upstream, made))[0] == 200

    async def test_failure_of_the_body_comes_out_unchanged(self, upstream: Upstream) -> None:
        """The body's own exception is the caller's, and upstream gets no complete message."""
        mistake = ProxyError(Situation.ILLEGAL_INPUT, "two models")

        async def body() -> AsyncIterator[bytes]:
            yield b"abc"
            raise mistake

        for headers in ((("Content-Length", "3"),), ()):
            async with scripted(answering(ok())) as server:
                made = call(server.url, headers=(*headers, ("X-A", "1")), body=body())
                if headers:
                    made = call(server.url, headers=(("Content-Length", "6"),), body=body())
                with pytest.raises(ProxyError) as caught:
                    await whole(upstream, made)
                assert caught.value is mistake
                await eventually(lambda: not server.running)
                assert not any(c.request.wire for c in server.conversations)

    async def test_failure_of_the_body_during_the_answer(self, upstream: Upstream) -> None:
        """Where upstream answers early, a body that fails later still ends the exchange."""
        mistake = ProxyError(Situation.ILLEGAL_INPUT, "two models")
        begun = asyncio.Event()

        async def body() -> AsyncIterator[bytes]:
            yield b"abc"
            await asyncio.wait_for(begun.wait(), 10)
            raise mistake

        async def script(told: Conversation) -> None:
            await told.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
            await told.gone()

        async with scripted(script) as server, asyncio.timeout(5):
            made = call(server.url, headers=(("Content-Length", "6"),), body=body())
            assert await self.failing(upstream, made, begun) is mistake.situation
            await eventually(lambda: not server.running)

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
    @pytest.mark.parametrize("fresh", [True, False])
    async def test_nothing_that_changes_anything_is_sent_twice(
        self, upstream: Upstream, method: str, *, fresh: bool
    ) -> None:
        """A request that may have arrived is not sent again, idempotent or not."""

        async def script(told: Conversation) -> None:
            await told.whole()
            if told.request.first_line.startswith(b"GET"):
                await told.send(ok())
            else:
                told.reset()

        async with scripted(script) as server:
            if not fresh:
                await whole(upstream, call(server.url, method="GET", headers=(), body=None))
            sent = len(server.conversations)
            made = call(server.url, method=method, headers=(("Content-Length", "0"),), body=None)
            assert await self.refused(upstream, made) is Situation.BAD_GATEWAY
            assert len(server.conversations) == sent + 1

    async def test_a_read_is_sent_again(self, upstream: Upstream) -> None:
        """A GET that met a closing connection is sent once more."""

        async def script(told: Conversation) -> None:
            await told.whole()
            if len(server.conversations) == 2:
                told.reset()
            else:
                await told.send(ok())

        async with scripted(script) as server:
            made = call(server.url, method="GET", headers=(), body=None)
            for _ in range(2):
                assert (await whole(upstream, made))[0] == 200
            assert len(server.conversations) == 3

    # -- leaving -----------------------------------------------------------------------------

    async def test_an_answer_read_to_its_end_gives_the_connection_back(
        self, upstream: Upstream
    ) -> None:
        """Ten calls one after the other take one connection."""
        async with scripted(answering(ok())) as server:
            for _ in range(10):
                await whole(upstream, call(server.url))
            assert server.connections == 1

    async def test_leaving_early_gives_the_connection_up(self, upstream: Upstream) -> None:
        """What is left of an answer must not be the beginning of the next one."""
        left = asyncio.Event()

        async def script(told: Conversation) -> None:
            await told.whole()
            await told.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            await told.gone()
            left.set()

        async with scripted(script) as server:
            async with upstream.send(call(server.url)) as reply:
                assert reply.status == 200
            await asyncio.wait_for(left.wait(), 10)
            server.script = answering(ok())
            await whole(upstream, call(server.url))
            assert server.connections == 2

    @pytest.mark.parametrize("phase", ["body", "head", "answer"])
    async def test_cancelling_ends_the_call(self, upstream: Upstream, phase: str) -> None:
        """Cancelled in whatever phase, upstream sees the connection close, and no task is left."""
        reached, left = asyncio.Event(), asyncio.Event()

        async def body() -> AsyncIterator[bytes]:
            yield b"abc"
            if phase == "body":
                reached.set()
                await asyncio.Event().wait()
            yield b"def"

        async def script(told: Conversation) -> None:
            if phase != "body":
                await told.whole()
            if phase == "answer":
                await told.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            if phase == "head":
                reached.set()
            await told.gone()
            left.set()

        async def run() -> None:
            made = call(server.url, headers=(("Content-Length", "6"),), body=body())
            async with upstream.send(made) as reply:
                async for _ in reply.chunks():
                    reached.set()

        async with scripted(script) as server:
            before = asyncio.all_tasks()
            running = asyncio.create_task(run())
            await asyncio.wait_for(reached.wait(), 10)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            await asyncio.wait_for(left.wait(), 10)
            await eventually(lambda: not server.running)
            await eventually(lambda: asyncio.all_tasks() <= before)

    async def test_a_call_leaves_nothing_on_its_connection(self, upstream: Upstream) -> None:
        """A connection serves thousands of calls: none of them may stay watched through it."""
        begun = asyncio.Semaphore(0)

        async def script(told: Conversation) -> None:
            await told.whole()
            await told.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
            await begun.acquire()
            await told.send(b"{}")

        async with scripted(script) as server:
            left = []
            for _ in range(3):
                async with upstream.send(call(server.url)) as reply:
                    begun.release()
                    assert [chunk async for chunk in reply.chunks()] == [b"{}"]
                left.append(weakref.ref(reply))
                del reply
            assert server.connections == 1
            gc.collect()
            assert [one() for one in left] == [None] * 3

    async def test_an_address_that_does_not_answer(self, full_backlog: str) -> None:
        """Reaching upstream has a time of its own, and failing to is a timeout."""
        upstream = self.made(SILENCE)
        await upstream.open()
        with pytest.raises(ProxyError) as caught:
            await whole(upstream, call(full_backlog))
        await upstream.close()
        assert caught.value.situation is Situation.GATEWAY_TIMEOUT
