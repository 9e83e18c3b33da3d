"""Calls about one task: only its owner makes them, and what a poll says is remembered."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from proxy.core.accounts import Account
from proxy.core.answers import MAX_READ, AnswerUnreadableError, read_json, task_status
from proxy.core.errors import ProxyError, Situation, StoreUnavailableError
from proxy.core.headers import value_of
from proxy.core.policy import Grant, may_see
from proxy.core.routes import Match
from proxy.core.tasks import TERMINAL, TaskRecord, is_task_id
from proxy.ports import Reply, Tasks


class Polls:
    """Knows whose a task is, which account made it, and how it was last seen."""

    def __init__(self, tasks: Tasks, accounts: Sequence[Account]) -> None:
        self._tasks = tasks
        self._accounts = {account.name: account for account in accounts}

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
            raise ProxyError(
                Situation.BAD_GATEWAY, "The upstream account that made this task is gone."
            )
        return account

    async def observed(self, reply: Reply, record: TaskRecord) -> AsyncIterator[bytes]:
        """A poll's answer as it comes; its last chunk leaves when the state was noted."""
        held = b""
        seen = bytearray()
        async for chunk in reply.chunks():
            if held:
                yield held
            held = chunk
            seen += chunk[: MAX_READ - len(seen)]
        await self._observe(record, bytes(seen), value_of(reply.headers, "content-encoding"))
        yield held

    async def _observe(self, record: TaskRecord, body: bytes, coding: str | None) -> None:
        """Remember a new state, softly: a poll is not refused because of our own notes."""
        with suppress(AnswerUnreadableError, StoreUnavailableError):
            status = task_status(read_json(body, coding))
            if status and status != record.status and record.status not in TERMINAL:
                await self._tasks.observe(record.task_id, status, time.time())
