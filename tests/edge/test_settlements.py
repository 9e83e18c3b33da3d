"""What goes to the ledger arrives there exactly once, or is told as lost."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress

from edge.rig import Recorder, eventually

from proxy.core.errors import StoreUnavailableError
from proxy.core.holds import Hold, Level
from proxy.core.settlement import MOST_RECORDS, Kind, Settlement, UsageRecord
from proxy.edge.settlements import IN_DOUBT, NEVER_TAKEN, Settlements
from proxy.stores.memory import MemoryStore


def record(name: str, amount: int = 1) -> UsageRecord:
    return UsageRecord(
        name, Kind.CALL, "a", "g1", "main", "m", "SUCCEEDED", 1.0, 2.0, amount=amount
    )


class Slow(MemoryStore):
    """A ledger that fails, or forgets to answer, as often as a test says."""

    def __init__(self, *, before: int = 0, after: int = 0, bugs: int = 0) -> None:
        super().__init__()
        self.settlements: list[Settlement] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._before, self._after, self._bugs = before, after, bugs

    async def settle(self, settlement: Settlement) -> Collection[str]:
        self.settlements.append(settlement)
        await self.gate.wait()
        if self._bugs:
            self._bugs -= 1
            raise ValueError("no such column")
        if self._before:
            self._before -= 1
            raise StoreUnavailableError
        written = await super().settle(settlement)
        if self._after:
            self._after -= 1
            raise StoreUnavailableError
        return written

    async def names(self) -> list[str]:
        return [one.id for _, one in await self.records("", 10_000)]


@asynccontextmanager
async def running(
    ledger: MemoryStore, most: int = 1000
) -> AsyncIterator[tuple[Settlements, Recorder]]:
    telemetry = Recorder()

    def taken(records: Sequence[UsageRecord], written: Collection[str]) -> None:
        telemetry.metered(held=0, unsettled=len(queue))
        for one in records:
            assert one.id in written
            telemetry.settled(one)

    queue = Settlements(ledger, telemetry, taken, most)
    task = asyncio.create_task(queue.run())
    try:
        yield queue, telemetry
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_in_order_and_in_batches() -> None:
    """What came while one batch was under way goes in the next, no larger than a store takes."""
    ledger = Slow()
    ledger.gate.clear()
    async with running(ledger) as (queue, telemetry):
        names = [f"r{n}" for n in range(2 * MOST_RECORDS)]
        queue.put(record("first"))
        await eventually(lambda: ledger.settlements)
        for name in names:
            queue.put(record(name))
        assert len(queue) == len(names) + 1
        ledger.gate.set()
        await queue.drained()
        assert await ledger.names() == ["first", *names]
        assert [one.number for one in ledger.settlements] == [1, 2, 3]
        assert len(telemetry.records) == len(names) + 1


async def test_a_batch_keeps_its_number_until_it_is_taken() -> None:
    """A store that took it and could not say so writes it once."""
    ledger = Slow(before=1, after=1)
    async with running(ledger) as (queue, telemetry):
        queue.put(record("r1", amount=7))
        await queue.drained()
        assert [one.number for one in ledger.settlements] == [1, 1, 1]
        assert await ledger.names() == ["r1"]
        assert await ledger.standings([("token:g1", "money", "total")]) == [(0, 7)]
        assert len(telemetry.records) == 1


async def test_releases_go_along() -> None:
    """A hold that came to nothing is free again, and whoever counts what waits hears of it."""
    ledger = Slow()
    await ledger.hold(Hold("h1", (), (Level("token:g1", "tasks", "", 1, 1),), 10.0**10))
    async with running(ledger) as (queue, telemetry):
        queue.put("h1")
        telemetry.metered(held=0, unsettled=len(queue))
        await queue.drained()
        assert telemetry.unsettled == 0
        assert await ledger.standings([("token:g1", "tasks", "")]) == [(0, 0)]


async def test_no_more_wait_than_there_is_room_for() -> None:
    """What does not fit is told, with all that a bill needs; a hold needs no telling."""
    ledger = Slow()
    ledger.gate.clear()
    async with running(ledger, most=2) as (queue, telemetry):
        for name in ("r1", "r2", "r3"):
            queue.put(record(name, amount=1_500_000_000))
        queue.put("h1")
        (lost,) = telemetry.named("usage_record_lost")
        assert (lost["id"], lost["tenant"], lost["token"], lost["amount"]) == (
            "r3",
            "a",
            "g1",
            "1.5",
        )
        ledger.gate.set()
        await queue.drained()
        assert await ledger.names() == ["r1", "r2"]


async def test_what_is_left_in_the_end_is_told() -> None:
    """What the store never took is lost, and says so; of what is under way nobody knows.

    A store that was not heard out may have it, and an outbox may still be writing it.
    """
    ledger = Slow()
    ledger.set_available(up=False)
    async with running(ledger) as (queue, telemetry):
        queue.put(record("r1"))
        await eventually(lambda: ledger.settlements)
        queue.put(record("r2"))
        queue.give_up()
        under_way, waiting = telemetry.named("usage_record_lost")
        assert (under_way["id"], under_way["why"]) == ("r1", IN_DOUBT)
        assert (waiting["id"], waiting["why"]) == ("r2", NEVER_TAKEN)
        await queue.drained()


async def test_a_bug_keeps_nobody_waiting() -> None:
    """A batch that fails for a reason of its own is told as lost; the next one goes on."""
    ledger = Slow(bugs=1)
    async with running(ledger) as (queue, telemetry):
        queue.put(record("r1"))
        await queue.drained()
        queue.put(record("r2"))
        await queue.drained()
        assert await ledger.names() == ["r2"]
        assert len(telemetry.bugs) == 1
        assert [lost["id"] for lost in telemetry.named("usage_record_lost")] == ["r1"]
