"""One task query: its turn, the exchange, what is learnt from it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from edge.rig import (
    Conversation,
    Recorder,
    Script,
    account,
    answering,
    ok,
    scripted,
)

from proxy.core.errors import ProxyError, Situation, StoreUnavailableError
from proxy.core.freshness import Verdict
from proxy.core.tasks import TaskRecord
from proxy.edge.queries import MOST, Heard, Queries, Query
from proxy.edge.upstream import SessionUpstream
from proxy.ports import Call
from proxy.stores.memory import MemoryStore

RECORD = TaskRecord("t1", "a", "g", "main", "m", 1e9)


def state(status: str) -> bytes:
    return ok(json.dumps({"output": {"task_id": "t1", "task_status": status}}).encode())


def refusal(status: int, *fields: bytes) -> bytes:
    body = b'{"code":"X","message":"x","request_id":"r"}'
    head = [b"HTTP/1.1 %d No" % status, b"Content-Length: %d" % len(body), *fields]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


class Asking:
    """Queries against a scripted upstream, with the parts one looks at."""

    def __init__(
        self, url: str, upstream: SessionUpstream, rate: float, store: MemoryStore
    ) -> None:
        self.store = store
        self.telemetry = Recorder()
        self._account = replace(account(url), polls_per_second=rate)
        self.queries = Queries(self.store, [self._account], upstream, self.telemetry)

    async def ask(self, record: TaskRecord = RECORD, *, patience: float = 10.0) -> Heard:
        call = Call("GET", self._account, "/api/v1/tasks/t1", (), None, patience)
        return await self.queries.ask(Query(record, call, time.monotonic()))


@asynccontextmanager
async def asking(
    script: Script, rate: float = 1000, store: MemoryStore | None = None
) -> AsyncIterator[Asking]:
    upstream = SessionUpstream(connect_timeout=5)
    await upstream.open()
    try:
        async with scripted(script) as server:
            made = Asking(server.url, upstream, rate, store or MemoryStore(now=lambda: 1e9))
            await made.store.open()
            await made.store.claim(RECORD)
            yield made
            await made.store.close()
    finally:
        await upstream.close()


async def noted(made: Asking) -> str:
    (row,) = await made.store.tasks_of("a", 0, 2e9)
    return row.status


@pytest.mark.parametrize(
    ("told", "known", "expected"),
    [
        ("RUNNING", "PENDING", "RUNNING"),
        ("SUCCEEDED", "RUNNING", "SUCCEEDED"),
        ("UNKNOWN", "SUCCEEDED", "SUCCEEDED"),
    ],
)
async def test_a_new_state_is_noted(told: str, known: str, expected: str) -> None:
    """What a poll said is remembered; an end is not taken back."""
    async with asking(answering(state(told))) as made:
        await made.store.observe("t1", known, 1e9)
        heard = await made.ask(replace(RECORD, status=known))
        assert heard.verdict is Verdict.STATE
        assert heard.sighting is not None
        assert heard.sighting.state == told
        assert await noted(made) == expected


async def test_a_state_in_a_refusal_is_none() -> None:
    """What is no success says nothing about the task, whatever stands in it."""
    body = b'{"output":{"task_id":"t1","task_status":"SUCCEEDED"}}'
    head = b"HTTP/1.1 404 No\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with asking(answering(head + body)) as made:
        heard = await made.ask()
        assert heard.verdict is Verdict.FINAL
        assert await noted(made) == "PENDING"


async def test_our_own_notes_refuse_no_poll() -> None:
    """A store that is away when a state is noted is nobody's business."""

    class Forgetful(MemoryStore):
        async def observe(self, *_: object) -> None:
            raise StoreUnavailableError

    store = Forgetful(now=lambda: 1e9)
    async with asking(answering(state("RUNNING")), store=store) as made:
        assert (await made.ask()).verdict is Verdict.STATE


async def broken(told: Conversation) -> None:
    await told.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    told.writer.close()


async def reset(told: Conversation) -> None:
    told.reset()


async def silent(told: Conversation) -> None:
    await told.gone()


FAILURES = {
    "reset": reset,
    "cut": broken,
    "silence": silent,
    "html": answering(ok(b"<html>")),
    "empty": answering(ok(b"")),
    "no state": answering(ok(b'{"output":{}}')),
    "nested": answering(ok(b"[" * 2_000_000)),
    "code in a 200": answering(ok(b'{"code":"BailianGateway.Workspace.NotAuthorised"}')),
    "too large": answering(ok(b" " * (MOST + 1))),
    **{str(status): answering(refusal(status)) for status in (401, 403, 408, 500, 503)},
}


@pytest.mark.parametrize("script", FAILURES.values(), ids=FAILURES)
async def test_a_failure_is_no_exception(script: Script) -> None:
    """Whatever goes wrong is a verdict, and an outage that began; nothing is noted."""
    async with asking(script) as made:
        heard = await made.ask(patience=0.2)
        assert (heard.verdict, heard.asked) == (Verdict.FAILURE, True)
        assert [name for name, _ in made.telemetry.events] == ["polls_failing"]
        assert await noted(made) == "PENDING"


async def test_a_trickle_is_given_up() -> None:
    """An upstream that is never silent and never done does not hold anybody for ever."""

    async def trickle(told: Conversation) -> None:
        await told.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            await told.send(b" ")
            await asyncio.sleep(0.02)

    async with asking(trickle) as made:
        heard = await made.ask(patience=0.2)
        assert heard.verdict is Verdict.FAILURE
        with pytest.raises(ProxyError) as caught:
            heard.answer()
        assert caught.value.situation is Situation.GATEWAY_TIMEOUT


async def test_an_outage_is_told_once() -> None:
    """One event for a hundred failures, however mixed with successes."""
    answers = iter([*[refusal(500)] * 50, state("RUNNING"), *[refusal(500)] * 50])

    async def script(told: Conversation) -> None:
        await told.send(next(answers))

    async with asking(script) as made:
        for _ in range(101):
            await made.ask()
        assert made.telemetry.events == [("polls_failing", {"account": "main", "status": 500})]


async def test_the_pace() -> None:
    """No more queries than turns; who gets none is told that nothing was asked."""
    async with asking(answering(state("RUNNING")), rate=0.1) as made:
        assert (await made.ask()).asked
        heard = await made.ask()
        assert (heard.verdict, heard.asked) == (Verdict.FAILURE, False)
        with pytest.raises(ProxyError) as caught:
            heard.answer()
        assert caught.value.situation is Situation.RATE_LIMITED
        assert not made.telemetry.events


async def test_too_many_is_a_pause() -> None:
    """After a 429 nothing is asked for as long as upstream says."""
    async with asking(answering(refusal(429, b"Retry-After: 3"))) as made:
        first, second = await made.ask(), await made.ask()
        assert (first.asked, second.asked) == (True, False)


async def test_an_account_that_is_gone() -> None:
    """Nobody is asked; the operator hears of it once."""
    async with asking(answering(state("RUNNING"))) as made:
        for _ in range(3):
            heard = made.queries.nobody("former")
            assert (heard.verdict, heard.asked) == (Verdict.FAILURE, False)
        ((name, facts),) = made.telemetry.events
        assert (name, facts["account"]) == ("polls_failing", "former")
