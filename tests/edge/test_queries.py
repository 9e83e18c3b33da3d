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

from proxy.core.errors import Situation, StoreUnavailableError
from proxy.core.hearings import Hearing, Sighting, Silence, Verdict
from proxy.core.shelf import LARGEST
from proxy.core.tasks import TaskRecord
from proxy.edge.queries import MOST, Queries
from proxy.edge.transport import WireUpstream
from proxy.stores.memory import MemoryStore

RECORD = TaskRecord("t1", "a", "g", "main", "m", 1e9)


def state(status: str) -> bytes:
    return ok(json.dumps({"output": {"task_id": "t1", "task_status": status}}).encode())


def refusal(status: int, *fields: bytes, code: bytes = b"X") -> bytes:
    body = b'{"code":"%b","message":"x","request_id":"r"}' % code
    head = [b"HTTP/1.1 %d No" % status, b"Content-Length: %d" % len(body), *fields]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


class Asking:
    """Queries against a scripted upstream, with the parts one looks at."""

    def __init__(
        self, url: str, upstream: WireUpstream, rate: float, store: MemoryStore, patience: float
    ) -> None:
        self.store = store
        self.telemetry = Recorder()
        asked = replace(account(url), polls_per_second=rate)
        self.queries = Queries(self.store, [asked], upstream, self.telemetry, patience)

    async def ask(self, record: TaskRecord = RECORD) -> Hearing:
        return await self.queries.ask(record, f"/api/v1/tasks/{record.task_id}", ())

    @property
    def events(self) -> list[str]:
        return [name for name, _ in self.telemetry.events]


@asynccontextmanager
async def asking(
    script: Script, rate: float = 1000, store: MemoryStore | None = None, patience: float = 10.0
) -> AsyncIterator[Asking]:
    upstream = WireUpstream(connect_timeout=5)
    await upstream.open()
    try:
        async with scripted(script) as server:
            store = store or MemoryStore(now=lambda: 1e9)
            made = Asking(server.url, upstream, rate, store, patience)
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
        assert isinstance(heard, Sighting)
        assert (heard.verdict, heard.state) == (Verdict.STATE, told)
        assert await noted(made) == expected


async def test_a_state_in_a_refusal_is_none() -> None:
    """What is no success says nothing about the task, whatever stands in it."""
    body = b'{"code":"task_not_exist","output":{"task_id":"t1","task_status":"SUCCEEDED"}}'
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
    "code in a 200": answering(ok(b'{"code":"BailianGateway.Workspace.NotAuthorised"}')),
    "too large": answering(ok(b" " * (MOST + 1))),
    "gateway": answering(b"HTTP/1.1 404 No\r\nContent-Length: 6\r\n\r\n<html>"),
    "debts": answering(refusal(400, code=b"Arrearage")),
    **{str(status): answering(refusal(status)) for status in (401, 403, 408, 500, 503)},
}


@pytest.mark.parametrize("script", FAILURES.values(), ids=FAILURES)
async def test_a_failure_is_no_exception(script: Script) -> None:
    """Whatever goes wrong is a verdict, and an outage that began; nothing is noted."""
    async with asking(script, patience=0.2) as made:
        assert (await made.ask()).verdict is Verdict.FAILURE
        assert made.events == ["polls_failing"]
        assert await noted(made) == "PENDING"


ODD = {
    "html": answering(ok(b"<html>")),
    "empty": answering(ok(b"")),
    "no state": answering(ok(b'{"output":{}}')),
    "nested": answering(ok(b"[" * 2_000_000)),
    "large": answering(ok(b" " * (LARGEST + 1))),
    "unknown code": answering(refusal(409)),
}


@pytest.mark.parametrize("script", ODD.values(), ids=ODD)
async def test_what_is_not_understood_is_no_outage(script: Script) -> None:
    """It is told once for its task, and says nothing about the account."""
    async with asking(script) as made:
        for task_id in ("t1", "t2", "t1", "t2"):
            heard = await made.ask(replace(RECORD, task_id=task_id))
            assert heard.verdict is Verdict.UNREADABLE
        assert made.events == ["poll_not_understood"] * 2
        assert [facts["task_id"] for _, facts in made.telemetry.events] == ["t1", "t2"]


async def test_one_odd_task_keeps_no_outage_going() -> None:
    """Any good answer of the account ends the outage, whatever another task comes to."""
    answers = iter([refusal(503), ok(b"{}"), state("RUNNING"), ok(b"{}"), state("RUNNING")])

    async def script(told: Conversation) -> None:
        await told.send(next(answers))

    async with asking(script) as made:
        for _ in range(5):
            await made.ask()
        assert made.events == ["polls_failing", "poll_not_understood", "polls_recovered"]


async def test_a_long_code_is_not_written_down() -> None:
    """Upstream's words in the log are few."""
    async with asking(answering(refusal(500, code=b"x" * 5000))) as made:
        await made.ask()
        ((_, facts),) = made.telemetry.events
        assert facts == {"account": "main", "status": 500, "code": "x" * 64}


async def test_a_trickle_is_given_up() -> None:
    """An upstream that is never silent and never done does not hold anybody for ever."""

    async def trickle(told: Conversation) -> None:
        await told.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            await told.send(b" ")
            await asyncio.sleep(0.02)

    async with asking(trickle, patience=0.2) as made:
        heard = await made.ask()
        assert isinstance(heard, Silence)
        assert (heard.verdict, heard.situation) == (Verdict.FAILURE, Situation.GATEWAY_TIMEOUT)


async def test_an_outage_is_told_once() -> None:
    """Two lines for many failures at once, however mixed with successes."""
    answers = iter([*[refusal(500)] * 10, state("RUNNING"), *[refusal(500)] * 10])

    async def script(told: Conversation) -> None:
        await told.send(next(answers))

    async with asking(script) as made:
        for _ in range(21):
            await made.ask()
        assert made.events == ["polls_failing", "polls_recovered"]
        assert made.telemetry.events[0][1] == {"account": "main", "status": 500, "code": "X"}


async def test_the_pace() -> None:
    """No more queries than turns; who gets none is told that nothing was asked."""
    async with asking(answering(state("RUNNING")), rate=0.1) as made:
        assert (await made.ask()).verdict is Verdict.STATE
        heard = await made.ask()
        assert isinstance(heard, Silence)
        assert (heard.verdict, heard.situation) == (Verdict.UNASKED, Situation.RATE_LIMITED)
        assert not made.events


KEPT_NOWHERE = {
    "error": answering(refusal(500)),
    "final": answering(refusal(400, code=b"InvalidParameter")),
    "large": answering(ok(b'{"output":{"task_status":"RUNNING","x":"%b"}}' % (b"x" * LARGEST))),
    "reset": reset,
}


@pytest.mark.parametrize("script", KEPT_NOWHERE.values(), ids=KEPT_NOWHERE)
async def test_who_was_asked_about_is_not_stale(script: Script) -> None:
    """Whatever asking came to, the turn goes to a task that nobody asked about."""
    made_at = time.time() - 60
    old = replace(RECORD, created=made_at)
    new = replace(RECORD, task_id="t2", created=made_at + 30)
    async with asking(script, rate=1) as made:
        assert (await made.ask(old)).verdict is not Verdict.UNASKED
        heard = await asyncio.gather(made.ask(old), made.ask(new))
        assert [one.verdict is Verdict.UNASKED for one in heard] == [True, False]


async def test_too_many_is_a_pause() -> None:
    """After a 429 nothing is asked for as long as upstream says."""
    async with asking(answering(refusal(429, b"Retry-After: 3"))) as made:
        first, second = await made.ask(), await made.ask()
        assert (first.verdict, second.verdict) == (Verdict.FAILURE, Verdict.UNASKED)


async def test_an_account_that_is_gone() -> None:
    """Nobody is asked; the operator hears of it once."""
    async with asking(answering(state("RUNNING"))) as made:
        for _ in range(3):
            heard = await made.ask(replace(RECORD, account="former"))
            assert isinstance(heard, Silence)
            assert (heard.verdict, heard.situation) == (Verdict.UNASKED, Situation.BAD_GATEWAY)
        ((name, facts),) = made.telemetry.events
        assert (name, facts["account"]) == ("polls_failing", "former")
