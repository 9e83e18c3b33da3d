"""Budgets over whole processes: never overdrawn by concurrency, and healed when one dies."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from edge.rig import Conversation, scripted
from harness import UPSTREAM_KEY
from redis.asyncio import Redis
from redis_server import RedisServer
from system.ledgers import TENANT, TOKEN, ledger, let_in, nothing_open, priced_routes
from system.process import Client, Folder, Process, client, eventually, task_of

from proxy.core.limits import Limits
from proxy.core.money import NANOS
from proxy.core.policy import Grant
from proxy.ports import Store
from proxy.sandbox import Sandbox

LEASE = 3.0
"""Seconds, here; 60 by default."""

VIDEO = {
    "model": "wan2.6-t2v",
    "input": {"prompt": "a cat"},
    "parameters": {"size": "832*480", "duration": 10},
}
DEAREST = 33 * NANOS // 10
"""Ten seconds of 480P, by hand."""


@dataclass
class Place:
    """Replicas on one Redis, a token with a budget, and a client."""

    replicas: list[Process]
    store: Store
    web: Client
    redis: Redis

    async def submit(self, number: int) -> int:
        """The status of one more submit, to one replica or the other."""
        url = self.replicas[number % len(self.replicas)].url
        answer = await self.web.ask("POST", f"{url}/task/bailian/text2video", TOKEN, VIDEO)
        return answer.status

    async def spent(self) -> tuple[int, int]:
        """What is held of the budget, and what is spent."""
        ((held, spent),) = await self.store.standings([("token:g1", "money", "total")])
        return held, spent

    async def is_held(self, amount: int) -> None:
        """Wait until so much is held."""
        async with asyncio.timeout(30):
            while (await self.spent())[0] != amount:  # noqa: ASYNC110 - Redis tells nobody
                await asyncio.sleep(0.01)

    async def is_renewed(self) -> None:
        """Wait until the one hold there is ends later than now."""
        first = await self.due()
        async with asyncio.timeout(30):
            while await self.due() <= first:  # noqa: ASYNC110 - Redis tells nobody
                await asyncio.sleep(0.01)

    async def due(self) -> float:
        """When the one hold there is lapses, in seconds of Redis's clock."""
        found: Any = await self.redis.zrange("dsp:{ledger}:due", 0, -1, withscores=True)
        ((_, due),) = found
        return float(due) / 1000

    async def now(self) -> float:
        """What time it is by Redis's clock."""
        seconds, millionths = await self.redis.time()
        return float(seconds) + float(millionths) / 1_000_000


@asynccontextmanager
async def budgeted(upstream: str, videos: int, replicas: int = 2) -> AsyncIterator[Place]:
    """A budget for so many videos."""
    with RedisServer.started() as redis, Folder(PROXY_STORE=redis.url) as folder:
        async with ledger(redis.url) as store, client() as web, Redis.from_url(redis.url) as own:
            limits = Limits(budget_total=videos * DEAREST)
            await let_in(store, Grant("g1", "crowd", TENANT, ("*",), limits=limits))
            started = [
                folder.serve(
                    PROXY_UPSTREAM=upstream,
                    PROXY_ROUTES=str(priced_routes(folder.path)),
                    PROXY_LEASE=f"{LEASE:g}",
                    PROXY_FIRST_LOOK="0.5",
                    PROXY_POLLS_PER_SECOND="10000",
                )
                for _ in range(replicas)
            ]
            yield Place([await one.is_up() for one in started], store, web, own)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(keys=[UPSTREAM_KEY], task_seconds=0) as running:
        yield running


async def test_two_hundred_at_once_against_a_budget_for_fifty(sandbox: Sandbox) -> None:
    """Exactly fifty pass, over two replicas; in the end all of it is spent, and none is held."""
    async with budgeted(sandbox.url, 50) as place:
        statuses = Counter(await asyncio.gather(*(place.submit(n) for n in range(200))))
        assert statuses == {200: 50, 429: 150}
        assert len(sandbox.tasks) == 50
        await nothing_open(place.store, seconds=30)
        assert await place.spent() == (0, 50 * DEAREST)
        assert await place.submit(0) == 429


async def test_a_budget_heals_when_a_process_dies_between_reservation_and_settlement() -> None:
    """What a dead process held counts for the lease and no longer; then there is room again.

    When that is, is told by Redis's clock: this machine may be slow.
    """

    async def silent(told: Conversation) -> None:
        await told.whole()
        await told.gone()

    async with scripted(silent) as upstream, budgeted(upstream.url, 1) as place:
        lost = asyncio.create_task(place.submit(0))
        await upstream.heard()
        await place.is_held(DEAREST)
        await place.is_renewed()
        assert await place.submit(1) == 429
        place.replicas[0].signal(signal.SIGKILL)
        await place.replicas[0].ended()
        due = await place.due()
        assert due <= await place.now() + LEASE
        await asyncio.gather(lost, return_exceptions=True)
        await place.is_held(0)
        assert await place.now() >= due
        passed = asyncio.create_task(place.submit(1))
        await upstream.heard(2)
        passed.cancel()
        assert await place.spent() == (DEAREST, 0)


async def test_a_task_that_nobody_polls_is_charged_and_makes_room(sandbox: Sandbox) -> None:
    """A process that dies after the claim leaves it to the others: the task is settled there."""
    async with budgeted(sandbox.url, 1) as place:
        url = f"{place.replicas[0].url}/task/bailian/text2video"
        task = task_of(await place.web.ask("POST", url, TOKEN, VIDEO))
        place.replicas[0].signal(signal.SIGKILL)
        await place.replicas[0].ended()
        await nothing_open(place.store, seconds=30)
        ((_, record),) = await place.store.records("", 10)
        assert (record.id, record.amount) == (task, DEAREST)
        assert await place.spent() == (0, DEAREST)


async def test_sigterm_loses_nothing(sandbox: Sandbox) -> None:
    """What was answered is in the ledger when the process has ended, without any wait of ours."""
    async with budgeted(sandbox.url, 50, replicas=1) as place:
        chat = {"model": "qwen-plus", "input": {"prompt": "kittens"}}
        url = f"{place.replicas[0].url}/api/v1/services/aigc/text-generation/generation"
        answers = await asyncio.gather(
            *(place.web.ask("POST", url, TOKEN, chat) for _ in range(40))
        )
        assert {answer.status for answer in answers} == {200}
        assert await place.replicas[0].stop() == 0
        assert len(await place.store.records("", 1000)) == 40
        await eventually(lambda: place.replicas[0].events("stopped"), "it says so")
        assert not place.replicas[0].events("usage_record_lost")
