"""`Idempotency-Key` across processes, and with the SDKs: one task, whoever is asked again."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator

import dashscope
import httpx
import pytest
from dashscope import Client as SdkClient
from dashscope.aigc.video_synthesis import VideoSynthesis
from dashscope.api_entities.http_request import close_shared_sync_session
from harness import EVIDENCE, TEXT2VIDEO, UPSTREAM_KEY, Answer, standing
from redis_server import RedisServer
from system.process import Client, Folder, Process, client

from proxy.sandbox import Sandbox

KEY = {"Idempotency-Key": "order 66"}
PATIENT = {**KEY, "X-DashScope-Wait-Timeout": "60"}
PATH = "/task/bailian/text2video"


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(keys=[UPSTREAM_KEY], task_seconds=0) as running:
        yield running


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer.started() as server:
        yield server
        EVIDENCE.written += [
            server.cli("HGETALL", key).encode() for key in server.cli("KEYS", "*").split()
        ]


@pytest.fixture
def folder(sandbox: Sandbox) -> Iterator[Folder]:
    with Folder(PROXY_UPSTREAM=sandbox.url) as place:
        yield place


@pytest.fixture
async def web() -> AsyncIterator[Client]:
    async with client() as session:
        yield session


async def submit(web: Client, proxy: Process, token: str) -> Answer:
    return await web.ask("POST", proxy.url + PATH, token, TEXT2VIDEO, PATIENT)


async def test_the_client_is_gone_and_asks_another_replica(
    sandbox: Sandbox, redis: RedisServer, folder: Folder, web: Client
) -> None:
    """The first proxy goes on without its client; the second waits for it, and has its answer."""
    go = asyncio.Event()
    sandbox.faults.add(hold=go)
    shared = {"PROXY_STORE": redis.url}
    one, two = [await folder.serve(**shared).is_up() for _ in range(2)]
    token = folder.token(**shared)

    first = asyncio.create_task(submit(web, one, token))
    await sandbox.received(lambda entry: entry.complete)
    first.cancel()
    await asyncio.wait([first])
    again = asyncio.create_task(submit(web, two, token))
    done, _ = await asyncio.wait([again], timeout=0.3)
    assert not done
    go.set()
    answer = await again
    assert (answer.status, answer.headers["x-proxy-replayed"]) == (200, "true")
    assert (await submit(web, one, token)).body == answer.body
    (task,) = sandbox.tasks
    assert task.id in answer.body.decode()
    assert (await web.ask("GET", f"{two.url}/task/{task.id}", token)).status == 200
    assert sandbox.tasks.created.total() == len([e for e in sandbox.requests if e.size]) == 1


async def test_a_proxy_is_killed_with_a_submit_under_way(
    sandbox: Sandbox, folder: Folder, web: Client
) -> None:
    """Nobody knows what came of it: who asks again makes no second task, and does not hang."""
    sandbox.faults.add(delay=60)
    env = {"PROXY_READ_TIMEOUT": "0.5"}
    one = await folder.serve(**env).is_up()
    token = folder.token()

    first = asyncio.create_task(submit(web, one, token))
    await sandbox.received(lambda entry: entry.complete)
    one.signal(signal.SIGKILL)
    await one.ended()
    await asyncio.wait([first])
    assert first.exception() is not None

    two = await folder.serve(**env).is_up()
    answer = await submit(web, two, token)
    assert (answer.status, answer.json()["code"]) == (409, "IdempotencyKeyInUse")
    assert answer.headers["x-should-retry"] == "false"
    assert sandbox.tasks.created.total() == 1


def by_1x(url: str, token: str) -> str:
    dashscope.base_http_api_url, dashscope.api_key = url, token
    answer = VideoSynthesis.async_call(model="wan2.6-t2v", prompt="a cat", headers=KEY)
    close_shared_sync_session()
    return str(answer.output.task_id)


def by_v2(url: str, token: str) -> str:
    """It has no place for a field of the caller, but takes an HTTP client that has."""
    fields = {"Authorization": f"Bearer {token}", **KEY}
    with (
        httpx.Client(headers=fields, base_url=url) as http,
        SdkClient(api_key=token, base_url=url, http_client=http) as sdk,
    ):
        return str(sdk.videos.jobs.create(model="wan2.6-t2v", prompt="a cat").output["task_id"])


@pytest.mark.usefixtures("sdk_restored")
@pytest.mark.parametrize("submit", [by_1x, by_v2])
async def test_the_sdk_with_a_key(submit: Callable[[str, str], str]) -> None:
    """Both surfaces take the field along: the same call twice is one task, upstream sees no key."""
    async with standing() as stand:
        url, token = f"{stand.url}/api/v1", await stand.token()
        one, two = [await asyncio.to_thread(submit, url, token) for _ in range(2)]
        assert one == two
        assert [task.id for task in stand.sandbox.tasks] == [one]
        sent = {name.lower() for entry in stand.sandbox.requests for name, _ in entry.headers}
        assert "idempotency-key" not in sent
