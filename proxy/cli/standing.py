"""What a token or a tenant uses at the moment: what runs, what is spent, held and left."""

import time
from dataclasses import dataclass

from proxy.cli.minting import TokenError
from proxy.core.beijing import periods_of
from proxy.core.holds import MONEY, STREAMS, TASKS
from proxy.core.limits import Limits, LimitUnreadableError
from proxy.core.money import text_of
from proxy.ports import Ledger

HEADER = ("WHOSE", "WHAT", "PERIOD", "LIMIT", "SPENT", "HELD", "LEFT")

NO_CURRENCY = "none: nothing has a price"
"""In place of the currency that the route file names."""


@dataclass(frozen=True, slots=True)
class Use:
    """How much of one thing counts against one limit; money in billionths. None is no limit."""

    name: str
    what: str
    period: str
    limit: int | None
    held: int
    spent: int

    @property
    def left(self) -> int | None:
        """What may still be taken."""
        return None if self.limit is None else max(0, self.limit - self.held - self.spent)

    def facts(self) -> dict[str, object]:
        """For programs: numbers of what runs, amounts as text; null where there is no limit."""
        if self.what != MONEY:
            return {"limit": self.limit, "held": self.held, "left": self.left}
        amounts = {"limit": self.limit, "spent": self.spent, "held": self.held, "left": self.left}
        told = {name: None if nanos is None else text_of(nanos) for name, nanos in amounts.items()}
        return {"period": self.period, **told}

    def row(self, whose: str) -> tuple[str, ...]:
        """For people: a row under `HEADER`."""
        facts = self.facts()
        cells = (facts.get(name, "-") for name in ("limit", "spent", "held", "left"))
        told = ("-" if cell is None else str(cell) for cell in cells)
        return whose, self.what, self.period or "now", *told


async def tenant_limits(ledger: Ledger, name: str) -> Limits:
    """A tenant's limits. Raises `TokenError` when they cannot be read."""
    try:
        return await ledger.tenant_limits(name)
    except LimitUnreadableError as error:
        problem = f"tenant {name!r}: {error}; `tenant clear` takes all its limits away"
        raise TokenError(problem) from error


async def uses_of(ledger: Ledger, who: str, limits: Limits) -> list[Use]:
    """What counts now against the limits of `who` (`token:<id>`, `tenant:<name>`).

    What runs, then the money of this day, this month and all times, Beijing's; where nothing is
    limited too. Raises `StoreUnavailableError`.
    """
    day, month, always = periods_of(time.time())
    wanted = (
        ("tasks", TASKS, "", limits.concurrent_tasks),
        ("streams", STREAMS, "", limits.concurrent_streams),
        ("day", MONEY, day, limits.budget_day),
        ("month", MONEY, month, limits.budget_month),
        ("total", MONEY, always, limits.budget_total),
    )
    standings = await ledger.standings([(who, what, period) for _, what, period, _ in wanted])
    return [
        Use(*bound, standing.held, standing.spent)
        for bound, standing in zip(wanted, standings, strict=True)
    ]
