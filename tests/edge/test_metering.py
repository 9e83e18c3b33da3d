"""Limits as a client meets them, and what the meter does about holds and tasks meanwhile."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
from edge.rig import (
    BODY,
    PLAIN,
    SUBMIT,
    TENANT,
    TOKEN,
    Conversation,
    Recorder,
    Rig,
    Script,
    answering,
    ask,
    calling,
    eventually,
    head_of,
    ok,
    request,
    rig,
    scripted,
    task_answer,
)

from proxy.core.holds import Hold, Ruling
from proxy.core.limits import Limits
from proxy.core.money import NANOS
from proxy.core.policy import Grant, digest_of
from proxy.core.prices import NO_PRICES, Price, PriceList, Tier
from proxy.core.settlement import Basis, Settlement
from proxy.core.tasks import TaskRecord
from proxy.core.tickets import Wish, hold_for
from proxy.edge.metering import Meter
from proxy.stores.memory import MemoryStore

PRICES = PriceList("CNY", prices=(Price(("*",), per_call=Decimal(2)),))
TASKS = ("token:g1", "tasks", "")
MONEY = ("token:g1", "money", "total")


@asynccontextmanager
async def limited(
    script: Script, limits: Limits, store: MemoryStore | None = None, lease: float = 60
) -> AsyncIterator[Rig]:
    async with (
        scripted(script) as upstream,
        rig(upstream.url, prices=PRICES, store=store, lease=lease) as made,
    ):
        grant = Grant("g1", "caller", TENANT, ("*",), limits=limits)
        await made.store.save_grant(digest_of(TOKEN), grant)
        yield made


def numbered() -> Script:
    """Every submit makes a new task, every other call answers with nothing in it."""
    made = 0

    async def script(told: Conversation) -> None:
        nonlocal made
        await told.whole()
        made += 1
        await told.send(task_answer(f"t{made}") if b"synthesis" in told.target else ok())

    return script


def post(path: str = PLAIN, *fields: bytes) -> bytes:
    return request("POST", path, BODY, *fields)


async def test_requests_a_minute() -> None:
    """The call over the limit is refused in words, told when to come again, and not sent."""
    async with limited(numbered(), Limits(requests_per_minute=2)) as made:
        assert [(await ask(made.url, post())).status for _ in range(2)] == [200, 200]
        answer = await ask(made.url, post())
        assert (answer.status, answer.code) == (429, "Throttling.RateQuota")
        assert "This token may have 2 requests a minute" in str(answer.json()["message"])
        assert 1 <= int(answer.value("retry-after") or 0) <= 30
        assert answer.value("x-should-retry") == b"false"
        assert answer.value("x-ratelimit-limit-requests") == b"2"
        assert answer.value("x-ratelimit-remaining-requests") == b"0"
        assert made.telemetry.limits == ["requests"]


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/compatible-mode/v1/chat/completions", ("error", "code")),
        ("/apps/anthropic/v1/messages", ("error", "type")),
    ],
)
async def test_a_refusal_speaks_the_callers_language(path: str, where: Sequence[str]) -> None:
    """Each protocol finds it where it looks for it."""
    async with limited(numbered(), Limits(requests_per_minute=0)) as made:
        answer = await ask(made.url, post(path))
        found: object = answer.json()
        for name in where:
            assert isinstance(found, dict)
            found = found[name]
        assert answer.status == 429
        assert found in {"Throttling.RateQuota", "rate_limit_error"}


async def test_upstreams_own_limits_do_not_cross_beside_ours() -> None:
    """They are the account's; where we say nothing, they cross as they came."""
    theirs = ok(b"{}", b"X-RateLimit-Remaining-Requests: 999", b"x-ratelimit-reset-tokens: 1")
    async with limited(answering(theirs), Limits(requests_per_minute=9)) as made:
        answer = await ask(made.url, post())
        assert answer.values("x-ratelimit-remaining-requests") == [b"8"]
        assert answer.values("x-ratelimit-reset-tokens") == []
    async with limited(answering(theirs), Limits()) as made:
        answer = await ask(made.url, post())
        assert answer.values("x-ratelimit-remaining-requests") == [b"999"]


async def test_polls_and_lists_are_never_limited() -> None:
    """A task that was paid for can be seen, whatever the limits say."""
    limits = Limits(requests_per_minute=1, submits_per_minute=1, budget_total=2 * NANOS)
    async with limited(numbered(), limits) as made:
        assert (await ask(made.url, post(SUBMIT))).status == 200
        for path in ("/task/t1", "/api/v1/tasks", "/task/t1"):
            answer = await ask(made.url, head_of("GET", path))
            assert answer.status == 200
            assert answer.value("x-ratelimit-remaining-requests") is None


async def test_tasks_at_a_time() -> None:
    """The next one fits when the first has come to its end, which a poll of it tells."""
    state = "RUNNING"

    async def script(told: Conversation) -> None:
        await told.whole()
        output = {"task_id": "t1", "task_status": state}
        is_poll = told.request.first_line.startswith(b"GET")
        await told.send(ok(json.dumps({"output": output}).encode()) if is_poll else task_answer())

    async with limited(script, Limits(concurrent_tasks=1)) as made:
        assert (await ask(made.url, post(SUBMIT))).status == 200
        refused = await ask(made.url, post(SUBMIT))
        assert (refused.status, refused.value("retry-after")) == (429, b"1")
        assert "1 tasks at a time" in str(refused.json()["message"])
        await ask(made.url, head_of("GET", "/task/task-1"))
        assert (await ask(made.url, post(SUBMIT))).status == 429
        state = "FAILED"
        await ask(made.url, head_of("GET", "/task/task-1"))
        await made.gateway.drained()
        assert [one.status for one in made.telemetry.records] == ["FAILED"]
        assert await made.store.standings([TASKS]) == [(0, 0)]


async def test_a_task_is_settled_once_however_often_its_end_is_seen() -> None:
    """The record is written at the first sight; later ones cost the store nothing."""
    done = {"output": {"task_id": "task-1", "task_status": "SUCCEEDED"}, "usage": {"duration": 5}}

    async def script(told: Conversation) -> None:
        await told.whole()
        is_poll = told.request.first_line.startswith(b"GET")
        await told.send(ok(json.dumps(done).encode()) if is_poll else task_answer())

    store = Counting()
    async with limited(script, Limits(budget_total=10 * NANOS), store) as made:
        await ask(made.url, post(SUBMIT))
        for _ in range(3):
            await ask(made.url, head_of("GET", "/task/task-1"))
            await made.gateway.drained()
        (record,) = made.telemetry.records
        assert (record.id, record.amount, record.basis) == ("task-1", 2 * NANOS, Basis.USAGE)
        assert await store.standings([MONEY]) == [(0, 2 * NANOS)]
        assert store.settled == 1


async def test_streams_at_a_time() -> None:
    """One that runs keeps the next one out, however it was asked for; then it makes room."""
    go = asyncio.Event()

    async def script(told: Conversation) -> None:
        await told.whole()
        if b"Enable" in told.request.head:
            await go.wait()
        await told.send(ok())

    async with limited(script, Limits(concurrent_streams=1)) as made, calling(made.url) as first:
        await first.send(post(PLAIN, b"X-DashScope-SSE: Enable"))
        await eventually(lambda: made.telemetry.held)
        refused = await ask(made.url, post(PLAIN, b"Accept: text/event-stream"))
        assert (refused.status, refused.value("x-ratelimit-limit-streams")) == (429, b"1")
        assert (await ask(made.url, post())).status == 200
        go.set()
        assert (await first.answer()).status == 200
        await made.gateway.drained()
        assert (await ask(made.url, post(PLAIN, b"Accept: text/event-stream"))).status == 200


async def test_a_budget_is_never_overdrawn() -> None:
    """Twenty calls at once against a budget for five: five pass, the others cost nothing."""
    async with limited(numbered(), Limits(budget_total=10 * NANOS)) as made:
        answers = await asyncio.gather(*(ask(made.url, post(SUBMIT)) for _ in range(20)))
        assert sorted(answer.status for answer in answers) == [200] * 5 + [429] * 15
        refused = next(answer for answer in answers if answer.status == 429)
        assert refused.code == "Throttling.AllocationQuota"
        assert refused.value("x-ratelimit-limit-budget-total") == b"10"
        assert refused.value("retry-after") is None
        assert await made.store.standings([MONEY]) == [(10 * NANOS, 0)]


async def test_a_tenants_limit_counts_for_all_its_tokens() -> None:
    """What one token took, another one of the tenant lacks."""
    async with limited(numbered(), Limits()) as made:
        await made.store.save_grant(digest_of("other"), Grant("g2", "o", TENANT, ("*",)))
        assert isinstance(made.store, MemoryStore)
        await made.store.limit_tenant(TENANT, Limits(submits_per_minute=1))
        assert (await ask(made.url, post(SUBMIT))).status == 200
        answer = await ask(made.url, request("POST", SUBMIT, BODY, token="other"))
        assert answer.status == 429
        assert "All tokens of this tenant together" in str(answer.json()["message"])


async def test_a_replay_takes_nothing() -> None:
    """The same `Idempotency-Key` again costs no second place, and a refusal frees the key."""
    key = b"Idempotency-Key: k1"
    async with limited(numbered(), Limits(submits_per_minute=1, concurrent_tasks=1)) as made:
        first = await ask(made.url, post(SUBMIT, key))
        again = await ask(made.url, post(SUBMIT, key))
        assert first.body == again.body
        assert again.value("x-proxy-replayed") == b"true"
        other = b"Idempotency-Key: k2"
        assert [(await ask(made.url, post(SUBMIT, other))).status for _ in range(2)] == [429, 429]
        grant = Grant("g1", "caller", TENANT, ("*",))
        await made.store.save_grant(digest_of(TOKEN), grant)
        answer = await ask(made.url, post(SUBMIT, other))
        assert (answer.status, answer.value("x-proxy-replayed")) == (200, None)


async def test_a_price_that_stands_at_the_end_of_a_body_counts() -> None:
    """With a budget the whole body is judged before anything is held or sent."""
    sent: list[bytes] = []

    async def script(told: Conversation) -> None:
        sent.append((await told.whole()).body)
        await told.send(task_answer())

    per_second = PriceList("CNY", prices=(Price(("*",), per_second=TIERS),))
    async with scripted(script) as upstream, rig(upstream.url, prices=per_second) as made:
        grant = Grant("g1", "c", TENANT, ("*",), limits=Limits(budget_total=6 * NANOS))
        await made.store.save_grant(digest_of(TOKEN), grant)
        head = b'{"model":"wan2.6-t2v","input":{"prompt":"'
        tail = b'"},"parameters":{"duration":15}}'
        async with calling(made.url) as client:
            length = b"Content-Length: %d" % (len(head) + 200_000 + len(tail))
            await client.send(head_of("POST", SUBMIT, length), head)
            await client.send(b"x" * 200_000)
            await client.send(tail)
            assert (await client.answer()).code == "Throttling.AllocationQuota"
        assert sent == []


TIERS = (Tier(None, Decimal(1)),)


class Counting(MemoryStore):
    """A store that counts, and whose holds wait for a test."""

    def __init__(self) -> None:
        super().__init__()
        self.holds = self.settled = 0
        self.renewed: list[list[str]] = []
        self.go = asyncio.Event()
        self.go.set()

    async def hold(self, hold: Hold) -> Ruling:
        self.holds += 1
        await self.go.wait()
        return await super().hold(hold)

    async def renew(self, holds: Sequence[str], lease: float) -> None:
        self.renewed.append(list(holds))
        await super().renew(holds, lease)

    async def settle(self, settlement: Settlement) -> Collection[str]:
        self.settled += 1
        return await super().settle(settlement)


async def test_without_limits_there_is_no_round_trip() -> None:
    """Not one hold is asked for."""
    store = Counting()
    async with limited(numbered(), Limits(), store) as made:
        assert (await ask(made.url, post())).status == 200
        assert store.holds == 0


async def test_a_store_that_is_away() -> None:
    """Who has limits is refused: nobody could look them up. Who has none goes on."""
    store = Away()
    async with limited(numbered(), Limits(requests_per_minute=9), store) as made:
        answer = await ask(made.url, post())
        assert (answer.status, answer.code) == (503, "ServiceUnavailable")
        assert "limits of this token cannot be looked up" in str(answer.json()["message"])
        await made.store.save_grant(digest_of(TOKEN), Grant("g1", "c", TENANT, ("*",)))
        assert (await ask(made.url, post())).status == 200


class Away(MemoryStore):
    """A store whose ledger cannot take a hold."""

    async def hold(self, hold: Hold) -> Ruling:
        self.set_available(up=False)
        try:
            return await super().hold(hold)
        finally:
            self.set_available(up=True)


async def test_a_store_that_does_not_answer() -> None:
    """The call is refused after a while, and what may have been held is given back."""
    store = Counting()
    store.go.clear()
    async with limited(numbered(), Limits(requests_per_minute=9), store) as made:
        assert (await ask(made.url, post())).status == 503
        await eventually(lambda: store.settled)


async def test_what_runs_is_renewed_before_its_lease_ends() -> None:
    """A call that takes longer than the lease keeps its place; it is given back at its end."""
    store, go = Counting(), asyncio.Event()

    async def script(told: Conversation) -> None:
        await told.whole()
        await go.wait()
        await told.send(ok(b'{"usage":{"output_tokens":1}}'))

    async with (
        limited(script, Limits(budget_total=9 * NANOS), store, lease=0.3) as made,
        calling(made.url) as client,
    ):
        await client.send(post())
        await eventually(lambda: sum(map(len, store.renewed)) >= 5)
        assert await store.standings([MONEY]) == [(2 * NANOS, 0)]
        go.set()
        assert (await client.answer()).status == 200
        await made.gateway.drained()
        assert await store.standings([MONEY]) == [(0, 2 * NANOS)]
        assert made.telemetry.held == 0


async def test_a_renewal_that_fails_is_not_the_last() -> None:
    """A bug is told, and what runs is renewed all the same, the next time."""
    store, telemetry = Failing(), Recorder()
    meter = Meter(store, NO_PRICES, telemetry, lease=0.1)
    await meter.start()
    await meter.admit(held_by("h1", Limits(budget_total=9 * NANOS), time.time()))
    await eventually(lambda: len(store.renewed) >= 3)
    await meter.stop()
    assert [str(bug) for bug in telemetry.bugs] == ["no such column"]


class Failing(Counting):
    """A store whose first renewal fails for a reason of its own."""

    async def renew(self, holds: Sequence[str], lease: float) -> None:
        await super().renew(holds, lease)
        if len(self.renewed) == 1:
            raise ValueError("no such column")


async def test_what_another_replica_settled_counts_once() -> None:
    """Both hear a task's end; the money is counted by the one whose record was written."""
    store = MemoryStore()
    task = TaskRecord("t1", "a", "g1", "main", "wan", time.time())
    await store.claim(task)
    replicas = [(Meter(store, PRICES, told), told) for told in (Recorder(), Recorder())]
    for meter, _ in replicas:
        await meter.start()
        meter.task_seen(task, "SUCCEEDED", {})
        await meter.drained()
    assert [len(told.records) for _, told in replicas] == [1, 0]
    for meter, _ in replicas:
        await meter.stop()


async def test_a_process_that_died_holds_nothing_for_longer_than_the_lease() -> None:
    """Nobody renews: the place is free again when the lease is over, and not before."""
    now = 1000.0
    store = MemoryStore(now=lambda: now)
    limits = Limits(budget_total=9 * NANOS)
    await store.hold(held_by("dead", limits, store_now=now))
    assert await store.standings([MONEY]) == [(2 * NANOS, 0)]
    now += 59
    assert await store.standings([MONEY]) == [(2 * NANOS, 0)]
    now += 1
    assert await store.standings([MONEY]) == [(0, 0)]


def held_by(name: str, limits: Limits, store_now: float) -> Hold:
    grant = Grant("g1", "c", TENANT, ("*",), limits=limits)
    hold = hold_for(name, grant, Wish(dearest=2 * NANOS), store_now)
    assert hold is not None
    return hold


async def test_what_is_left_is_handed_over_when_the_process_ends() -> None:
    """`stop` waits until the ledger has it, and for a store that never takes it not for ever."""
    store, telemetry = MemoryStore(), Recorder()
    meter = Meter(store, NO_PRICES, telemetry)
    await meter.start()
    task = TaskRecord("t1", "a", "g1", "main", "m", 1.0)
    await store.claim(TaskRecord("t1", "a", "g1", "main", "m", 10.0**9))
    meter.task_over(task, "FAILED", {})
    await meter.stop()
    assert telemetry.records == [one for _, one in await store.records("", 9)]
    meter = Meter(store, NO_PRICES, telemetry)
    store.set_available(up=False)
    await meter.start()
    meter.task_over(task, "FAILED", {})
    await meter.stop(patience=0.05)
    assert len(telemetry.named("usage_record_lost")) == 1
