"""A store in front of another: what it does not do itself, the other does."""

from collections.abc import AsyncIterator, Collection, Coroutine, Sequence
from typing import Any

from proxy.core.holds import Hold, Ruling
from proxy.core.idempotency import Submission
from proxy.core.limits import Limits
from proxy.core.policy import Grant, GrantUnreadableError
from proxy.core.settlement import Settlement, UsageRecord
from proxy.core.tasks import TaskRecord
from proxy.ports import Store
from proxy.ports.ledger import Standing, Total


class Front:
    """Everything is handed on to `store`, as `proxy.ports.Store` says it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def trouble(self) -> str:
        """See `proxy.ports.Store.trouble`."""
        return self._store.trouble

    async def open(self) -> None:
        """See `proxy.ports.Store.open`."""
        await self._store.open()

    async def close(self) -> None:
        """See `proxy.ports.Store.close`."""
        await self._store.close()

    async def ping(self) -> None:
        """See `proxy.ports.Store.ping`."""
        await self._store.ping()

    def grant(self, digest: str) -> Coroutine[Any, Any, Grant | None]:
        """See `proxy.ports.Tokens.grant`. No coroutine of its own: every call comes this way."""
        return self._store.grant(digest)

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
        """See `proxy.ports.Tasks.claim`."""
        await self._store.claim(record)

    async def owner(self, task_id: str, tenant: str) -> TaskRecord | None:
        """See `proxy.ports.Tasks.owner`."""
        return await self._store.owner(task_id, tenant)

    async def observe(self, task_id: str, status: str, at: float) -> None:
        """See `proxy.ports.Tasks.observe`."""
        await self._store.observe(task_id, status, at)

    async def tasks_of(self, tenant: str, since: float, until: float) -> list[TaskRecord]:
        """See `proxy.ports.Tasks.tasks_of`."""
        return await self._store.tasks_of(tenant, since, until)

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

    async def hold(self, hold: Hold) -> Ruling:
        """See `proxy.ports.Ledger.hold`."""
        return await self._store.hold(hold)

    async def renew(self, holds: Sequence[str], lease: float) -> None:
        """See `proxy.ports.Ledger.renew`."""
        await self._store.renew(holds, lease)

    async def settle(self, settlement: Settlement) -> Collection[str]:
        """See `proxy.ports.Ledger.settle`."""
        return await self._store.settle(settlement)

    async def due_tasks(self, most: int, ahead: float = 0.0) -> list[TaskRecord]:
        """See `proxy.ports.Ledger.due_tasks`."""
        return await self._store.due_tasks(most, ahead)

    async def look_later(self, task_id: str, at: float) -> None:
        """See `proxy.ports.Ledger.look_later`."""
        await self._store.look_later(task_id, at)

    async def lead(self, process: str, seconds: float) -> bool:
        """See `proxy.ports.Ledger.lead`."""
        return await self._store.lead(process, seconds)

    async def standings(self, bounds: Sequence[tuple[str, str, str]]) -> list[Standing]:
        """See `proxy.ports.Ledger.standings`."""
        return await self._store.standings(bounds)

    async def totals(self, first_day: str, last_day: str) -> list[Total]:
        """See `proxy.ports.Ledger.totals`."""
        return await self._store.totals(first_day, last_day)

    async def records(self, after: str, most: int) -> list[tuple[str, UsageRecord]]:
        """See `proxy.ports.Ledger.records`."""
        return await self._store.records(after, most)

    async def tenant_limits(self, tenant: str) -> Limits:
        """See `proxy.ports.Ledger.tenant_limits`."""
        return await self._store.tenant_limits(tenant)

    async def limit_tenant(self, tenant: str, limits: Limits) -> None:
        """See `proxy.ports.Ledger.limit_tenant`."""
        await self._store.limit_tenant(tenant, limits)

    async def limited_tenants(self) -> list[str]:
        """See `proxy.ports.Ledger.limited_tenants`."""
        return await self._store.limited_tenants()
