"""Answers to the client: what crosses unchanged, what is changed, and how an answer breaks."""

import asyncio
import dataclasses
import itertools
import json
import random
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from edge.rig import (
    BODY,
    KEY,
    LIMITS,
    PLAIN,
    SUBMIT,
    Client,
    Conversation,
    Fields,
    Message,
    account,
    answering,
    ask,
    calling,
    chunked,
    eventually,
    fields_of,
    head_of,
    ok,
    request,
    rig,
    scripted,
    settled,
    task_answer,
)

from proxy.core.errors import Situation
from proxy.ports import Call, Channel, Headers, Reply, Take, Terms
from proxy.sandbox import Sandbox

STOPPED = [
    b"Connection",
    b"Keep-Alive",
    b"Proxy-Connection",
    b"Proxy-Authenticate",
    b"Proxy-Authorization",
    b"TE",
    b"Trailer",
    b"Upgrade",
    b"Set-Cookie",
    b"X-DashScope-Uid",
    b"x-dashscope-apikeyid",
    b"x-dashscope-inner-caller-parent-id",
    b"X-DashScope-Inner-Flow-Control",
    b"Alt-Svc",
    b"Strict-Transport-Security",
    b"Public-Key-Pins",
    b"X-Proxy-Request-Id",
]
"""What upstream may say and no client hears. Written out here: it is a promise, not a default."""

OWN = [b"x-proxy-request-id", b"server", b"date", b"transfer-encoding", b"connection"]
"""What the proxy may add, each only where it is missing or the framing needs it."""


def crossed(answer: Message) -> Fields:
    """An answer's fields without those the proxy added behind them."""
    fields = answer.fields
    while fields and fields[-1][0].lower() in OWN:
        fields.pop()
    return fields


TOKEN_CHARS = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
VALUE_CHARS = bytes(range(0x21, 0x7F)) + bytes(range(0x80, 0x100))


def any_fields(dice: random.Random) -> Fields:
    """Random fields: repeated in other spellings, empty, in any bytes that may stand in one."""
    names = [b"X-" + bytes(dice.choices(TOKEN_CHARS, k=dice.randint(1, 12))) for _ in range(6)]
    fields = []
    for _ in range(dice.randint(0, 12)):
        name = dice.choice(names)
        name = dice.choice([name, name.lower(), name.upper()])
        inner = bytes(dice.choices(VALUE_CHARS + b"  \t", k=dice.randint(0, 40)))
        fields.append((name, inner.strip(b" \t")))
    return fields


def any_body(dice: random.Random) -> bytes:
    size = dice.choice([0, 1, 2, 100, 5_000, 70_000, 300_000])
    return dice.randbytes(dice.randint(0, size))


def any_chunks(dice: random.Random, body: bytes) -> list[bytes]:
    cuts = sorted(dice.randint(0, len(body)) for _ in range(dice.randint(0, 6)))
    return [body[a:b] for a, b in itertools.pairwise([0, *cuts, len(body)]) if a < b]


def written(fields: Fields) -> bytes:
    return b"".join(b"%b: %b\r\n" % field for field in fields)


@pytest.mark.parametrize("seed", range(8))
async def test_an_answer_is_identical(seed: int) -> None:
    """Any answer: status, reason, fields with order, spelling, repeats and bytes, body, framing."""
    dice = random.Random(seed)  # noqa: S311 - nothing secret about it
    said: list[tuple[bytes, bytes]] = []

    async def script(told: Conversation) -> None:
        await told.whole()
        await told.send(*said[-1])

    async with (
        scripted(script) as upstream,
        rig(upstream.url) as made,
        calling(made.url) as client,
    ):
        for _ in range(25):
            fields, body = any_fields(dice), any_body(dice)
            status = dice.choice([200, 201, 206, 299, 400, 404, 418, 429, 500, 503, 599, 302])
            reason = dice.choice([b"OK", b"", b"Gr\xfcn und gut", "好".encode(), b"two  words "])
            framing = (b"Content-Length", b"%d" % len(body))
            wire = body
            is_chunked = dice.random() < 0.5
            if is_chunked:
                framing, wire = (b"Transfer-Encoding", b"chunked"), chunked(*any_chunks(dice, body))
            fields.insert(dice.randint(0, len(fields)), framing)
            head = b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, reason, written(fields))
            said.append((head, wire))
            await client.send(made.post(path=PLAIN))
            answer = await client.answer()
            expected = [field for field in fields if field[0] != b"Transfer-Encoding"]
            assert crossed(answer) == expected
            # llhttp does not tell a reason's outer blanks; nobody reads one.
            assert answer.first_line.rstrip() == (b"HTTP/1.1 %d %b" % (status, reason)).rstrip()
            assert answer.body == body
            assert (answer.value("transfer-encoding") == b"chunked") is is_chunked


async def test_the_changes_to_an_answer() -> None:
    """Exactly these fields do not cross; the proxy's id, and a server's name and date, come in."""
    fields = [(n, b"close, x-named" if n == b"Connection" else b"x") for n in STOPPED]
    kept = [
        (b"x-request-id", b"up-1"),
        (b"X-DashScope-PTU-Overflow", b"true"),
        (b"x-dashscope-innermost", b"true"),
        (b"Content-Type", b"text/html"),
        (b"Retry-After", b"1"),
        (b"ETag", b'"1"'),
    ]
    everything = [*fields, (b"X-Named", b"by Connection"), *kept, (b"Content-Length", b"0")]
    wire = b"HTTP/1.1 200 OK\r\n" + written(everything) + b"\r\n"
    async with scripted(answering(wire)) as upstream, rig(upstream.url) as made:
        answer = await ask(made.url, made.post(path=PLAIN))
        assert answer.fields[:-3] == [*kept, (b"Content-Length", b"0")]
        assert [name for name, _ in answer.fields[-3:]] == [
            b"x-proxy-request-id",
            b"Server",
            b"Date",
        ]
        assert answer.values("server") == [b"dashscope-proxy"]
        visit = await made.finished()
        assert answer.values("x-proxy-request-id") == [visit.request_id.encode()]


async def test_what_upstream_says_of_itself_stays() -> None:
    """Upstream's `Server` and `Date` are kept, and nothing like them is added."""
    wire = ok(b"{}", b"SERVER: istio-envoy", b"date: Thu, 01 Jan 1970 00:00:00 GMT")
    async with scripted(answering(wire)) as upstream, rig(upstream.url) as made:
        answer = await ask(made.url, made.post(path=PLAIN))
        assert answer.values("server") == [b"istio-envoy"]
        assert answer.values("date") == [b"Thu, 01 Jan 1970 00:00:00 GMT"]


async def test_no_content_type_stays_none() -> None:
    """What upstream does not name the proxy does not guess."""
    wire = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    async with scripted(answering(wire)) as upstream, rig(upstream.url) as made:
        assert not (await ask(made.url, made.post(path=PLAIN))).values("content-type")


@pytest.mark.parametrize("path", [SUBMIT, PLAIN])
async def test_a_submit_is_answered_as_upstream_framed_it(path: str) -> None:
    """Held until it has an owner, an answer still crosses as it was: chunks stay chunks."""
    plain = task_answer("t", b"X-Last: 1")
    head, _, body = plain.partition(b"\r\n\r\n")
    length = b"\r\nContent-Length: %d" % len(body)
    in_chunks = (
        head.replace(length, b"") + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(body)
    )
    first = head.replace(length, b"").replace(b"200 OK", b"200 OK" + length) + b"\r\n\r\n" + body
    for wire in (plain, in_chunks, first):
        async with scripted(answering(wire)) as upstream, rig(upstream.url) as made:
            answer = await ask(made.url, made.post(path=path))
            sent = fields_of(wire.partition(b"\r\n\r\n")[0])
            assert crossed(answer) == [f for f in sent if f[0] != b"Transfer-Encoding"]
            assert answer.body == body


async def test_gzip_is_not_touched() -> None:
    """A compressed answer crosses byte for byte, whoever asked for it, streamed or not."""
    async with Sandbox(keys=[KEY], task_seconds=0) as sandbox, rig(sandbox.url) as made:
        for fields in ((b"Accept-Encoding: gzip",), (b"X-DashScope-SSE: enable",)):
            sandbox.faults.add(gzip=True)
            answer = await ask(made.url, made.post(b'{"model":"qwen-plus"}', *fields, path=PLAIN))
            assert answer.values("content-encoding") == [b"gzip"]
            assert answer.body[:2] == b"\x1f\x8b"


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        (b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n", [(b"X-A", b"1")]),
        (b"HTTP/1.1 204 No Content\r\nX-A: 1\r\nContent-Length: 0\r\n\r\n", [(b"X-A", b"1")]),
        (
            b"HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 9\r\n\r\n",
            [(b"ETag", b"x"), (b"Content-Length", b"9")],
        ),
    ],
)
async def test_answers_without_a_body(wire: bytes, expected: Fields) -> None:
    """204 and 304 have no body and no chunks; a connection goes on behind them."""
    async with (
        scripted(answering(wire)) as upstream,
        rig(upstream.url) as made,
        calling(made.url) as client,
    ):
        for _ in range(2):
            await client.send(made.post(path=PLAIN))
            answer = await client.answer()
            assert answer.first_line == wire.partition(b"\r\n")[0]
            assert crossed(answer) == expected
            assert not answer.values("transfer-encoding")


async def test_head() -> None:
    """An answer to HEAD has the head of the answer to GET, and nothing behind it."""
    scopes = frozenset({"inference", "account"})
    wire = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nContent-Type: a/b\r\n\r\n"
    async with (
        scripted(answering(wire)) as upstream,
        rig(upstream.url, scopes=scopes) as made,
        calling(made.url) as client,
    ):
        for _ in range(2):
            await client.send(head_of("HEAD", "/api/v1/files/f1"))
            answer = await client.answer(bodiless=True)
            assert crossed(answer) == [(b"Content-Length", b"1000"), (b"Content-Type", b"a/b")]
        await client.send(head_of("HEAD", "/nowhere"))
        answer = await client.answer(bodiless=True)
        assert (answer.status, answer.value("x-should-retry")) == (404, None)
        assert int(answer.value("content-length") or 0) > 0
        await client.send(head_of("HEAD", "/api/v1/files/f1"))
        assert (await client.answer(bodiless=True)).status == 200


async def test_an_answer_without_framing_gets_chunks() -> None:
    """What upstream ends by closing the client gets in chunks, so that it sees a break."""
    wire = b"HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\nto the end"
    async with scripted(answering(wire, close=True)) as upstream, rig(upstream.url) as made:
        answer = await ask(made.url, made.post(path=PLAIN))
        assert (answer.body, answer.values("transfer-encoding")) == (b"to the end", [b"chunked"])


async def test_redirects_cross() -> None:
    """A redirect is the client's to follow or not."""
    wire = b"HTTP/1.1 307 X\r\nLocation: http://other.test/x\r\nContent-Length: 0\r\n\r\n"
    async with scripted(answering(wire)) as upstream, rig(upstream.url) as made:
        answer = await ask(made.url, made.post(path=PLAIN))
        assert (answer.status, answer.value("location")) == (307, b"http://other.test/x")
        assert len(upstream.conversations) == 1


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: a\rX-B: b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
    ],
)
async def test_an_answer_that_reads_two_ways_is_none(head: bytes) -> None:
    """No client gets an answer whose end, or whose fields, two readers would see differently."""
    async with scripted(answering(head, close=True)) as upstream, rig(upstream.url) as made:
        answer = await ask(made.url, made.post(path=PLAIN))
        assert (answer.status, answer.code) == (502, "BadGateway")
        assert not made.telemetry.bugs


async def test_odd_characters_in_a_field_are_upstreams_business() -> None:
    """A control character that splits nothing crosses; it is no bug of ours."""
    wire = ok(b"{}", b"X-Odd: a\x01\x7fb")
    async with scripted(answering(wire)) as upstream, rig(upstream.url) as made:
        answer = await ask(made.url, made.post(path=PLAIN))
        assert (answer.status, answer.value("x-odd")) == (200, b"a\x01\x7fb")


# -- streams -------------------------------------------------------------------------------------


async def test_frames_come_one_by_one() -> None:
    """Each frame is with the client before the next leaves upstream: nothing waits for more."""
    hold = asyncio.Event()
    async with Sandbox(keys=[KEY], task_seconds=0) as sandbox, rig(sandbox.url) as made:
        sandbox.faults.add(hold=hold, hold_after=1)
        async with calling(made.url) as client:
            body = b'{"model":"qwen-plus","input":{"prompt":"hi"}}'
            await client.send(made.post(body, b"X-DashScope-SSE: enable", path=PLAIN))
            head = await client.head()
            assert b"text/event-stream" in head
            first = await client.until(b"\n\n\r\n")
            assert first.count(b"event:result") == 1
            assert not hold.is_set()
            hold.set()
            assert b"0\r\n\r\n" in await client.until(b"0\r\n\r\n")


async def test_chunks_that_come_together_stay_apart() -> None:
    """Chunks of one segment leave as the chunks they were, in one write if need be."""
    sizes = [1, 7, 300, 1, 20_000, 2, 10_000, 1]  # all in one segment of the loopback
    wire = chunked(*(bytes([65 + at]) * size for at, size in enumerate(sizes)))
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with scripted(answering(head + wire)) as upstream, rig(upstream.url) as made:
        answer = await ask(made.url, made.post(path=PLAIN))
        assert answer.wire == wire


async def test_half_a_chunk_does_not_wait_for_the_other_half() -> None:
    """What has come of a large chunk leaves at once: a part of it is then a chunk of its own."""
    go = asyncio.Event()

    async def script(told: Conversation) -> None:
        await told.whole()
        await told.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhalf")
        await go.wait()
        await told.send(b"half\r\n0\r\n\r\n")

    async with (
        scripted(script) as upstream,
        rig(upstream.url) as made,
        calling(made.url) as client,
    ):
        await client.send(made.post(path=PLAIN))
        await client.head()
        assert await client.until(b"half\r\n") == b"4\r\nhalf\r\n"
        go.set()
        assert await client.until(b"0\r\n\r\n") == b"4\r\nhalf\r\n0\r\n\r\n"


async def test_the_head_of_a_stream_does_not_wait_for_its_first_frame() -> None:
    """The head leaves when it comes: a client's timer for it does not run on."""
    go = asyncio.Event()

    async def script(told: Conversation) -> None:
        await told.whole()
        await told.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await go.wait()
        await told.send(b"0\r\n\r\n")

    async with (
        scripted(script) as upstream,
        rig(upstream.url) as made,
        calling(made.url) as client,
    ):
        await client.send(made.post(path=PLAIN))
        assert (await client.head()).startswith(b"HTTP/1.1 200 OK")
        go.set()
        assert await client.until(b"0\r\n\r\n") == b"0\r\n\r\n"


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream;charset=UTF-8\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
FRAME = b'id:1\nevent:result\n:HTTP_STATUS/200\ndata:{"output":{}}\n\n'


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@asynccontextmanager
async def breaking(*parts: bytes, version: bytes = b"HTTP/1.1") -> AsyncIterator[Client]:
    """A client whose answer is these bytes, after which upstream breaks off."""
    seen = asyncio.Event()

    async def script(told: Conversation) -> None:
        await told.whole()
        await told.send(*parts)
        await seen.wait()
        told.reset()

    async with (
        scripted(script) as upstream,
        rig(upstream.url) as made,
        calling(made.url) as client,
    ):
        await client.send(made.post(path=PLAIN).replace(b"HTTP/1.1", version))
        assert (await client.head()).startswith(b"HTTP/1.")
        await eventually(lambda: upstream.conversations)
        await settled(lambda: len(client.reader._buffer))  # type: ignore[attr-defined]  # noqa: SLF001 - what has arrived
        seen.set()
        yield client
        visit = await made.finished()
        assert (visit.status, visit.code) == (200, "BadGateway")


@pytest.mark.parametrize(
    "before",
    [b"", FRAME, FRAME.replace(b"\n", b"\r\n"), FRAME * 3, b"retry:1\n\r\n"],
    ids=["nothing", "frame", "crlf", "frames", "mixed"],
)
async def test_between_two_frames_an_error_is_a_frame(before: bytes) -> None:
    """A stream that breaks between frames ends with the native error frame, byte for byte."""
    parts = chunk(before) if before else b""
    async with breaking(STREAM + CHUNKED, parts) as client:
        said = await client.until(b"0\r\n\r\n")
    assert said.startswith(parts)
    size, _, frame = said.removeprefix(parts).removesuffix(b"\r\n0\r\n\r\n").partition(b"\r\n")
    assert len(frame) == int(size, 16)
    error = json.loads(frame.removeprefix(b"event:error\n:HTTP_STATUS/502\ndata:"))
    assert frame.endswith(b"}\n\n")
    assert set(error) == {"code", "message", "request_id"}
    assert error["code"] == "BadGateway"


@pytest.mark.parametrize(
    "wire",
    [
        STREAM + CHUNKED + chunk(FRAME[:-1]),
        STREAM + CHUNKED + chunk(FRAME + b"data"),
        STREAM + b"Content-Encoding: gzip\r\n" + CHUNKED + chunk(b"\x1f\x8b\n\n"),
        STREAM + b"Content-Length: 1000\r\n\r\n" + FRAME,
        STREAM + b"Content-Length: 1000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + CHUNKED + chunk(b"{}\n\n"),
        b"HTTP/1.1 200 OK\r\n" + CHUNKED + chunk(b"{}\n\n"),
    ],
    ids=["frame", "next", "gzip", "length", "length-empty", "json", "untyped"],
)
async def test_elsewhere_an_answer_breaks_off(wire: bytes) -> None:
    """Within a frame, a coding or a length nothing can be said: the connection ends, no answer."""
    async with breaking(wire) as client:
        said = await client.rest()
        assert b"event:error" not in said
        assert not said.endswith(b"0\r\n\r\n")
        assert len(said) < 1000


async def test_the_end_of_a_frame_may_be_cut() -> None:
    """Its last line may come by itself, and the break behind it is one between two frames."""
    beginning, end = chunk(FRAME[:-1]), chunk(FRAME[-1:])
    go, seen = asyncio.Event(), asyncio.Event()

    async def script(told: Conversation) -> None:
        await told.whole()
        await told.send(STREAM + CHUNKED + beginning)
        await go.wait()
        await told.send(end)
        await seen.wait()
        told.reset()

    async with (
        scripted(script) as upstream,
        rig(upstream.url) as made,
        calling(made.url) as client,
    ):
        await client.send(made.post(path=PLAIN))
        await client.head()
        await client.until(beginning)
        go.set()
        await client.until(end)
        seen.set()
        assert b"event:error" in await client.until(b"0\r\n\r\n")


async def test_for_http_1_0_a_break_is_a_reset() -> None:
    """Where the end of the connection is the end of the answer, only a reset tells a break."""
    wire = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + CHUNKED + chunk(b'{"half')
    async with breaking(wire, version=b"HTTP/1.0") as client:
        with pytest.raises(ConnectionResetError):
            await client.rest()


class Failing:
    """An `Upstream` whose answer breaks with an exception nobody knows."""

    @asynccontextmanager
    async def send(self, call: Call) -> AsyncIterator[Reply]:
        assert call.method == "POST"
        yield _FailingReply()

    def connect(self, call: Call, terms: Terms) -> AbstractAsyncContextManager[Channel]:
        raise NotImplementedError


class _FailingReply:
    status = 200
    reason = "OK"
    headers: Headers = (("Content-Type", "text/event-stream"),)

    def chunks(self) -> AsyncIterator[bytes]:
        raise NotImplementedError

    def rest(self) -> bytes | None:
        return None

    async def pour(self, take: Take) -> bool:
        take((FRAME,))
        msg = "nobody thought of this"
        raise RuntimeError(msg)


async def test_a_bug_midway_breaks_the_answer_off() -> None:
    """Our own mistake in the middle of an answer never puts a second head into it."""
    async with rig(upstream=Failing(), accounts=[account("http://x")]) as made:
        async with calling(made.url) as client:
            await client.send(made.post(path=PLAIN))
            said = await client.rest()
        assert said.count(b"HTTP/1.1") == 1
        assert b"InternalError" not in said
        assert not said.endswith(b"0\r\n\r\n")
        assert len(made.telemetry.bugs) == 1
        assert (await made.finished()).code == "InternalError"


# -- clients that are slow -----------------------------------------------------------------------


MEBIBYTE = bytes(2**20)


class _WholeReply:
    status = 200
    reason = "OK"
    headers: Headers = (("Content-Length", str(len(MEBIBYTE))),)

    def chunks(self) -> AsyncIterator[bytes]:
        raise NotImplementedError

    def rest(self) -> bytes | None:
        return MEBIBYTE

    async def pour(self, take: Take) -> bool:
        raise NotImplementedError


class Whole:
    """An `Upstream` whose answers are all here at once; `calls` counts them."""

    def __init__(self) -> None:
        self.calls = 0

    @asynccontextmanager
    async def send(self, call: Call) -> AsyncIterator[Reply]:
        assert call.method == "POST"
        self.calls += 1
        yield _WholeReply()

    def connect(self, call: Call, terms: Terms) -> AbstractAsyncContextManager[Channel]:
        raise NotImplementedError


async def test_the_next_request_waits_until_an_answer_is_taken() -> None:
    """A client that asks on and on and reads nothing does not fill the proxy with whole answers."""
    upstream, asked = Whole(), 50
    async with (
        rig(upstream=upstream, accounts=[account("http://x")]) as made,
        calling(made.url) as client,
    ):
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]  # noqa: SLF001 - a client asleep
        await client.send(made.post(path=PLAIN) * asked)
        await eventually(lambda: upstream.calls)
        assert await settled(lambda: upstream.calls) < asked // 2  # what the kernel takes
        client.reader._transport.resume_reading()  # type: ignore[attr-defined]  # noqa: SLF001 - awake
        for _ in range(asked):
            assert (await client.answer()).body == MEBIBYTE
        assert upstream.calls == asked


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_a_client_that_does_not_read_is_cut_off(framing: str) -> None:
    """A client that takes nothing for the write timeout is gone; upstream's call ends with it."""
    limits = dataclasses.replace(LIMITS, write_timeout=0.3)
    left = asyncio.Event()

    async def script(told: Conversation) -> None:
        await told.whole()
        size = 2**30
        head = b"Content-Length: %d\r\n\r\n" % size if framing == "length" else CHUNKED
        await told.send(b"HTTP/1.1 200 OK\r\n", head)
        data = bytes(65536)
        try:
            while True:
                await told.send(data if framing == "length" else chunk(data))
        finally:
            left.set()

    async with (
        scripted(script) as upstream,
        rig(upstream.url, limits=limits) as made,
        calling(made.url) as client,
    ):
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]  # noqa: SLF001 - a client asleep
        await client.send(made.post(path=PLAIN))
        visit = await made.finished()
        assert visit.status == 499
        assert visit.bytes_out < 64 * 1024 * 1024
        await asyncio.wait_for(left.wait(), 10)


async def test_a_client_that_leaves_the_last_bytes_is_cut_off() -> None:
    """The end of an answer is under the same timeout as its middle."""
    limits = dataclasses.replace(LIMITS, write_timeout=0.3)
    sizes = [2**16] * 400

    async def script(told: Conversation) -> None:
        await told.whole()
        await told.send(b"HTTP/1.1 200 OK\r\n", CHUNKED)
        for size in sizes:
            await told.send(chunk(bytes(size)))
        await told.send(b"0\r\n\r\n")

    async with (
        scripted(script) as upstream,
        rig(upstream.url, limits=limits) as made,
        calling(made.url) as client,
    ):
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]  # noqa: SLF001 - a client asleep
        await client.send(made.post(path=PLAIN))
        assert (await made.finished()).status == 499
        # The same with an answer that just does not fit the buffers, at whatever byte that is.
        for count in range(30, 60, 3):
            sizes[:] = [60_000] * count
            async with calling(made.url) as other:
                other.reader._transport.pause_reading()  # type: ignore[attr-defined]  # noqa: SLF001
                number = len(made.telemetry.visits)
                await other.send(made.post(path=PLAIN))
                assert (await made.finished(number + 1)).status in {200, 499}


async def test_a_slow_client_slows_upstream() -> None:
    """Back-pressure: what the client does not take stays with upstream, not in memory here."""
    sent = 0

    async def script(told: Conversation) -> None:
        nonlocal sent
        await told.whole()
        await told.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % 2**26)
        for _ in range(1024):
            await told.send(bytes(65536))
            sent += 1

    async with (
        scripted(script) as upstream,
        rig(upstream.url) as made,
        calling(made.url) as client,
    ):
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]  # noqa: SLF001 - a client asleep
        await client.send(made.post(path=PLAIN))
        await upstream.heard()
        await settled(lambda: sent)
        assert sent < 600
        client.reader._transport.resume_reading()  # type: ignore[attr-defined]  # noqa: SLF001 - awake
        assert len((await client.answer()).body) == 2**26


# -- refusals ------------------------------------------------------------------------------------


async def test_a_refusal_reaches_a_client_that_is_still_uploading() -> None:
    """The answer comes while the body goes on, whole, and the rest of the body is dropped."""
    async with rig(models=("none",)) as made, calling(made.url) as client:
        size = 3 * 1024 * 1024
        await client.send(head_of("POST", SUBMIT, b"Content-Length: %d" % size), BODY[:-1])
        answer = await client.answer()
        assert (answer.status, answer.code) == (403, "model_not_found")
        assert answer.values("x-should-retry") == [b"false"]
        await client.send(bytes(size - len(BODY) + 1))
        await client.send(request("GET", "/nowhere", None))
        assert (await client.answer()).status == 404


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_who_may_try_again(method: str) -> None:
    """`x-should-retry: false` is on every refusal of what may cost money, and on nothing else."""
    async with rig() as made:
        answer = await ask(made.url, request(method, "/nowhere", None))
        assert answer.status == Situation.NOT_FOUND.status
        assert answer.values("x-should-retry") == ([b"false"] if method == "POST" else [])
