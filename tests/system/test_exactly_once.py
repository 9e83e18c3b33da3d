"""Exactly one record for each task, to the cent, whatever happens to replicas and pollers.

Two replicas on one Redis are killed and restarted at random while tasks are made, polled by
several at a time, given up half-way and never polled at all. In the end the records are compared
with what upstream would have billed, see `ledgers.billed`.
"""

import asyncio
import contextlib
import os
import random
import signal
from dataclasses import dataclass, field
from decimal import Decimal

import aiohttp
import pytest
from harness import UPSTREAM_KEY
from redis_server import RedisServer
from system.ledgers import (
    SIZES,
    TENANT,
    TOKEN,
    all_records,
    billed,
    ledger,
    let_in,
    nothing_open,
    priced_routes,
)
from system.process import Folder, Process

from proxy.core.limits import Limits
from proxy.core.money import NANOS
from proxy.core.policy import Grant
from proxy.core.tasks import is_task_id
from proxy.sandbox import Sandbox

TASKS = int(os.environ.get("SETTLED_TASKS", "5000"))
"""Fewer are enough while one works on something: `SETTLED_TASKS=600` takes some ten seconds."""

AT_ONCE = 24
RESTART_EVERY = max(100, TASKS // 12)
"""Tasks between two restarts."""

PATIENCE = 120.0
SUBMIT = "/task/bailian/text2video"
OVER = {"SUCCEEDED", "FAILED", "CANCELED"}
HABITS = ("to the end", "to the end, twice", "once", "never", "cancels")
"""What becomes of a task that was made."""


@dataclass
class Fleet:
    """Two replicas that die and come back."""

    folder: Folder
    chance: random.Random
    variables: dict[str, str]
    replicas: dict[str, Process] = field(default_factory=dict)
    restarts: int = 0

    async def start(self) -> None:
        for fresh in [self.folder.serve(**self.variables) for _ in range(2)]:
            await self._join(fresh)

    async def _join(self, fresh: Process) -> None:
        """Known by its URL, which stands in its log: reading that for each call is slow."""
        self.replicas[(await fresh.is_up()).url] = fresh

    async def restart(self, how: signal.Signals) -> None:
        """End one of them, with a word or without, and start another in its place."""
        old = self.replicas.pop(self.chance.choice(list(self.replicas)))
        old.signal(how)
        fresh = self.folder.serve(**self.variables)
        await old.ended()
        await self._join(fresh)
        self.restarts += 1


@dataclass
class Crowd:
    """Clients of the fleet: they make tasks, and have habits."""

    fleet: Fleet
    chance: random.Random
    session: aiohttp.ClientSession
    answered: set[str] = field(default_factory=set)
    made: int = 0
    more: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, tasks: int) -> None:
        """Make so many, some at a time; whenever so many more are made, a replica dies."""
        plans = [self._plan(number) for number in range(tasks)]
        restarts = asyncio.create_task(self._restarts(range(RESTART_EVERY, tasks, RESTART_EVERY)))
        await asyncio.gather(*(self._work(plans) for _ in range(AT_ONCE)))
        await restarts

    async def _restarts(self, marks: range) -> None:
        for number, mark in enumerate(marks):
            while self.made < mark:
                self.more.clear()
                await self.more.wait()
            await self.fleet.restart((signal.SIGKILL, signal.SIGTERM)[number % 2])

    def _plan(self, number: int) -> tuple[dict[str, object], str]:
        model = self.chance.choice(["wan2.6-t2v", "kling/kling-v3-video-generation"])
        prompt = "sandbox:fail" if self.chance.random() < 0.1 else f"kitten {number}"
        size = self.chance.choice(list(SIZES))
        body: dict[str, object] = {
            "model": model,
            "input": {"prompt": prompt},
            "parameters": {"size": size, "duration": self.chance.randint(3, 10)},
        }
        return body, self.chance.choice(HABITS)

    async def _work(self, plans: list[tuple[dict[str, object], str]]) -> None:
        while plans:
            await self._live(*plans.pop())
            self.made += 1
            self.more.set()

    async def _live(self, body: dict[str, object], habit: str) -> None:
        answer = await self._ask("POST", SUBMIT, body)
        if answer is None:
            return  # a replica died with it; nobody knows whether there is a task
        output = answer.get("output")
        assert isinstance(output, dict), answer  # a refusal says why
        task_id = str(output["task_id"])
        assert is_task_id(task_id)
        self.answered.add(task_id)
        if habit == "to the end":
            await self._poll(task_id)
        elif habit == "to the end, twice":
            await asyncio.gather(self._poll(task_id), self._poll(task_id))
        elif habit == "once":
            await self._ask("GET", f"/task/{task_id}")
        elif habit == "cancels":
            await self._ask("POST", f"/api/v1/tasks/{task_id}/cancel")

    async def _poll(self, task_id: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                answer = await self._ask("GET", f"/task/{task_id}")
                output = (answer or {}).get("output")
                if isinstance(output, dict) and output["task_status"] in OVER:
                    return

    async def _ask(self, method: str, path: str, body: object = None) -> dict[str, object] | None:
        """One call to any replica; None when that replica went away with it."""
        url = self.chance.choice(list(self.fleet.replicas)) + path
        with contextlib.suppress(aiohttp.ClientError):
            async with self.session.request(method, url, json=body) as response:
                told: dict[str, object] = await response.json()
                return told
        return None


@pytest.mark.alone
async def test_the_records_are_what_upstream_would_bill() -> None:
    """One record for each task that has an owner, none twice, and their sum to the cent."""
    chance = random.Random(20261120)  # noqa: S311 - it is to repeat itself
    timeout = aiohttp.ClientTimeout(total=30)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with RedisServer.started() as redis, Folder(PROXY_STORE=redis.url) as folder:
        async with (
            Sandbox(keys=[UPSTREAM_KEY], task_seconds=0) as sandbox,
            ledger(redis.url) as store,
            aiohttp.ClientSession(headers=headers, timeout=timeout) as session,
        ):
            limits = Limits(concurrent_tasks=100_000, budget_total=8_000_000 * NANOS)
            await let_in(store, Grant("g1", "crowd", TENANT, ("*",), limits=limits))
            variables = {
                "PROXY_UPSTREAM": sandbox.url,
                "PROXY_ROUTES": str(priced_routes(folder.path)),
                "PROXY_FIRST_LOOK": "2",
                "PROXY_LEASE": "3",
                "PROXY_POLLS_PER_SECOND": "10000",
            }
            fleet = Fleet(folder, chance, variables)
            await fleet.start()
            crowd = Crowd(fleet, chance, session)
            await crowd.run(TASKS)
            await nothing_open(store, PATIENCE)
            for replica in fleet.replicas.values():
                assert await replica.stop() == 0

            records = {record.id: record for record in await all_records(store)}
            assert len(records) == len(await all_records(store))
            owned = {
                key.removeprefix("dsp:task:") for key in redis.cli("KEYS", "dsp:task:*").split()
            }
            tasks = {task.id: task for task in sandbox.tasks}
            assert records.keys() == owned >= crowd.answered
            assert len(tasks) - len(owned) <= fleet.restarts * AT_ONCE
            wrong = {
                name: (Decimal(record.amount) / NANOS, billed(tasks[name]))
                for name, record in records.items()
                if Decimal(record.amount) != billed(tasks[name]) * NANOS
            }
            assert not wrong
            total = sum(record.amount for record in records.values())
            assert total == sum(billed(tasks[name]) for name in owned) * NANOS
            assert total > TASKS * NANOS
            assert fleet.restarts == (TASKS - 1) // RESTART_EVERY

            # The budget knows the same sum, and what was held when a replica died is free again.
            bounds = [("token:g1", "money", "total"), ("token:g1", "tasks", "")]
            async with asyncio.timeout(PATIENCE):
                while any(one.held for one in await store.standings(bounds)):  # noqa: ASYNC110 - Redis tells nobody
                    await asyncio.sleep(0.05)
            assert await store.standings(bounds) == [(0, total), (0, 0)]
