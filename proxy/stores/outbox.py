"""What the shared store did not take: durable on this host, carried over when it is back.

Claims, and settlements: who owns a task, and who used what.

Rule 1: a claim is in the store, or on this host's disk, before its task id is given away.
Rule 2: a record is in the store before it leaves the outbox, so at any moment it is in one of
        them. Carrying it over may be repeated without harm: by a process that was killed in
        between, or by several that share the outbox.
Rule 3: what is in the outbox is its tenant's through every process of this host. `tasks_of`
        needs the store: half a list would look like a whole one.
Rule 4: what cannot be carried over is told, then dropped: the task is another tenant's, or
        older than RETENTION.
Rule 5: claims go first, so that a task is open when it is settled. A settlement keeps its sender
        and its number, by which the store knows it: its first try may have been effective.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from proxy.core.errors import StoreUnavailableError
from proxy.core.settlement import Settlement, surely_written
from proxy.core.tasks import PENDING, TaskConflictError, TaskRecord
from proxy.ports import Store
from proxy.stores import sqlite_schema as sql
from proxy.stores.alarms import alarm, heard, must_not_die
from proxy.stores.cancelling import is_cancelled
from proxy.stores.front import Front
from proxy.stores.notices import OutboxNotices
from proxy.stores.records import LIST_LIMIT, is_kept
from proxy.stores.sqlite_file import SchemaTooNewError, SqliteFile
from proxy.stores.sqlite_tasks import SqliteTasks
from proxy.stores.usage_fields import settlement_from_text, settlement_to_text

REPLAY_EVERY = 1.0
"""Seconds between two looks into the outbox. An empty one costs a read of microseconds."""

BATCH = 100
"""Records carried over between two looks: a few dozen milliseconds, and one fsync."""

SILENT = OutboxNotices()

T = TypeVar("T")


class Outbox(SqliteTasks):
    """What waits, in a file of `directory`, which must survive a restart of this host.

    `prefix` is that of the store's keys: what waits for two stores lies in two files.
    """

    def __init__(
        self,
        directory: str | Path,
        prefix: str = "dsp:",
        *,
        notices: OutboxNotices = SILENT,
        now: Callable[[], float] = time.time,
    ) -> None:
        path = Path(directory) / f"outbox-{quote(prefix, safe='')}.db"
        file = SqliteFile(path, sql.OUTBOX, lambda is_up: notices.changed(is_up, file.trouble))
        super().__init__(file, now)

    async def keep(self, settlement: Settlement) -> None:
        """Let a settlement wait. Raises `StoreUnavailableError`."""
        row = (settlement_to_text(settlement),)
        await self._file.write(lambda writer: writer.execute(sql.KEEP_SETTLEMENT, row))

    async def settlements(self) -> list[tuple[int, Settlement]]:
        """Those that wait, each with its place, oldest first, at most `BATCH`.

        One that cannot be read is told whole, and taken out: those behind it wait for nothing.
        """
        command = (sql.SETTLEMENTS, (BATCH,))
        rows = await self._file.read(lambda reader: reader.execute(*command).fetchall())
        readable = []
        for place, text in rows:
            try:
                readable.append((place, settlement_from_text(text)))
            except (ArithmeticError, LookupError, TypeError, ValueError) as error:
                alarm(f"a settlement in the outbox cannot be read: {text}", error)
                await self.settled(place)
        return readable

    async def settled(self, place: int) -> None:
        """Take out the one at this place."""
        await self._file.write(lambda writer: writer.execute(sql.REMOVE_SETTLEMENT, (place,)))

    async def oldest(self) -> list[TaskRecord]:
        """The claims that wait, oldest first, at most `BATCH`."""
        rows = await self._file.read(lambda reader: reader.execute(sql.OLDEST, (BATCH,)).fetchall())
        return list(map(sql.record_of, rows))

    async def remove(self, records: Sequence[TaskRecord]) -> int:
        """Take out what is settled, as far as it is still as it was read; how many that were."""
        keys = [(record.task_id, record.status) for record in records]
        cursor = await self._file.write(lambda writer: writer.executemany(sql.REMOVE, keys))
        return cursor.rowcount


class Outboxed(Front):
    """A `Store` that takes claims and settlements while it is away. `now` is Unix seconds.

    Everything else is the store's own, as `proxy.ports.Store` says it.
    """

    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        notices: OutboxNotices = SILENT,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(store)
        self._outbox = outbox
        self._notices = notices
        self._now = now
        self._writes: set[asyncio.Task[object]] = set()
        self._claiming = 0
        self._claimed = asyncio.Event()
        self._carrier: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"Outboxed({self._store!r}, {self._outbox!r})"

    async def open(self) -> None:
        """Connect, and begin with what an earlier process left behind.

        An outbox that cannot be used is told, and keeps nothing from being served.
        """
        await self._store.open()
        with suppress(SchemaTooNewError):  # told as an outbox of no use, like any other reason
            await self._outbox.open()
        if self._carrier is None:
            self._carrier = asyncio.create_task(self._carry_on())
            self._carrier.add_done_callback(
                partial(must_not_die, "the outbox is not carried over any more")
            )

    async def close(self) -> None:
        """Let go when what is being written is safe; what waits, waits for the next process."""
        while self._claiming:
            self._claimed.clear()
            await self._claimed.wait()
        if self._writes:
            await asyncio.wait(self._writes)
        if self._carrier is not None:
            carrier, self._carrier = self._carrier, None
            carrier.cancel()
            await asyncio.wait([carrier])
        await self._store.close()
        await self._outbox.close()

    async def claim(self, record: TaskRecord) -> None:
        """See `proxy.ports.Tasks.claim`: `StoreUnavailableError` when the outbox failed as well.

        Cancelled, it goes on by itself, and `close` waits for it.
        """
        self._claiming += 1
        try:
            await self._claim(record)
        except asyncio.CancelledError:
            # Once more: it changes nothing, and saves every other claim a task and a shield.
            again = self._begin(self._claim(record))
            again.add_done_callback(partial(self._ended_alone, record))
            raise
        finally:
            self._claiming -= 1
            self._claimed.set()

    async def owner(self, task_id: str, tenant: str) -> TaskRecord | None:
        """See `proxy.ports.Tasks.owner`. A known task costs the outbox no look."""
        outage = None
        try:
            record = await self._store.owner(task_id, tenant)
        except StoreUnavailableError as error:
            record, outage = None, error
        if record is not None:
            return record
        with suppress(StoreUnavailableError):  # the outbox's own, told by then
            record = await self._outbox.owner(task_id, tenant)
        if record is not None:
            return record
        if outage is not None:
            raise outage
        # Once more: it may have been carried over between the two looks.
        return await self._store.owner(task_id, tenant)

    async def observe(self, task_id: str, status: str, at: float) -> None:
        """See `proxy.ports.Tasks.observe`. First where the record leaves, then where it goes."""
        with suppress(StoreUnavailableError):
            await self._outbox.observe(task_id, status, at)
        await self._store.observe(task_id, status, at)

    async def tasks_of(self, tenant: str, since: float, until: float) -> list[TaskRecord]:
        """See `proxy.ports.Tasks.tasks_of`."""
        waiting: list[TaskRecord] = []
        with suppress(StoreUnavailableError):
            waiting = await self._outbox.tasks_of(tenant, since, until)
        found = await self._store.tasks_of(tenant, since, until)
        if not waiting:
            return found
        known = {record.task_id for record in found}
        found += [record for record in waiting if record.task_id not in known]
        return sorted(found, key=lambda record: record.created, reverse=True)[:LIST_LIMIT]

    async def settle(self, settlement: Settlement) -> Collection[str]:
        """See `proxy.ports.Ledger.settle`: `StoreUnavailableError` when the outbox failed as well.

        Cancelled, it goes on by itself, and `close` waits for it.
        """
        settling = self._begin(self._settle(settlement))
        try:
            return await asyncio.shield(settling)
        except asyncio.CancelledError:
            settling.add_done_callback(heard)  # who handed it over knows that it may be lost
            raise

    def _begin(self, work: Coroutine[None, None, T]) -> asyncio.Task[T]:
        """Something is written, which `close` waits for."""
        task = asyncio.create_task(work)
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        return task

    async def _settle(self, settlement: Settlement) -> Collection[str]:
        try:
            return await self._store.settle(settlement)
        except StoreUnavailableError:
            await self._outbox.keep(settlement)
            return surely_written(settlement)

    async def _claim(self, record: TaskRecord) -> None:
        try:
            await self._store.claim(record)
        except StoreUnavailableError:
            await self._outbox.claim(record)
            self._notices.deferred(record)

    def _ended_alone(self, record: TaskRecord, claim: asyncio.Task[None]) -> None:
        """Nobody waited for this claim any more: if it failed, this is where it is heard."""
        error = asyncio.CancelledError() if claim.cancelled() else claim.exception()
        if error is not None:
            self._notices.lost(record, f"claimed while stopping: {type(error).__name__}")

    async def _carry_on(self) -> None:
        while not is_cancelled():
            with suppress(StoreUnavailableError):
                await self._carry_all()
            await asyncio.sleep(REPLAY_EVERY)

    async def _carry_all(self) -> None:
        """Carry over what waits. Raises `StoreUnavailableError` when it cannot go on."""
        carried = 0
        try:
            while waiting := await self._outbox.oldest():
                carried += await self._carry(waiting)
        finally:
            if carried:
                self._notices.replayed(carried)
        while unsettled := await self._outbox.settlements():
            for place, settlement in unsettled:
                await self._store.settle(settlement)
                await self._outbox.settled(place)

    async def _carry(self, waiting: Sequence[TaskRecord]) -> int:
        """Carry over as many as the store takes; how many that were, told by one process only."""
        settled: list[TaskRecord] = []
        lost: list[tuple[TaskRecord, str]] = []
        try:
            for record in waiting:
                why = await self._carried(record)
                if why:
                    lost.append((record, why))
                else:
                    settled.append(record)
        finally:
            done = await self._outbox.remove(settled) if settled else 0
            for record, why in lost:
                if await self._outbox.remove([record]):
                    self._notices.lost(record, why)
        return done

    async def _carried(self, record: TaskRecord) -> str:
        """Write the owner to the store; why that will never do, or nothing."""
        if not is_kept(record, self._now()):
            return "the store did not come back in time"
        try:
            await self._store.claim(record)
        except TaskConflictError:
            return "another tenant owns this id"
        if record.status != PENDING:
            # It may have been there already: a claim whose answer was lost.
            await self._store.observe(record.task_id, record.status, record.updated)
        return ""
