"""Calls about one task: only its owner makes them, and a poll is answered with a state.

    own? → said a moment ago? → asked right now? → a turn → ask → keep → said

What is said instead when upstream fails stands in `proxy.core.freshness`; whoever asks, the
owner was looked up for this very call.
"""

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import NamedTuple

from proxy.core.accounts import Account
from proxy.core.envelope import CONTENT_TYPE
from proxy.core.errors import ProxyError, Situation
from proxy.core.freshness import PollOutcome, Step, aged, next_step, stand_in, step_after
from proxy.core.headers import coming_back
from proxy.core.hearings import Hearing, Silence, Verdict
from proxy.core.policy import Grant, may_see
from proxy.core.routes import Match
from proxy.core.shelf import Key, Shelf
from proxy.core.tasks import TaskRecord, is_task_id
from proxy.edge.asked import Asked
from proxy.edge.flights import Flights
from proxy.edge.queries import PATIENCE, Queries, Seen, unseen
from proxy.ports import Headers, Tasks, Telemetry, Upstream

HASTE = 1.0
"""Seconds until a poll hears 503 or 504. Java's SDK asks again at once after those, without end:
nothing but the answer itself can slow it down."""

_HASTENING = frozenset({HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})


class Told(NamedTuple):
    """What a poll is answered; all of its `headers` may cross."""

    outcome: PollOutcome
    status: int
    reason: str
    headers: Headers
    body: bytes


class Polls:
    """Knows whose a task is, which account made it, and what was heard of it.

    `hold` is seconds that an answer is said again, `patience` seconds that upstream may be silent.
    `seen` hears each state that upstream tells.
    """

    def __init__(
        self,
        tasks: Tasks,
        accounts: Sequence[Account],
        upstream: Upstream,
        telemetry: Telemetry,
        *,
        hold: float,
        patience: float = PATIENCE,
        seen: Seen = unseen,
    ) -> None:
        self._tasks = tasks
        self.queries = Queries(tasks, accounts, upstream, telemetry, patience, seen)
        self._hold = hold
        self._shelf = Shelf()
        self._flights: Flights[Key, Hearing] = Flights()

    async def own_task(self, match: Match, grant: Grant) -> TaskRecord | None:
        """The task in the path, where the route has one.

        Raises `ProxyError`: `TASK_NOT_EXIST` for an id that is unknown, somebody else's or none
        at all, in the same words.
        """
        if match.route.task is None:
            return None
        task_id = match.captures[match.route.task]
        record = await self._tasks.owner(task_id, grant.tenant) if is_task_id(task_id) else None
        if record is None or not may_see(grant, record.tenant):
            raise ProxyError(Situation.TASK_NOT_EXIST, "task_not_exist")
        return record

    def account_of(self, record: TaskRecord) -> Account:
        """The account that made the task: any other says UNKNOWN. Raises `BAD_GATEWAY`."""
        return self.queries.account_of(record)

    async def told(self, record: TaskRecord, asked: Asked) -> Told:
        """The state of a task, to its owner.

        Raises `ProxyError` when upstream fails and the task is too old to be there still.
        """
        key, age = Key(record.account, record.task_id), time.time() - record.created
        now = time.monotonic()
        step = next_step(self._shelf.get(key), age, now, self._hold)
        if step is None:
            target = asked.match.upstream_target(record.model)
            ask = partial(self.queries.ask, record, target, asked.fields)
            hearing, joined = await self._flights.join(key, ask, partial(self._keep, key))
            outcome = PollOutcome.COALESCED if joined else PollOutcome.FRESH
            step = step_after(hearing, self._shelf.get(key).state, age, outcome)
            now = time.monotonic()
        return _told(step, record, asked.visit.request_id, now)

    def forget(self, record: TaskRecord) -> None:
        """Say nothing again that was heard of this task up to now: it was meddled with."""
        self._flights.forget(Key.of(record))
        self._shelf.drop(Key.of(record))

    def _keep(self, key: Key, hearing: Hearing) -> None:
        """Remember for those who come later."""
        if hearing.verdict is not Verdict.UNASKED:
            self._shelf.put(key, self._shelf.get(key).after(hearing))


async def unhurried(error: ProxyError) -> ProxyError:
    """A poll's error as it is to be told: 503 and 504 a while later, see `HASTE`."""
    if error.situation.status not in _HASTENING:
        return error
    await asyncio.sleep(HASTE)
    return ProxyError(
        error.situation, error.message, headers=(*error.headers, ("Retry-After", "1"))
    )


def _told(step: Step, record: TaskRecord, request_id: str, now: float) -> Told:
    """What to say, said. Raises `ProxyError` where that is an error of ours."""
    outcome, said = step
    if said is None:
        return _stand_in(record, request_id)
    if isinstance(said, Silence):
        raise said.error()
    headers = coming_back(said.headers) if outcome.is_new else aged(said.lasting, now - said.at)
    return Told(outcome, said.status, said.reason, headers, said.body)


def _stand_in(record: TaskRecord, request_id: str) -> Told:
    """What the record says."""
    body, age = stand_in(record, request_id), time.time() - (record.updated or record.created)
    headers = [("Content-Type", CONTENT_TYPE), ("Content-Length", str(len(body)))]
    ok = HTTPStatus.OK
    return Told(PollOutcome.LAST_KNOWN, ok, ok.phrase, aged(headers, age), body)
