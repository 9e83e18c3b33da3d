"""Calls about one task: the owner's only, and what a poll says is remembered."""

import json
from collections.abc import AsyncIterator

import pytest

from proxy.core.accounts import Account
from proxy.core.errors import ProxyError, Situation
from proxy.core.policy import Grant
from proxy.core.routes import Match, Route, RouteTable
from proxy.core.target import parse_target
from proxy.core.tasks import TaskRecord
from proxy.edge.polls import Polls
from proxy.ports import Headers
from proxy.stores.memory import MemoryStore

ROUTE = Route("poll", frozenset({"GET"}), "/task/{task_id}", "/t/{task_id}", task="task_id")
ACCOUNT = Account("main", "https://upstream.example", "sk-x")


class Answer:
    """A reply that is all here, in pieces."""

    status = 200
    reason = "OK"

    def __init__(self, *pieces: bytes, headers: Headers = ()) -> None:
        self.headers = headers
        self._pieces = pieces

    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


def about(path: str) -> Match:
    return RouteTable([ROUTE]).match("GET", parse_target(path))


def holder(tenant: str) -> Grant:
    return Grant("id", "name", tenant, ("*",))


def record(*, account: str = "main", status: str = "PENDING") -> TaskRecord:
    return TaskRecord("t1", "a", "id", account, "m", 1e9, status=status)


async def made(*records: TaskRecord) -> tuple[MemoryStore, Polls]:
    store = MemoryStore(now=lambda: 1e9)
    await store.open()
    for one in records:
        await store.claim(one)
    return store, Polls(store, [ACCOUNT])


async def test_only_the_owner_knows_a_task() -> None:
    """Unknown, foreign and impossible ids are refused in the same words."""
    _, polls = await made(record())
    assert await polls.own_task(about("/task/t1"), holder("a")) == record()
    refusals = set()
    for path, tenant in (("/task/t1", "b"), ("/task/t2", "a"), ("/task/t%201", "a")):
        with pytest.raises(ProxyError) as caught:
            await polls.own_task(about(path), holder(tenant))
        refusals.add((caught.value.situation, caught.value.message))
    assert refusals == {(Situation.TASK_NOT_EXIST, "task_not_exist")}


async def test_the_account_that_made_it() -> None:
    """A poll goes where the task is; an account that is gone cannot be replaced by another."""
    _, polls = await made()
    assert polls.account_of(record()) is ACCOUNT
    with pytest.raises(ProxyError) as caught:
        polls.account_of(record(account="gone"))
    assert caught.value.situation is Situation.BAD_GATEWAY


@pytest.mark.parametrize(
    ("told", "known", "noted"),
    [
        ("RUNNING", "PENDING", "RUNNING"),
        ("SUCCEEDED", "RUNNING", "SUCCEEDED"),
        ("UNKNOWN", "SUCCEEDED", "SUCCEEDED"),
        (None, "PENDING", "PENDING"),
    ],
)
async def test_a_new_state_is_noted(told: str | None, known: str, noted: str) -> None:
    """The state of a poll's answer, which crosses as it came; an end is not taken back."""
    store, polls = await made(record(status=known))
    body = json.dumps({"output": {"task_status": told}}).encode()
    answer = Answer(body[:5], body[5:])
    assert b"".join([part async for part in polls.observed(answer, record(status=known))]) == body
    (row,) = await store.tasks_of("a", 0, 2e9)
    assert row.status == noted


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b'{"output":7}'])
async def test_what_tells_no_state_crosses(body: bytes) -> None:
    """A poll is not refused because of our own notes."""
    _, polls = await made(record())
    assert b"".join([part async for part in polls.observed(Answer(body), record())]) == body
