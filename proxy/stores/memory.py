"""The verified fake: the whole contract in dicts, gone with the process.

For tests, documentation and `memory:`. It passes the same contract suite as the real stores.
"""

import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace

from proxy.core.errors import StoreUnavailableError
from proxy.core.idempotency import Submission
from proxy.core.policy import (
    Grant,
    GrantUnreadableError,
    grant_from_fields,
    grant_to_fields,
    within_tenant,
)
from proxy.core.tasks import TaskConflictError, TaskRecord
from proxy.stores.memory_ledger import MemoryLedger
from proxy.stores.notices import OnChange, OnUnreadable, ignore
from proxy.stores.records import LIST_LIMIT, is_kept, supersedes
from proxy.stores.unreadable import Unreadable


class MemoryStore(MemoryLedger):
    """Tokens, tasks and the ledger of one process.

    `tokens` holds the fields of each grant by digest; a test may plant any there, unreadable
    ones too. `now` is the wall clock in Unix seconds. `set_available(up=False)` plays a store
    that is down: everything raises `StoreUnavailableError` until it is up again.
    """

    def __init__(
        self,
        *,
        now: Callable[[], float] = time.time,
        on_change: OnChange = ignore,
        on_unreadable: OnUnreadable = ignore,
    ) -> None:
        super().__init__(now)
        self.tokens: dict[str, dict[str, str]] = {}
        self._tasks: OrderedDict[str, TaskRecord] = OrderedDict()  # as in `core.notes`
        self._submissions: OrderedDict[str, Submission] = OrderedDict()
        self._on_change = on_change
        self._unreadable = Unreadable(on_unreadable)
        self._available = True
        self._closed = False

    def set_available(self, *, up: bool) -> None:
        """Begin or end an outage."""
        if up is not self._available:
            self._available = up
            self._on_change(up)

    @property
    def trouble(self) -> str:
        """See `proxy.ports.Store.trouble`."""
        return "closed" if self._closed else "an outage is played"

    async def open(self) -> None:
        """Nothing to connect."""
        self._closed = False

    async def close(self) -> None:
        """Unavailable from here on. What is remembered is there again after `open`."""
        self._closed = True

    async def ping(self) -> None:
        """Raise `StoreUnavailableError` during a played outage and after `close`."""
        if self._closed or not self._available:
            raise StoreUnavailableError

    async def grant(self, digest: str) -> Grant | None:
        """See `proxy.ports.Tokens.grant`."""
        await self.ping()
        fields = self.tokens.get(digest)
        try:
            grant = None if fields is None else self._granted(digest, fields)
        except GrantUnreadableError as error:
            self._unreadable.tell(digest, str(error))
            return None
        self._unreadable.mended(digest)
        return grant

    async def save_grant(self, digest: str, grant: Grant) -> None:
        """See `proxy.ports.Tokens.save_grant`."""
        await self.ping()
        self.tokens[digest] = grant_to_fields(grant)

    async def remove_grant(self, digest: str) -> bool:
        """See `proxy.ports.Tokens.remove_grant`."""
        await self.ping()
        return self.tokens.pop(digest, None) is not None

    async def grants(self) -> AsyncIterator[tuple[str, Grant | GrantUnreadableError]]:
        """See `proxy.ports.Tokens.grants`."""
        await self.ping()
        for digest, fields in list(self.tokens.items()):
            try:
                yield digest, grant_from_fields(digest, fields)
            except GrantUnreadableError as error:
                yield digest, error

    async def claim(self, record: TaskRecord) -> None:
        """See `proxy.ports.Tasks.claim`."""
        await self.ping()
        self._purge()
        if self._tasks.setdefault(record.task_id, record).tenant != record.tenant:
            raise TaskConflictError(record.task_id)
        self._open_task(record)

    async def owner(self, task_id: str, tenant: str) -> TaskRecord | None:
        """See `proxy.ports.Tasks.owner`."""
        await self.ping()
        record = self._tasks.get(task_id)
        return record if record and record.tenant == tenant and self._is_kept(record) else None

    async def observe(self, task_id: str, status: str, at: float) -> None:
        """See `proxy.ports.Tasks.observe`."""
        await self.ping()
        record = self._tasks.get(task_id)
        if record and self._is_kept(record) and supersedes(status, record.status):
            self._tasks[task_id] = replace(record, status=status, updated=at)

    async def tasks_of(self, tenant: str, since: float, until: float) -> list[TaskRecord]:
        """See `proxy.ports.Tasks.tasks_of`."""
        await self.ping()
        now = self._now()
        found = [
            record
            for record in self._tasks.values()
            if record.tenant == tenant and since <= record.created <= until and is_kept(record, now)
        ]
        return sorted(found, key=lambda record: record.created, reverse=True)[:LIST_LIMIT]

    async def reserve(self, place: str, first: Submission) -> Submission | None:
        """See `proxy.ports.Submissions.reserve`."""
        await self.ping()
        self._forget_keys()
        known = self._submissions.get(place)
        if known is not None and known.is_kept(self._now()):
            return None if known.holder == first.holder else known
        self._submissions.pop(place, None)
        self._submissions[place] = first
        return None

    async def advance(self, place: str, submission: Submission) -> bool:
        """See `proxy.ports.Submissions.advance`."""
        await self.ping()
        known = self._reserved(place, submission.holder)
        if known is not None and known.outcome is None:
            self._submissions[place] = submission
        return known is not None

    async def prolong(self, place: str, holder: str, due: float) -> None:
        """See `proxy.ports.Submissions.prolong`."""
        await self.ping()
        known = self._reserved(place, holder)
        if known is not None:
            self._submissions[place] = replace(known, due=due)

    async def release(self, place: str, holder: str) -> None:
        """See `proxy.ports.Submissions.release`."""
        await self.ping()
        if self._reserved(place, holder) is not None:
            del self._submissions[place]

    def _granted(self, digest: str, fields: Mapping[str, str]) -> Grant:
        """Raises `GrantUnreadableError`, for the tenant's limits too."""
        grant = grant_from_fields(digest, fields)
        return within_tenant(grant, self.tenants.get(grant.tenant, {}))

    def _reserved(self, place: str, holder: str) -> Submission | None:
        known = self._submissions.get(place)
        return known if known is not None and known.holder == holder else None

    def _forget_keys(self) -> None:
        """Drop what is not kept: reservations stand in the order they were made."""
        now = self._now()
        while self._submissions:
            oldest = next(iter(self._submissions))
            if self._submissions[oldest].is_kept(now):
                return
            del self._submissions[oldest]

    def _is_kept(self, record: TaskRecord) -> bool:
        return is_kept(record, self._now())

    def _purge(self) -> None:
        """Drop what is past retention, oldest claim first, stopping at the first that counts."""
        now = self._now()
        while self._tasks:
            oldest = next(iter(self._tasks))
            if is_kept(self._tasks[oldest], now):
                return
            del self._tasks[oldest]
            self._open.pop(oldest, None)
