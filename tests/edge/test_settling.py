"""Tasks that nobody polls to their end are settled all the same, by one replica, behind clients."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal

from edge.rig import (
    PATIENCE,
    Conversation,
    Recorder,
    Script,
    account,
    eventually,
    ok,
    scripted,
)

from proxy.core.errors import StoreUnavailableError
from proxy.core.freshness import LIFE
from proxy.core.holds import LEASE
from proxy.core.money import NANOS
from proxy.core.prices import Price, PriceList
from proxy.core.settlement import TASK_HOLD, Basis, Settlement
from proxy.core.tasks import TaskRecord
from proxy.edge.metering import Meter
from proxy.edge.queries import Queries
from proxy.edge.settling import BATCH, Settler
from proxy.edge.transport import WireUpstream
from proxy.stores.memory import MemoryStore

PRICES = PriceList("CNY", prices=(Price(("*",), per_second=(), per_call=Decimal(2)),))
SOON = 0.02
"""Seconds from a task's creation until it is looked at."""


def task(name: str, age: float = 0.0, account: str = "main") -> TaskRecord:
    return TaskRecord(name, "a", "g1", account, "m", time.time() - age)


def telling(state: str) -> Script:
    """Every poll is told this state."""

    async def script(told: Conversation) -> None:
        await told.whole()
        assert told.target.startswith(b"/api/v1/tasks/")
        output = {"task_id": "x", "task_status": state}
        body = {"output": output, "usage": {"output_tokens": 1}}
        await told.send(ok(json.dumps(body).encode()))

    return script


class Replica:
    """A meter and a settler on a ledger that others share."""

    def __init__(
        self,
        url: str,
        store: MemoryStore,
        session: WireUpstream,
        rates: Mapping[str, float],
        lease: float,
    ) -> None:
        plain = account(url)
        accounts = [replace(plain, name=name, polls_per_second=r) for name, r in rates.items()]
        self.telemetry = Recorder()
        self.meter = Meter(store, PRICES, self.telemetry)
        seen = self.meter.task_seen
        self.queries = Queries(store, accounts, session, self.telemetry, PATIENCE, seen)
        self.settler = Settler(
            *(store, self.queries, accounts, self.meter, self.telemetry),
            first_look=SOON,
            lease=lease,
        )


@asynccontextmanager
async def settling(
    script: Script,
    store: MemoryStore,
    replicas: int = 1,
    rate: float = 1000,
    rates: Mapping[str, float] | None = None,
    lease: float = LEASE,
) -> AsyncIterator[list[Replica]]:
    session = WireUpstream(connect_timeout=PATIENCE)
    await session.open()
    try:
        async with scripted(script) as upstream:
            all_rates = {"main": rate, **(rates or {})}
            made = [
                Replica(upstream.url, store, session, all_rates, lease) for _ in range(replicas)
            ]
            for one in made:
                await one.meter.start()
                one.settler.start()
            yield made
            for one in made:
                await one.settler.stop()
                await one.meter.stop()
    finally:
        await session.close()


async def settled(store: MemoryStore, number: int) -> dict[str, str]:
    """The states of the first records, by task, when there are as many."""
    async with asyncio.timeout(PATIENCE):
        while len(records := await store.records("", 1000)) < number:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.005)
    return {one.id: one.status for _, one in records}


async def test_a_task_that_nobody_polls() -> None:
    """It is asked about and settled at its price, and its place among the others is free."""
    store = MemoryStore()
    await store.claim(task("t1"))
    async with settling(telling("SUCCEEDED"), store) as (one,):
        assert await settled(store, 1) == {"t1": "SUCCEEDED"}
        (record,) = one.telemetry.records
        assert (record.amount, record.basis) == (2 * NANOS, Basis.USAGE)
        assert await store.due_tasks(10, ahead=10.0**6) == []


async def test_many_tasks_by_many_replicas_are_settled_once() -> None:
    """One replica looks at all of them; the others leave it to that one."""
    store = MemoryStore()
    names = {f"t{n}" for n in range(250)}
    for name in names:
        await store.claim(task(name))
    async with settling(telling("FAILED"), store, replicas=3) as replicas:
        assert (await settled(store, len(names))).keys() == names
        assert sum(bool(one.telemetry.records) for one in replicas) == 1


async def test_another_replica_takes_over() -> None:
    """Who leads says so for a while; when it says no more, the next one looks."""
    now = time.time()
    store = MemoryStore(now=lambda: now)
    assert await store.lead("dead", 60)
    await store.claim(task("t1"))
    async with settling(telling("FAILED"), store) as (one,):
        assert one.telemetry.records == []
        now += 61
        assert await settled(store, 1) == {"t1": "FAILED"}


async def test_a_task_that_runs_is_looked_at_again() -> None:
    """Until it is over."""
    states = iter(["PENDING", "RUNNING", "SUSPENDED", "SUCCEEDED"])

    async def script(told: Conversation) -> None:
        await telling(next(states))(told)

    store = MemoryStore()
    await store.claim(task("t1"))
    async with settling(script, store):
        assert await settled(store, 1) == {"t1": "SUCCEEDED"}


async def test_a_task_that_upstream_forgot() -> None:
    """After a day UNKNOWN is its end; before that it may be another account's answer."""
    store = MemoryStore()
    await store.claim(task("old", age=LIFE))
    await store.claim(task("young"))
    async with settling(telling("UNKNOWN"), store) as (one,):
        assert await settled(store, 1) == {"old": "UNKNOWN"}
        await eventually(lambda: one.telemetry.named("task_unsettled"))
        (told,) = one.telemetry.named("task_unsettled")
        assert (told["task_id"], told["tenant"], told["model"]) == ("old", "a", "m")
        assert [found.task_id for found in await store.due_tasks(9, ahead=10.0**6)] == ["young"]


async def test_a_task_of_an_account_that_is_gone() -> None:
    """It cannot be asked about: it is let go after a day, and told."""
    store = MemoryStore()
    await store.claim(task("old", age=LIFE, account="gone"))
    async with settling(telling("SUCCEEDED"), store) as (one,):
        assert await settled(store, 1) == {"old": "UNKNOWN"}
        assert one.telemetry.named("task_unsettled")[0]["state"] == "not told"


async def test_clients_come_first() -> None:
    """While a client waits for its turn, nobody looks, however overdue a task is."""
    waiting: set[asyncio.Task[object]] = set()
    looked_while: list[int] = []

    async def script(told: Conversation) -> None:
        if told.target.endswith(b"/overdue"):
            looked_while.append(len(waiting))
        await telling("FAILED")(told)

    store = MemoryStore()
    async with settling(script, store, rate=4) as (one,):
        for n in range(6):
            asking = asyncio.create_task(one.queries.ask(task(f"c{n}"), f"/api/v1/tasks/c{n}", ()))
            waiting.add(asking)
            asking.add_done_callback(waiting.discard)
        await eventually(lambda: one.queries.is_wanted("main"))
        await store.claim(task("overdue", age=60))
        await settled(store, 1)
        assert looked_while == [0]


async def test_clients_who_never_stop() -> None:
    """Looking takes its share all the same: a task is settled however busy its account is."""
    asked: list[bytes] = []

    async def script(told: Conversation) -> None:
        asked.append(told.target)
        await telling("FAILED" if told.target.endswith(b"/overdue") else "RUNNING")(told)

    async def poll(one: Replica, name: str) -> None:
        while True:
            await one.queries.ask(task(name), f"/api/v1/tasks/{name}", ())

    store = MemoryStore()
    async with settling(script, store, rate=20) as (one,):
        pollers = [asyncio.create_task(poll(one, f"c{n}")) for n in range(40)]
        await eventually(lambda: one.queries.is_wanted("main"))
        await store.claim(task("overdue", age=60))
        assert await settled(store, 1) == {"overdue": "FAILED"}
        assert len(asked) > 20, "the account was not busy"
        for poller in pollers:
            poller.cancel()
        await asyncio.gather(*pollers, return_exceptions=True)


async def test_a_slow_account_keeps_nobody_waiting() -> None:
    """However many of its tasks are overdue: the others' are looked at meanwhile."""
    store = MemoryStore()
    for n in range(3 * BATCH):
        await store.claim(task(f"s{n}", age=70, account="slow"))
    await store.claim(task("quick", age=65))
    slow = {"slow": 0.5}
    async with settling(telling("FAILED"), store, rates=slow):
        async with asyncio.timeout(PATIENCE):
            while "quick" not in await settled(store, 1):  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.005)
        assert len(await settled(store, 1)) < BATCH


class Busy(MemoryStore):
    """A store to which more is handed over before it has taken the last."""

    def __init__(self) -> None:
        super().__init__()
        self.meter: Meter | None = None

    async def settle(self, settlement: Settlement) -> Collection[str]:
        if self.meter is not None:
            self.meter.release("another")
        await asyncio.sleep(0)
        return await super().settle(settlement)


async def test_a_ledger_that_never_rests() -> None:
    """Who looks does not wait until nothing waits any more."""
    store = Busy()
    async with settling(telling("FAILED"), store) as (one,):
        store.meter = one.meter
        one.meter.release("first")
        for name in ("t1", "t2", "t3"):
            await store.claim(task(name))
            assert name in await settled(store, int(name[1:]))
        store.meter = None


async def test_a_leader_says_so_while_it_looks() -> None:
    """However long a line is: nobody else takes over while it lives, and is not needed."""
    store = Leading()
    for n in range(20):
        await store.claim(task(f"t{n}", age=70))
    async with settling(telling("FAILED"), store, replicas=2, rate=60, lease=0.6):
        await settled(store, 20)
    assert len(store.leaders) == 1


class Leading(MemoryStore):
    """A store that notes who led."""

    def __init__(self) -> None:
        super().__init__()
        self.leaders: set[str] = set()

    async def lead(self, process: str, seconds: float) -> bool:
        leads = await super().lead(process, seconds)
        if leads:
            self.leaders.add(process)
        return leads


async def test_a_task_that_is_past_its_hold() -> None:
    """It is let go, although upstream says that it runs."""
    store = MemoryStore()
    await store.claim(task("old", age=TASK_HOLD))
    async with settling(telling("RUNNING"), store) as (one,):
        assert await settled(store, 1) == {"old": "UNKNOWN"}
        await eventually(lambda: one.telemetry.named("task_unsettled"))


class Asked(MemoryStore):
    """A store that notes that somebody asked in vain."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()

    async def lead(self, process: str, seconds: float) -> bool:
        try:
            return await super().lead(process, seconds)
        except StoreUnavailableError:
            self.asked.set()
            raise


async def test_a_store_that_is_away_for_a_while() -> None:
    """The looking goes on when it is back."""
    store = Asked()
    await store.claim(task("t1"))
    store.set_available(up=False)
    async with settling(telling("FAILED"), store) as (one,):
        await store.asked.wait()
        store.set_available(up=True)
        assert await settled(store, 1) == {"t1": "FAILED"}
        assert one.telemetry.bugs == []
