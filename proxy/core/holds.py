"""A hold: what one call takes of every limit that concerns it, before it is sent.

A *rate* is a bucket of a minute's calls that refills steadily. A *level* is an amount that counts
against a limit: one task or stream while it runs, money until it is settled. A level counts what
is held there and what has been spent there in its period; money held is the dearest that the call
could cost. All of a hold is taken, or nothing of it.

Who holds has to settle, or to say that it lives, before its lease ends. Past that the hold counts
no more: this is how a budget heals when a process dies. A lease begins when the store takes the
hold, and ends by the store's clock: no call waits its own lease away, and no two processes need
the same time.
"""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

LEASE = 60.0
"""Seconds that a call under way may be silent until its hold lapses; the process that runs it
renews well before."""

MOST_HELD = 2**53 - 1
"""The largest amount that a script in Redis counts exactly; no limit is as high."""

MONEY = "money"
TASKS = "tasks"
STREAMS = "streams"
REQUESTS = "requests"
SUBMITS = "submits"


class Rate(NamedTuple):
    """One more of `what`, of which `who` (`token:<id>`, `tenant:<name>`) has so many a minute."""

    who: str
    what: str
    per_minute: int


class Level(NamedTuple):
    """An `amount` more of `what`, of which `who` may have `most` (None: any) in a `period`.

    `period` is empty for what is only ever held, else `2026-11-20`, `2026-11` or `total`.
    """

    who: str
    what: str
    period: str
    amount: int
    most: int | None


Bound: TypeAlias = Rate | Level


@dataclass(frozen=True, slots=True)
class Hold:
    """What a call takes. `id` is the proxy's id of the request; `lease` is seconds.

    No bound comes twice. Raises `ValueError` for an amount that is negative or beyond
    `MOST_HELD`, and for a lease that is over before it begins.
    """

    id: str
    rates: tuple[Rate, ...]
    levels: tuple[Level, ...]
    lease: float = LEASE

    def __post_init__(self) -> None:
        if self.lease <= 0:
            raise ValueError(f"nothing is held for {self.lease} seconds")
        for level in self.levels:
            if not 0 <= level.amount <= MOST_HELD:
                raise ValueError(f"{level.what}: {level.amount} cannot be held")


class Left(NamedTuple):
    """What is left of a bound: `amount` now, and seconds until it is whole again.

    `reset` is None where no time brings it back (money of all times, what still runs).
    """

    bound: Bound
    amount: int
    reset: float | None


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a store says to a hold: taken, unless `refused` names the first bound it met.

    `left` is one entry for each rate and each level with a limit, in the hold's order, after the
    hold was taken, or as it stands when it was not. `wait` is the seconds until the same hold may
    be taken, where time alone can tell.
    """

    left: tuple[Left, ...] = ()
    refused: Bound | None = None
    wait: float | None = None
