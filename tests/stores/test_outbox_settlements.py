"""Settlements that wait on disk: each is carried over once, after the claims."""

import asyncio
import gc
import sqlite3
from collections.abc import AsyncIterator, Collection
from pathlib import Path

import pytest
from redis_server import RedisServer
from stores.harness import NOW, UNIT, Clock, eventually, held, money, record, usage
from stores.relay import Relay
from stores.test_outbox import Host

from proxy.core.errors import StoreUnavailableError
from proxy.core.settlement import FIRST_LOOK, Kind, Settlement
from proxy.stores.memory import MemoryStore
from proxy.stores.outbox import BATCH, Outbox, Outboxed
from proxy.stores.redis import RedisStore
from proxy.stores.sqlite_schema import KEEP_SETTLEMENT, OUTBOX

BUDGET = ("token:tok_1", "money", "2027-01")


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    host = Host(tmp_path / "state")
    yield host
    await host.close()


def call(number: int, sender: str = "s") -> Settlement:
    return Settlement(sender, number, (usage(f"{sender}-{number}", kind=Kind.CALL),))


async def waiting(host: Host) -> int:
    outbox = Outbox(host.directory, now=host.clock)
    await outbox.open()
    try:
        return len(await outbox.settlements())
    finally:
        await outbox.close()


async def is_carried(host: Host) -> bool:
    return not await waiting(host)


async def names(store: MemoryStore | RedisStore) -> list[str]:
    return [one.id for _, one in await store.records("", 1000)]


async def test_what_the_store_takes_does_not_wait(host: Host) -> None:
    """While the store answers, nothing is written to this host's disk."""
    here = await host.process()
    await here.settle(call(1))
    assert await names(host.shared) == ["s-1"]
    assert await is_carried(host)


async def test_settled_in_an_outage(host: Host) -> None:
    """Taken, durable, and in the store within seconds when it is back, in the order they came."""
    here = await host.process()
    host.down()
    for number in range(1, BATCH + 6):
        assert sorted(await here.settle(call(number))) == [f"s-{number}"]
    assert await waiting(host) == BATCH
    host.up()
    await eventually(lambda: is_carried(host))
    assert await names(host.shared) == [f"s-{number}" for number in range(1, BATCH + 6)]


async def test_a_task_from_claim_to_end_in_an_outage(host: Host) -> None:
    """Its claim is carried over first: it is open when it is settled, and its hold ends."""
    here = await host.process()
    await here.hold(held("h1", money(20)))
    host.down()
    assert not await here.settle(Settlement("s", 1, (usage(hold="h1"),)))  # nobody knows yet
    await here.claim(record(hold="h1"))
    host.up()
    await eventually(lambda: is_carried(host))
    assert await names(host.shared) == ["task-1"]
    assert await host.shared.standings([BUDGET]) == [(0, 3 * UNIT)]


async def test_a_claim_carried_over_opens_its_task(host: Host) -> None:
    """What was submitted in an outage is looked at like any other task."""
    here = await host.process()
    host.down()
    await here.claim(record(hold="h1"))
    host.up()
    await eventually(host.is_empty)
    host.clock.at = NOW + FIRST_LOOK
    assert await here.due_tasks(10) == [record(hold="h1")]


async def test_no_hold_in_an_outage(host: Host) -> None:
    """Nobody can say what is left of a budget: the caller decides what that means."""
    here = await host.process()
    host.down()
    with pytest.raises(StoreUnavailableError):
        await here.hold(held("h1", money(1)))
    with pytest.raises(StoreUnavailableError):
        await here.renew(["h1"], 1)


async def test_later_ones_overtake(host: Host) -> None:
    """What waits does not keep those behind it waiting, and is not lost because they were first."""
    here = await host.process()
    host.down()
    await here.settle(call(1))
    host.up()
    await here.settle(call(2))
    await eventually(lambda: is_carried(host))
    assert sorted(await names(host.shared)) == ["s-1", "s-2"]


async def test_carried_over_by_several(host: Host) -> None:
    """Processes that share an outbox carry over each settlement once, all of them together."""
    processes = [await host.process() for _ in range(3)]
    host.down()
    for n, process in enumerate(processes):
        for number in range(1, 31):
            await process.settle(call(number, f"s{n}"))
    host.up()
    await eventually(lambda: is_carried(host))
    found = await names(host.shared)
    assert len(found) == len(set(found)) == 90


async def test_left_behind(host: Host) -> None:
    """The next process begins with what an earlier one left behind."""
    first = await host.process()
    host.down()
    await first.settle(call(1))
    await first.close()
    host.up()
    await host.process()
    await eventually(lambda: is_carried(host))
    assert await names(host.shared) == ["s-1"]


async def test_an_answer_that_was_lost(redis: RedisServer, tmp_path: Path) -> None:
    """The store had taken it, nobody heard so, and it went to the disk: it is written once."""
    async with Relay(redis.port) as relay:
        store = RedisStore(relay.url, now=Clock())
        here = Outboxed(store, Outbox(tmp_path, now=Clock()), now=Clock())
        await here.open()
        relay.cut(b"EVAL", 1.0, times=2)
        await here.settle(call(1))
        await eventually(lambda: _is_empty(here))
        assert await names(store) == ["s-1"]
        await here.close()


async def _is_empty(outboxed: Outboxed) -> bool:
    return not await outboxed._outbox.settlements()  # noqa: SLF001  # the very outbox in use


async def test_without_a_disk(tmp_path: Path) -> None:
    """What neither the store nor the outbox takes is an error: who settles tries again."""
    (tmp_path / "file").touch()
    host = Host(tmp_path / "file")
    here = await host.process()
    host.down()
    with pytest.raises(StoreUnavailableError):
        await here.settle(call(1))
    host.up()
    await here.settle(call(1))
    assert await names(host.shared) == ["s-1"]
    await host.close()


class Hesitant(MemoryStore):
    """A store that says no, and only when told to."""

    def __init__(self) -> None:
        super().__init__(now=Clock())
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def settle(self, _: Settlement) -> Collection[str]:
        self.asked.set()
        await self.go.wait()
        raise StoreUnavailableError


async def test_cancelled(host: Host) -> None:
    """Who is cancelled while settling loses nothing: closing waits until it is on the disk."""
    store = Hesitant()
    here = await host.process(store)
    settling = asyncio.create_task(here.settle(call(1)))
    await store.asked.wait()
    settling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await settling
    closing = asyncio.create_task(here.close())
    for _ in range(10):
        await asyncio.sleep(0)
    store.go.set()
    await closing
    assert await waiting(host) == 1


async def test_cancelled_in_vain(tmp_path: Path) -> None:
    """One that fails when nobody waits for it any more ends quietly: who left, tells of it."""
    (tmp_path / "file").touch()
    store = Hesitant()
    here = Outboxed(store, Outbox(tmp_path / "file", now=Clock()), now=Clock())
    complaints: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    await here.open()
    settling = asyncio.create_task(here.settle(call(1)))
    await store.asked.wait()
    settling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await settling
    store.go.set()
    await here.close()
    del settling
    gc.collect()
    assert complaints == []


async def test_an_older_outbox(host: Host) -> None:
    """Claims that an earlier version left behind are carried over, and hold nothing."""
    host.directory.mkdir()
    path = host.directory / "outbox-dsp%3A.db"
    with sqlite3.connect(path) as other:
        for statement in OUTBOX.steps[0]:
            other.execute(statement)
        other.execute("PRAGMA user_version = 1")
        old = ("task-1", "ada", "tok_1", "main", "wan2.6-t2v", NOW, "req-1")
        inputs = '{"duration":"5","size":"1280*720"}'
        marks = ", ".join("?" * 10)
        row = (*old, inputs, "PENDING", 0.0)
        other.execute(f"INSERT INTO tasks VALUES ({marks})", row)  # noqa: S608  # ours
    other.close()
    await host.process()
    await eventually(host.is_empty)
    assert await host.shared.owner("task-1", "ada") == record()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"sender":"s","number":1,"records":[1]}'])
async def test_one_that_cannot_be_read_stops_no_other(host: Host, text: str) -> None:
    """It is told whole and taken out; claims and settlements behind it are carried over."""
    heard: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: heard.append(context["message"]))
    outbox = Outbox(host.directory, now=host.clock)
    await outbox.open()
    await outbox.close()
    with sqlite3.connect(next(host.directory.glob("outbox-*.db"))) as file:
        file.execute(KEEP_SETTLEMENT, (text,))
    file.close()
    here = await host.process()
    host.down()
    await here.settle(call(1))
    await here.claim(record("t1"))
    host.up()
    await eventually(lambda: is_carried(host))
    assert await names(host.shared) == ["s-1"]
    assert heard == [f"a settlement in the outbox cannot be read: {text}"]
