"""However a call ends, its ticket ends exactly once: each row of the table in `edge.tickets`."""

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
from edge.rig import (
    PLAIN,
    TENANT,
    TOKEN,
    Conversation,
    Rig,
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
from edge.test_submits import SEVERAL

from proxy.core.limits import Limits
from proxy.core.money import NANOS, text_of
from proxy.core.outcomes import Bounds
from proxy.core.policy import Grant, digest_of
from proxy.core.prices import Price, PriceList
from proxy.core.settlement import Basis, Kind, UsageRecord
from proxy.core.tasks import TaskRecord
from proxy.core.usage import Used

CENT = NANOS // 100
MODEL = "qwen-plus"
PRICES = PriceList(
    "CNY",
    prices=(
        Price(
            ("qwen-*",),
            per_1k_output_tokens=Decimal(10),
            per_call=Decimal("0.05"),
            bounds=Bounds(output_tokens=100),
        ),
        Price(("wan*",), per_call=Decimal(2)),
    ),
)
"""A token costs a cent, and a call five on top: what comes out can be told by hand."""

BUDGET = Limits(budget_total=1000 * NANOS)
BODY = json.dumps({"model": MODEL, "input": {"prompt": "hi"}}).encode()
SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def frame(tokens: int) -> bytes:
    """A native frame; its usage counts from the stream's beginning."""
    usage = json.dumps({"usage": {"output_tokens": tokens}})
    return f"id:1\nevent:result\ndata:{usage}\n\n".encode()


@asynccontextmanager
async def metered(script: Script, limits: Limits = BUDGET) -> AsyncIterator[Rig]:
    """A gateway with prices; the caller has a budget to lose."""
    async with scripted(script) as upstream, rig(upstream.url, prices=PRICES) as made:
        grant = Grant("g1", "caller", TENANT, ("*",), limits=limits)
        await made.store.save_grant(digest_of(TOKEN), grant)
        yield made


def post(body: bytes = BODY, *fields: bytes, path: str = PLAIN) -> bytes:
    return request("POST", path, body, *fields)


async def the_record(made: Rig) -> UsageRecord:
    """The one record there is, when nothing is held any more."""
    await made.gateway.drained()
    (record,) = made.telemetry.records
    assert [record] == [one for _, one in await made.store.records("", 10)]
    assert (await made.store.standings([("token:g1", "money", "total")]))[0] == (0, record.amount)
    return record


async def nothing_recorded(made: Rig) -> None:
    """No record, and nothing is held either."""
    await made.gateway.drained()
    assert made.telemetry.records == []
    assert (await made.store.standings([("token:g1", "money", "total")]))[0] == (0, 0)


async def test_an_answer_with_its_usage() -> None:
    """It costs what it says; the record and the request's line tell who, what and how much."""
    body = json.dumps({"output": {"text": "hi"}, "usage": {"output_tokens": 3}}).encode()
    async with metered(answering(ok(body, b"X-Request-Id: up-1"))) as made:
        assert (await ask(made.url, post())).body == body
        record = await the_record(made)
        visit = await made.finished()
        assert (record.kind, record.status, record.model) == (Kind.CALL, "SUCCEEDED", MODEL)
        assert (record.tenant, record.token, record.account) == (TENANT, "g1", "main")
        assert (record.used, record.basis) == (Used(output_tokens=3), Basis.USAGE)
        assert (record.amount, record.currency) == (8 * CENT, "CNY")
        assert (record.id, record.request_id) == (visit.request_id, "up-1")
        assert (visit.amount, visit.currency, visit.basis) == ("0.08", "CNY", "usage")


async def test_a_stream_costs_what_its_last_frame_says() -> None:
    """The frames cross as they came, chunk by chunk."""
    frames = [frame(1), frame(2), frame(7)[:9], frame(7)[9:]]
    async with metered(answering(SSE + chunked(*frames))) as made:
        answer = await ask(made.url, post(BODY, b"X-DashScope-SSE: enable"))
        assert answer.wire == chunked(*frames)
        assert (await the_record(made)).amount == 12 * CENT


@pytest.mark.parametrize(
    ("plain", "basis"),
    [(b'{"usage":{"output_tokens":3}}', Basis.USAGE), (b"<html>", Basis.REQUEST)],
)
async def test_an_answer_is_asked_for_in_no_coding(plain: bytes, basis: Basis) -> None:
    """One that comes in a coding all the same crosses as it came, and is read as if it had none."""
    body = gzip.compress(plain)
    coded = answering(ok(body, b"Content-Encoding: gzip"))
    async with scripted(coded) as upstream, rig(upstream.url, prices=PRICES) as made:
        assert (await ask(made.url, post(BODY, b"Accept-Encoding: gzip"))).body == body
        assert upstream.conversations[0].request.values("accept-encoding") == [b"identity"]
        await made.gateway.drained()
        assert [one.basis for one in made.telemetry.records] == [basis]


@pytest.mark.parametrize(
    "answer",
    [ok(b'{"output":{}}'), ok(b""), ok(b"<html>"), SSE + chunked(b"data:{}\n\n")],
    ids=["silent", "empty", "no JSON", "silent stream"],
)
async def test_a_success_that_tells_no_usage(answer: bytes) -> None:
    """It is charged by the request: the dearest it could have been, a hundred tokens here."""
    async with metered(answering(answer)) as made:
        await ask(made.url, post())
        record = await the_record(made)
        assert (record.amount, record.basis) == (105 * CENT, Basis.REQUEST)


@pytest.mark.parametrize(
    "answer",
    [
        b'HTTP/1.1 400 Bad Request\r\nContent-Length: 13\r\n\r\n{"code":"No"}',
        b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
        ok(b'{"code":"BailianGateway.Workspace.NotAuthorised","message":"no"}'),
        SSE + chunked(b'event:error\n:HTTP_STATUS/400\ndata:{"code":"No","message":"no"}\n\n'),
        b"",
    ],
    ids=["400", "500", "302", "200 with a code", "error frame", "nothing"],
)
async def test_what_is_no_success_costs_nothing(answer: bytes) -> None:
    """No record is written, and what was held is free again."""
    async with metered(answering(answer, close=True)) as made:
        await ask(made.url, post())
        await nothing_recorded(made)


async def test_upstream_out_of_reach_costs_nothing() -> None:
    """Nothing was sent, so nothing is held."""
    async with rig(prices=PRICES) as made:
        await made.store.save_grant(
            digest_of(TOKEN), Grant("g1", "c", TENANT, ("*",), limits=BUDGET)
        )
        assert (await ask(made.url, post())).status == 502
        await nothing_recorded(made)


@pytest.mark.parametrize(
    ("parts", "amount", "basis"),
    [
        ([frame(1), frame(4)], 9 * CENT, Basis.USAGE),
        ([b'data:{"output":{}}\n\n'], 105 * CENT, Basis.REQUEST),
    ],
)
async def test_a_stream_that_breaks_off(parts: list[bytes], amount: int, basis: Basis) -> None:
    """By the last usage seen in it, else by the request once a byte of it came."""
    begun = SSE + chunked(*parts).removesuffix(b"0\r\n\r\n")
    async with metered(answering(begun, close=True)) as made:
        await ask(made.url, post())
        record = await the_record(made)
        assert (record.amount, record.basis) == (amount, basis)


async def test_a_stream_that_breaks_off_before_its_first_byte() -> None:
    """Upstream's head alone is worth nothing."""
    async with metered(answering(SSE, close=True)) as made:
        await ask(made.url, post())
        await nothing_recorded(made)


async def test_a_client_that_leaves_a_stream() -> None:
    """It pays for what it had seen."""

    async def streaming(told: Conversation) -> None:
        await told.whole()
        await told.send(SSE, chunked(frame(2)).removesuffix(b"0\r\n\r\n"))
        await told.gone()

    async with metered(streaming) as made, calling(made.url) as client:
        await client.send(post())
        await client.until(b"\n\n")
        client.reset()
        await made.finished()
        assert (await the_record(made)).amount == 7 * CENT


async def test_a_client_that_leaves_before_the_answer() -> None:
    """Nothing came, so nothing is charged, and nothing stays held."""
    arrived = asyncio.Event()

    async def silent(told: Conversation) -> None:
        await told.whole()
        arrived.set()
        await told.gone()

    async with metered(silent) as made, calling(made.url) as client:
        await client.send(post())
        await arrived.wait()
        client.reset()
        await made.finished()
        await nothing_recorded(made)


async def test_what_has_no_price_is_recorded_all_the_same() -> None:
    """It costs nothing, and whoever bills sees what was used."""
    body = ok(b'{"usage":{"output_tokens":3}}')
    async with metered(answering(body)) as made:
        await ask(made.url, post(b'{"model":"other"}'))
        record = await the_record(made)
        assert (record.amount, record.currency, record.basis) == (0, "", Basis.NOTHING)
        assert record.used == Used(output_tokens=3)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/v1/tokenizer", BODY),
        ("GET", f"/api/v1/uploads?action=getPolicy&model={MODEL}", None),
        ("GET", "/api/v1/public-keys/latest", None),
    ],
)
async def test_what_runs_no_model_is_not_recorded(
    method: str, path: str, body: bytes | None
) -> None:
    """Naming a model is not running it: such calls have limits, and no price."""
    answer = answering(ok(b'{"usage":{"input_tokens":3}}'))
    async with metered(answer, Limits(requests_per_minute=9, budget_total=0)) as made:
        told = await ask(made.url, request(method, path, body))
        assert (told.status, told.value("x-ratelimit-remaining-requests")) == (200, b"8")
        await nothing_recorded(made)


async def test_a_submit_hands_its_hold_to_the_task() -> None:
    """Money and place stay held when the call has ended, and the claim says by which hold."""
    limits = Limits(budget_total=1000 * NANOS, concurrent_tasks=3)
    async with metered(answering(task_answer("t1")), limits) as made:
        answer = await ask(made.url, made.post())
        assert answer.value("x-ratelimit-remaining-tasks") == b"2"
        await made.gateway.drained()
        bounds = [("token:g1", "money", "total"), ("token:g1", "tasks", "")]
        assert await made.store.standings(bounds) == [(2 * NANOS, 0), (1, 0)]
        record = await made.store.owner("t1", TENANT)
        assert record is not None
        assert record.hold == (await made.finished()).request_id
        assert made.telemetry.records == []


@pytest.mark.parametrize(
    "answer",
    [
        ok(b'{"code":"InvalidParameter","message":"no"}'),
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
async def test_a_submit_without_a_task_gives_back_what_it_held(answer: bytes) -> None:
    """No task, no hold, and no record."""
    async with metered(answering(answer)) as made:
        await ask(made.url, made.post())
        await nothing_recorded(made)


CUT = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"
TOO_LONG = ok(b'{"output":{"task_id":"t1"},"x":"%b"}' % (b"x" * 2**20))


@pytest.mark.parametrize(
    ("answer", "amount", "basis"),
    [
        (ok(b"<html>"), 105 * CENT, Basis.REQUEST),
        (ok(b""), 105 * CENT, Basis.REQUEST),
        (ok(b'{"output":{"task_id":"a/b"}}'), 105 * CENT, Basis.REQUEST),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 105 * CENT, Basis.REQUEST),
        (CUT, 105 * CENT, Basis.REQUEST),
        (CUT + b'{"output":{"ta', 105 * CENT, Basis.REQUEST),
        (TOO_LONG, 105 * CENT, Basis.REQUEST),
        (SSE + chunked(b'data: {"output":{}}\n\n'), 105 * CENT, Basis.REQUEST),
        (SSE + chunked(frame(3), frame(4)), 9 * CENT, Basis.USAGE),
    ],
    ids=["text", "empty", "odd-id", "204", "head", "cut", "long", "stream", "told"],
)
async def test_a_submit_whose_success_cannot_be_read(
    answer: bytes, amount: int, basis: Basis
) -> None:
    """Upstream took it on, whatever it made of it: it is paid for, and told to an operator.

    A header that asks for a task where none is made gets no answer for nothing.
    """
    body = json.dumps({"model": MODEL, "stream": True, "input": {"prompt": "hi"}}).encode()
    async with metered(answering(answer, close=True)) as made:
        told = await ask(made.url, post(body, b"X-DashScope-Async: enable"))
        assert told.status == 502
        record = await the_record(made)
        assert (record.kind, record.amount, record.basis) == (Kind.CALL, amount, basis)
        visit = await made.finished()
        assert (visit.basis, visit.amount) == (basis, text_of(amount))
        (event,) = made.telemetry.named("submit_answer_unreadable")
        assert event["request_id"] == visit.request_id


async def test_a_task_that_cannot_be_claimed_is_not_charged_as_a_call() -> None:
    """Its claim may have been written all the same, and then it is charged as a task."""
    async with metered(answering(task_answer("t1"))) as made:
        await made.store.claim(TaskRecord("t1", "other", "g2", "main", "m", time.time()))
        assert (await ask(made.url, made.post())).status == 500
        await nothing_recorded(made)


async def test_a_task_is_charged_what_was_reserved_for_it() -> None:
    """The size of its request counts at its end as it did at its beginning."""
    per_character = PriceList("CNY", prices=(Price(("*",), per_1k_characters=Decimal(1)),))

    async def script(told: Conversation) -> None:
        await told.whole()
        done = {"output": {"task_id": "task-1", "task_status": "SUCCEEDED"}}
        is_poll = told.request.first_line.startswith(b"GET")
        await told.send(ok(json.dumps(done).encode()) if is_poll else task_answer())

    async with scripted(script) as upstream, rig(upstream.url, prices=per_character) as made:
        grant = Grant("g1", "caller", TENANT, ("*",), limits=Limits(budget_total=NANOS))
        await made.store.save_grant(digest_of(TOKEN), grant)
        money = [("token:g1", "money", "total")]
        assert (await ask(made.url, made.post())).status == 200
        ((held, spent),) = await made.store.standings(money)
        assert 0 < held < NANOS // 10
        assert spent == 0
        await ask(made.url, head_of("GET", "/task/task-1"))
        await made.gateway.drained()
        assert await made.store.standings(money) == [(0, held)]


async def test_inputs_count_wherever_they_stand_in_a_body() -> None:
    """Where nothing is held, the body is sent while it comes: its end is charged as well."""
    per_image = PriceList("CNY", prices=(Price(("*",), per_image=Decimal(1)),))
    head = b'{"model":"qwen-image","input":{"prompt":"'
    tail = b'"},"parameters":{"n":3}}'

    answer = answering(ok(b'{"output":{}}'))
    async with scripted(answer) as upstream, rig(upstream.url, prices=per_image) as made:
        async with calling(made.url) as client:
            length = b"Content-Length: %d" % (len(head) + 100_000 + len(tail))
            await client.send(head_of("POST", PLAIN, length), head)
            await client.send(b"x" * 50_000)
            await eventually(lambda: upstream.conversations)
            await client.send(b"x" * 50_000, tail)
            assert (await client.answer()).status == 200
        await made.gateway.drained()
        assert [one.amount for one in made.telemetry.records] == [3 * NANOS]


def event(kind: str, **rest: object) -> bytes:
    """An event of Anthropic's protocol."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **rest})}\n\n".encode()


STARTED = event("message_start", message={"usage": {"input_tokens": 9, "output_tokens": 1}})
SAID = event("content_block_delta", delta={"text": "hi"})
ENDED = event("message_delta", usage={"output_tokens": 7})
FAILED = event("error", error={"type": "api_error"})


@pytest.mark.parametrize(
    ("events", "amount", "basis"),
    [
        ([STARTED, SAID], 105 * CENT, Basis.REQUEST),
        ([STARTED, SAID, FAILED], 105 * CENT, Basis.REQUEST),
        ([STARTED, SAID, ENDED], 12 * CENT, Basis.USAGE),
    ],
)
async def test_who_hangs_up_early_pays_for_what_may_have_been_made(
    events: list[bytes], amount: int, basis: Basis
) -> None:
    """The one token of `message_start` is not the last word."""

    async def streaming(told: Conversation) -> None:
        await told.whole()
        await told.send(SSE, chunked(*events).removesuffix(b"0\r\n\r\n"))
        await told.gone()

    async with metered(streaming) as made, calling(made.url) as client:
        await client.send(post(path="/apps/anthropic/v1/messages"))
        await client.until(events[-1])
        client.reset()
        await made.finished()
        record = await the_record(made)
        assert (record.amount, record.basis) == (amount, basis)
        assert record.used.input_tokens == 9


async def test_a_submit_that_is_answered_at_once_is_a_call() -> None:
    """A success without a task, and without an error, is charged as the result it is."""
    async with metered(answering(ok(b'{"usage":{"output_tokens":3}}'))) as made:
        await ask(made.url, post(BODY, b"X-DashScope-Async: enable"))
        record = await the_record(made)
        assert (record.kind, record.amount) == (Kind.CALL, 8 * CENT)


async def test_several_tasks_of_one_answer_share_its_hold() -> None:
    """The first one has it; the others hold nothing."""
    body = json.dumps({"output": {"task_id": "a1", "second": "a2"}}).encode()
    async with (
        scripted(answering(ok(body))) as upstream,
        rig(upstream.url, prices=PRICES, table=SEVERAL) as made,
    ):
        grant = Grant("g1", "c", TENANT, ("*",), limits=BUDGET)
        await made.store.save_grant(digest_of(TOKEN), grant)
        await ask(made.url, post(path="/make"))
        owned = [await made.store.owner(name, TENANT) for name in ("a1", "a2")]
        visit = await made.finished()
        assert [one and one.hold for one in owned] == [visit.request_id, ""]
