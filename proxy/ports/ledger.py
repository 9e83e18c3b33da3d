"""What is held, spent and recorded: limits, budgets and the usage of all tokens."""

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

from proxy.core.holds import Hold, Ruling
from proxy.core.limits import Limits
from proxy.core.settlement import Settlement, UsageRecord
from proxy.core.statement import Total
from proxy.core.tasks import TaskRecord

__all__ = ["Ledger", "Standing", "Total"]


class Standing(NamedTuple):
    """How much of something counts at the moment, see `proxy.core.holds.Level`."""

    held: int
    spent: int


class Ledger(Protocol):
    """Holds, records and sums. All methods raise `StoreUnavailableError`.

    A task that was claimed is *open* until its record is settled: no task has two records, and
    none is forgotten while its owner is remembered. `claim` opens it, to be looked at
    `FIRST_LOOK` seconds after its creation, and prolongs its hold to `TASK_HOLD` after.

    A hold whose lease is over is gone: it counts nowhere, and nothing brings it back.
    """

    async def hold(self, hold: Hold) -> Ruling:
        """Take a hold, all of it or nothing, in one step. The same `id` again takes no more."""
        ...

    async def renew(self, holds: Sequence[str], lease: float) -> None:
        """Say that these calls live: what is there still ends in `lease` seconds, or later."""
        ...

    async def settle(self, settlement: Settlement) -> Collection[str]:
        """Write records down, add them up, end their holds, and those that are released.

        Returns the ids of the records that this wrote. Where it was settled before, or is only
        kept to be settled later, nobody knows of tasks: see `surely_written`.

        May be repeated. Of a task that is not open, or no more, nothing is written, and its hold
        stays. All of a settlement is written or nothing; at most `MOST_RECORDS` at a time.
        """
        ...

    async def due_tasks(self, most: int, ahead: float = 0.0) -> list[TaskRecord]:
        """Open tasks whose time has come to be looked at, the longest overdue first.

        With them are those whose time comes within `ahead` seconds.
        """
        ...

    async def look_later(self, task_id: str, at: float) -> None:
        """An open task needs no look before `at` (Unix seconds)."""
        ...

    async def lead(self, process: str, seconds: float) -> bool:
        """Whether this process is the one that looks, for so many seconds from now."""
        ...

    async def standings(self, bounds: Sequence[tuple[str, str, str]]) -> list[Standing]:
        """What counts now of each (who, what, period), see `proxy.core.holds.Level`."""
        ...

    async def totals(self, first_day: str, last_day: str) -> list[Total]:
        """Sums by day, tenant, token, model and currency, in this order.

        Days are `2026-11-20`, both included; the last 400 are remembered.
        """
        ...

    async def records(self, after: str, most: int) -> list[tuple[str, UsageRecord]]:
        """Records in the order they were written, behind the place `after` (empty: the first).

        The oldest are dropped when a million newer ones are there.
        """
        ...

    async def tenant_limits(self, tenant: str) -> Limits:
        """The limits of all the tenant's tokens together. Raises `LimitUnreadableError`."""
        ...

    async def limit_tenant(self, tenant: str, limits: Limits) -> None:
        """Replace them; every process sees it within a second."""
        ...

    async def limited_tenants(self) -> list[str]:
        """The tenants that have limits of their own, in alphabetical order."""
        ...
