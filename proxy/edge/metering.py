"""The meter of a process: it lets calls take their holds, and sees to it that every hold ends.

What a call takes is decided in `proxy.core.tickets`, what its end costs in `proxy.core.charging`.
Where a limit has to be looked up and the store is away, the call is refused: a budget that nobody
can look up protects nobody. Calls without limits go on.
"""

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from proxy.core.charging import Fare, is_over, task_record
from proxy.core.errors import StoreUnavailableError
from proxy.core.holds import LEASE, Hold, Ruling
from proxy.core.notes import Notes
from proxy.core.policy import Grant
from proxy.core.prices import PriceList
from proxy.core.settlement import Kind, UsageRecord
from proxy.core.tasks import TaskRecord
from proxy.core.tickets import Wish, asks_stream, hold_for, is_limited, kind_of, refusal
from proxy.edge.asked import Asked
from proxy.edge.background import end_all
from proxy.edge.intake import Passage
from proxy.edge.settlements import Settlements
from proxy.edge.tickets import Ticket
from proxy.ports import Call, Ledger, Telemetry

PATIENCE = 2.0
"""Seconds that the store may take to rule on a hold."""

FAREWELL = 5.0
"""Seconds for what is left to be handed over when the process ends."""

SETTLED = 50_000
"""Tasks of which is remembered that they are settled: some 10 MB."""

TELLING = 0.1
"""Seconds in which what is held and what waits is told once, however often it changes: a gauge
costs as much as all the rest of a settlement, and nobody reads one so often."""

_NOT_YET: Mapping[str, str] = {}
"""The inputs of a body that is still to be asked for them."""


class Meter:
    """Holds and records of one process. `start` it before use; `lease` is in seconds."""

    def __init__(
        self,
        ledger: Ledger,
        prices: PriceList,
        telemetry: Telemetry,
        lease: float = LEASE,
    ) -> None:
        self.prices = prices
        self.currency = prices.currency
        self._ledger = ledger
        self._telemetry = telemetry
        self.lease = lease
        self._held: dict[str, None] = {}
        self._settled: Notes[str, bool] = Notes(SETTLED)
        self._queue = Settlements(ledger, telemetry, self._taken)
        self._running: list[asyncio.Task[None]] = []
        self._telling: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Begin to renew and to hand over, within the running loop."""
        loops = (self._renew_always(), self._queue.run())
        self._running = [asyncio.create_task(loop) for loop in loops]

    async def stop(self, patience: float = FAREWELL) -> None:
        """Hand over what is left; what the store does not take in time is told as lost."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self.drained()
        await end_all(self._running)
        self._queue.give_up()
        self._tell()

    async def drained(self) -> None:
        """Return when all that ended is in the ledger."""
        await self._queue.drained()

    # -- calls ---------------------------------------------------------------------------------

    def ticket(
        self, asked: Asked, grant: Grant, call: Call, model: str | None, passage: Passage
    ) -> Ticket:
        """The ticket of a call that is about to be sent; polls and their like need none."""
        fare = self._fare(asked, model)
        hold = self._hold(asked, grant, fare, passage) if is_limited(grant) else None
        return Ticket(self, asked.visit, grant, call.account.name, hold, fare, passage)

    def _hold(self, asked: Asked, grant: Grant, fare: Fare | None, passage: Passage) -> Hold | None:
        at, noted = fare.at if fare else time.time(), passage.noted
        is_stream = not asked.creates_tasks and asks_stream(asked.header.fields, noted)
        dearest = fare._replace(inputs=noted).dearest if fare else 0
        wish = Wish(asked.creates_tasks, is_stream, dearest)
        return hold_for(asked.visit.request_id, grant, wish, at, self.lease)

    def _fare(self, asked: Asked, model: str | None) -> Fare | None:
        """What the call is charged by, where it runs a model; its inputs may still be coming."""
        if model is None or not asked.match.runs_model:
            return None
        now, size = time.time(), asked.request.content_length
        return Fare(model, now, _NOT_YET, self.prices.find(model, now), size)

    async def admit(self, hold: Hold) -> Ruling:
        """See `proxy.edge.tickets.Desk.admit`. In doubt about the store's answer it is released."""
        try:
            ruling = await self._ruled(hold)
        except BaseException:
            self._queue.put(hold.id)
            raise
        if ruling.refused is not None:
            self._telemetry.limited(kind_of(ruling.refused))
            raise refusal(ruling)
        self._held[hold.id] = None
        self._tell_soon()
        return ruling

    async def _ruled(self, hold: Hold) -> Ruling:
        """The store's word. Raises `StoreUnavailableError` when there is none in time."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._ledger.hold(hold)
        except (TimeoutError, StoreUnavailableError) as error:
            raise StoreUnavailableError(
                "The proxy's store is unavailable, so the limits of this token cannot be looked "
                "up; nothing was sent, try again."
            ) from error

    def settle(self, record: UsageRecord) -> None:
        """See `proxy.edge.tickets.Desk.settle`."""
        self._held.pop(record.hold, None)
        self._queue.put(record)
        self._tell_soon()

    def release(self, hold: str) -> None:
        """See `proxy.edge.tickets.Desk.release`."""
        self._held.pop(hold, None)
        self._queue.put(hold)
        self._tell_soon()

    def hand_over(self, hold: str) -> None:
        """See `proxy.edge.tickets.Desk.hand_over`."""
        self._held.pop(hold, None)
        self._tell_soon()

    # -- tasks ---------------------------------------------------------------------------------

    def task_seen(self, task: TaskRecord, status: str, answer: object) -> None:
        """A poll was answered with this state: the end of a task is settled, once."""
        now = time.time()
        if task.task_id not in self._settled and is_over(status, now - task.created):
            self.task_over(task, status, answer)

    def task_over(self, task: TaskRecord, status: str, answer: object) -> None:
        """Settle a task. The ledger writes nothing of one that is settled already."""
        self._queue.put(task_record(task, status, answer, self.prices, time.time()))
        self._tell_soon()

    def still_open(self, task: TaskRecord) -> None:
        """The ledger says that a task is not settled, whatever was noted here."""
        self._settled.drop(task.task_id)

    # -- in the background -----------------------------------------------------------------------

    def _taken(self, records: Sequence[UsageRecord], written: Collection[str]) -> None:
        """A batch is in the ledger; somebody else may have settled the same tasks before."""
        new = frozenset(written)
        for record in records:
            if record.id in new:
                self._telemetry.settled(record)
            if record.kind is Kind.TASK:
                self._settled.note(record.id, value=True)
        self._tell()

    def _tell_soon(self) -> None:
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(TELLING, self._tell)

    def _tell(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        self._telemetry.metered(held=len(self._held), unsettled=len(self._queue))

    async def _renew_always(self) -> None:
        """Say well before the lease ends that what runs here lives."""
        while True:
            await asyncio.sleep(self.lease / 3)
            try:
                async with asyncio.timeout(self.lease / 3):
                    await self._renew()
            except (StoreUnavailableError, TimeoutError):
                pass  # the next one is in time as well
            except Exception as error:  # noqa: BLE001 - our own bug must not let every hold lapse
                self._telemetry.bug(error, "renewal")

    async def _renew(self) -> None:
        if held := list(self._held):
            await self._ledger.renew(held, self.lease)
