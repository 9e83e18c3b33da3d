"""What is written down when a call or a task has come to its end: who used what, and its price."""

from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import NamedTuple

from proxy.core.beijing import periods_of
from proxy.core.usage import NOTHING_USED, Used

MOST_RECORDS = 200
"""Records, and released holds, in one settlement: a few milliseconds of a store."""

FIRST_LOOK = 60.0
"""Seconds from a task's creation until it is looked at, if nobody has polled it to its end."""

TASK_HOLD = 25 * 60 * 60.0
"""Seconds from a task's creation until its hold lapses: by then upstream has forgotten it."""


class Kind(StrEnum):
    """What was run."""

    TASK = "task"
    CALL = "call"
    SOCKET = "socket"


class Basis(StrEnum):
    """What the amount rests on."""

    USAGE = "usage"
    """What upstream says was used."""
    REQUEST = "request"
    """What the request asked for, because the answer does not say."""
    NOTHING = "nothing"
    """It costs nothing: it failed, or has no price."""


class UsageRecord(NamedTuple):
    """One task or call. Times are Unix seconds, `amount` billionths of `currency`'s unit.

    `id` is the task's, or the proxy's of the request (with the task's behind a `:` on a socket).
    `status` is upstream's of a task, SUCCEEDED for an answered call. `hold` is the id of the hold
    that ends with it, empty where there is none. `created` decides which day is charged.
    """

    id: str
    kind: Kind
    tenant: str
    token: str
    account: str
    model: str
    status: str
    created: float
    ended: float
    used: Used = NOTHING_USED
    amount: int = 0
    currency: str = ""
    basis: Basis = Basis.NOTHING
    request_id: str = ""
    hold: str = ""


@dataclass(frozen=True, slots=True)
class Settlement:
    """Records and ended holds that one process hands over at once, exactly once.

    A process is a `sender` that numbers what it hands over, from 1: a store that has seen this
    `number` of it has all of it already. Numbers may come in any order, late ones too. `released`
    are holds that came to nothing. At most `MOST_RECORDS` of either: one step in the store.
    Raises `ValueError` for more.
    """

    sender: str
    number: int
    records: tuple[UsageRecord, ...] = ()
    released: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if max(len(self.records), len(self.released)) > MOST_RECORDS:
            raise ValueError(f"a settlement has at most {MOST_RECORDS} records, and as many holds")


def surely_written(settlement: Settlement) -> frozenset[str]:
    """Ids of the records that are written whatever was there before: all but those of tasks.

    A task may have been settled by somebody else, and is written once.
    """
    return frozenset(one.id for one in settlement.records if one.kind is not Kind.TASK)


def charged(record: UsageRecord) -> tuple[tuple[str, str], ...]:
    """Each (who, period) whose spent money the record adds to."""
    who = (f"token:{record.token}", f"tenant:{record.tenant}")
    return tuple(product(who, periods_of(record.created)))
