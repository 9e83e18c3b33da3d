"""A task query to upstream: at the account's pace, heard whole, judged, its state noted."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from http import HTTPMethod, HTTPStatus
from typing import TypeAlias

from proxy.core.accounts import Account
from proxy.core.answers import AnswerUnreadableError, error_code, read_json, task_status
from proxy.core.errors import ProxyError, Situation, StoreUnavailableError
from proxy.core.headers import Fields, outbound, unconditional, value_of
from proxy.core.hearings import Hearing, Sighting, Silence, Verdict
from proxy.core.notes import Notes
from proxy.core.outages import Outage
from proxy.core.pacing import pause_after
from proxy.core.shelf import LARGEST, Key
from proxy.core.tasks import TERMINAL, TaskRecord
from proxy.edge.bodies import gather
from proxy.edge.turns import Turns
from proxy.ports import Call, Reply, Tasks, Telemetry, Upstream

TURN_PATIENCE = 1.1
"""Seconds to wait for a turn: what an SDK sleeps between two polls, and a little more than it takes
until turns that were taken at once come again."""

PATIENCE = 10.0
"""Seconds that upstream may be silent: a query takes it some milliseconds, and the last known
state is better than a client's own timeout."""

MOST = 16 * 1024 * 1024
"""Bytes of an answer that are read at all."""

ASKED = 50_000
"""Tasks of which is remembered when they were asked about: some 14 MB."""

ODD = 1000
"""Tasks of which is remembered that an answer was not understood."""

_LONGEST_CODE = 64


Seen: TypeAlias = Callable[[TaskRecord, str, object], None]
"""Hears of a task's state, and of the whole answer that told it. Never waits."""


def unseen(record: TaskRecord, state: str, answer: object) -> None:
    """Hear of a state and do nothing about it."""


class Queries:
    """Asks accounts about tasks. `patience` is seconds that upstream may be silent.

    `seen` hears each state that upstream tells.
    """

    def __init__(
        self,
        tasks: Tasks,
        accounts: Iterable[Account],
        upstream: Upstream,
        telemetry: Telemetry,
        patience: float = PATIENCE,
        seen: Seen = unseen,
    ) -> None:
        self._seen = seen
        self._tasks = tasks
        self._accounts = {account.name: account for account in accounts}
        self._upstream = upstream
        self._telemetry = telemetry
        self._patience = min(patience, PATIENCE)
        self._turns = {a.name: Turns(a.polls_per_second) for a in self._accounts.values()}
        self._asked: Notes[Key, float] = Notes(ASKED)
        self._odd: Notes[Key, bool] = Notes(ODD)
        self._outages: defaultdict[str, Outage] = defaultdict(Outage)

    def account_of(self, record: TaskRecord) -> Account:
        """The account that made the task: any other says UNKNOWN. Raises `BAD_GATEWAY`."""
        account = self._accounts.get(record.account)
        if account is None:
            raise ProxyError(
                Situation.BAD_GATEWAY, "The upstream account that made this task is gone."
            )
        return account

    def is_wanted(self, account: str) -> bool:
        """Whether somebody waits for a turn to ask the account."""
        turns = self._turns.get(account)
        return turns is not None and len(turns) > 0

    async def ask(self, record: TaskRecord, target: str, fields: Fields) -> Hearing:
        """Ask for `target` as soon as there is a turn. Raises nothing: a hearing tells it all."""
        try:
            call = self._call(self.account_of(record), target, fields)
        except ProxyError as error:
            self._failed(record.account, why=error.message)
            return _silence(Verdict.UNASKED, error)
        if not await self._has_turn(record):
            busy = ProxyError(
                Situation.RATE_LIMITED,
                "The upstream account takes no more task queries now; try again.",
                headers=(("Retry-After", "1"),),
            )
            return _silence(Verdict.UNASKED, busy)
        hearing, answer = await self._hear(call)
        self._learn(record, hearing)
        if isinstance(hearing, Sighting) and hearing.state:
            self._seen(record, hearing.state, answer)
            await self._note(record, hearing.state)
        return hearing

    def _call(self, account: Account, target: str, fields: Fields) -> Call:
        """The poll that answers all who ask: whole, in no coding, whatever one has already."""
        headers = outbound(unconditional(fields), account, force_async=False, claims=True)
        return Call(HTTPMethod.GET, account, target, headers, None, self._patience)

    async def _has_turn(self, record: TaskRecord) -> bool:
        """Wait for a turn; a task nobody asked about yet waits since it was made."""
        key = Key.of(record)
        made = time.monotonic() - (time.time() - record.created)
        since = self._asked.get(key, made)
        if not await self._turns[record.account].take(record.tenant, since, TURN_PATIENCE):
            return False
        self._asked.note(key, time.monotonic())
        return True

    async def _hear(self, call: Call) -> tuple[Hearing, object]:
        """One exchange; twice its patience with silence is what all of it may take.

        With it comes the answer as it was read, None where it could not be.
        """
        try:
            async with asyncio.timeout(2 * call.read_timeout), self._upstream.send(call) as reply:
                body = await gather(reply.chunks(), MOST, _too_large)
        except TimeoutError:
            late = ProxyError(Situation.GATEWAY_TIMEOUT, "Upstream did not answer in time.")
            return _silence(Verdict.FAILURE, late), None
        except ProxyError as error:
            return _silence(Verdict.FAILURE, error), None
        answer = _read(body, reply)
        seen = _sighting(body, reply, answer)
        if len(body) > LARGEST and seen.verdict is not Verdict.STATE:
            return _silence(seen.verdict, _too_large()), None
        return seen, answer

    def _learn(self, record: TaskRecord, hearing: Hearing) -> None:
        """Slow down, and tell of what is odd, and of an outage that begins or ends with this."""
        seen = hearing if isinstance(hearing, Sighting) else None
        if seen and seen.status == HTTPStatus.TOO_MANY_REQUESTS:
            self._turns[record.account].pause(pause_after(seen.headers))
        if hearing.verdict is Verdict.UNREADABLE:
            self._not_understood(record, seen)
        elif isinstance(hearing, Silence):
            self._failed(record.account, why=hearing.message)
        elif hearing.verdict is Verdict.FAILURE:
            self._failed(record.account, **_told_of(hearing))
        else:
            self._answered(record.account)

    def _failed(self, account: str, **facts: object) -> None:
        if self._outages[account].failed(time.monotonic()):
            self._telemetry.event("polls_failing", account=account, **facts)

    def _answered(self, account: str) -> None:
        lasted = self._outages[account].succeeded(time.monotonic())
        if lasted is not None:
            self._telemetry.event("polls_recovered", account=account, seconds=round(lasted, 3))

    def _not_understood(self, record: TaskRecord, seen: Sighting | None) -> None:
        """Tell of an answer that says nothing, once for its task."""
        key = Key.of(record)
        if key not in self._odd:
            self._odd.note(key, value=True)
            facts = _told_of(seen) if seen else {}
            self._telemetry.event(
                "poll_not_understood", account=record.account, task_id=record.task_id, **facts
            )

    async def _note(self, record: TaskRecord, state: str) -> None:
        """Remember a new state, softly: a poll is not refused because of our own notes."""
        if state != record.status and record.status not in TERMINAL:
            with suppress(StoreUnavailableError):
                await self._tasks.observe(record.task_id, state, time.time())


def _read(body: bytes, reply: Reply) -> object:
    try:
        return read_json(body, value_of(reply.headers, "content-encoding"), MOST)
    except AnswerUnreadableError:
        return None


def _sighting(body: bytes, reply: Reply, answer: object) -> Sighting:
    """The answer with what can be read in it; a state only where it is a success."""
    state = task_status(answer) if reply.status == HTTPStatus.OK else None
    now, code = time.monotonic(), error_code(answer)
    return Sighting(reply.status, reply.reason, reply.headers, body, now, state, code)


def _silence(verdict: Verdict, error: ProxyError) -> Silence:
    return Silence(verdict, error.situation, error.message, time.monotonic(), error.headers)


def _told_of(seen: Sighting) -> dict[str, object]:
    code = {"code": seen.code[:_LONGEST_CODE]} if seen.code else {}
    return {"status": seen.status, **code}


def _too_large() -> ProxyError:
    return ProxyError(Situation.BAD_GATEWAY, "Upstream's answer about the task is too large.")
