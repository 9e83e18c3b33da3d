"""Tasks that nobody polls to their end: one replica looks at them, so that each is settled.

    lead? → what is due → a turn, when no client wants it → ask → settled, or later → again

Clients come first: looking takes a small share of the queries that an account allows, and waits a
while when clients wait. It waits not for ever: however busy they are, an open task is settled. How
often is decided in `proxy.core.looking`.
"""

import asyncio
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress

from proxy.core.accounts import Account
from proxy.core.charging import UNKNOWN
from proxy.core.errors import StoreUnavailableError
from proxy.core.hearings import Sighting
from proxy.core.holds import LEASE
from proxy.core.looking import is_given_up, next_look
from proxy.core.pacing import Pace
from proxy.core.settlement import FIRST_LOOK
from proxy.core.tasks import TaskRecord
from proxy.edge.background import end_all
from proxy.edge.metering import Meter
from proxy.edge.queries import Queries
from proxy.ports import Ledger, Telemetry

SHARE = 0.1
"""Of the queries a second that an account allows, what looking may take."""

EVERY = 5.0
"""Seconds between two looks into the ledger, when there is nothing to do."""

BATCH = 100
"""Tasks that are taken out of the ledger at once."""

PATIENCE = 10.0
"""Seconds that the store may take."""

ROUND = 10.0
"""Seconds in which looks may begin that were taken out of the ledger together: well below the lease
of who leads."""

PUT_OFF = 3
"""Times `EVERY` until a task is due again that had no turn: those of a slow account must not hide
the others'."""

DEFERENCE = 2.0
"""Seconds that a look waits for clients who want a turn; then it takes its share all the same."""

_GIVING_WAY = 0.05
"""Seconds until it is looked again whether a client still waits for a turn."""

TARGET = "/api/v1/tasks/{}"
"""Where upstream tells of a task."""


class Settler:
    """Looks at open tasks, between `start` and `stop`.

    `first_look` is seconds from a task's creation, `lease` those for which nobody looks when the
    replica that leads has died.
    """

    def __init__(
        self,
        ledger: Ledger,
        queries: Queries,
        accounts: Iterable[Account],
        meter: Meter,
        telemetry: Telemetry,
        *,
        first_look: float = FIRST_LOOK,
        lease: float = LEASE,
    ) -> None:
        self._ledger = ledger
        self._queries = queries
        self._meter = meter
        self._telemetry = telemetry
        self._first = first_look
        self._lease = lease
        self._every = min(EVERY, first_look / 2)
        self._me = uuid.uuid4().hex
        self._leads_until = 0.0
        self._running: asyncio.Task[None] | None = None
        self._paces = {one.name: Pace(one.polls_per_second * SHARE) for one in accounts}

    def start(self) -> None:
        """Begin to look, within the running loop."""
        self._running = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Look no more; what is open is looked at by whoever leads next."""
        if self._running is not None:
            await end_all([self._running])

    async def _run(self) -> None:
        """Look, for ever. Whatever goes wrong is tried again."""
        while True:
            found = 0
            try:
                found = await self._round()
            except (StoreUnavailableError, TimeoutError):
                pass  # told by the store, once for all
            except Exception as error:  # noqa: BLE001 - our own bug must not end the looking
                self._telemetry.bug(error, self._me)
            if found < BATCH:
                await asyncio.sleep(self._every)

    async def _round(self) -> int:
        """Look at what is due, if this replica leads; how many tasks that were."""
        if not await self._leads():
            return 0
        async with asyncio.timeout(PATIENCE):
            due = await self._ledger.due_tasks(BATCH, FIRST_LOOK - self._first)
        until = min(time.monotonic() + ROUND, self._leads_until)
        async with asyncio.TaskGroup() as accounts:
            for account in {task.account for task in due}:
                theirs = [task for task in due if task.account == account]
                accounts.create_task(self._look_at(account, theirs, until))
        with suppress(TimeoutError):  # nobody asks again about an end that is being written down
            async with asyncio.timeout(self._every):
                await self._meter.drained()
        return len(due)

    async def _leads(self) -> bool:
        """Whether this replica looks; it says so again well before its time is over."""
        now = time.monotonic()
        if now < self._leads_until - self._lease / 2:
            return True
        async with asyncio.timeout(PATIENCE):
            leads = await self._ledger.lead(self._me, self._lease)
        self._leads_until = now + self._lease if leads else 0.0
        return leads

    async def _look_at(self, account: str, tasks: list[TaskRecord], until: float) -> None:
        """Look at an account's tasks, as many as have their turn in time."""
        async with asyncio.TaskGroup() as looks:
            for task in tasks:
                if await self._has_turn(account, until):
                    looks.create_task(self._look(task))
                else:
                    await self._put_off(task, time.time() + PUT_OFF * self._every)

    async def _has_turn(self, account: str, until: float) -> bool:
        """Wait for a turn of the looking's own, and a while for clients who wait for any."""
        pace = self._paces.get(account)
        if pace is None:
            return True
        own = pace.delay(time.monotonic())
        if time.monotonic() + own > until:
            return False
        await asyncio.sleep(own)
        pace.take(time.monotonic())
        patience = time.monotonic() + DEFERENCE
        while self._queries.is_wanted(account) and time.monotonic() < patience:  # noqa: ASYNC110 - no event
            await asyncio.sleep(_GIVING_WAY)
        return True

    async def _look(self, task: TaskRecord) -> None:
        """Ask about a task. Its end is settled by whoever hears of every state: the meter."""
        self._meter.still_open(task)
        hearing = await self._queries.ask(task, TARGET.format(task.task_id), ())
        state = hearing.state if isinstance(hearing, Sighting) else None
        now = time.time()
        if is_given_up(now - task.created, state):
            self._meter.task_over(task, UNKNOWN, None)
            self._tell(task, state)
        await self._put_off(task, next_look(task.created, now, self._first))

    async def _put_off(self, task: TaskRecord, at: float) -> None:
        # Stores tell of a task `FIRST_LOOK` from its creation; who looks earlier reads ahead.
        with suppress(StoreUnavailableError, TimeoutError):
            async with asyncio.timeout(PATIENCE):
                ahead = FIRST_LOOK - self._first
                await self._ledger.look_later(task.task_id, at + ahead)

    def _tell(self, task: TaskRecord, state: str | None) -> None:
        self._telemetry.event(
            "task_unsettled",
            state=state or "not told",
            task_id=task.task_id,
            tenant=task.tenant,
            token=task.token,
            account=task.account,
            model=task.model,
        )
