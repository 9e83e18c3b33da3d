"""Calls about one task: only its owner makes them, and a poll is answered with a state.

    own? → said a moment ago? → asked right now? → a turn → ask → keep → said

What is said instead when upstream fails stands in `proxy.core.freshness`; whoever asks, the
owner was looked up for this very call.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPMethod, HTTPStatus

from proxy.core.accounts import Account
from proxy.core.envelope import CONTENT_TYPE
from proxy.core.errors import ProxyError, Situation
from proxy.core.freshness import (
    LIFE,
    Known,
    Sighting,
    Step,
    Verdict,
    aged,
    known_since,
    next_step,
    stand_in,
)
from proxy.core.headers import Fields, outbound, unconditional
from proxy.core.policy import Grant, may_see
from proxy.core.routes import Match
from proxy.core.shelf import Key, Shelf
from proxy.core.tasks import TaskRecord, is_task_id
from proxy.edge.flights import Flights
from proxy.edge.queries import PATIENCE, Heard, Queries, Query, account_gone
from proxy.ports import Call, Headers, Tasks, Telemetry, Upstream

HASTE = 1.0
"""Seconds until a poll hears 503 or 504. Java's SDK asks again at once after those, without end:
nothing but the answer itself can slow it down."""

_HASTENING = frozenset({HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})


@dataclass(frozen=True, slots=True)
class Told:
    """What a poll is answered. `how`: fresh, coalesced, held or last_known."""

    how: str
    status: int
    reason: str
    headers: Headers
    body: bytes

    @property
    def from_upstream(self) -> bool:
        """Whether upstream said this just now."""
        return self.how in {"fresh", "coalesced"}

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as a relay takes it."""
        yield self.body


class Polls:
    """Knows whose a task is, which account made it, and what was heard of it.

    `hold` is seconds that a state is said again, `patience` seconds that upstream may be silent.
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
    ) -> None:
        self._tasks = tasks
        self._accounts = {account.name: account for account in accounts}
        self._queries = Queries(tasks, accounts, upstream, telemetry)
        self._hold = hold
        self._patience = min(patience, PATIENCE)
        self._shelf = Shelf()
        self._flights: Flights[Key, Heard] = Flights()

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
        account = self._accounts.get(record.account)
        if account is None:
            raise account_gone()
        return account

    async def told(self, record: TaskRecord, target: str, fields: Fields, request_id: str) -> Told:
        """The state of a task, to its owner, who asked for `target` with this header.

        Raises `ProxyError` when upstream fails and the task is too old to be there still.
        """
        key = Key(record.account, record.task_id, target)
        known, now, age = self._shelf.get(key), time.monotonic(), time.time() - record.created
        step = next_step(known, age, now, self._hold)
        if step is Step.SAY_AGAIN and known.sighting:
            return _again("held", known.sighting)
        if step is Step.SAY_LAST_KNOWN:
            return _last_known(known, record, request_id)
        account, joined = self._accounts.get(record.account), False
        if account is None:
            heard = self._queries.nobody(record.account)
        else:
            call = self._call(account, target, fields)
            query = Query(record, call, known_since(known, age, now))
            heard, joined = await self._flights.join(
                key, partial(self._queries.ask, query), partial(self._keep, key)
            )
        if heard.verdict is Verdict.FAILURE and age < LIFE:
            return _last_known(self._shelf.get(key), record, request_id)
        seen, how = heard.answer(), "coalesced" if joined else "fresh"
        return Told(how, seen.status, seen.reason, seen.headers, seen.body)

    def forget(self, task_id: str) -> None:
        """Say nothing again that was heard of this task up to now: it was meddled with."""
        self._flights.forget(lambda key: key.task_id == task_id)
        self._shelf.drop(task_id)

    def _call(self, account: Account, target: str, fields: Fields) -> Call:
        """The poll that answers all who ask: whole, in no coding, whatever one has already."""
        headers = outbound(unconditional(fields), account, force_async=False, claims=True)
        return Call(HTTPMethod.GET, account, target, headers, None, self._patience)

    def _keep(self, key: Key, heard: Heard) -> None:
        """Remember for those who come later."""
        if heard.verdict is Verdict.STATE:
            self._shelf.put(key, Known(heard.sighting))
        elif heard.verdict is Verdict.FAILURE and heard.asked:
            self._shelf.put(key, replace(self._shelf.get(key), failed=time.monotonic()))


async def unhurried(error: ProxyError, match: Match | None, method: str) -> ProxyError:
    """The error as it is to be told; a poll's 503 or 504 a while later, see `HASTE`."""
    is_poll = match is not None and match.route.task is not None and method == HTTPMethod.GET
    if not is_poll or error.situation.status not in _HASTENING:
        return error
    await asyncio.sleep(HASTE)
    return ProxyError(
        error.situation, error.message, headers=(*error.headers, ("Retry-After", "1"))
    )


def _again(how: str, seen: Sighting) -> Told:
    headers = aged(seen.headers, time.monotonic() - seen.at)
    return Told(how, seen.status, seen.reason, headers, seen.body)


def _last_known(known: Known, record: TaskRecord, request_id: str) -> Told:
    """What upstream said last, or what the record says."""
    if known.sighting:
        return _again("last_known", known.sighting)
    body = stand_in(record, request_id)
    headers = [("Content-Type", CONTENT_TYPE), ("Content-Length", str(len(body)))]
    age = time.time() - (record.updated or record.created)
    return Told("last_known", HTTPStatus.OK, HTTPStatus.OK.phrase, aged(headers, age), body)
