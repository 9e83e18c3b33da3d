"""Hundreds of waits on one account, through its limit and through an outage: all end well.

Issue 3, shown by 3. Upstream takes 20 task queries a second, and is away for half a minute while
all the tasks end: first it refuses connections, then it answers 503. Who waits is the SDK itself
in both its generations, and plain pollers who give up at anything but a 200.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
from dashscope import Client
from dashscope.aigc.video_synthesis import AioVideoSynthesis, VideoSynthesis
from dashscope.api_entities.aio_session import close_shared_aio_session
from harness import UPSTREAM_KEY, Stand, standing
from sdk.conftest import Point

from proxy.sandbox import Sandbox

TASKS = 500
QUERIES_PER_SECOND = 20
OUTAGE = 30.0
PAUSE = 2.0
"""Seconds that a plain poller sleeps between two polls."""

TELLINGS = 6
"""Lines about polls that fail: two for the outage, two each time a noisy machine draws a 429."""


def wait_1x(task_id: str, _: Stand, __: str) -> str:
    return str(VideoSynthesis.wait(task_id).output.task_status)


def wait_aio(task_id: str, _: Stand, __: str) -> str:
    async def wait() -> Any:  # noqa: ANN401 - the SDK is not typed for us
        try:
            return await AioVideoSynthesis.wait(task_id)
        finally:
            await close_shared_aio_session()

    return str(asyncio.run(wait()).output.task_status)


def wait_v2(task_id: str, stand: Stand, token: str) -> str:
    with Client(api_key=token, base_url=f"{stand.url}/api/v1") as client:
        return str(client.videos.jobs.wait(task_id).status)


WAITS: list[Callable[[str, Stand, str], str]] = [wait_1x] * 3 + [wait_aio] + [wait_v2] * 2


async def poll_to_the_end(session: aiohttp.ClientSession, task_id: str) -> str:
    """The state a task ends with; anything but a 200 is an end as well."""
    while True:
        async with session.get(f"/api/v1/tasks/{task_id}") as answer:
            if answer.status != 200:
                return str(answer.status)
            state = str((await answer.json())["output"]["task_status"])
        if state not in {"PENDING", "RUNNING"}:
            return state
        await asyncio.sleep(PAUSE)


def client_of(url: str, token: str) -> aiohttp.ClientSession:
    """A client that has as many connections as pollers."""
    return aiohttp.ClientSession(
        url,
        connector=aiohttp.TCPConnector(limit=0),
        headers={"Authorization": f"Bearer {token}"},
    )


async def submitted(stand: Stand, token: str, number: int) -> list[str]:
    """Tasks, some at a time."""
    width = asyncio.Semaphore(20)

    async def one() -> str:
        async with width:
            return await stand.submit(token)

    return await asyncio.gather(*(one() for _ in range(number)))


async def test_every_wait_ends_well(point: Point) -> None:
    """No wait is given up, no answer but 200 is seen, upstream is asked no more than it takes."""
    limited = Sandbox(
        keys=[UPSTREAM_KEY], task_seconds=OUTAGE / 2, queries_per_second=QUERIES_PER_SECOND
    )
    with ThreadPoolExecutor(len(WAITS)) as threads:
        async with (
            standing({"PROXY_POLL_HOLD": "1"}, limited) as stand,
            client_of(stand.url, token := await stand.token()) as session,
        ):
            point(f"{stand.url}/api/v1", token)
            tasks = await submitted(stand, token, TASKS)
            loop = asyncio.get_running_loop()
            sdk = [
                loop.run_in_executor(threads, wait, task_id, stand, token)
                for wait, task_id in zip(WAITS, tasks, strict=False)
            ]
            plain = [
                asyncio.create_task(poll_to_the_end(session, task_id))
                for task_id in tasks[len(WAITS) :]
            ]
            began = time.monotonic()
            async with stand.sandbox.outage():
                await asyncio.sleep(OUTAGE / 2)
            async with stand.sandbox.outage(503):
                await asyncio.sleep(OUTAGE / 2)
            assert time.monotonic() - began >= OUTAGE
            ends = await asyncio.gather(*sdk, *plain)
            assert Counter(ends) == {"SUCCEEDED": TASKS}
            polls = [str(line["poll"]) for line in stand.requests if "poll" in line]
            told = [str(line["event"]) for line in stand.lines if "polls" in str(line["event"])]
            assert {"fresh", "last_known"} <= set(polls)
            assert told[:2] == ["polls_failing", "polls_recovered"]
            assert len(told) <= TELLINGS
