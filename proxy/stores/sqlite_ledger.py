"""The ledger in a SQLite file: each step is one transaction, whichever process takes it."""

import json
import sqlite3
from collections.abc import Callable, Collection, Sequence

from proxy.core.beijing import day_of
from proxy.core.holds import Hold, Ruling
from proxy.core.limits import (
    NO_LIMITS,
    Limits,
    LimitUnreadableError,
    limits_from_fields,
    limits_to_fields,
)
from proxy.core.ruling import milliseconds
from proxy.core.settlement import (
    FIRST_LOOK,
    TASK_HOLD,
    Kind,
    Settlement,
    UsageRecord,
    surely_written,
)
from proxy.core.tasks import RETENTION, TaskRecord
from proxy.ports.ledger import Standing, Total
from proxy.stores import sqlite_ledger_sql as sql
from proxy.stores.holding import Holding
from proxy.stores.sqlite_file import SqliteFile
from proxy.stores.sqlite_holds import end, prolong, standing, take
from proxy.stores.sqlite_schema import DUE_TASKS, record_of, texts
from proxy.stores.usage_fields import (
    DAY,
    RECORDS_KEPT,
    SETTLEMENTS_KEPT,
    TOTALS_KEPT,
    Line,
    Sums,
    added_up,
    kept_for,
    released_by,
    total_of,
    usage_from_fields,
    usage_to_fields,
)


class SqliteLedger:
    """The port `proxy.ports.Ledger` on `_file`. `_now` is Unix seconds."""

    _file: SqliteFile
    _now: Callable[[], float]
    _holding: Holding

    async def hold(self, hold: Hold) -> Ruling:
        """See `proxy.ports.Ledger.hold`."""
        return await self._holding.hold(hold)

    async def _take(self, holds: Sequence[Hold]) -> list[Ruling | Exception]:
        return await self._file.note(lambda writer: take(writer, holds, self._now()))

    async def renew(self, holds: Sequence[str], lease: float) -> None:
        """See `proxy.ports.Ledger.renew`."""
        now = self._now()
        await self._file.write(lambda writer: prolong(writer, holds, now + lease, now))

    async def settle(self, settlement: Settlement) -> Collection[str]:
        """See `proxy.ports.Ledger.settle`."""
        return await self._file.write(lambda writer: _settle(writer, settlement, self._now()))

    async def due_tasks(self, most: int, ahead: float = 0.0) -> list[TaskRecord]:
        """See `proxy.ports.Ledger.due_tasks`."""
        now = self._now()
        args = (now + ahead, now - RETENTION, most)
        rows = await self._file.read_aside(
            lambda reader: reader.execute(DUE_TASKS, args).fetchall()
        )
        return [record_of(row) for row in rows]

    async def look_later(self, task_id: str, at: float) -> None:
        """See `proxy.ports.Ledger.look_later`."""
        await self._file.write(lambda writer: writer.execute(sql.LOOK_LATER, (at, task_id)))

    async def lead(self, process: str, seconds: float) -> bool:
        """See `proxy.ports.Ledger.lead`."""
        now = self._now()
        return await self._file.write(lambda writer: _lead(writer, process, now, now + seconds))

    async def standings(self, bounds: Sequence[tuple[str, str, str]]) -> list[Standing]:
        """See `proxy.ports.Ledger.standings`."""
        now = milliseconds(self._now())
        return await self._file.read(
            lambda reader: [standing(reader, *bound, now) for bound in bounds]
        )

    async def totals(self, first_day: str, last_day: str) -> list[Total]:
        """See `proxy.ports.Ledger.totals`."""
        rows = await self._file.read_aside(
            lambda reader: reader.execute(sql.TOTALS, (first_day, last_day)).fetchall()
        )
        by = len(Line._fields)
        return [total_of(Line(*row[:by]), Sums(*row[by:])) for row in rows]

    async def records(self, after: str, most: int) -> list[tuple[str, UsageRecord]]:
        """See `proxy.ports.Ledger.records`."""
        behind = int(after or 0)
        while rows := await self._page(behind, most):
            read = ((str(place), usage_from_fields(texts(fields) or {})) for place, fields in rows)
            if found := [(place, record) for place, record in read if record is not None]:
                return found
            behind = rows[-1][0]  # nothing in them is a record, which is not the end
        return []

    async def _page(self, behind: int, most: int) -> list[tuple[int, str]]:
        return await self._file.read_aside(
            lambda reader: reader.execute(sql.RECORDS, (behind, most)).fetchall()
        )

    async def tenant_limits(self, tenant: str) -> Limits:
        """See `proxy.ports.Ledger.tenant_limits`."""
        fields = await self._tenant(tenant)
        if fields is None:
            raise LimitUnreadableError("the row is not a JSON object of texts")
        return limits_from_fields(fields)

    async def limit_tenant(self, tenant: str, limits: Limits) -> None:
        """See `proxy.ports.Ledger.limit_tenant`."""
        if limits == NO_LIMITS:
            await self._file.write(lambda writer: writer.execute(sql.REMOVE_TENANT, (tenant,)))
        else:
            row = (tenant, json.dumps(limits_to_fields(limits)))
            await self._file.write(lambda writer: writer.execute(sql.SAVE_TENANT, row))

    async def limited_tenants(self) -> list[str]:
        """See `proxy.ports.Ledger.limited_tenants`."""
        rows = await self._file.read_aside(lambda reader: reader.execute(sql.TENANTS).fetchall())
        return sorted(tenant for (tenant,) in rows)

    async def _tenant(self, tenant: str) -> dict[str, str] | None:
        """The stored limits of a tenant: empty when there are none, None when unreadable."""
        row = await self._file.read(lambda reader: reader.execute(sql.TENANT, (tenant,)).fetchone())
        return {} if row is None else texts(row[0])


def open_task(writer: sqlite3.Connection, record: TaskRecord, now: float) -> None:
    """A task was claimed: it is open from now on, unless it was settled already."""
    look = {"task_id": record.task_id, "look_at": record.created + FIRST_LOOK}
    writer.execute(sql.OPEN, look)
    if record.hold:
        prolong(writer, [record.hold], record.created + TASK_HOLD, now)


def _settle(writer: sqlite3.Connection, settlement: Settlement, now: float) -> Collection[str]:
    _forget(writer, now)
    row = (settlement.sender, settlement.number, now)
    if writer.execute(sql.SETTLE, row).rowcount == 0:
        return surely_written(settlement)
    written = [record for record in settlement.records if _closes(writer, record, now)]
    _write(writer, written, now)
    end(writer, list(released_by(settlement, written)))
    return [record.id for record in written]


def _closes(writer: sqlite3.Connection, record: UsageRecord, now: float) -> bool:
    """Whether the record is to be written: of a task, if it was open."""
    if record.kind is not Kind.TASK:
        return True
    if writer.execute(sql.CLOSE, (record.id,)).rowcount == 0:
        return False
    writer.execute(sql.DONE, (record.id, now))
    return True


def _write(writer: sqlite3.Connection, records: Sequence[UsageRecord], now: float) -> None:
    rows = ((json.dumps(usage_to_fields(record)),) for record in records)
    writer.executemany(sql.WRITE, rows)
    sums, spent = added_up(records)
    writer.executemany(sql.SUM, [(*line, *added) for line, added in sums.items()])
    for (who, period), amount in spent.items():
        kept = kept_for(period)
        until = None if kept is None else now + kept
        writer.execute(sql.SPEND, (who, period, amount, until))


def _forget(writer: sqlite3.Connection, now: float) -> None:
    """Drop a few things that are past their time."""
    writer.execute(sql.FORGET_SPENT, (now,))
    writer.execute(sql.FORGET_DONE, (now - RETENTION,))
    writer.execute(sql.FORGET_SETTLEMENTS, (now - SETTLEMENTS_KEPT,))
    writer.execute(sql.FORGET_SUMS, (day_of(now - TOTALS_KEPT * DAY),))
    writer.execute(sql.FORGET_RECORDS, (RECORDS_KEPT,))


def _lead(writer: sqlite3.Connection, process: str, now: float, until: float) -> bool:
    leader = writer.execute(sql.LEADER).fetchone()
    if leader is not None and leader[0] != process and now < leader[1]:
        return False
    writer.execute(sql.LEAD, (process, until))
    return True
