"""The body on its way in: invited, bounded, judged while it arrives, and never whole too soon."""

import asyncio
import dataclasses
import itertools
import json
import random

import pytest
from edge.rig import (
    BODY,
    BOTH,
    LIMITS,
    PLAIN,
    SUBMIT,
    TENANT,
    UNJUDGED,
    Client,
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
    settled,
    task_answer,
)

from proxy.core.gate import Gate
from proxy.core.places import places_of
from proxy.core.routes import Async, Route, RouteTable
from proxy.edge.intake import SLICE, judged_fairly
from proxy.edge.spool import IN_MEMORY

EXPECT = b"Expect: 100-continue"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

REFUSED = {
    "no model": (b'{"input":{}}', "BadRequest.EmptyModel"),
    "an empty model": (b'{"model":""}', "BadRequest.EmptyModel"),
    "no string": (b'{"model":7}', "BadRequest.EmptyModel"),
    "a model in a list": (b'{"model":["wan2.6-t2v"]}', "BadRequest.EmptyModel"),
    "not allowed": (b'{"model":"other"}', "model_not_found"),
    "two models": (b'{"model":"wan2.6-t2v","model":"other"}', "BadRequest.IllegalInput"),
    "the same twice": (b'{"model":"wan2.6-t2v","model":"wan2.6-t2v"}', "BadRequest.IllegalInput"),
    "the second in the last bytes": (
        b'{"model":"wan2.6-t2v","input":"' + b"x" * 2000 + b'","model":"o"}',
        "BadRequest.IllegalInput",
    ),
    "another spelling": (b'{"model":"wan2.6-t2v","Model":"o"}', "BadRequest.IllegalInput"),
    "an escaped spelling": (b'{"model":"wan2.6-t2v","m\\u006fdel":"o"}', "BadRequest.IllegalInput"),
    "a byte order mark": (b'\xef\xbb\xbf{"model":"wan2.6-t2v"}', "BadRequest.IllegalInput"),
    "UTF-16": ('{"model":"wan2.6-t2v"}'.encode("utf-16"), "BadRequest.IllegalInput"),
    "Latin-1": (b'{"model":"wan2.6-t2v","input":"\xfc"}', "BadRequest.IllegalInput"),
    "a lone surrogate": (b'{"model":"wan2.6-t2v","a":"\\ud800"}', "BadRequest.IllegalInput"),
    "something behind": (b'{"model":"wan2.6-t2v"} x', "BadRequest.IllegalInput"),
    "a second document": (b'{"model":"wan2.6-t2v"}{"model":"o"}', "BadRequest.IllegalInput"),
    "half a document": (b'{"model":"wan2.6-t2v","input":', "BadRequest.IllegalInput"),
    "no document": (b"   ", "BadRequest.IllegalInput"),
    "a list": (b'[{"model":"wan2.6-t2v"}]', "BadRequest.IllegalInput"),
    "gzip": (b"\x1f\x8b\x08\x00\x00", "BadRequest.IllegalInput"),
}


@pytest.mark.parametrize("framing", ["length", "chunked", "byte by byte"])
@pytest.mark.parametrize("name", REFUSED)
async def test_refusals(name: str, framing: str) -> None:
    """Each refusal has its row, however the body comes, and upstream never got a document."""
    body, code = REFUSED[name]
    async with (
        scripted(answering(task_answer())) as upstream,
        rig(upstream.url, models=("wan2.6-*",)) as made,
        calling(made.url) as client,
    ):
        if framing == "length":
            await client.send(made.post(body))
        elif framing == "chunked":
            await client.send(head_of("POST", SUBMIT, b"Transfer-Encoding: chunked"), chunked(body))
        else:
            await client.send(made.post(body).removesuffix(body))
            for byte in body:
                await client.send(bytes([byte]))
                await asyncio.sleep(0)
        answer = await client.answer()
        assert answer.code == code
        assert answer.values("x-should-retry") == [b"false"]
        await made.finished()
        await eventually(lambda: not upstream.running)
        assert not any(told.request.wire for told in upstream.conversations)
        assert not await made.store.tasks_of("tenant-a", 0, 1e12)


async def test_an_empty_body_is_refused() -> None:
    """No body at all names no model."""
    async with rig() as made:
        for fields in ((b"Content-Length: 0",), ()):
            answer = await ask(made.url, head_of("POST", SUBMIT, *fields))
            assert (answer.status, answer.code) == (400, "BadRequest.IllegalInput")


@pytest.mark.parametrize(
    "fields",
    [
        (b"Content-Encoding: gzip",),
        (b"content-encoding: DEFLATE",),
        (b"Content-Encoding: identity, deflate",),
        (b"Content-Encoding: identity", b"Content-Encoding: deflate"),
        (b"Content-Encoding: ", b"Content-Encoding: br"),
    ],
)
async def test_a_compressed_body_is_refused_where_it_is_judged(fields: tuple[bytes, ...]) -> None:
    """What upstream would decode is not what was judged: 415, however the coding is named."""
    async with scripted(answering(ok())) as upstream, rig(upstream.url, scopes=BOTH) as made:
        answer = await ask(made.url, made.post(BODY, *fields))
        assert (answer.status, answer.code) == (415, "UnsupportedMediaType")
        assert not upstream.conversations
        assert (await ask(made.url, made.post(BODY, *fields, path=UNJUDGED))).status == 200
        sent = upstream.conversations[0].request
        assert sent.values("content-encoding") == [f.partition(b":")[2].strip() for f in fields]


async def test_identity_is_no_compression() -> None:
    """`identity` is what a body is anyway, in any spelling."""
    async with scripted(answering(task_answer())) as upstream, rig(upstream.url) as made:
        assert (await ask(made.url, made.post(BODY, b"Content-Encoding: Identity"))).status == 200


async def test_comments_become_blanks() -> None:
    """A comment outside strings is repaired in passing; the length stays."""
    body = b'{"model":"wan2.6-t2v", // which\n"input":{"url":"http://x/*y*/"} /* end */}'
    async with scripted(answering(task_answer())) as upstream, rig(upstream.url) as made:
        assert (await ask(made.url, made.post(body))).status == 200
        sent = upstream.conversations[0].request
        assert len(sent.body) == len(body)
        assert json.loads(sent.body)["input"]["url"] == "http://x/*y*/"


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("path", [SUBMIT, UNJUDGED])
async def test_a_body_crosses_byte_for_byte(path: str, seed: int) -> None:
    """Any body in any chunks: what upstream gets is what was sent, framed as it was."""
    dice = random.Random(seed)  # noqa: S311 - nothing secret about it
    async with (
        scripted(answering(task_answer())) as upstream,
        rig(upstream.url, scopes=BOTH) as made,
        calling(made.url) as client,
    ):
        for _ in range(12):
            body = _any_document(dice) if path == SUBMIT else dice.randbytes(dice.randint(0, 9000))
            if dice.random() < 0.5:
                await _in_pieces(client, dice, request("POST", path, body))
            else:
                wire = chunked(*(body[at : at + 700] for at in range(0, len(body), 700)))
                head = head_of("POST", path, b"Transfer-Encoding: chunked")
                await _in_pieces(client, dice, head + wire)
            assert (await client.answer()).status == 200
            sent = upstream.conversations[-1].request
            assert sent.body == body
            is_chunked = sent.value("transfer-encoding") == b"chunked"
            assert is_chunked is (sent.value("content-length") is None)


def _any_document(dice: random.Random) -> bytes:
    """JSON with the model somewhere, blanks anywhere, small or larger than a spool's memory."""
    filler = "".join(dice.choices('ab"\\/*ü你🙂\n ', k=dice.choice([5, 500, 5000])))
    filler *= dice.choice([1, 1, 1, 100])
    members = [("input", {"prompt": filler}), ("model", "wan2.6-t2v"), ("parameters", {"n": 1})]
    dice.shuffle(members)
    ascii_only = dice.random() < 0.5
    text = json.dumps(dict(members), ensure_ascii=ascii_only, indent=dice.choice([None, 2]))
    return (dice.choice(["", "\r\n "]) + text + dice.choice(["", "\n\n"])).encode()


async def _in_pieces(client: Client, dice: random.Random, data: bytes) -> None:
    while data:
        size = dice.choice([1, 10, 1000, 100_000])
        await client.send(data[:size])
        data = data[size:]
        await asyncio.sleep(0)


# -- Expect: 100-continue ------------------------------------------------------------------------


@pytest.mark.parametrize("path", [SUBMIT, UNJUDGED])
async def test_the_body_is_invited_once_the_caller_is_known(path: str) -> None:
    """100 Continue comes when the token is good, before a byte of the body; upstream sees none."""
    async with (
        scripted(answering(task_answer())) as upstream,
        rig(upstream.url, scopes=BOTH) as made,
        calling(made.url) as client,
    ):
        for _ in range(2):
            await client.send(head_of("POST", path, EXPECT, b"Content-Length: %d" % len(BODY)))
            assert await client.head() == CONTINUE
            await client.send(BODY)
            assert (await client.answer()).status == 200
        assert not upstream.conversations[0].request.values("expect")
        assert upstream.conversations[0].request.body == BODY


@pytest.mark.parametrize(
    ("path", "fields", "token", "status"),
    [
        (SUBMIT, (b"Content-Length: 10",), "tok-of-nobody", 401),
        (SUBMIT, (b"Content-Length: 10",), None, 401),
        (SUBMIT, (b"Content-Length: 99999999",), "tok-of-the-caller", 413),
        (SUBMIT, (b"Content-Length: 10", b"Content-Encoding: gzip"), "tok-of-the-caller", 415),
        (UNJUDGED, (b"Content-Length: 10",), "tok-of-the-caller", 403),
        ("/nowhere", (b"Content-Length: 10",), "tok-of-the-caller", 404),
        ("/api/v1/tasks/unknown/cancel", (b"Content-Length: 10",), "tok-of-the-caller", 400),
    ],
)
async def test_who_is_refused_is_not_invited(
    path: str, fields: tuple[bytes, ...], token: str | None, status: int
) -> None:
    """A caller who would be refused gets the refusal instead of 100 Continue."""
    async with rig() as made, calling(made.url) as client:
        await client.send(head_of("POST", path, EXPECT, *fields, token=token))
        head = await client.head()
        assert head.startswith(b"HTTP/1.1 %d " % status)


async def test_no_invitation_for_who_has_begun() -> None:
    """Who does not wait is not invited: the answer is the first thing that comes."""
    async with (
        scripted(answering(task_answer())) as upstream,
        rig(upstream.url) as made,
        calling(made.url) as client,
    ):
        await client.send(made.post(BODY, EXPECT))
        assert (await client.head()).startswith(b"HTTP/1.1 200")


async def test_http_1_0_knows_no_invitation() -> None:
    """An HTTP/1.0 client would take 100 for the answer."""
    async with (
        scripted(answering(task_answer())) as upstream,
        rig(upstream.url) as made,
        calling(made.url) as client,
    ):
        head = head_of("POST", SUBMIT, EXPECT, b"Content-Length: %d" % len(BODY))
        await client.send(head.replace(b"HTTP/1.1", b"HTTP/1.0"))
        await eventually(lambda: made.telemetry.running)
        await client.send(BODY)
        assert (await client.head()).startswith(b"HTTP/1.0 200")


# -- while it arrives ----------------------------------------------------------------------------


async def test_nothing_leaves_before_the_verdict() -> None:
    """Until `model` is read upstream hears nothing, not even a connection; then all at once."""
    async with (
        scripted(answering(task_answer())) as upstream,
        rig(upstream.url) as made,
        calling(made.url) as client,
    ):
        body = b'{"input":{"prompt":"' + b"x" * 9000 + b'"},"model":"wan2.6-t2v"}'
        split = body.index(b'2.6-t2v"')
        await client.send(made.post(body).removesuffix(body), body[:split])
        await eventually(lambda: made.telemetry.running)
        await settled(lambda: upstream.connections)
        assert upstream.connections == 0
        await client.send(body[split:])
        assert (await client.answer()).status == 200
        assert upstream.conversations[0].request.body == body


async def test_after_the_verdict_it_leaves_as_it_comes() -> None:
    """What came after the verdict is with upstream before the client sends more."""
    taken = asyncio.Queue[bytes]()

    async def script(told: Conversation) -> None:
        length = int(told.request.value("content-length") or 0)
        while length:
            piece = await told.reader.read(65536)
            length -= len(piece)
            taken.put_nowait(piece)
        await told.send(task_answer())

    async with (
        scripted(script) as upstream,
        rig(upstream.url) as made,
        calling(made.url) as client,
    ):
        parts = [b'{"model":"wan2.6-t2v","input":{"prompt":"', b"a" * 500, b"b" * 500, b'"}}']
        whole = b"".join(parts)
        await client.send(made.post(whole).removesuffix(whole))
        for part in parts[:-1]:
            await client.send(part)
            assert await asyncio.wait_for(taken.get(), 10) == part
        await client.send(parts[-1])
        assert (await client.answer()).status == 200


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_the_end_is_held_back(framing: str) -> None:
    """Everything but the closing brace may be with upstream when a second model comes: refused."""
    got = bytearray()
    left = asyncio.Event()

    async def script(told: Conversation) -> None:
        try:
            while piece := await told.reader.read(65536):
                got.extend(piece)
        except ConnectionError:
            pass
        left.set()

    async with (
        scripted(script) as upstream,
        rig(upstream.url) as made,
        calling(made.url) as client,
    ):
        body = b'{"model":"wan2.6-t2v","input":"' + b"x" * 3000 + b'","model":"b"}'
        if framing == "length":
            await client.send(made.post(body).removesuffix(body), body[:2000])
            await eventually(lambda: len(got) > 1900)
            await client.send(body[2000:])
        else:
            head = head_of("POST", SUBMIT, b"Transfer-Encoding: chunked")
            wire = chunked(body[:2000], body[2000:])
            await client.send(head, wire[:1990])
            await eventually(lambda: len(got) > 1900)
            await client.send(wire[1990:])
        assert (await client.answer()).code == "BadRequest.IllegalInput"
        await asyncio.wait_for(left.wait(), 10)
        assert b"}" not in got
        assert not got.endswith(b"0\r\n\r\n")
        assert upstream.connections == 1


async def test_an_early_answer_reaches_a_client_still_uploading() -> None:
    """Upstream's own early refusal crosses while the body still comes; the rest is dropped."""

    async def script(told: Conversation) -> None:
        await told.take(10)
        await told.send(b"HTTP/1.1 429 Slow\r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\nno")
        await told.gone()

    async with scripted(script) as upstream, rig(upstream.url) as made:
        for path in (SUBMIT, PLAIN):
            async with calling(made.url) as client:
                head = head_of("POST", path, b"Content-Length: 100000")
                await client.send(head, BODY[:-1], b" " * 1000)
                answer = await client.answer()
                assert (answer.status, answer.body) == (429, b"no")
                await client.send(b" " * (100_000 - 1000 - len(BODY) + 1))
                await client.send(request("GET", "/nowhere", None))
                assert (await client.answer()).status == 404


# -- limits --------------------------------------------------------------------------------------

SMALL = dataclasses.replace(LIMITS, max_body=1000)


def padded(size: int) -> bytes:
    return BODY[:-1] + b" " * (size - len(BODY)) + b"}"


@pytest.mark.parametrize("path", [SUBMIT, UNJUDGED])
async def test_the_limit_is_the_largest_body(path: str) -> None:
    """A body of just the limit passes, framed either way; one byte more is 413."""
    async with (
        scripted(answering(task_answer())) as upstream,
        rig(upstream.url, limits=SMALL, scopes=BOTH) as made,
    ):
        in_chunks = head_of("POST", path, b"Transfer-Encoding: chunked")
        for size, status in ((1000, 200), (1001, 413)):
            body = padded(size)
            assert (await ask(made.url, request("POST", path, body))).status == status
            answer = await ask(made.url, in_chunks + chunked(body[:600], body[600:]))
            assert answer.status == status
            if status == 413:
                assert answer.code == "BadRequest.TooLarge"
                assert answer.values("x-should-retry") == [b"false"]
        assert len([c for c in upstream.conversations if c.request.wire]) == 2


async def test_a_length_too_large_is_refused_unread() -> None:
    """What the header announces is refused before a byte of it came."""
    async with rig(limits=SMALL) as made, calling(made.url) as client:
        await client.send(head_of("POST", SUBMIT, b"Content-Length: 1001"))
        assert (await client.answer()).status == 413
        visit = await made.finished()
        assert (visit.bytes_in, visit.code) == (0, "BadRequest.TooLarge")


IMPATIENT = dataclasses.replace(LIMITS, body_timeout=0.2)


@pytest.mark.parametrize(
    ("path", "part"), [(SUBMIT, b'{"mod'), (SUBMIT, BODY[:-1]), (UNJUDGED, b"abc"), (PLAIN, BODY)]
)
async def test_a_client_that_stops_sending(path: str, part: bytes) -> None:
    """Silence in the middle of a body is 408, before the verdict and after, and ends the call."""
    async with (
        scripted(answering(task_answer())) as upstream,
        rig(upstream.url, limits=IMPATIENT, scopes=BOTH) as made,
        calling(made.url) as client,
    ):
        await client.send(head_of("POST", path, b"Content-Length: 10000"), part)
        answer = await client.answer()
        assert (answer.status, answer.code) == (408, "RequestTimeOut")
        await eventually(lambda: not upstream.running)
        assert not any(c.request.wire for c in upstream.conversations)
        assert (await made.finished()).status == 408


# -- clients that hang up ------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("path", [SUBMIT, PLAIN, UNJUDGED])
async def test_hanging_up_while_uploading(path: str, how: str) -> None:
    """Half a body: upstream's call ends at once, nothing is claimed, 499 is noted."""
    left = asyncio.Event()

    async def script(told: Conversation) -> None:
        await told.gone()
        left.set()

    async with scripted(script) as upstream, rig(upstream.url, scopes=BOTH) as made:
        async with calling(made.url) as client:
            await client.send(head_of("POST", path, b"Content-Length: 10000"), BODY[:-1])
            await upstream.heard()
            if how == "reset":
                client.reset()
            else:
                await client.close()
        await asyncio.wait_for(left.wait(), 0.5)
        assert (await made.finished()).status == 499
        assert len(upstream.conversations) == 1
        assert not await made.store.tasks_of("tenant-a", 0, 1e12)
        assert not made.telemetry.bugs


@pytest.mark.parametrize("phase", ["waiting", "answering"])
async def test_hanging_up_on_a_plain_call(phase: str) -> None:
    """After the body: upstream sees the client go within 100 ms, whatever it was doing."""
    left = asyncio.Event()

    async def script(told: Conversation) -> None:
        await told.whole()
        if phase == "answering":
            await told.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await told.gone()
        left.set()

    async with scripted(script) as upstream, rig(upstream.url) as made:
        async with calling(made.url) as client:
            await client.send(made.post(path=PLAIN))
            await upstream.heard()
            if phase == "answering":
                await client.until(b"half")
            client.reset()
        await asyncio.wait_for(left.wait(), 0.5)
        assert (await made.finished()).status == 499
        assert len(upstream.conversations) == 1


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_hanging_up_on_a_submit(how: str) -> None:
    """Once all of a submit went up it runs to its end: one call upstream, and the task is owned."""
    go = asyncio.Event()

    async def script(told: Conversation) -> None:
        await told.whole()
        await go.wait()
        await told.send(task_answer("task-of-the-gone"))

    async with scripted(script) as upstream, rig(upstream.url) as made:
        async with calling(made.url) as client:
            await client.send(made.post())
            await upstream.heard()
            if how == "reset":
                client.reset()
            else:
                await client.close()
        assert (await made.finished()).status == 499
        go.set()
        await made.gateway.drained()
        record = await made.store.owner("task-of-the-gone", TENANT)
        assert record is not None
        assert (record.tenant, record.account, record.model) == ("tenant-a", "main", "wan2.6-t2v")
        assert len(upstream.conversations) == 1


async def test_hanging_up_while_a_spooled_submit_goes_up() -> None:
    """All of it is here but not up: either upstream gets the whole, and it is owned, or a part."""
    go = asyncio.Event()
    done = asyncio.Event()

    async def script(told: Conversation) -> None:
        try:
            await go.wait()
            await told.whole()
            await told.send(task_answer("spooled"))
        finally:
            done.set()

    limits = dataclasses.replace(LIMITS, max_body=2**26, spool=2**27)
    async with scripted(script) as upstream, rig(upstream.url, limits=limits) as made:
        body = b'{"input":"' + b"x" * 30_000_000 + b'","model":"wan2.6-t2v"}'
        async with calling(made.url) as client:
            await client.send(made.post(body))
            await upstream.heard()
            await client.close()
        await made.finished()
        go.set()
        await asyncio.wait_for(done.wait(), 10)
        await made.gateway.drained()
        is_whole = upstream.conversations[0].request.body == body
        assert (await made.store.owner("spooled", TENANT) is not None) is is_whole
        assert not made.telemetry.bugs


NAMELESS = RouteTable(
    [
        Route(
            "nameless",
            frozenset({"POST"}),
            "/make",
            "/api/v1/make",
            asynchronous=Async.ALWAYS,
            claims=(("output", "task_id"),),
        )
    ]
)
"""A route that makes tasks of bodies nobody reads."""


@pytest.mark.parametrize("body", [None, b"anything", b"x" * 500_000])
async def test_hanging_up_on_a_submit_that_names_no_model(body: bytes | None) -> None:
    """The same where the body is not judged, or there is none: what went up whole is owned."""
    go = asyncio.Event()

    async def script(told: Conversation) -> None:
        await told.whole()
        reached.set()
        await go.wait()
        await told.send(task_answer("nameless"))

    reached = asyncio.Event()
    async with scripted(script) as upstream, rig(upstream.url, table=NAMELESS) as made:
        async with calling(made.url) as client:
            await client.send(request("POST", "/make", body))
            await asyncio.wait_for(reached.wait(), 10)
            client.reset()
        assert (await made.finished()).status == 499
        go.set()
        await made.gateway.drained()
        assert await made.store.owner("nameless", TENANT) is not None


async def test_a_spooled_body_crosses() -> None:
    """A body whose model comes last, larger than memory may hold, crosses whole."""
    body = b'{"input":"' + b"x" * (IN_MEMORY * 4) + b'","model":"wan2.6-t2v"}'
    async with scripted(answering(task_answer())) as upstream, rig(upstream.url) as made:
        assert (await ask(made.url, made.post(body))).status == 200
        assert upstream.conversations[0].request.body == body
        refused = body.replace(b"}", b',"model":"x"}')
        answer = await ask(made.url, made.post(refused))
        assert answer.code == "BadRequest.IllegalInput"
        assert len(upstream.conversations) == 1


async def test_no_room_for_bodies_whose_model_comes_late() -> None:
    """When the spool is full a body is refused as busy, and the room comes back afterwards."""
    limits = dataclasses.replace(LIMITS, spool=1_000_000)  # half of it for one tenant
    async with (
        scripted(answering(task_answer())) as upstream,
        rig(upstream.url, limits=limits) as made,
        calling(made.url) as waiting,
    ):
        head = head_of("POST", SUBMIT, b"Content-Length: 2000000")
        await waiting.send(head, b'{"input":"' + b"x" * 300_000)
        await eventually(lambda: made.telemetry.running)
        late = b'{"input":"' + b"x" * 300_000 + b'","model":"wan2.6-t2v"}'

        async def answer() -> Message:
            return await ask(made.url, made.post(late))

        refused = await answer()
        for _ in range(1000):  # until what the first one sent has been taken in
            if refused.status != 200:
                break
            refused = await answer()
        assert (refused.status, refused.code) == (503, "ServiceUnavailable")
        assert refused.values("x-should-retry") == [b"false"]
        await waiting.close()
        await eventually(lambda: made.telemetry.running == 0)
        assert (await answer()).status == 200


@pytest.mark.parametrize(("seconds", "is_fair"), [(0.0011, False), (0.0009, True)])
async def test_a_body_that_is_slow_to_judge_holds_nobody_up(
    seconds: float, *, is_fair: bool
) -> None:
    """Others get their turn behind each slice that took over a millisecond, by a clock of ours.

    What comes out is the same; and quick slices cost no turns.
    """
    body = b'{"model":"wan2.6-t2v","a":[' + b"/**/" * 50_000 + b"]"
    gates = [Gate(places_of([("model",)]), lambda *_: None) for _ in range(2)]
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    ticks = itertools.count()
    running = asyncio.create_task(other())
    try:
        judged = await judged_fairly(gates[0], body, clock=lambda: next(ticks) * seconds)
    finally:
        running.cancel()
    assert judged == gates[1].feed(body)
    assert turns == 0 if is_fair else turns >= len(body) // SLICE


@pytest.mark.parametrize("seed", range(20))
async def test_slices_change_no_verdict(seed: int) -> None:
    """Pictures, escapes, brackets, letters of several bytes: as if each chunk were fed whole."""
    dice = random.Random(seed)  # noqa: S311 - nothing secret about it
    texts = ["A" * 40_000, "\\\\n" * 3_000, "\u6a21\u578b" * 3_000, '\\\\\\"' * 2_000, "x", ""]
    items = [f'["{dice.choice(texts)}",{"[" * 20}{"]" * 20}]' for _ in range(8)]
    body = f'{{"model":"wan2.6-t2v","a":[{",".join(items)}]}}'.encode()
    fair, plain = (Gate(places_of([("model",)]), lambda *_: None) for _ in range(2))
    at, approved = 0, b""
    while at < len(body):
        size = dice.choice([1, 100, SLICE, SLICE + 1, 60_000, 300_000])
        approved += await judged_fairly(fair, body[at : at + size])
        at += size
    assert approved + fair.finish() == plain.feed(body) + plain.finish() == body


async def test_what_stands_within_a_text_is_one_slice() -> None:
    """Others wait no longer for a picture than it takes to look through it; behind it they do."""
    gate = Gate(places_of([("model",)]), lambda *_: None)
    gate.feed(b'{"model":"wan2.6-t2v","a":"')
    assert gate.is_in_text
    picture = b"A" * (10 * SLICE)
    assert await judged_fairly(gate, picture) is picture  # neither cut nor put together
    assert await judged_fairly(gate, picture + b'"}') == picture + b'"'
    assert not gate.is_in_text
