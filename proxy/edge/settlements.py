"""What goes from this process to the ledger: records and ended holds, in order, exactly once.

    put → batch → settle → again, until the store takes it → next

One batch is under way at a time. It keeps its number while it is tried again, so that a store
that took it without saying so takes it once. What waits is bounded; what there is no room for is
told, with all that a bill needs.
"""

import asyncio
import uuid
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

from proxy.core.errors import StoreUnavailableError
from proxy.core.money import text_of
from proxy.core.settlement import MOST_RECORDS, Kind, Settlement, UsageRecord
from proxy.ports import Ledger, Telemetry

MOST_WAITING = 50_000
"""Records and releases that wait while the store is away: some 50 MB."""

PATIENCE = 10.0
"""Seconds that the store may take for one batch."""

INSISTING = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts to hand over the same batch; the last for ever."""

LINGER = 0.1
"""Seconds for which records that end no hold wait for each other: a batch costs the store about as
much as a single one."""

IN_DOUBT = "the store did not say whether it took it before the process ended; it may have it"
"""Why a record is told as lost that whoever bills has to look for first."""

NEVER_TAKEN = "the store did not take it before the process ended"

Item: TypeAlias = UsageRecord | str
"""A record, or the id of a hold that came to nothing."""


Taken: TypeAlias = Callable[[Sequence[UsageRecord], Collection[str]], None]


class Settlements:
    """The queue of one process. `run` it; `put` never waits.

    `taken` hears of each batch that waits no more: the records that are settled now, by whomever,
    and the ids of those that were written for it.
    """

    def __init__(
        self,
        ledger: Ledger,
        telemetry: Telemetry,
        taken: Taken,
        most: int = MOST_WAITING,
    ) -> None:
        self._ledger = ledger
        self._telemetry = telemetry
        self._taken = taken
        self._most = most
        self._sender = uuid.uuid4().hex
        self._number = 0
        self._waiting: deque[Item] = deque()
        self._batch: list[Item] = []
        self._tasks: set[str] = set()  # whose records wait, or are under way
        self._came = asyncio.Event()
        self._urgent = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        """How many are not in the ledger yet."""
        return len(self._waiting) + len(self._batch)

    def put(self, item: Item) -> None:
        """Hand over a record, or a hold that came to nothing.

        A task whose record is on its way has ended already, however many saw it.
        """
        task = _task_of(item)
        if task and task in self._tasks:
            return
        if len(self._waiting) + len(self._batch) >= self._most:
            self._lost(item, "too many wait for the store")
            return
        if task:
            self._tasks.add(task)
        self._waiting.append(item)
        if len(self._waiting) == 1:
            self._idle.clear()
            self._came.set()
        if isinstance(item, str) or item.hold or len(self._waiting) >= MOST_RECORDS:
            self._urgent.set()

    async def drained(self) -> None:
        """Return when all of it is in the ledger."""
        self._urgent.set()
        await self._idle.wait()

    async def run(self) -> None:
        """Hand over what comes, for ever."""
        while True:
            await self._came.wait()
            lingering = asyncio.get_running_loop().call_later(LINGER, self._urgent.set)
            await self._urgent.wait()
            lingering.cancel()
            self._urgent.clear()
            while self._waiting:
                await self._hand_over()
            self._came.clear()
            self._idle.set()

    def give_up(self) -> None:
        """Tell of everything that never got there, as far as anybody knows."""
        for item in self._batch:
            self._lost(item, IN_DOUBT)
        for item in self._waiting:
            self._lost(item, NEVER_TAKEN)
        self._batch.clear()
        self._waiting.clear()
        self._idle.set()

    async def _hand_over(self) -> None:
        size = min(MOST_RECORDS, len(self._waiting))
        self._batch = [self._waiting.popleft() for _ in range(size)]
        self._number += 1
        records = tuple(item for item in self._batch if isinstance(item, UsageRecord))
        released = tuple(item for item in self._batch if isinstance(item, str))
        settlement = Settlement(self._sender, self._number, records, released)
        attempt = 0
        while not await self._is_over(settlement):
            await asyncio.sleep(INSISTING[min(attempt, len(INSISTING) - 1)])
            attempt += 1

    async def _is_over(self, settlement: Settlement) -> bool:
        """Try once; a batch that fails for a reason of its own is not tried again."""
        try:
            async with asyncio.timeout(PATIENCE):
                written = await self._ledger.settle(settlement)
        except (StoreUnavailableError, TimeoutError):
            return False
        except Exception as error:  # noqa: BLE001 - our own bug must not keep the others waiting
            self._telemetry.bug(error, settlement.sender)
            for item in self._batch:
                self._lost(item, "the ledger refused it")
            self._ended((), ())
        else:
            self._ended(settlement.records, written)
        return True

    def _ended(self, records: Sequence[UsageRecord], written: Collection[str]) -> None:
        self._tasks.difference_update(map(_task_of, self._batch))
        self._batch.clear()
        self._taken(records, written)

    def _lost(self, item: Item, why: str) -> None:
        """A hold that is not released lapses by itself; a record is money."""
        if isinstance(item, UsageRecord):
            used = {name: str(value) for name, value in item.used._asdict().items() if value}
            facts = {**item._asdict(), **used, "amount": text_of(item.amount)}
            del facts["used"]
            self._telemetry.event("usage_record_lost", why=why, **facts)


def _task_of(item: Item) -> str:
    """The task whose record this is; empty for all that no two processes could see end."""
    return item.id if isinstance(item, UsageRecord) and item.kind is Kind.TASK else ""
