"""Claims that wait on disk: taken, shown, carried over once, told when that cannot be."""

import asyncio
import sqlite3
import stat
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from redis_server import RedisServer
from stores.harness import GRANT, NOW, TOKEN, Clock, eventually, record

from proxy.core.errors import StoreUnavailableError
from proxy.core.tasks import RETENTION, TaskConflictError, TaskRecord
from proxy.ports import Store
from proxy.stores import open_store
from proxy.stores.memory import MemoryStore
from proxy.stores.notices import OutboxNotices
from proxy.stores.outbox import BATCH, Outbox, Outboxed
from proxy.stores.redis import RedisStore


@dataclass
class Told:
    """What an outbox told."""

    deferred: list[TaskRecord] = field(default_factory=list)
    replayed: list[int] = field(default_factory=list)
    lost: list[tuple[TaskRecord, str]] = field(default_factory=list)
    changes: list[tuple[bool, str]] = field(default_factory=list)

    @property
    def notices(self) -> OutboxNotices:
        return OutboxNotices(
            deferred=self.deferred.append,
            replayed=self.replayed.append,
            lost=lambda *what: self.lost.append(what),
            changed=lambda *what: self.changes.append(what),
        )


class Host:
    """One directory, and processes that share it in front of one store: each an `Outboxed`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = Clock()
        self.shared = MemoryStore(now=self.clock)
        self.told = Told()
        self._processes: list[Outboxed] = []

    async def process(self, store: Store | None = None) -> Outboxed:
        notices = self.told.notices
        outbox = Outbox(self.directory, notices=notices, now=self.clock)
        process = Outboxed(store or self.shared, outbox, notices, now=self.clock)
        await process.open()
        self._processes.append(process)
        return process

    def down(self) -> None:
        self.shared.set_available(up=False)

    def up(self) -> None:
        self.shared.set_available(up=True)

    async def waiting(self) -> list[str]:
        outbox = Outbox(self.directory, now=self.clock)
        await outbox.open()
        try:
            return [one.task_id for one in await outbox.oldest()]
        finally:
            await outbox.close()

    async def is_empty(self) -> bool:
        return not await self.waiting()

    async def close(self) -> None:
        self.up()
        for process in self._processes:
            await process.close()


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    host = Host(tmp_path / "state")
    yield host
    await host.close()


async def test_a_claim_in_an_outage(host: Host) -> None:
    """A claim that the store does not take succeeds, is told, and is its tenant's at once."""
    here = await host.process()
    host.down()
    await here.claim(record())
    assert host.told.deferred == [record()]
    assert await here.owner("task-1", "ada") == record()
    with pytest.raises(StoreUnavailableError):
        await here.owner("task-1", "eve")
    with pytest.raises(StoreUnavailableError):
        await here.owner("unknown", "eve")
    with pytest.raises(StoreUnavailableError):
        await here.tasks_of("ada", 0, NOW)


async def test_what_the_store_takes_does_not_wait(host: Host) -> None:
    """While the store answers, nothing is written to this host's disk."""
    here = await host.process()
    await here.claim(record())
    assert await host.waiting() == []
    assert host.told == Told()


async def test_carried_over(host: Host) -> None:
    """When the store is back the owner is in it within seconds, as it was claimed, told once."""
    here = await host.process()
    host.down()
    early = record(created=NOW - 3600.5)
    await here.claim(early)
    host.up()
    await eventually(host.is_empty)
    assert await host.shared.owner("task-1", "ada") == early
    assert await host.shared.tasks_of("ada", 0, NOW) == [early]
    await eventually(lambda: host.told.replayed == [1])
    assert host.told.lost == []


async def test_many_are_carried_over(host: Host) -> None:
    """More than fit into one batch are one report, and none is left behind."""
    here = await host.process()
    host.down()
    for n in range(BATCH + 5):
        await here.claim(record(f"task-{n}", created=NOW - n))
    host.up()
    await eventually(lambda: host.told.replayed == [BATCH + 5])
    assert await host.is_empty()
    assert len(await host.shared.tasks_of("ada", 0, NOW)) == BATCH + 5


async def test_a_status_seen_meanwhile(host: Host) -> None:
    """What polls saw during the outage is carried over as well."""
    here = await host.process()
    host.down()
    await here.claim(record())
    with pytest.raises(StoreUnavailableError):
        await here.observe("task-1", "SUCCEEDED", NOW + 5)
    seen = record(status="SUCCEEDED", updated=NOW + 5)
    assert await here.owner("task-1", "ada") == seen
    host.up()
    await eventually(host.is_empty)
    assert await host.shared.owner("task-1", "ada") == seen


async def test_a_claim_whose_answer_was_lost(host: Host) -> None:
    """The store had taken it after all: nothing is doubled, and the later status is the truth."""
    here = await host.process()
    await host.shared.claim(record())
    host.down()
    await here.claim(record())
    with pytest.raises(StoreUnavailableError):
        await here.observe("task-1", "RUNNING", NOW + 5)
    host.up()
    await eventually(host.is_empty)
    seen = record(status="RUNNING", updated=NOW + 5)
    assert await here.tasks_of("ada", 0, NOW) == [seen]


async def test_a_status_that_comes_while_carrying(tmp_path: Path) -> None:
    """A record leaves the outbox as it was read, or not yet: no status falls in between."""
    outbox = Outbox(tmp_path, now=Clock())
    await outbox.open()
    await outbox.claim(record())
    read = await outbox.oldest()
    await outbox.observe("task-1", "RUNNING", NOW + 1)
    assert await outbox.remove(read) == 0
    assert await outbox.remove(await outbox.oldest()) == 1
    await outbox.close()


class JustMissed(MemoryStore):
    """A store into which a sibling carries the outbox right after it was asked in vain."""

    def __init__(self, outbox: Outbox) -> None:
        super().__init__(now=Clock())
        self._outbox = outbox

    async def owner(self, task_id: str, tenant: str) -> TaskRecord | None:
        found = await super().owner(task_id, tenant)
        waiting = await self._outbox.oldest()
        for one in waiting:
            await self.claim(one)
        await self._outbox.remove(waiting)
        return found


async def test_carried_over_between_two_looks(tmp_path: Path) -> None:
    """A task is never unknown to its owner, not even while it changes places."""
    outbox = Outbox(tmp_path, now=Clock())
    await outbox.open()
    await outbox.claim(record())
    process = Outboxed(JustMissed(outbox), outbox, now=Clock())
    assert await process.owner("task-1", "ada") == record()
    await process.close()


async def test_listed_while_it_waits(host: Host) -> None:
    """A list has what waits among what the store has, newest first, each task once."""
    here = await host.process()
    outbox = Outbox(host.directory, now=host.clock)
    await outbox.open()
    await host.shared.claim(record("old", created=NOW - 3))
    await host.shared.claim(record("both", created=NOW - 2))
    for waiting in ("both", "new"):
        await outbox.claim(record(waiting, created=NOW - 2 + 1.5 * (waiting == "new")))
    await outbox.claim(record("hers", tenant="eve", created=NOW - 1))
    listed = [one.task_id for one in await here.tasks_of("ada", NOW - 5, NOW)]
    assert listed == ["new", "both", "old"]
    await outbox.close()


async def test_other_processes_see_it(host: Host) -> None:
    """What one process deferred can be polled through another of the same host."""
    here, there = await host.process(), await host.process()
    host.down()
    await here.claim(record())
    assert await there.owner("task-1", "ada") == record()


async def test_carried_over_once(host: Host) -> None:
    """Processes that share an outbox carry all of it together, and count each record once."""
    for _ in range(3):
        await host.process()
    here = await host.process()
    host.down()
    for n in range(50):
        await here.claim(record(f"task-{n}"))
    host.up()
    await eventually(lambda: sum(host.told.replayed) == 50)
    assert await host.is_empty()
    assert len(await host.shared.tasks_of("ada", 0, NOW)) == 50
    assert sum(host.told.replayed) == 50


async def test_left_behind(host: Host) -> None:
    """The next process begins with what an earlier one left behind."""
    first = await host.process()
    host.down()
    await first.claim(record())
    await first.close()
    host.up()
    assert await host.waiting() == ["task-1"]
    await host.process()
    await eventually(host.is_empty)
    assert await host.shared.owner("task-1", "ada") == record()


async def test_a_conflict_is_told(host: Host) -> None:
    """A task that is another tenant's by then stays theirs, is reported once, and waits no more."""
    here, _ = await host.process(), await host.process()
    await host.shared.claim(record(tenant="eve"))
    host.down()
    await here.claim(record())
    await here.claim(record("task-2"))
    host.up()
    await eventually(host.is_empty)
    assert host.told.lost == [(record(), "another tenant owns this id")]
    assert await host.shared.owner("task-1", "eve") is not None
    assert await host.shared.owner("task-2", "ada") is not None


async def test_two_tenants_and_one_id(host: Host) -> None:
    """Also in the outbox the first owner stays."""
    here = await host.process()
    host.down()
    await here.claim(record())
    await here.claim(record())
    with pytest.raises(TaskConflictError):
        await here.claim(record(tenant="eve"))
    assert host.told.deferred == [record(), record()]


async def test_too_late(host: Host) -> None:
    """A record past its retention is reported and dropped: its task is gone upstream as well."""
    here = await host.process()
    host.down()
    await here.claim(record())
    host.clock.at += RETENTION
    with pytest.raises(StoreUnavailableError):
        await here.owner("task-1", "ada")
    await eventually(host.is_empty)
    assert host.told.lost == [(record(), "the store did not come back in time")]
    assert host.told.replayed == []


class Hesitant(MemoryStore):
    """A store that says no, and only when told to."""

    def __init__(self) -> None:
        super().__init__(now=Clock())
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def claim(self, _: TaskRecord) -> None:
        self.asked.set()
        await self.go.wait()
        raise StoreUnavailableError


async def test_cancelled(host: Host) -> None:
    """Who is cancelled while claiming loses no claim: closing waits until it is on the disk."""
    store = Hesitant()
    here = await host.process(store)
    claim = asyncio.create_task(here.claim(record()))
    await store.asked.wait()
    claim.cancel()
    with pytest.raises(asyncio.CancelledError):
        await claim
    closing = asyncio.create_task(here.close())
    for _ in range(10):
        await asyncio.sleep(0)
    store.go.set()
    await closing
    assert await host.waiting() == ["task-1"]
    assert host.told.lost == []


async def test_cancelled_in_vain(tmp_path: Path) -> None:
    """A claim that fails when nobody waits for it any more is reported as lost."""
    (tmp_path / "file").touch()
    host = Host(tmp_path / "file")
    here = await host.process()
    host.down()
    claim = asyncio.create_task(here.claim(record()))
    await asyncio.sleep(0)
    claim.cancel()
    await here.close()
    ((lost, why),) = host.told.lost
    assert lost == record()
    assert why == "claimed while stopping: StoreUnavailableError"


@pytest.mark.parametrize("how", ["no directory", "no database", "later version"])
async def test_an_outbox_of_no_use(tmp_path: Path, how: str) -> None:
    """Then claims fail as without one; that is told once with its reason, and all else works."""
    directory = tmp_path / "state"
    if how == "no directory":
        directory.touch()
    else:
        directory.mkdir()
        file = directory / "outbox-dsp%3A.db"
        if how == "no database":
            file.write_bytes(b"this is no database, but long enough" * 100)
        else:
            with sqlite3.connect(file) as connection:
                connection.execute("PRAGMA user_version = 99")
            connection.close()
    host = Host(directory)
    here = await host.process()
    await here.claim(record("before"))
    assert await here.owner("before", "ada") is not None
    assert await here.owner("unknown", "ada") is None
    host.down()
    for _ in range(3):
        with pytest.raises(StoreUnavailableError):
            await here.claim(record())
    ((is_up, why),) = host.told.changes
    assert not is_up
    assert {"no directory": "Error", "no database": "DatabaseError", "later version": "99"}[
        how
    ] in why
    assert host.told.deferred == []
    await host.close()


async def test_an_outbox_that_is_mended(tmp_path: Path) -> None:
    """It is tried again with every claim, and its return is told as well."""
    (tmp_path / "state").touch()
    host = Host(tmp_path / "state")
    here = await host.process()
    host.down()
    with pytest.raises(StoreUnavailableError):
        await here.claim(record())
    (tmp_path / "state").unlink()
    await here.claim(record())
    assert [is_up for is_up, _ in host.told.changes] == [False, True]
    await host.close()


async def test_private(host: Host) -> None:
    """Only its owner reads an outbox: it names tenants and their tasks."""
    await host.process()
    assert stat.S_IMODE(host.directory.stat().st_mode) == 0o700
    for file in host.directory.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_two_stores_of_one_host(tmp_path: Path) -> None:
    """The claims of another prefix lie in another file, whatever characters it has."""
    first, second = Outbox(tmp_path, "a/../b:"), Outbox(tmp_path, "c:")
    for outbox in (first, second):
        await outbox.open()
    await first.claim(replace(record(), created=9e9))
    assert await second.oldest() == []
    assert await first.oldest() != []
    for outbox in (first, second):
        await outbox.close()


def test_only_redis_has_one(tmp_path: Path) -> None:
    """Embedded stores take claims on this host's disk anyway, or on none."""
    for url in ("memory:", f"sqlite://{tmp_path}/store.db"):
        assert not isinstance(open_store(url, outbox=tmp_path), Outboxed)
    assert isinstance(open_store("redis://h", outbox=tmp_path), Outboxed)
    assert not isinstance(open_store("redis://h"), Outboxed)


async def test_it_says_what_it_is(host: Host) -> None:
    """Its `repr` tells both halves, and its trouble is the store's."""
    here = await host.process(RedisStore("redis://127.0.0.1:1"))
    assert repr(here).startswith("Outboxed(RedisStore(Feed(dsp:token:, down: ")
    assert repr(here).endswith("outbox-dsp%3A.db', up))")
    assert "ConnectionError" in here.trouble


WAYS: dict[str, tuple[Callable[[RedisServer], None], Callable[[RedisServer], None]]] = {
    "killed": (RedisServer.kill, RedisServer.restart),
    "frozen": (RedisServer.pause, RedisServer.resume),
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_real_outage(host: Host, own_redis: RedisServer, way: str) -> None:
    """With Redis killed or frozen claims are taken at once, and are in Redis when it is back."""
    break_it, mend_it = WAYS[way]
    here = await host.process(RedisStore(own_redis.url, now=host.clock, server_now=host.clock))
    there = await host.process(RedisStore(own_redis.url, now=host.clock, server_now=host.clock))
    await here.save_grant(TOKEN, GRANT)
    await asyncio.to_thread(break_it, own_redis)
    tasks = [record(f"task-{n}", created=NOW - n) for n in range(20)]
    await asyncio.gather(*(process.claim(one) for one in tasks for process in (here, there)))
    for process in (here, there):
        assert await process.owner("task-7", "ada") == tasks[7]
    await asyncio.to_thread(mend_it, own_redis)
    await eventually(host.is_empty, 20.0)
    await eventually(lambda: sum(host.told.replayed) == 20)
    found = own_redis.cli("ZRANGE", "dsp:tasks:{ada}", "0", "-1").split()
    assert sorted(found) == sorted(one.task_id for one in tasks)
    for one in tasks:
        created = own_redis.cli("HGET", f"dsp:task:{one.task_id}", "created")
        assert float(created) == one.created
    for process in (here, there):
        assert await process.tasks_of("ada", 0, NOW) == tasks
