"""Task owners in a SQLite file: the half that the embedded store and the outbox have in common.

Claims that come while others are being written share the next transaction, and its wait for the
disk. One that cannot be written down fails alone.
"""

import sqlite3
import time
from collections.abc import Callable, Sequence

from proxy.core.errors import StoreUnavailableError
from proxy.core.tasks import RETENTION, TaskConflictError, TaskRecord
from proxy.stores import sqlite_schema as sql
from proxy.stores.group_commit import GroupCommit
from proxy.stores.records import LIST_LIMIT, is_kept, supersedes
from proxy.stores.sqlite_file import SqliteFile

MOST = 100
"""Claims in one transaction: no more than it drops of those past retention, see `PURGE`."""


class SqliteTasks:
    """The port `proxy.ports.Tasks` on `file`. `now` is Unix seconds and ages tasks.

    Every method but `open` and `close` raises `StoreUnavailableError`, also before the one and
    after the other.
    """

    def __init__(self, file: SqliteFile, now: Callable[[], float] = time.time) -> None:
        self._file = file
        self._now = now
        self._claims: GroupCommit[TaskRecord, str] = GroupCommit(self._commit, MOST)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._file!r})"

    @property
    def trouble(self) -> str:
        """Why the file is of no use, or was not last: for the operator's log, not for clients."""
        return self._file.trouble

    async def open(self) -> None:
        """Open the file, or leave that to the next call when it cannot be.

        Raises `SchemaTooNewError`.
        """
        await self._file.open()

    async def close(self) -> None:
        """Close the file; what is being written is written first."""
        await self._claims.ended()
        await self._file.close()

    async def claim(self, record: TaskRecord) -> None:
        """See `proxy.ports.Tasks.claim`."""
        owner = await self._claims.put(record)
        if owner != record.tenant:
            raise TaskConflictError(record.task_id)

    async def owner(self, task_id: str, tenant: str) -> TaskRecord | None:
        """See `proxy.ports.Tasks.owner`."""
        record = await self._file.read(lambda reader: _own_task(reader, task_id, tenant))
        return record if record is not None and is_kept(record, self._now()) else None

    async def observe(self, task_id: str, status: str, at: float) -> None:
        """See `proxy.ports.Tasks.observe`. Most polls see nothing new and write nothing."""
        expired = self._now() - RETENTION
        known = await self._file.read(lambda reader: _status(reader, task_id, expired))
        if known is not None and supersedes(status, known):
            await self._file.write(lambda writer: _observe(writer, task_id, status, at))

    async def tasks_of(self, tenant: str, since: float, until: float) -> list[TaskRecord]:
        """See `proxy.ports.Tasks.tasks_of`."""
        args = (tenant, since, until, self._now() - RETENTION, LIST_LIMIT)
        return await self._file.read_aside(lambda reader: _listed(reader, args))

    async def _commit(self, records: Sequence[TaskRecord]) -> list[str | Exception]:
        return await self._file.write(lambda writer: self._claim_all(writer, records))

    def _claim_all(
        self, writer: sqlite3.Connection, records: Sequence[TaskRecord]
    ) -> list[str | Exception]:
        """In one transaction: of each task the tenant who owns it now."""
        return [self._alone(writer, record) for record in records]

    def _alone(self, writer: sqlite3.Connection, record: TaskRecord) -> str | Exception:
        try:
            return self._claim(writer, record)
        except (ValueError, OverflowError):  # what SQLite has not: nothing of it is written yet
            return StoreUnavailableError()

    def _claim(self, writer: sqlite3.Connection, record: TaskRecord) -> str:
        """The tenant who owns the task now."""
        writer.execute(sql.CLAIM, sql.row_of(record))
        (tenant,) = writer.execute(sql.TENANT, (record.task_id,)).fetchone()
        return str(tenant)


def _own_task(reader: sqlite3.Connection, task_id: str, tenant: str) -> TaskRecord | None:
    row = reader.execute(sql.OWN_TASK, (task_id, tenant)).fetchone()
    return None if row is None else sql.record_of(row)


def _listed(
    reader: sqlite3.Connection, args: tuple[str, float, float, float, int]
) -> list[TaskRecord]:
    return [sql.record_of(row) for row in reader.execute(sql.TASKS_OF, args)]


def _status(connection: sqlite3.Connection, task_id: str, expired: float = 0.0) -> str | None:
    """The status of a task claimed after `expired`, None when there is none."""
    row = connection.execute(sql.STATUS, (task_id, expired)).fetchone()
    return None if row is None else str(row[0])


def _observe(writer: sqlite3.Connection, task_id: str, status: str, at: float) -> None:
    known = _status(writer, task_id)
    if known is not None and supersedes(status, known):
        writer.execute(sql.OBSERVE, (status, at, task_id))
