"""The outbox in whole processes: killed, restarted, several at once, in front of a real Redis."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from harness import UPSTREAM_KEY
from redis_server import RedisServer
from system.process import Client, Folder, Process, client, eventually, task_of

from proxy.sandbox import Sandbox


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(keys=[UPSTREAM_KEY], task_seconds=0) as running:
        yield running


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer.started("--appendonly", "yes") as server:
        yield server


@pytest.fixture
def folder(sandbox: Sandbox, redis: RedisServer) -> Iterator[Folder]:
    with Folder(PROXY_UPSTREAM=sandbox.url, PROXY_STORE=redis.url) as place:
        yield place


@pytest.fixture
async def web() -> AsyncIterator[Client]:
    async with client() as session:
        yield session


async def make_known(web: Client, proxy: Process, token: str) -> None:
    assert (await web.ask("GET", f"{proxy.url}/api/v1/tasks", token)).status == 200


def owner_of(redis: RedisServer, task: str) -> str:
    return redis.cli("HGET", f"dsp:task:{task}", "tenant")


async def test_submits_go_on(folder: Folder, redis: RedisServer, web: Client) -> None:
    """In an outage a known token submits and polls as ever; afterwards Redis knows the owner."""
    proxy = await folder.serve().is_up()
    token, stranger = folder.token(name="a"), folder.token(name="b")
    for one in (token, stranger):
        await make_known(web, proxy, one)
    redis.kill()
    await web.until(503, f"{proxy.admin_url}/readyz")
    task = task_of(await web.submit(proxy, token))
    polled = [await web.ask("GET", f"{proxy.url}/task/{task}", token) for _ in range(3)]
    assert b"SUCCEEDED" in polled[-1].body
    for unknown in (task, "no-such-task"):
        assert (await web.ask("GET", f"{proxy.url}/task/{unknown}", stranger)).status == 503
    assert (await web.ask("GET", f"{proxy.url}/api/v1/tasks", token)).status == 503
    (line,) = proxy.events("claim_deferred")
    assert (line["task_id"], line["account"], line["model"]) == (task, "default", "wan2.6-t2v")
    assert line["tenant"]
    await asyncio.to_thread(redis.restart)
    await eventually(lambda: owner_of(redis, task) == line["tenant"], "the owner is in Redis")
    await eventually(lambda: proxy.events("claims_replayed"), "it is told")
    assert [line["count"] for line in proxy.events("claims_replayed")] == [1]
    listed = await web.ask("GET", f"{proxy.url}/api/v1/tasks", token)
    assert task.encode() in listed.body
    assert b"SUCCEEDED" in listed.body
    assert (await web.ask("GET", f"{proxy.url}/task/{task}", stranger)).status == 400
    assert await proxy.stop() == 0


async def test_killed_before_redis_is_back(folder: Folder, redis: RedisServer, web: Client) -> None:
    """`kill -9` of the proxy in the outage: the next one carries over what it left behind."""
    proxy = await folder.serve().is_up()
    token = folder.token()
    await make_known(web, proxy, token)
    redis.kill()
    tasks = [task_of(await web.submit(proxy, token)) for _ in range(5)]
    proxy.kill()
    await asyncio.to_thread(redis.restart)
    assert [owner_of(redis, task) for task in tasks] == [""] * 5
    proxy = await folder.serve().is_up()
    await eventually(lambda: all(owner_of(redis, task) for task in tasks), "owners are in Redis")
    await eventually(lambda: proxy.events("claims_replayed"), "it is told")
    for task in tasks:
        assert (await web.ask("GET", f"{proxy.url}/task/{task}", token)).status == 200
    assert sum(int(str(line["count"])) for line in proxy.events("claims_replayed")) == 5
    assert await proxy.stop() == 0


async def test_workers_share_one_outbox(folder: Folder, redis: RedisServer, web: Client) -> None:
    """Whatever worker took a submit, any of them polls it, and all is carried over just once."""
    proxy = await folder.serve(PROXY_WORKERS="2").is_up(workers=2)
    token = folder.token()
    for _ in range(40):  # until both workers know the token
        await make_known(web, proxy, token)
    await asyncio.to_thread(redis.pause)
    submitted = await asyncio.gather(*(web.submit(proxy, token) for _ in range(20)))
    tasks = [task_of(answer) for answer in submitted]
    deferred = Counter(str(line["task_id"]) for line in proxy.events("claim_deferred"))
    assert deferred == Counter(tasks)
    for task in tasks:
        assert (await web.ask("GET", f"{proxy.url}/task/{task}", token)).status == 200
    await asyncio.to_thread(redis.resume)

    def counted() -> int:
        return sum(int(str(line["count"])) for line in proxy.events("claims_replayed"))

    await eventually(lambda: counted() >= 20, "all are told")
    assert counted() == 20
    assert all(owner_of(redis, task) for task in tasks)
    listed = await web.ask("GET", f"{proxy.url}/api/v1/tasks?page_size=100", token)
    assert all(listed.body.count(task.encode()) == 1 for task in tasks)
    assert await proxy.stop() == 0


@pytest.mark.parametrize("drain", ["0", "20"])
async def test_stopped_while_claiming(
    folder: Folder, redis: RedisServer, web: Client, sandbox: Sandbox, drain: str
) -> None:
    """SIGTERM while a claim waits for Redis: it is on the disk when the process ends."""
    proxy = await folder.serve(PROXY_DRAIN=drain).is_up()
    token = folder.token()
    await make_known(web, proxy, token)
    await asyncio.to_thread(redis.pause)
    asked = asyncio.create_task(web.submit(proxy, token))
    await eventually(lambda: sandbox.requests, "upstream has the submit")
    assert await proxy.stop() == 0
    (line,) = proxy.events("claim_deferred")
    task = str(line["task_id"])
    with contextlib.suppress(aiohttp.ClientError):
        assert task_of(await asked) == task
    await asyncio.to_thread(redis.resume)
    after = await folder.serve().is_up()
    await eventually(lambda: owner_of(redis, task), "the owner is in Redis")
    assert await after.stop() == 0


async def test_an_outbox_that_cannot_be(folder: Folder, redis: RedisServer, web: Client) -> None:
    """A directory of no use is told at the start, and only costs what an outage costs without."""
    (folder.path / "file").touch()
    proxy = await folder.serve(PROXY_OUTBOX=str(folder.path / "file" / "x")).is_up()
    (line,) = proxy.events("outbox_down")
    assert "NotADirectory" in str(line["why"])
    token = folder.token()
    await make_known(web, proxy, token)
    assert (await web.submit(proxy, token)).status == 200
    redis.kill()
    await web.until(503, f"{proxy.admin_url}/readyz")
    assert (await web.submit(proxy, token)).status == 503
    assert len(proxy.events("outbox_down")) == 1
    assert proxy.events("task_without_owner")
    assert await proxy.stop() == 0
