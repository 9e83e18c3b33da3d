"""Claims that the shared store did not take: durable on this host, carried over when it is back.

Rule 1: a claim is in the store, or on this host's disk, before its task id is given away.
Rule 2: a record is in the store before it leaves the outbox, so at any moment it is in one of
        them. Carrying it over may be repeated without harm: by a process that was killed in
        between, or by several that share the outbox.
Rule 3: what is in the outbox is its tenant's through every process of this host. `tasks_of`
        needs the store: half a list would look like a whole one.
Rule 4: what cannot be carried over is told, then dropped: the task is another tenant's, or
        older than RETENTION.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from urllib.parse import quote

from proxy.core.errors import StoreUnavailableError
from proxy.core.idempotency import Submission
from proxy.core.policy import Grant, GrantUnreadableError
from proxy.core.tasks import PENDING, TaskConflictError, TaskRecord
from proxy.ports import Store
from proxy.stores import sqlite_schema as sql
from proxy.stores.notices import OutboxNotices
from proxy.stores.records import LIST_LIMIT, is_kept
from proxy.stores.sqlite_file import SchemaTooNewError, SqliteFile
from proxy.stores.sqlite_tasks import SqliteTasks

REPLAY_EVERY = 1.0
"""Seconds between two looks into the outbox. An empty one costs a read of microseconds."""

BATCH = 100
"""Records carried over between two looks: a few dozen milliseconds, and one fsync."""

SILENT = OutboxNotices()


class Outbox(SqliteTasks):
    """Waiting claims in a file of `directory`, which must survive a restart of this host.

    `prefix` is that of the store's keys: the claims of two stores lie in two files.
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
        changed = notices.changed
        file = SqliteFile(path, sql.OUTBOX, lambda is_up: changed(is_up, file.trouble))
        super().__init__(file, now)

    async def oldest(self) -> list[TaskRecord]:
        """What waits, oldest first, at most `BATCH`."""
        return await self._file.read(_oldest)

    async def remove(self, records: Sequence[TaskRecord]) -> int:
        """Take out what is settled, as far as it is still as it was read; how many that were."""
        keys = [(record.task_id, record.status) for record in records]
        cursor = await self._file.write(lambda writer: writer.executemany(sql.REMOVE, keys))
        return cursor.rowcount


class Outboxed:
    """A `Store` whose claims are taken while it is away. `now` is Unix seconds.

    Everything else is the store's own, as `proxy.ports.Store` says it.
    """

    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        notices: OutboxNotices = SILENT,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._notices = notices
        self._now = now
        self._claims: set[asyncio.Task[None]] = set()
        self._carrier: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"Outboxed({self._store!r}, {self._outbox!r})"

    @property
    def trouble(self) -> str:
        """See `proxy.ports.Store.trouble`: of the shared store."""
        return self._store.trouble

    async def open(self) -> None:
        """Connect, and begin with what an earlier process left behind.

        An outbox that cannot be used is told, and keeps nothing from being served.
        """
        await self._store.open()
        with suppress(SchemaTooNewError):  # told as an outbox of no use, like any other reason
            await self._outbox.open()
        if self._carrier is None:
            self._carrier = asyncio.create_task(self._carry_on())
            self._carrier.add_done_callback(_must_not_die)

    async def close(self) -> None:
        """Let go when the claims under way are safe; what waits, waits for the next process."""
        if self._claims:
            await asyncio.wait(self._claims)
        if self._carrier is not None:
            carrier, self._carrier = self._carrier, None
            carrier.cancel()
            await asyncio.wait([carrier])
        await self._store.close()
        await self._outbox.close()

    async def ping(self) -> None:
        """See `proxy.ports.Store.ping`: of the shared store."""
        await self._store.ping()

    async def grant(self, digest: str) -> Grant | None:
        """See `proxy.ports.Tokens.grant`."""
        return await self._store.grant(digest)

    async def save_grant(self, digest: str, grant: Grant) -> None:
        """See `proxy.ports.Tokens.save_grant`."""
        await self._store.save_grant(digest, grant)

    async def remove_grant(self, digest: str) -> bool:
        """See `proxy.ports.Tokens.remove_grant`."""
        return await self._store.remove_grant(digest)

    def grants(self) -> AsyncIterator[tuple[str, Grant | GrantUnreadableError]]:
        """See `proxy.ports.Tokens.grants`."""
        return self._store.grants()

    async def claim(self, record: TaskRecord) -> None:
        """See `proxy.ports.Tasks.claim`: `StoreUnavailableError` when the outbox failed as well.

        Cancelled, it goes on by itself, and `close` waits for it.
        """
        claim = asyncio.create_task(self._claim(record))
        self._claims.add(claim)
        claim.add_done_callback(self._claims.discard)
        try:
            await asyncio.shield(claim)
        except asyncio.CancelledError:
            claim.add_done_callback(partial(self._ended_alone, record))
            raise

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

    async def reserve(self, place: str, first: Submission) -> Submission | None:
        """See `proxy.ports.Submissions.reserve`."""
        return await self._store.reserve(place, first)

    async def advance(self, place: str, submission: Submission) -> bool:
        """See `proxy.ports.Submissions.advance`."""
        return await self._store.advance(place, submission)

    async def prolong(self, place: str, holder: str, due: float) -> None:
        """See `proxy.ports.Submissions.prolong`."""
        await self._store.prolong(place, holder, due)

    async def release(self, place: str, holder: str) -> None:
        """See `proxy.ports.Submissions.release`."""
        await self._store.release(place, holder)

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
        while True:
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


def _oldest(reader: sqlite3.Connection) -> list[TaskRecord]:
    return [sql.record_of(row) for row in reader.execute(sql.OLDEST, (BATCH,))]


def _must_not_die(task: asyncio.Task[None]) -> None:
    """A bug ended the carrying: it will not come back, so at least it must be seen."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        context = {"message": "the outbox is not carried over any more", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)
