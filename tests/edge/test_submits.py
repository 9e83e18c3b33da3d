"""Calls that create tasks: no answer leaves before each task in it has an owner."""

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from edge.rig import (
    BODY,
    PLAIN,
    SUBMIT,
    TENANT,
    Conversation,
    Script,
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

from proxy.core.answers import MAX_READ
from proxy.core.errors import StoreUnavailableError
from proxy.core.routes import Async, Route, RouteTable
from proxy.core.tasks import TaskRecord
from proxy.edge.submits import CLAIM_RETRIES
from proxy.edge.transport import WireUpstream
from proxy.edge.transport.answers import Answer
from proxy.ports import Call
from proxy.stores.memory import MemoryStore


class Trying(MemoryStore):
    """A store whose claims fail, or wait, as a test says; everything else works."""

    def __init__(self, failures: int = 0, wait: asyncio.Event | None = None) -> None:
        super().__init__()
        self.claims: list[str] = []
        self._failures = failures
        self._wait = wait

    async def claim(self, record: TaskRecord) -> None:
        self.claims.append(record.task_id)
        if self._wait is not None:
            await self._wait.wait()
        if self._failures:
            self._failures -= 1
            raise StoreUnavailableError
        await super().claim(record)


async def test_what_is_remembered() -> None:
    """The owner's record says whose it is, where it was made, of what, and what it may cost."""
    async with scripted(answering(task_answer("t1"))) as upstream, rig(upstream.url) as made:
        body = {
            "model": "wan2.6-t2v",
            "input": {"prompt": "secret"},
            "parameters": {"size": "1280*720", "duration": 5, "seed": 7},
        }
        raw = json.dumps(body).encode()
        assert (await ask(made.url, made.post(raw))).status == 200
        record = await made.store.owner("t1", TENANT)
        assert record is not None
        assert (record.tenant, record.token, record.account) == (TENANT, "g1", "main")
        assert (record.model, record.request_id, record.status) == ("wan2.6-t2v", "up-1", "PENDING")
        size = {"body_bytes": str(len(raw))}
        assert dict(record.inputs) == {"size": '"1280*720"', "duration": "5", **size}
        visit = await made.finished()
        assert (visit.task_id, visit.upstream_request_id) == ("t1", "up-1")
        assert "secret" not in repr((record, visit, made.telemetry.events))


async def test_what_a_submit_sends() -> None:
    """Async is forced and compression declined, whatever the client asked for."""
    async with scripted(answering(task_answer())) as upstream, rig(upstream.url) as made:
        fields = (b"X-DashScope-Async: no", b"Accept-Encoding: gzip, br")
        assert (await ask(made.url, made.post(made_body(), *fields))).status == 200
        sent = upstream.conversations[0].request
        assert sent.values("x-dashscope-async") == [b"enable"]
        assert sent.values("accept-encoding") == [b"identity"]


def made_body(model: str = "wan2.6-t2v") -> bytes:
    return json.dumps({"model": model}).encode()


@pytest.mark.parametrize("asked", [True, False])
async def test_a_route_that_can_do_both_claims_when_asked_for_a_task(*, asked: bool) -> None:
    """Where the client chooses, a task is claimed when it chose one, and a stream stays one."""
    async with scripted(answering(task_answer("t2"))) as upstream, rig(upstream.url) as made:
        fields = (b"X-DashScope-Async: enable",) if asked else ()
        assert (await ask(made.url, made.post(made_body(), *fields, path=PLAIN))).status == 200
        assert (await made.store.owner("t2", TENANT) is not None) is asked


@pytest.mark.parametrize("path", [SUBMIT, PLAIN])
async def test_async_named_in_connection_is_not_asked_for(path: str) -> None:
    """A field that `Connection` takes away does not reach upstream, so it does not count."""
    async with scripted(answering(task_answer("t3"))) as upstream, rig(upstream.url) as made:
        fields = (b"X-DashScope-Async: enable", b"Connection: X-DashScope-Async")
        await ask(made.url, made.post(made_body(), *fields, path=path))
        sent = upstream.conversations[0].request.values("x-dashscope-async")
        assert sent == ([b"enable"] if path == SUBMIT else [])
        assert (await made.store.owner("t3", TENANT) is not None) is (path == SUBMIT)


async def test_the_answer_waits_for_its_owner() -> None:
    """However slow the store: no byte of the answer leaves before the claim is written."""
    wait = asyncio.Event()
    store = Trying(wait=wait)
    async with (
        scripted(answering(task_answer("t4"))) as upstream,
        rig(upstream.url, store=store) as made,
        calling(made.url) as client,
    ):
        await client.send(made.post())
        await eventually(lambda: store.claims)
        reading = asyncio.create_task(client.answer())
        await asyncio.wait([reading], timeout=0.05)
        assert not reading.done()
        wait.set()
        assert (await reading).status == 200
        assert await store.owner("t4", TENANT) is not None


async def test_a_client_that_leaves_during_the_claim() -> None:
    """The claim goes on without the client, and the drain waits for it."""
    wait = asyncio.Event()
    store = Trying(wait=wait)
    async with (
        scripted(answering(task_answer("t5"))) as upstream,
        rig(upstream.url, store=store) as made,
    ):
        async with calling(made.url) as client:
            await client.send(made.post())
            await eventually(lambda: store.claims)
            client.reset()
        assert (await made.finished()).status == 499
        draining = asyncio.create_task(made.gateway.drained())
        await asyncio.wait([draining], timeout=0.05)
        assert not draining.done()
        wait.set()
        await draining
        assert await store.owner("t5", TENANT) is not None


@pytest.mark.parametrize("failures", [1, 2])
async def test_a_failing_store_is_tried_again(failures: int) -> None:
    """An outage of a moment delays the answer, and nobody notices."""
    store = Trying(failures)
    async with (
        scripted(answering(task_answer("t6"))) as upstream,
        rig(upstream.url, store=store) as made,
    ):
        assert (await ask(made.url, made.post())).status == 200
        assert store.claims == ["t6"] * (failures + 1)
        assert len(upstream.conversations) == 1
        assert not made.telemetry.named("task_without_owner")


async def test_a_store_that_stays_away() -> None:
    """In the end: 503, do not re-send, and all an operator needs to give the task to its owner."""
    store = Trying(failures=100)
    async with (
        scripted(answering(task_answer("t7"))) as upstream,
        rig(upstream.url, store=store) as made,
    ):
        answer = await ask(made.url, made.post())
        assert (answer.status, answer.code) == (503, "ServiceUnavailable")
        assert answer.values("x-should-retry") == [b"false"]
        assert b"t7" not in answer.body
        assert len(store.claims) == len(CLAIM_RETRIES) + 1
        (event,) = made.telemetry.named("task_without_owner")
        assert event == {
            "why": "the store is unavailable",
            "task_id": "t7",
            "tenant": TENANT,
            "token": "g1",
            "account": "main",
            "model": "wan2.6-t2v",
        }
        assert len(upstream.conversations) == 1


async def test_an_id_that_somebody_owns() -> None:
    """Upstream gives an id twice: the first owner stays, the second gets neither id nor answer."""
    store = MemoryStore()
    await store.claim(TaskRecord("t8", "tenant-b", "g9", "main", "m", created=9e9))
    async with (
        scripted(answering(task_answer("t8"))) as upstream,
        rig(upstream.url, store=store) as made,
    ):
        answer = await ask(made.url, made.post())
        assert (answer.status, answer.code) == (500, "InternalError")
        assert answer.values("x-should-retry") == [b"false"]
        assert b"t8" not in answer.body
        assert len(made.telemetry.named("task_without_owner")) == 1
        record = await store.owner("t8", "tenant-b")
        assert record is not None
        assert record.tenant == "tenant-b"


SEVERAL = RouteTable(
    [
        Route(
            "several",
            frozenset({"POST"}),
            "/make",
            "/api/v1/make",
            asynchronous=Async.ALWAYS,
            models=(("model",),),
            claims=(("output", "task_id"), ("output", "second"), ("id",)),
        )
    ]
)


async def test_several_tasks_in_one_answer() -> None:
    """Every id at a place the route names gets its owner, each once; others are no business."""
    body = json.dumps(
        {"output": {"task_id": "a1", "second": "a2", "third": "a3"}, "id": "a1", "request_id": 7}
    ).encode()
    store = Trying()
    async with (
        scripted(answering(ok(body))) as upstream,
        rig(upstream.url, table=SEVERAL, store=store) as made,
    ):
        assert (await ask(made.url, request("POST", "/make", made_body()))).body == body
        assert store.claims == ["a1", "a2"]
        assert (await made.finished()).task_id == "a1,a2"


CODINGS: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": gzip.compress,
    b"X-GZIP": gzip.compress,
    b"deflate": zlib.compress,
    b"identity": bytes,
}


@pytest.mark.parametrize("coding", CODINGS)
async def test_a_coded_answer_is_read_and_not_touched(coding: bytes) -> None:
    """An upstream that compresses although it was asked not to: claimed, and crosses as it is."""
    plain = task_answer("t9").partition(b"\r\n\r\n")[2]
    body = CODINGS[coding](plain)
    wire = ok(body, b"Content-Encoding: " + coding)
    async with scripted(answering(wire)) as upstream, rig(upstream.url) as made:
        answer = await ask(made.url, made.post())
        assert (answer.body, answer.values("content-encoding")) == (body, [coding])
        assert await made.store.owner("t9", TENANT) is not None


UNREADABLE = {
    "no JSON": ok(b"<html>fine</html>"),
    "half": ok(b'{"output":{"task_id":"t'),
    "empty": ok(b""),
    "a coding nobody knows": ok(b"\x0b\x02\x80", b"Content-Encoding: br"),
    "no gzip": ok(b"{}", b"Content-Encoding: gzip"),
    "a bomb": ok(gzip.compress(b"[" + b" " * (20 * MAX_READ)), b"Content-Encoding: gzip"),
    "deep": ok(b"[" * 100_000),
    "half a surrogate pair": ok(b'{"output":{"task_id":"t"},"request_id":"\\ud800"}'),
    "an id for no URL": ok(b'{"output":{"task_id":"../a"}}'),
    "an id that is a number": ok(b'{"output":{"task_id":7}}'),
    "an id without end": ok(b'{"output":{"task_id":"' + b"a" * 129 + b'"}}'),
}


@pytest.mark.parametrize("name", UNREADABLE)
async def test_an_answer_nobody_can_read(name: str) -> None:
    """A task id in it would leave without an owner: an uncertain failure, told as an event."""
    async with scripted(answering(UNREADABLE[name])) as upstream, rig(upstream.url) as made:
        answer = await ask(made.url, made.post())
        assert (answer.status, answer.code) == (502, "BadGateway")
        assert answer.values("x-should-retry") == [b"false"]
        assert len(made.telemetry.named("submit_answer_unreadable")) == 1
        assert not await made.store.tasks_of(TENANT, 0, 1e12)


@pytest.mark.parametrize(
    "output",
    [{}, {"task_id": None}, {"task_id": ""}, [], None],
)
async def test_an_answer_without_a_task(output: object) -> None:
    """No id that could be polled: nothing to claim, and the answer crosses."""
    body = json.dumps({"output": output}).encode()
    async with scripted(answering(ok(body))) as upstream, rig(upstream.url) as made:
        assert (await ask(made.url, made.post())).body == body
        assert not await made.store.tasks_of(TENANT, 0, 1e12)
        assert not made.telemetry.events


async def test_a_huge_answer_is_none() -> None:
    """A submit's answer that does not end is given up: what it made, nobody will tell."""
    size = MAX_READ + 1

    async def script(told: Conversation) -> None:
        await told.whole()
        await told.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await told.send(chunked(*[bytes(size // 64 + 1)] * 64))

    async with scripted(script) as upstream, rig(upstream.url) as made:
        answer = await ask(made.url, made.post())
        assert (answer.status, answer.code) == (502, "BadGateway")
        assert answer.values("x-should-retry") == [b"false"]
        assert len(upstream.conversations) == 1


REFUSAL = b'{"code":"Throttling","message":"no","request_id":"up","output":{"task_id":"x"}}'


def failing(status: int, *fields: bytes) -> Script:
    lines = [b"HTTP/1.1 %d Oh" % status, b"Content-Length: %d" % len(REFUSAL), *fields, b""]
    return answering(b"\r\n".join([*lines, REFUSAL]))


@pytest.mark.parametrize("status", [302, 400, 401, 403, 429])
async def test_upstreams_refusal_crosses(status: int) -> None:
    """Upstream's own error is the client's, untouched, without a word of ours on re-sending."""
    async with scripted(failing(status)) as upstream, rig(upstream.url) as made:
        answer = await ask(made.url, made.post())
        assert (answer.status, answer.body) == (status, REFUSAL)
        assert not answer.values("x-should-retry")
        assert not await made.store.tasks_of(TENANT, 0, 1e12)


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
async def test_upstreams_failure_is_not_to_be_sent_again(status: int) -> None:
    """It crosses untouched, but SDKs would send again by themselves what may be paid already."""
    async with scripted(failing(status)) as upstream, rig(upstream.url) as made:
        answer = await ask(made.url, made.post())
        assert (answer.status, answer.body) == (status, REFUSAL)
        assert answer.values("x-should-retry") == [b"false"]
        (plain,) = [await ask(made.url, made.post(path=PLAIN))]
        assert (plain.status, plain.values("x-should-retry")) == (status, [])


@pytest.mark.parametrize("advice", [b"true", b"false"])
async def test_upstreams_own_advice_crosses(advice: bytes) -> None:
    """Where upstream says itself whether to send again, it knows."""
    script = failing(503, b"X-Should-Retry: " + advice)
    async with scripted(script) as upstream, rig(upstream.url) as made:
        assert (await ask(made.url, made.post())).values("x-should-retry") == [advice]


@pytest.mark.parametrize("status", [201, 202])
async def test_any_success_may_hold_a_task(status: int) -> None:
    """A task that upstream announces with another success than 200 has an owner too."""
    wire = task_answer("t10").replace(b"200 OK", b"%d X" % status)
    async with scripted(answering(wire)) as upstream, rig(upstream.url) as made:
        assert (await ask(made.url, made.post())).status == status
        assert await made.store.owner("t10", TENANT) is not None


@pytest.mark.parametrize("phase", ["before", "after_request", "head", "body"])
async def test_a_lost_answer_is_uncertain(phase: str) -> None:
    """Broken before the answer is whole: 502, once, and nobody is to send it again."""

    async def script(told: Conversation) -> None:
        if phase != "before":
            await told.whole()
        if phase == "head":
            await told.send(b"HTTP/1.1 200 OK\r\nContent-Le")
        if phase == "body":
            await told.send(task_answer()[:-5])
        told.reset()

    async with scripted(script) as upstream, rig(upstream.url) as made:
        answer = await ask(made.url, made.post())
        assert (answer.status, answer.code) == (502, "BadGateway")
        assert answer.values("x-should-retry") == [b"false"]
        assert len(upstream.conversations) == 1


@pytest.mark.parametrize(
    ("script", "facts"),
    [
        (
            answering(task_answer("t11")),
            {"task_id": "t11", "upstream_status": 200, "upstream_request_id": "up-1"},
        ),
        (answering(b"nonsense", close=True), {"code": "BadGateway"}),
    ],
)
async def test_how_a_submit_ended_whose_client_left(script: Script, facts: object) -> None:
    """The request's line was written when the client left; an event tells the rest."""
    go = asyncio.Event()

    async def held(told: Conversation) -> None:
        await told.whole()
        reached.set()
        await go.wait()
        again = Conversation(told.reader, told.writer)
        await script(again)

    reached = asyncio.Event()
    async with scripted(held) as upstream, rig(upstream.url) as made:
        async with calling(made.url) as client:
            await client.send(made.post())
            await asyncio.wait_for(reached.wait(), 10)
            client.reset()
        visit = await made.finished()
        go.set()
        await made.gateway.drained()
        await eventually(lambda: made.telemetry.events)
        (event,) = made.telemetry.named("submit_ended_alone")
        assert event.pop("request_id") == visit.request_id
        assert event == facts


class Broken(MemoryStore):
    async def claim(self, record: TaskRecord) -> None:
        raise RuntimeError(record.task_id)


@pytest.mark.parametrize("leaving", [True, False])
async def test_a_bug_in_a_claim_is_told(*, leaving: bool) -> None:
    """Our own mistake after a task was made is never swallowed, client or no client."""
    go = asyncio.Event()

    async def held(told: Conversation) -> None:
        await told.whole()
        reached.set()
        await go.wait()
        await told.send(task_answer("t12"))

    reached = asyncio.Event()
    async with scripted(held) as upstream, rig(upstream.url, store=Broken()) as made:
        async with calling(made.url) as client:
            await client.send(made.post())
            await asyncio.wait_for(reached.wait(), 10)
            if leaving:
                client.reset()
                await made.finished()
            go.set()
            if not leaving:
                answer = await client.answer()
                assert (answer.status, answer.code) == (500, "InternalError")
                assert answer.values("x-should-retry") == [b"false"]
        await eventually(lambda: made.telemetry.bugs)
        assert len(made.telemetry.bugs) == 1


class Announced(WireUpstream):
    """An upstream that tells when an answer has begun to come in."""

    def __init__(self) -> None:
        super().__init__(connect_timeout=10)
        self.begun = asyncio.Event()

    @asynccontextmanager
    async def send(self, call: Call) -> AsyncIterator[Answer]:
        async with super().send(call) as reply:
            self.begun.set()
            yield reply


@pytest.fixture
async def announced() -> AsyncIterator[Announced]:
    upstream = Announced()
    await upstream.open()
    yield upstream
    await upstream.close()


@pytest.mark.parametrize("rest", [b"", b"}"])
async def test_a_client_that_leaves_while_an_early_answer_comes(
    rest: bytes, announced: Announced
) -> None:
    """Upstream answers before it has the body: there may be a task, so how it ended is told."""
    go = asyncio.Event()
    body = task_answer("t13").partition(b"\r\n\r\n")[2]

    async def early(told: Conversation) -> None:
        await told.send(ok(body)[:-1])
        await go.wait()
        await told.send(rest)
        told.writer.close()

    async with scripted(early) as upstream, rig(upstream.url, upstream=announced) as made:
        async with calling(made.url) as client:
            framing = b"Content-Length: 200000"
            await client.send(head_of("POST", SUBMIT, framing), BODY[:30], b" " * 100_000)
            await asyncio.wait_for(announced.begun.wait(), 10)
            client.reset()
        await made.finished()
        go.set()
        await made.gateway.drained()
        await eventually(lambda: made.telemetry.events or made.telemetry.bugs)
        (event,) = made.telemetry.named("submit_ended_alone")
        assert event["code"] == "BadGateway"
        assert made.telemetry.bugs == []
