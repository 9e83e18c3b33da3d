"""A task query to upstream: at the account's pace, heard whole, judged, its state noted."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

from proxy.core.accounts import Account
from proxy.core.answers import AnswerUnreadableError, read_json, task_status
from proxy.core.errors import ProxyError, Situation, StoreUnavailableError
from proxy.core.freshness import Sighting, Verdict, verdict
from proxy.core.headers import value_of
from proxy.core.outages import Outage
from proxy.core.pacing import pause_after
from proxy.core.tasks import TERMINAL, TaskRecord
from proxy.edge.turns import Turns
from proxy.edge.upstream import gather
from proxy.ports import Call, Reply, Tasks, Telemetry, Upstream

TURN_PATIENCE = 1.0
"""Seconds to wait for a turn: what an SDK sleeps between two polls."""

PATIENCE = 10.0
"""Seconds that upstream may be silent: a query takes it some milliseconds, and the last known
state is better than a client's own timeout."""

MOST = 16 * 1024 * 1024
"""Bytes of an answer that are read at all."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked. `since`: monotonic seconds of when it was asked last."""

    record: TaskRecord
    call: Call
    since: float


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of it: an answer, or why there is none. `asked`: whether upstream was asked."""

    verdict: Verdict
    outcome: Sighting | ProxyError
    asked: bool = True

    @property
    def sighting(self) -> Sighting | None:
        """The answer, if there is one."""
        return self.outcome if isinstance(self.outcome, Sighting) else None

    def answer(self) -> Sighting:
        """The answer, good or bad. Raises `ProxyError` where there is none.

        A new one for each who waited: an exception collects the way it took.
        """
        if isinstance(self.outcome, Sighting):
            return self.outcome
        error = self.outcome
        raise ProxyError(error.situation, error.message, headers=error.headers)


class Queries:
    """Asks accounts about tasks."""

    def __init__(
        self, tasks: Tasks, accounts: Iterable[Account], upstream: Upstream, telemetry: Telemetry
    ) -> None:
        self._tasks = tasks
        self._upstream = upstream
        self._telemetry = telemetry
        self._turns = {account.name: Turns(account.polls_per_second) for account in accounts}
        self._outages: defaultdict[str, Outage] = defaultdict(Outage)

    async def ask(self, query: Query) -> Heard:
        """Ask as soon as there is a turn. Raises nothing: what went wrong is in the answer."""
        name = query.call.account.name
        if not await self._turns[name].take(query.since, TURN_PATIENCE):
            busy = ProxyError(
                Situation.RATE_LIMITED,
                "The upstream account takes no more task queries now; try again.",
                headers=(("Retry-After", "1"),),
            )
            return Heard(Verdict.FAILURE, busy, asked=False)
        heard = await self._hear(query.call)
        self._learn(name, heard)
        if heard.sighting and heard.sighting.state:
            await self._note(query.record, heard.sighting.state)
        return heard

    def nobody(self, name: str) -> Heard:
        """What asking an account comes to that is not configured any more."""
        heard = Heard(Verdict.FAILURE, account_gone(), asked=False)
        self._learn(name, heard)
        return heard

    async def _hear(self, call: Call) -> Heard:
        """One exchange; twice its patience with silence is what all of it may take."""
        try:
            async with asyncio.timeout(2 * call.read_timeout), self._upstream.send(call) as reply:
                body = await gather(reply, MOST, _too_large)
        except TimeoutError:
            late = ProxyError(Situation.GATEWAY_TIMEOUT, "Upstream did not answer in time.")
            return Heard(Verdict.FAILURE, late)
        except ProxyError as error:
            return Heard(Verdict.FAILURE, error)
        state = _state(body, reply) if reply.status == HTTPStatus.OK else None
        now = time.monotonic()
        seen = Sighting(reply.status, reply.reason, reply.headers, body, now, state)
        return Heard(verdict(seen.status, seen.state), seen)

    def _learn(self, name: str, heard: Heard) -> None:
        """Slow down, and tell of an outage that begins or ends with this."""
        now, outage, seen = time.monotonic(), self._outages[name], heard.sighting
        if seen and seen.status == HTTPStatus.TOO_MANY_REQUESTS:
            self._turns[name].pause(pause_after(seen.headers))
        if heard.verdict is Verdict.FAILURE:
            if outage.failed(now):
                facts = {"status": seen.status} if seen else {"why": str(heard.outcome)}
                self._telemetry.event("polls_failing", account=name, **facts)
            return
        lasted = outage.succeeded(now)
        if lasted is not None:
            self._telemetry.event("polls_recovered", account=name, seconds=round(lasted, 3))

    async def _note(self, record: TaskRecord, state: str) -> None:
        """Remember a new state, softly: a poll is not refused because of our own notes."""
        if state != record.status and record.status not in TERMINAL:
            with suppress(StoreUnavailableError):
                await self._tasks.observe(record.task_id, state, time.time())


def account_gone() -> ProxyError:
    """For a task whose account was taken out of the configuration."""
    return ProxyError(Situation.BAD_GATEWAY, "The upstream account that made this task is gone.")


def _state(body: bytes, reply: Reply) -> str | None:
    try:
        return task_status(read_json(body, value_of(reply.headers, "content-encoding"), MOST))
    except AnswerUnreadableError:
        return None


def _too_large() -> ProxyError:
    return ProxyError(Situation.BAD_GATEWAY, "Upstream's answer about the task is too large.")
