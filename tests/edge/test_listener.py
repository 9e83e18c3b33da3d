"""The public port: what is no HTTP, and when a connection ends."""

import asyncio

import pytest
from edge.rig import (
    BODY,
    SUBMIT,
    TOKEN,
    Conversation,
    Message,
    answering,
    ask,
    calling,
    chunked,
    eventually,
    head_of,
    ok,
    request,
    rig,
    scripted,
    task_answer,
)

from proxy.core.errors import Situation
from proxy.edge.listener import MAX_FIELD

HOST = b"Host: proxy.test\r\n"
AUTH = f"Authorization: Bearer {TOKEN}\r\n".encode()

NO_HTTP = {
    "a method that is none": b"FETCH /api/v1/tasks HTTP/1.1\r\n" + HOST + b"\r\n",
    "a method in lower case": b"get /api/v1/tasks HTTP/1.1\r\n" + HOST + b"\r\n",
    "a TLS hello": bytes.fromhex("160301020001000001fc0303") + bytes(500),
    "nonsense": b"hello\r\n\r\n",
    "a version that is none": b"GET / HTTP/9.9\r\n" + HOST + b"\r\n",
    "no host": b"GET /api/v1/tasks HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /api/v1/tasks HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "a length and chunks": b"POST /api/v1/tasks HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": b"POST /api/v1/tasks HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths that differ": b"POST /api/v1/tasks HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "two lengths that agree": b"POST /api/v1/tasks HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "two lengths in one": b"POST /api/v1/tasks HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 5, 5\r\n\r\nhello",
    "a length that is no number": b"POST /x HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: +5\r\n\r\nhello",
    "a length below zero": b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: -5\r\n\r\nhello",
    "a coding nobody knows": b"POST /x HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunke\r\n\r\n",
    "chunks that are not last": b"POST /x HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunks twice": b"POST /x HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded field": b"GET /x HTTP/1.1\r\n" + HOST + b"X-Long: one\r\n two\r\n\r\n",
    "a blank before the colon": b"GET /x HTTP/1.1\r\n" + HOST + b"X-Odd : one\r\n\r\n",
    "a field without a colon": b"GET /x HTTP/1.1\r\n" + HOST + b"X-Odd\r\n\r\n",
    "NUL in a field": b"GET /x HTTP/1.1\r\n" + HOST + b"X-Odd: a\0b\r\n\r\n",
    "NUL in the path": b"GET /x\0y HTTP/1.1\r\n" + HOST + b"\r\n",
    "a bare CR in a field": b"GET /x HTTP/1.1\r\n" + HOST + b"X-Odd: a\rX-Evil: b\r\n\r\n",
    "an absolute path without a host": b"GET http:// HTTP/1.1\r\n" + HOST + b"\r\n",
    "too many fields": b"GET /x HTTP/1.1\r\n" + HOST + b"X-A: 1\r\n" * 200 + b"\r\n",
}


def told(answer: Message) -> Situation:
    """The situation an answer tells; what every answer of the proxy's own promises is checked."""
    assert answer.values("content-type") == [b"application/json"]
    (request_id,) = answer.values("x-proxy-request-id")
    told = answer.json()
    assert set(told) - {"data"} == {"code", "message", "request_id"}
    assert all(isinstance(told[name], str) and told[name] for name in set(told) - {"data"})
    assert told["request_id"] == request_id.decode()
    assert b"Traceback" not in answer.body
    assert answer.value("server") == b"dashscope-proxy"
    return next(s for s in Situation if (s.status, s.code) == (answer.status, told["code"]))


@pytest.mark.parametrize("name", NO_HTTP)
async def test_what_is_no_http_gets_an_envelope(name: str) -> None:
    """What aiohttp would refuse in text/plain is one row of the table, a line, and the end."""
    async with rig() as made, calling(made.url) as client:
        await client.send(NO_HTTP[name])
        answer = await client.answer()
        assert told(answer) is Situation.ILLEGAL_INPUT
        assert await client.rest() == b""
        visit = await made.finished()
        assert (visit.status, visit.code) == (400, "BadRequest.IllegalInput")
        assert visit.request_id.encode() == answer.value("x-proxy-request-id")
        assert len(made.telemetry.visits) == 1
        assert not made.telemetry.bugs


@pytest.mark.parametrize("name", ["a method that is none", "a folded field", "a TLS hello"])
async def test_byte_by_byte(name: str) -> None:
    """The same bytes, one at a time, get the same answer."""
    async with rig() as made, calling(made.url) as client:
        for at in range(len(NO_HTTP[name])):
            await client.send(NO_HTTP[name][at : at + 1])
            if client.reader._buffer:  # type: ignore[attr-defined]  # noqa: SLF001 - refused before its end
                break
        assert told(await client.answer()) is Situation.ILLEGAL_INPUT


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * MAX_FIELD + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X-Long: a" + b"a" * MAX_FIELD + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X-" + b"a" * MAX_FIELD + b": 1\r\n\r\n",
    ],
    ids=["path", "value", "name"],
)
async def test_a_head_too_long_is_too_large(head: bytes) -> None:
    """What others answer with 431 or 414 is the table's 413: upstream's clients know that one."""
    async with rig() as made:
        assert told(await ask(made.url, head)) is Situation.TOO_LARGE
        assert (await made.finished()).status == 413


async def test_a_field_up_to_the_limit_crosses() -> None:
    """A field just below the limit is no mistake, and reaches upstream whole."""
    long = b"a" * (MAX_FIELD - len("X-Long"))
    async with scripted(answering(task_answer())) as upstream, rig(upstream.url) as made:
        assert (await ask(made.url, made.post(BODY, b"X-Long: " + long))).status == 200
        assert upstream.conversations[0].request.value("x-long") == long


@pytest.mark.parametrize(
    ("head", "situation"),
    [
        (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", Situation.NOT_FOUND),
        (b"CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test\r\n\r\n", Situation.NOT_FOUND),
        (b"GET http://evil.test HTTP/1.1\r\n" + HOST + b"\r\n", Situation.NOT_FOUND),
        (b"GET /nowhere HTTP/1.1\r\n" + HOST + b"\r\n", Situation.NOT_FOUND),
        (b"GET /api/v1/../v1/tasks HTTP/1.1\r\n" + HOST + b"\r\n", Situation.NOT_FOUND),
        (b"GET /task/bailian/text2video HTTP/1.1\r\n" + HOST + b"\r\n", None),
        (b"TRACE /task/bailian/text2video HTTP/1.1\r\n" + HOST + b"\r\n", None),
    ],
)
async def test_no_such_path_or_method(head: bytes, situation: Situation | None) -> None:
    """Unknown paths are 404, known ones with another method 405 and `Allow`, in our shape."""
    async with rig() as made:
        answer = await ask(made.url, head)
        assert told(answer) is (situation or Situation.METHOD_NOT_ALLOWED)
        assert answer.values("allow") == ([] if situation else [b"POST"])
        assert (await made.finished()).status == answer.status


async def test_absolute_form_names_a_path_only() -> None:
    """In absolute-form the host is not looked at: upstream is the configured one."""
    async with scripted(answering(task_answer())) as upstream, rig(upstream.url) as made:
        answer = await ask(made.url, request("POST", "http://evil.test" + SUBMIT, BODY))
        assert answer.status == 200
        sent = upstream.conversations[0].request
        assert sent.values("host") == [upstream.url.removeprefix("http://").encode()]
        assert sent.first_line.startswith(b"POST /api/v1/services/")


async def test_a_request_byte_by_byte() -> None:
    """A request that comes one byte at a time is the same request."""
    async with scripted(answering(task_answer())) as upstream, rig(upstream.url) as made:
        async with calling(made.url) as client:
            for byte in made.post(BODY, b"X-Slow: yes"):
                await client.send(bytes([byte]))
            assert (await client.answer()).status == 200
        assert upstream.conversations[0].request.body == BODY


async def test_keep_alive_and_pipelining() -> None:
    """Requests sent at once on one connection are answered in their order, one each."""
    async with scripted(answering(task_answer())) as upstream, rig(upstream.url) as made:
        async with calling(made.url) as client:
            first, refused, last = (
                made.post(BODY, b"X-Number: 1"),
                made.post(b'{"model":""}'),
                made.post(BODY, b"X-Number: 3"),
            )
            await client.send(first, refused, last)
            assert [(await client.answer()).status for _ in range(3)] == [200, 400, 200]
            await client.send(made.post(BODY, b"X-Number: 4"))
            assert (await client.answer()).status == 200
        numbers = [c.request.value("x-number") for c in upstream.conversations]
        assert numbers == [b"1", b"3", b"4"]
        assert len({visit.request_id for visit in made.telemetry.visits}) == 4


async def test_nothing_is_smuggled_behind_a_body() -> None:
    """Bytes behind a body are the next request, with a judgement of their own."""
    inner = request("GET", "/api/v1/tasks", None, token="tok-of-nobody")
    async with scripted(answering(task_answer())) as upstream, rig(upstream.url) as made:
        async with calling(made.url) as client:
            head = head_of("POST", SUBMIT, b"Transfer-Encoding: chunked")
            await client.send(head, chunked(BODY), inner)
            assert (await client.answer()).status == 200
            assert told(await client.answer()) is Situation.INVALID_TOKEN
        assert len(upstream.conversations) == 1


async def test_http_1_0() -> None:
    """An HTTP/1.0 client gets its answer unchunked, and the connection's end as its end."""
    body = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"one", b"two")
    async with scripted(answering(body)) as upstream, rig(upstream.url) as made:
        head = head_of("POST", "/api/v1/services/a/b", b"Content-Length: %d" % len(BODY))
        async with calling(made.url) as client:
            await client.send(head.replace(b"HTTP/1.1", b"HTTP/1.0"), BODY)
            answer = await client.answer()
        assert answer.first_line == b"HTTP/1.0 200 OK"
        assert answer.body == b"onetwo"
        assert not answer.values("transfer-encoding")


async def test_http_1_0_keep_alive() -> None:
    """Where only the connection's end can end an answer, it ends, whatever the client asked for."""
    body = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"one", b"two")
    async with scripted(answering(body)) as upstream, rig(upstream.url) as made:
        fields = (b"Connection: keep-alive", b"Content-Length: %d" % len(BODY))
        head = head_of("POST", "/api/v1/services/a/b", *fields)
        async with calling(made.url) as client:
            await client.send(head.replace(b"HTTP/1.1", b"HTTP/1.0"), BODY)
            assert (await client.answer()).body == b"onetwo"


async def test_an_upgrade_nobody_offers_is_an_ordinary_request() -> None:
    """`Upgrade` is dropped with `Connection`; what follows the request is the next request."""
    async with scripted(answering(task_answer())) as upstream, rig(upstream.url) as made:
        async with calling(made.url) as client:
            upgrade = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")
            await client.send(made.post(BODY, *upgrade), made.post(BODY))
            assert (await client.answer()).status == 200
            assert (await client.answer()).status == 200
        names = [name.lower() for name, _ in upstream.conversations[0].request.fields]
        assert b"upgrade" not in names
        assert b"connection" not in names


@pytest.mark.parametrize(
    "broken",
    [b"zz\r\nhello\r\n0\r\n\r\n", b"5\r\nhelloworld\r\n0\r\n\r\n", b"5 \x01\r\nhello\r\n"],
)
@pytest.mark.parametrize("path", [SUBMIT, "/api/v1/files"])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("begun", [b'{"model"', BODY])
async def test_broken_chunks_are_bad_http_at_once(
    path: str, broken: bytes, begun: bytes, *, late: bool
) -> None:
    """A body whose chunks make no sense is refused when that is seen, once, and goes nowhere.

    Also when they come while the body is being waited for, and behind a whole document.
    """
    scopes = frozenset({"inference", "account"})
    async with scripted(answering(task_answer())) as upstream:
        async with rig(upstream.url, scopes=scopes) as made, calling(made.url) as client:
            expect = [b"Expect: 100-continue"] if late else []
            head = head_of("POST", path, b"Transfer-Encoding: chunked", *expect)
            await client.send(head)
            if late:
                assert (await client.head()).startswith(b"HTTP/1.1 100 ")
            await client.send(b"%x\r\n%b\r\n" % (len(begun), begun))
            await client.send(broken)
            assert told(await client.answer()) is Situation.ILLEGAL_INPUT
            assert await client.rest() == b""
            await made.finished()
            assert len(made.telemetry.visits) == 1
        for conversation in upstream.conversations:
            assert not conversation.request.body


async def test_odd_but_legal_chunks() -> None:
    """Extensions, leading zeros, capitals and trailers are legal; the body is what counts."""
    wire = b"00005;a=b\r\n" + BODY[:5] + b"\r\n"
    wire += b"A ;x\r\n".replace(b" ", b"") + BODY[5:15] + b"\r\n"
    wire += b"%X\r\n" % (len(BODY) - 15) + BODY[15:] + b"\r\n"
    wire += b"0\r\nX-Trailer: secret\r\n\r\n"
    async with scripted(answering(task_answer())) as upstream, rig(upstream.url) as made:
        async with calling(made.url) as client:
            head = head_of("POST", SUBMIT, b"Transfer-Encoding: chunked", b"Trailer: X-Trailer")
            await client.send(head, wire, made.post(BODY))
            assert (await client.answer()).status == 200
            assert (await client.answer()).status == 200
        sent = upstream.conversations[0].request
        assert sent.body == BODY
        assert sent.values("transfer-encoding") == [b"chunked"]
        assert b"X-Trailer" not in sent.head + sent.wire


async def test_a_coded_transfer_is_refused() -> None:
    """`gzip, chunked`: dropping the field would leave upstream with gzip for a body."""
    scopes = frozenset({"inference", "account"})
    async with scripted(answering(ok())) as upstream, rig(upstream.url, scopes=scopes) as made:
        head = head_of("POST", "/api/v1/files", b"Transfer-Encoding: gzip, chunked")
        assert told(await ask(made.url, head + chunked(b"\x1f\x8b"))) is Situation.ILLEGAL_INPUT
        assert not upstream.conversations


async def test_stop_accepting_leaves_running_requests_alone() -> None:
    """Draining: the port is closed, idle connections end, what runs is answered and then ends."""
    go = asyncio.Event()

    async def held(told: Conversation) -> None:
        await told.whole()
        await go.wait()
        await told.send(task_answer())

    async with (
        scripted(held) as upstream,
        rig(upstream.url) as made,
        calling(made.url) as busy,
        calling(made.url) as idle,
    ):
        await busy.send(made.post())
        await upstream.heard()
        made.gateway.closing = True
        made.server.stop_accepting()
        assert await idle.rest() == b""
        with pytest.raises(OSError):  # noqa: PT011 - refused, in whatever words
            await asyncio.open_connection("127.0.0.1", int(made.url.rpartition(":")[2]))
        go.set()
        answer = await busy.answer()
        assert (answer.status, answer.value("connection")) == (200, b"close")
        assert await busy.rest() == b""


async def test_an_upload_that_runs_survives_the_drain() -> None:
    """A body that is half here when the drain begins is taken in to its end."""
    async with scripted(answering(task_answer())) as upstream, rig(upstream.url) as made:
        async with calling(made.url) as client:
            whole = made.post()
            await client.send(whole[:-10])
            await eventually(lambda: made.telemetry.running == 1)
            await upstream.heard()
            made.gateway.closing = True
            made.server.stop_accepting()
            await client.send(whole[-10:])
            assert (await client.answer()).status == 200
        assert upstream.conversations[0].request.body == BODY


async def test_stop_cuts_off_what_still_runs() -> None:
    """After the deadline: the connection ends, and upstream's call with it."""
    left = asyncio.Event()

    async def silent(told: Conversation) -> None:
        await told.whole()
        await told.gone()
        left.set()

    plain = "/api/v1/services/aigc/text-generation/generation"
    async with (
        scripted(silent) as upstream,
        rig(upstream.url) as made,
        calling(made.url) as client,
    ):
        await client.send(made.post(path=plain))
        await upstream.heard()
        await made.server.stop()
        assert await client.rest() == b""
        await asyncio.wait_for(left.wait(), 10)
    assert made.telemetry.visits[0].status == 499
