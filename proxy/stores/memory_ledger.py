"""The verified fake's ledger: holds, sums and records in dicts, gone with the process."""

import heapq
from abc import ABC, abstractmethod
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, TypeVar

from proxy.core.holds import MONEY, Hold, Level, Ruling
from proxy.core.limits import NO_LIMITS, Limits, limits_from_fields, limits_to_fields
from proxy.core.ruling import (
    EMPTY,
    EMPTY_AFTER,
    Bucket,
    Counted,
    content,
    milliseconds,
    poured,
    rule,
)
from proxy.core.settlement import (
    FIRST_LOOK,
    TASK_HOLD,
    Kind,
    Settlement,
    UsageRecord,
    charged,
    surely_written,
)
from proxy.core.tasks import RETENTION, TaskRecord
from proxy.ports.ledger import Standing, Total
from proxy.stores.records import is_kept
from proxy.stores.usage_fields import (
    SETTLEMENTS_KEPT,
    Line,
    Sums,
    line_of,
    released_by,
    sums_of,
    total_of,
)

K = TypeVar("K")

RECORDS_KEPT = 100_000
"""Records that this process remembers, oldest out first."""


class _Held(NamedTuple):
    """A hold that was taken. `due` is Unix milliseconds."""

    due: int
    levels: tuple[Level, ...]


class MemoryLedger(ABC):
    """The port `proxy.ports.Ledger` for a store with `_tasks`. `now` is Unix seconds.

    `tenants` holds the fields of tenants' limits; a test may plant any there.
    """

    _tasks: dict[str, TaskRecord]

    def __init__(self, now: Callable[[], float]) -> None:
        self.tenants: dict[str, dict[str, str]] = {}
        self._now = now
        self._buckets: OrderedDict[tuple[str, str], Bucket] = OrderedDict()  # as in `core.notes`
        self._holds: dict[str, _Held] = {}
        self._dues: list[tuple[int, str]] = []
        self._held: defaultdict[tuple[str, str, str], int] = defaultdict(int)
        self._spent: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._open: dict[str, float] = {}
        self._done: OrderedDict[str, float] = OrderedDict()
        self._seen: OrderedDict[tuple[str, int], float] = OrderedDict()
        self._sums: dict[Line, Sums] = {}
        self._written: deque[tuple[int, UsageRecord]] = deque(maxlen=RECORDS_KEPT)
        self._place = 0
        self._leader = ("", 0.0)

    @abstractmethod
    async def ping(self) -> None:
        """Raise `StoreUnavailableError` when nothing is to be had."""

    async def hold(self, hold: Hold) -> Ruling:
        """See `proxy.ports.Ledger.hold`."""
        await self.ping()
        now = self._lapse()
        is_taken = hold.id in self._holds
        ruling = rule(hold, self._counted(hold, now), self._now(), is_taken=is_taken)
        if not is_taken and ruling.refused is None:
            self._take(hold, now)
        return ruling

    async def renew(self, holds: Sequence[str], lease: float) -> None:
        """See `proxy.ports.Ledger.renew`."""
        await self.ping()
        due = self._lapse() + milliseconds(lease)
        for hold in holds:
            self._prolong(hold, due)

    async def settle(self, settlement: Settlement) -> Collection[str]:
        """See `proxy.ports.Ledger.settle`."""
        await self.ping()
        self._forget()
        if (settlement.sender, settlement.number) in self._seen:
            return surely_written(settlement)
        self._seen[settlement.sender, settlement.number] = self._now()
        written = [record for record in settlement.records if self._closes(record)]
        for record in written:
            self._write(record)
        for hold in released_by(settlement, written):
            self._end(hold)
        return [record.id for record in written]

    async def due_tasks(self, most: int, ahead: float = 0.0) -> list[TaskRecord]:
        """See `proxy.ports.Ledger.due_tasks`."""
        await self.ping()
        now = self._now()
        due = sorted((at, task_id) for task_id, at in self._open.items() if at <= now + ahead)
        found = (self._tasks.get(task_id) for _, task_id in due)
        return [record for record in found if record and is_kept(record, now)][:most]

    async def look_later(self, task_id: str, at: float) -> None:
        """See `proxy.ports.Ledger.look_later`."""
        await self.ping()
        if task_id in self._open:
            self._open[task_id] = at

    async def lead(self, process: str, seconds: float) -> bool:
        """See `proxy.ports.Ledger.lead`."""
        await self.ping()
        leader, until = self._leader
        if leader != process and self._now() < until:
            return False
        self._leader = (process, self._now() + seconds)
        return True

    async def standings(self, bounds: Sequence[tuple[str, str, str]]) -> list[Standing]:
        """See `proxy.ports.Ledger.standings`."""
        await self.ping()
        self._lapse()
        return [self._standing(*bound) for bound in bounds]

    async def totals(self, first_day: str, last_day: str) -> list[Total]:
        """See `proxy.ports.Ledger.totals`."""
        await self.ping()
        lines = sorted(line for line in self._sums if first_day <= line.day <= last_day)
        return [total_of(line, self._sums[line]) for line in lines]

    async def records(self, after: str, most: int) -> list[tuple[str, UsageRecord]]:
        """See `proxy.ports.Ledger.records`."""
        await self.ping()
        behind = int(after or 0)
        found = [(str(place), record) for place, record in self._written if place > behind]
        return found[:most]

    async def tenant_limits(self, tenant: str) -> Limits:
        """See `proxy.ports.Ledger.tenant_limits`."""
        await self.ping()
        return limits_from_fields(self.tenants.get(tenant, {}))

    async def limit_tenant(self, tenant: str, limits: Limits) -> None:
        """See `proxy.ports.Ledger.limit_tenant`."""
        await self.ping()
        self.tenants.pop(tenant, None)
        if limits != NO_LIMITS:
            self.tenants[tenant] = limits_to_fields(limits)

    async def limited_tenants(self) -> list[str]:
        """See `proxy.ports.Ledger.limited_tenants`."""
        await self.ping()
        return sorted(self.tenants)

    def _open_task(self, record: TaskRecord) -> None:
        """A task was claimed: what `claim` does here."""
        self._lapse()
        if record.task_id not in self._done:
            self._open.setdefault(record.task_id, record.created + FIRST_LOOK)
        self._prolong(record.hold, milliseconds(record.created + TASK_HOLD))

    def _forget(self) -> None:
        """Drop what came so long ago that it cannot come again."""
        _drop_until(self._done, self._now() - RETENTION)
        _drop_until(self._seen, self._now() - SETTLEMENTS_KEPT)

    def _lapse(self) -> int:
        """End the holds that are past due; the time it is, in milliseconds."""
        now = milliseconds(self._now())
        while self._dues and self._dues[0][0] <= now:
            _, hold = heapq.heappop(self._dues)
            if hold in self._holds and self._holds[hold].due <= now:
                self._end(hold)
        return now

    def _counted(self, hold: Hold, now: int) -> Counted:
        buckets = [self._buckets.get((rate.who, rate.what), EMPTY) for rate in hold.rates]
        rates = zip(buckets, hold.rates, strict=True)
        return Counted(
            tuple(content(bucket, rate, now) for bucket, rate in rates),
            tuple(sum(self._standing(one.who, one.what, one.period)) for one in hold.levels),
        )

    def _standing(self, who: str, what: str, period: str) -> Standing:
        spent = self._spent.get((who, period), 0) if what == MONEY else 0
        return Standing(self._held.get((who, what, period), 0), spent)

    def _take(self, hold: Hold, now: int) -> None:
        self._drop_empty(now)
        for rate in hold.rates:
            place = (rate.who, rate.what)
            self._buckets[place] = poured(self._buckets.pop(place, EMPTY), rate, now)
        for level in hold.levels:
            self._held[level.who, level.what, level.period] += level.amount
        due = now + milliseconds(hold.lease)
        self._holds[hold.id] = _Held(due, hold.levels)
        heapq.heappush(self._dues, (due, hold.id))

    def _drop_empty(self, now: int) -> None:
        """The buckets stand in the order in which they were last used."""
        while self._buckets and next(iter(self._buckets.values())).at <= now - EMPTY_AFTER:
            del self._buckets[next(iter(self._buckets))]

    def _prolong(self, hold: str, due: int) -> None:
        held = self._holds.get(hold)
        if held is not None and held.due < due:
            self._holds[hold] = held._replace(due=due)
            heapq.heappush(self._dues, (due, hold))

    def _end(self, hold: str) -> None:
        held = self._holds.pop(hold, None)
        for level in held.levels if held else ():
            place = (level.who, level.what, level.period)
            self._held[place] -= level.amount
            if not self._held[place]:
                del self._held[place]

    def _closes(self, record: UsageRecord) -> bool:
        """Whether the record is to be written: of a task, if it was open."""
        if record.kind is not Kind.TASK:
            return True
        if self._open.pop(record.id, None) is None:
            return False
        self._done[record.id] = self._now()
        return True

    def _write(self, record: UsageRecord) -> None:
        self._place += 1
        self._written.append((self._place, record))
        for place in charged(record):
            self._spent[place] += record.amount
        line = line_of(record)
        before = self._sums.get(line, Sums())
        self._sums[line] = Sums(*map(sum, zip(before, sums_of(record), strict=True)))


def _drop_until(times: OrderedDict[K, float], at: float) -> None:
    """Take out what is older; entries stand in the order of their times."""
    while times and times[next(iter(times))] <= at:
        del times[next(iter(times))]
