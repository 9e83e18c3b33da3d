"""Calls about one task: the owner's only; polls are answered with a state, asked for once."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from itertools import cycle

import pytest
from edge.rig import (
    KEY,
    LIMITS,
    TENANT,
    Client,
    Conversation,
    Message,
    Recorder,
    Rig,
    Script,
    ScriptedUpstream,
    account,
    answering,
    ask,
    calling,
    eventually,
    ok,
    request,
    rig,
    scripted,
)

from proxy.core.accounts import Account
from proxy.core.errors import ProxyError, Situation, StoreUnavailableError
from proxy.core.policy import Grant, digest_of
from proxy.core.routes import Match, Route, RouteTable
from proxy.core.shelf import CAPACITY, LARGEST
from proxy.core.target import parse_target
from proxy.core.tasks import TaskRecord
from proxy.edge.polls import HASTE, Polls, unhurried
from proxy.edge.transport import WireUpstream
from proxy.sandbox import Sandbox
from proxy.stores.memory import MemoryStore

ROUTE = Route("poll", frozenset({"GET"}), "/task/{task_id}", "/t/{task_id}", task="task_id")
ACCOUNT = Account("main", "https://upstream.example", "sk-x")
PENDING_STATES = {"PENDING", "RUNNING"}
LONG = replace(LIMITS, poll_hold=60)
"""A state is held for longer than any test takes."""


def about(path: str) -> Match:
    return RouteTable([ROUTE]).match("GET", parse_target(path))


def holder(tenant: str) -> Grant:
    return Grant("id", "name", tenant, ("*",))


def record(task_id: str = "t1", *, age: float = 60, status: str = "PENDING") -> TaskRecord:
    created = time.time() - age
    return TaskRecord(task_id, TENANT, "g1", "main", "m", created, status=status)


async def made_of(*records: TaskRecord) -> Polls:
    store = MemoryStore()
    await store.open()
    for one in records:
        await store.claim(one)
    upstream = WireUpstream(connect_timeout=1)
    return Polls(store, [ACCOUNT], upstream, Recorder(), hold=1)


def state(status: str = "RUNNING", task_id: str = "t1", size: int = 0) -> bytes:
    output = {"task_id": task_id, "task_status": status, "more": "x" * size}
    return ok(json.dumps({"output": output, "request_id": "up"}).encode(), b"x-request-id: up")


def poll(task_id: str = "t1", *fields: bytes, token: str | None = None) -> bytes:
    path = f"/task/{task_id}"
    return request("GET", path, None, *fields, **({"token": token} if token else {}))


def told(answer: Message) -> str:
    """The state in a poll's answer, which must be a success."""
    assert answer.status == 200, answer
    output = answer.json()["output"]
    assert isinstance(output, dict)
    return str(output["task_status"])


@asynccontextmanager
async def polled(
    script: Script,
    *records: TaskRecord,
    hold: float = 60,
    patience: float = 10,
    rate: float = 1000,
) -> AsyncIterator[tuple[Rig, ScriptedUpstream]]:
    """A gateway whose upstream follows the script, and which knows these tasks."""
    limits = replace(LIMITS, poll_hold=hold, read_timeout=patience)
    async with scripted(script) as upstream:
        paced = replace(account(upstream.url), polls_per_second=rate)
        async with rig(accounts=[paced], limits=limits) as made:
            for one in records or [record()]:
                await made.store.claim(one)
            yield made, upstream


# -- whose a task is -----------------------------------------------------------------------------


async def test_only_the_owner_knows_a_task() -> None:
    """Unknown, foreign and impossible ids are refused in the same words."""
    mine = record()
    polls = await made_of(mine)
    assert await polls.own_task(about("/task/t1"), holder(TENANT)) == mine
    refusals = set()
    for path, tenant in (("/task/t1", "b"), ("/task/t2", TENANT), ("/task/t%201", TENANT)):
        with pytest.raises(ProxyError) as caught:
            await polls.own_task(about(path), holder(tenant))
        refusals.add((caught.value.situation, caught.value.message))
    assert refusals == {(Situation.TASK_NOT_EXIST, "task_not_exist")}


async def test_the_account_that_made_it() -> None:
    """A task's calls go where it is; an account that is gone cannot be replaced by another."""
    polls = await made_of()
    assert polls.account_of(record()) is ACCOUNT
    with pytest.raises(ProxyError) as caught:
        polls.account_of(replace(record(), account="gone"))
    assert caught.value.situation is Situation.BAD_GATEWAY


async def test_what_is_held_is_the_owners() -> None:
    """A state that is kept is not told to another tenant, in whatever way he asks."""
    async with polled(answering(state("SUCCEEDED"))) as (made, upstream):
        assert told(await ask(made.url, poll())) == "SUCCEEDED"
        await made.store.save_grant(digest_of("other"), Grant("g2", "other", "b", ("*",)))
        for _ in range(2):
            foreign = await ask(made.url, poll(token="other"))
            unknown = await ask(made.url, poll("t2", token="other"))
            assert (foreign.status, foreign.code) == (400, "task_not_exist")
            assert unknown.json() | {"request_id": ""} == foreign.json() | {"request_id": ""}
        assert len(upstream.conversations) == 1


# -- one question for all ------------------------------------------------------------------------


async def test_many_pollers_are_one_call() -> None:
    """All get what upstream said, byte for byte; it was asked once, in no coding."""
    answer = asyncio.Event()

    async def script(heard: Conversation) -> None:
        await answer.wait()
        await heard.send(state())

    async with polled(script) as (made, upstream):
        pollers = [asyncio.create_task(ask(made.url, poll())) for _ in range(50)]
        await eventually(lambda: made.telemetry.running == 50)
        answer.set()
        answers = await asyncio.gather(*pollers)
        assert {(one.status, one.body) for one in answers} == {(200, state().split(b"\r\n\r\n")[1])}
        assert not [one for one in answers if one.value("age")]
        (heard,) = upstream.conversations
        assert heard.request.values("accept-encoding") == [b"identity"]
        await made.finished(50)
        outcomes = [str(visit.poll) for visit in made.telemetry.visits]
        assert sorted(set(outcomes)) == ["coalesced", "fresh"]
        assert outcomes.count("fresh") == 1
        assert {visit.upstream_status for visit in made.telemetry.visits} == {200}


async def test_conditions_do_not_cross() -> None:
    """Part of an answer, or none because one has it already, would not do for the others."""
    async with polled(answering(state())) as (made, upstream):
        fields = (b"Range: bytes=0-1", b"If-None-Match: *", b'If-Match: "x"', b"X-Mine: 1")
        await ask(made.url, poll("t1", *fields))
        names = {name.lower() for name, _ in upstream.conversations[0].request.fields}
        assert b"x-mine" in names
        assert not names & {b"range", b"if-none-match", b"if-match"}


async def test_pollers_that_leave() -> None:
    """They hurt nobody who stays."""
    answer = asyncio.Event()

    async def script(heard: Conversation) -> None:
        await answer.wait()
        await heard.send(state())

    async with polled(script) as (made, upstream):
        async with calling(made.url) as first, calling(made.url) as second:
            await first.send(poll())
            await upstream.heard()
            await second.send(poll())
            staying = asyncio.create_task(ask(made.url, poll()))
            await eventually(lambda: made.telemetry.running == 3)
        await made.finished(2)
        answer.set()
        assert told(await staying) == "RUNNING"
        assert len(upstream.conversations) == 1


async def test_when_all_pollers_have_left() -> None:
    """The call to upstream is given up at once."""

    async def script(heard: Conversation) -> None:
        await heard.gone()

    async with polled(script) as (made, upstream):
        async with calling(made.url) as first, calling(made.url) as second:
            await first.send(poll())
            await second.send(poll())
            await upstream.heard()
            await eventually(lambda: made.telemetry.running == 2)
        await eventually(lambda: not upstream.running)
        await made.finished(2)
        assert {visit.status for visit in made.telemetry.visits} == {499}
        assert len(upstream.conversations) == 1


# -- said again ----------------------------------------------------------------------------------


async def test_a_running_task_is_held() -> None:
    """Its state is said again without a call, with its age, and its line names no upstream."""
    async with polled(answering(state())) as (made, upstream):
        first, second = await ask(made.url, poll()), await ask(made.url, poll())
        assert first.body == second.body
        assert (first.value("age"), second.value("age")) == (None, b"0")
        assert len(upstream.conversations) == 1
        fresh, held = await made.finished(1), await made.finished(2)
        assert (fresh.poll, fresh.upstream_status) == ("fresh", 200)
        assert (held.poll, held.upstream_status, held.account) == ("held", None, "main")


async def test_what_may_not_cross_is_told_nobody() -> None:
    """Neither to who asked first, nor to those who are told the same again; all else is."""
    fields = (
        *(b"Set-Cookie: acw_tc=1", b"X-DashScope-Uid: 17", b"X-Proxy-Request-Id: theirs"),
        *(b"Connection: keep-alive, X-Hop", b"X-Hop: 1", b"X-Kept: 1"),
    )
    async with polled(answering(ok(b'{"output":{"task_status":"RUNNING"}}', *fields))) as (made, _):
        for number, outcome in enumerate(("fresh", "held"), 1):
            answer = await ask(made.url, poll())
            names = {name.lower() for name, _ in answer.fields} - {b"age", b"server", b"date"}
            assert names == {
                *(b"content-type", b"x-kept", b"content-length", b"x-proxy-request-id")
            }
            visit = await made.finished(number)
            assert (visit.poll, visit.request_id.encode()) == (
                outcome,
                answer.value("x-proxy-request-id"),
            )


async def test_it_is_asked_about_again() -> None:
    """After the hold; what has ended is not."""
    states = iter([state("PENDING"), state("RUNNING"), state("SUCCEEDED")])

    async def script(heard: Conversation) -> None:
        await heard.send(next(states))

    async with polled(script, hold=0) as (made, upstream):
        seen = [told(await ask(made.url, poll())) for _ in range(5)]
        assert seen == ["PENDING", "RUNNING", "SUCCEEDED", "SUCCEEDED", "SUCCEEDED"]
        assert len(upstream.conversations) == 3
        assert (await made.store.tasks_of(TENANT, 0, time.time()))[0].status == "SUCCEEDED"


async def test_an_old_end_is_not_kept() -> None:
    """Upstream forgets a task after a day, and so does this."""
    async with polled(answering(state("SUCCEEDED")), record(age=90_000), hold=0) as (
        made,
        upstream,
    ):
        for _ in range(2):
            assert told(await ask(made.url, poll())) == "SUCCEEDED"
        assert len(upstream.conversations) == 2


async def test_a_cancel_drops_what_is_held() -> None:
    """The poll behind it is fresh, and so is what was asked before it and answered behind it."""
    late = asyncio.Event()
    polls = iter([*[state("PENDING")] * 2, state("CANCELED")])

    async def script(heard: Conversation) -> None:
        if heard.target.endswith(b"/cancel"):
            await heard.whole()
            await heard.send(ok(b'{"request_id":"c"}'))
            return
        answer = next(polls)
        if len(upstream.conversations) == 2:
            await late.wait()
        await heard.send(answer)

    cancel = request("POST", "/api/v1/tasks/t1/cancel", b"")
    async with polled(script, hold=0) as (made, upstream):
        assert told(await ask(made.url, poll())) == "PENDING"
        before = asyncio.create_task(ask(made.url, poll()))
        await upstream.heard(2)
        assert (await ask(made.url, cancel)).status == 200
        late.set()
        assert told(await before) == "PENDING"
        for _ in range(2):
            assert told(await ask(made.url, poll())) == "CANCELED"
        assert len(upstream.conversations) == 4


async def test_memory_is_bounded() -> None:
    """Large answers are handed on and not kept, others up to a sum."""

    async def script(heard: Conversation) -> None:
        task_id = heard.target.rpartition(b"/")[2].decode()
        size = LARGEST if task_id.startswith("large") else LARGEST // 2
        await heard.send(state("SUCCEEDED", task_id, size))

    number = CAPACITY // (LARGEST // 2) + 10
    tasks = [record("large"), *(record(f"t{n}") for n in range(number))]
    async with polled(script, *tasks) as (made, upstream):
        for _ in range(2):
            assert len((await ask(made.url, poll("large"))).body) > LARGEST
        assert len(upstream.conversations) == 2
        for one in tasks[1:]:
            await ask(made.url, poll(one.task_id))
        before = len(upstream.conversations)
        await ask(made.url, poll(tasks[-1].task_id))
        assert len(upstream.conversations) == before
        await ask(made.url, poll(tasks[1].task_id))
        assert len(upstream.conversations) == before + 1


# -- when upstream fails -------------------------------------------------------------------------


async def reset(heard: Conversation) -> None:
    heard.reset()


async def cut(heard: Conversation) -> None:
    await heard.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    heard.writer.close()


async def silent(heard: Conversation) -> None:
    await heard.gone()


def refusing(status: int, code: str = "X") -> Script:
    body = b'{"code":"%b","message":"x","request_id":"r"}' % code.encode()
    return answering(b"HTTP/1.1 %d No\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))


FAILURES: dict[str, Script] = {
    "reset": reset,
    "cut": cut,
    "silence": silent,
    "gateway": answering(b"HTTP/1.1 404 No\r\nContent-Length: 6\r\n\r\n<html>"),
    **{str(s): refusing(s) for s in (401, 403, 408, 429, 500, 502, 503, 504)},
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
async def test_a_failure_is_the_last_known_state(failure: Script) -> None:
    """What upstream said last, with its age; before it said anything, what the record says."""
    async with polled(answering(state()), record("t1"), record("t2"), hold=0, patience=0.3) as (
        made,
        upstream,
    ):
        good = await ask(made.url, poll())
        upstream.script = failure
        known = await ask(made.url, poll())
        assert (known.status, known.body, known.value("age")) == (200, good.body, b"0")
        made_up = await ask(made.url, poll("t2"))
        assert told(made_up) == "PENDING"
        assert made_up.value("age") in {b"60", b"61"}
        visits = [await made.finished(number) for number in (2, 3)]
        assert [(v.poll, v.upstream_status) for v in visits] == [("last_known", None)] * 2
        assert [name for name, _ in made.telemetry.events] == ["polls_failing"]


async def test_nobody_is_there() -> None:
    """The same when connections are refused."""
    async with rig(limits=LONG) as made:
        await made.store.claim(record(status="RUNNING"))
        for _ in range(3):
            assert told(await ask(made.url, poll())) == "RUNNING"
        assert len(made.telemetry.events) == 1


async def test_a_failure_is_not_asked_about_again_at_once() -> None:
    """An outage costs upstream no more calls than a running task does."""
    async with polled(refusing(503), hold=60) as (made, upstream):
        for _ in range(5):
            assert told(await ask(made.url, poll())) == "PENDING"
        assert len(upstream.conversations) == 1


SAYING_NOTHING = [
    *((400, "Arrearage"), (400, "Throttling.AllocationQuota"), (400, "InvalidApiKey")),
    *((404, "WorkSpaceNotFound"), (409, "X"), (425, "X"), (430, "X"), (404, "X")),
]


@pytest.mark.parametrize(("status", "code"), SAYING_NOTHING)
async def test_an_error_about_something_else_is_no_end(status: int, code: str) -> None:
    """An SDK gives a paid task up for any 4xx: it hears one only when it is about the task."""
    async with polled(answering(state()), hold=0) as (made, upstream):
        assert told(await ask(made.url, poll())) == "RUNNING"
        upstream.script = refusing(status, code)
        assert told(await ask(made.url, poll())) == "RUNNING"
        assert (await made.finished(2)).poll == "last_known"


async def test_an_answer_nobody_understands_is_held_too() -> None:
    """It costs upstream no more than a state does, and the operator one line."""
    async with polled(answering(ok(b"<html>"))) as (made, upstream):
        for _ in range(5):
            assert told(await ask(made.url, poll())) == "PENDING"
        assert len(upstream.conversations) == 1
        assert [name for name, _ in made.telemetry.events] == ["poll_not_understood"]


@pytest.mark.parametrize("code", ["InvalidParameter", "UnsupportedOperation", "task_not_exist"])
async def test_an_error_about_the_task_passes(code: str) -> None:
    """Untouched, and held like a state: sixty polls are one call."""
    async with polled(refusing(400, code)) as (made, upstream):
        answers = [await ask(made.url, poll()) for _ in range(60)]
        assert {(one.status, one.code) for one in answers} == {(400, code)}
        assert len({one.body for one in answers}) == 1
        assert len(upstream.conversations) == 1


async def test_an_old_task_is_told_the_truth() -> None:
    """After a day upstream has forgotten it: its own error, or that it could not be asked."""
    async with polled(refusing(500), record(age=90_000), record("t2", age=90_000)) as (
        made,
        upstream,
    ):
        for _ in range(2):
            answer = await ask(made.url, poll())
            assert (answer.status, answer.code) == (500, "X")
        assert len(upstream.conversations) == 1
        upstream.script = reset
        unheard = [await ask(made.url, poll("t2"))]
        asked = len(upstream.conversations)
        unheard.append(await ask(made.url, poll("t2")))
        assert [(one.status, one.code) for one in unheard] == [(502, "BadGateway")] * 2
        assert len(upstream.conversations) == asked


# -- what is still an error ----------------------------------------------------------------------


async def test_java_cannot_spin() -> None:
    """A 503 because the owner is not known comes late, and says when to ask again."""

    class Away(MemoryStore):
        async def owner(self, *_: object) -> TaskRecord | None:
            raise StoreUnavailableError

    async with rig(store=Away()) as made:
        started = time.monotonic()
        answer = await ask(made.url, poll())
        assert time.monotonic() - started >= HASTE * 0.9
        assert (answer.status, answer.value("retry-after")) == (503, b"1")
        cancelled = await ask(made.url, request("POST", "/api/v1/tasks/t1/cancel", b""))
        assert (cancelled.status, cancelled.value("retry-after")) == (503, None)


async def test_others_do_not_wait() -> None:
    """Only a 503 and a 504 are late."""
    error = ProxyError(Situation.BAD_GATEWAY, "x")
    assert await unhurried(error) is error
    late = ProxyError(Situation.GATEWAY_TIMEOUT, "x")
    assert (await unhurried(late)).headers == (("Retry-After", "1"),)


# -- one task, however it is spelt, and one tenant among others ---------------------------------


SPELLINGS = ("/task/t1", "/task/t1/", "/task/t1?", "/task/t1?a", "/task/t1?n=2", "/task/%741")


def spelt(path: str) -> bytes:
    return request("GET", path, None)


async def test_a_task_is_one_however_it_is_spelt() -> None:
    """It is asked about once, in the words of whoever asks first, and its state is one."""
    async with polled(answering(state())) as (made, upstream):
        for path in SPELLINGS[::-1]:
            assert told(await ask(made.url, spelt(path))) == "RUNNING"
        (heard,) = upstream.conversations
        assert heard.target == b"/api/v1/tasks/%741"


async def test_a_state_does_not_go_back() -> None:
    """What one spelling heard, the others know, in an outage as well."""
    async with polled(answering(state()), hold=0) as (made, upstream):
        assert told(await ask(made.url, spelt(SPELLINGS[0]))) == "RUNNING"
        upstream.script = answering(state("SUCCEEDED"))
        assert told(await ask(made.url, spelt(SPELLINGS[1]))) == "SUCCEEDED"
        upstream.script = refusing(503)
        for path in SPELLINGS:
            assert told(await ask(made.url, spelt(path))) == "SUCCEEDED"


async def test_no_tenant_takes_anothers_turns() -> None:
    """While one polls sixty tasks in ever new words, each poll of another one is asked at once."""
    many = [record(f"m{number}", age=3600) for number in range(60)]
    theirs = replace(record("theirs", age=1), tenant="b")
    async with polled(answering(state()), theirs, *many, hold=0, rate=20) as (made, upstream):
        await made.store.save_grant(digest_of("other"), Grant("g2", "other", "b", ("*",)))
        served = asyncio.Event()

        async def flood(task_id: str) -> None:
            number = 0
            while not served.is_set():
                number += 1
                assert told(await ask(made.url, poll(f"{task_id}?n={number}"))) in PENDING_STATES

        floods = [asyncio.create_task(flood(one.task_id)) for one in many]
        await eventually(lambda: len(upstream.conversations) >= 20)
        theirs_told = [await ask(made.url, poll("theirs", token="other")) for _ in range(4)]
        served.set()
        await asyncio.gather(*floods)
        assert [told(one) for one in theirs_told] == ["RUNNING"] * 4
        visits = made.telemetry.visits
        assert [v.poll for v in visits if v.tenant == "b"] == ["fresh"] * 4
        assert {"last_known"} <= {v.poll for v in visits if v.tenant == TENANT}


async def test_a_cancel_makes_no_task_stale() -> None:
    """What was heard is forgotten, not that it was asked about: the turn is another task's."""

    async def script(heard: Conversation) -> None:
        await heard.whole()
        await heard.send(state())

    cancel = request("POST", "/api/v1/tasks/t1/cancel", b"")
    async with polled(script, record("t1", age=60), record("t2", age=30), rate=1) as (made, _):
        await ask(made.url, poll("t1"))
        assert (await ask(made.url, cancel)).status == 200
        asked = await asyncio.gather(ask(made.url, poll("t1")), ask(made.url, poll("t2")))
        assert {one.status for one in asked} == {200}
        await made.finished(4)
        visits = made.telemetry.visits[2:]
        assert {v.task_id: v.poll for v in visits} == {"t1": "last_known", "t2": "fresh"}


# -- for a while ---------------------------------------------------------------------------------


async def test_500_pollers_cost_a_call_a_second() -> None:
    """However often and however spelt they ask.

    With a hold of a second there are as many calls as seconds, and one more.
    """
    seconds = 3.0
    limits = replace(LIMITS, poll_hold=1)
    async with (
        Sandbox(keys=[KEY], task_seconds=3600) as sandbox,
        rig(sandbox.url, limits=limits) as made,
    ):
        submitted = (await ask(made.url, made.post())).json()["output"]
        assert isinstance(submitted, dict)
        task_id = str(submitted["task_id"])
        async with AsyncExitStack() as connections:
            # One after the other: a queue of connections that is full costs a client seconds.
            clients = [await connections.enter_async_context(calling(made.url)) for _ in range(500)]
            start = time.monotonic()

            async def poller(client: Client, spelling: str) -> int:
                number = 0
                while time.monotonic() < start + seconds:
                    await client.send(spelt(spelling.replace("t1", task_id)))
                    assert told(await client.answer()) == "PENDING"
                    number += 1
                    await asyncio.sleep(0.2)
                return number

            counts = await asyncio.gather(*map(poller, clients, cycle(SPELLINGS[:5])))
            window = time.monotonic() - start
        queries = [one for one in sandbox.requests if one.method == "GET"]
        assert min(counts) > 0
        assert 2 <= len(queries) <= window + 1
