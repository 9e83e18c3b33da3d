"""Several proxies on one real Redis: what is revoked ends everywhere, what is known goes on.

The rules of the design's section 6, on whole processes, with `redis-cli` as the control plane.
"""

import asyncio
import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from harness import EVIDENCE, TEXT2VIDEO, UPSTREAM_KEY, Answer
from redis_server import RedisServer
from system.process import Client, Folder, Process, client, eventually, task_of

from proxy.sandbox import Sandbox

TEXT = "/api/v1/services/aigc/text-generation/generation"
CHAT = {"model": "qwen-plus", "input": {"prompt": "kittens"}}


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(keys=[UPSTREAM_KEY], task_seconds=0) as running:
        yield running


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer.started("--appendonly", "yes") as server:
        yield server
        EVIDENCE.written.append(dump_of(server).encode())


@pytest.fixture
def folder(sandbox: Sandbox, redis: RedisServer) -> Iterator[Folder]:
    with Folder(PROXY_UPSTREAM=sandbox.url, PROXY_STORE=redis.url) as place:
        yield place


@pytest.fixture
async def web() -> AsyncIterator[Client]:
    async with client() as session:
        yield session


def dump_of(redis: RedisServer) -> str:
    """All keys with all that they hold."""
    script = """
        local all = {}
        for _, key in ipairs(redis.call('KEYS', '*')) do
            local kind = redis.call('TYPE', key)['ok']
            local held = kind == 'hash' and redis.call('HGETALL', key)
                or kind == 'zset' and redis.call('ZRANGE', key, 0, -1) or {kind}
            table.insert(all, key .. ' ' .. table.concat(held, ' '))
        end
        return all
    """
    return redis.cli("EVAL", script, "0")


def key_of(token: str) -> str:
    return f"dsp:token:{hashlib.sha256(token.encode()).hexdigest()}"


class Load:
    """Requests at a steady pace against several proxies; when each was accepted or refused.

    A request is noted by the moment it was sent: an answer may come late on a busy machine,
    but a request that was sent a second after the revocation must not be accepted.
    """

    def __init__(self, urls: list[str], token: str) -> None:
        self._urls = urls
        self._token = token
        self.seen: list[tuple[float, str, int]] = []

    @asynccontextmanager
    async def running(self, per_second: int) -> AsyncIterator["Load"]:
        headers = {"Authorization": f"Bearer {self._token}"}
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
            task = asyncio.create_task(self._go_on(session, per_second))
            try:
                yield self
            finally:
                task.cancel()
                await asyncio.wait([task])

    async def _go_on(self, session: aiohttp.ClientSession, per_second: int) -> None:
        loop = asyncio.get_running_loop()
        asked: set[asyncio.Task[None]] = set()
        for number in range(per_second * 30):
            task = asyncio.create_task(self._ask(session, self._urls[number % len(self._urls)]))
            asked.add(task)
            task.add_done_callback(asked.discard)
            due = loop.time() + 1 / per_second
            await asyncio.sleep(max(0, due - loop.time()))

    async def _ask(self, session: aiohttp.ClientSession, url: str) -> None:
        # The listing is answered by the proxy alone, so that upstream does not set the pace.
        sent = time.monotonic()
        async with session.get(f"{url}/api/v1/tasks") as answer:
            await answer.read()
            self.seen.append((sent, url, answer.status))

    def statuses(self, since: float = 0.0, until: float = float("inf")) -> Counter[int]:
        return Counter(status for sent, _, status in self.seen if since <= sent < until)

    def last_accepted(self) -> float:
        return max(sent for sent, _, status in self.seen if status == 200)


@pytest.fixture
async def replicas(folder: Folder) -> list[Process]:
    """Two proxies, each a process of its own."""
    both = [folder.serve(), folder.serve()]
    return [await one.is_up() for one in both]


REVOCATIONS: dict[str, Callable[[str], tuple[str, ...]]] = {
    "deleted": lambda key: ("DEL", key),
    "disabled": lambda key: ("HSET", key, "enabled", "0"),
    "expired": lambda key: ("HSET", key, "expires", "1000000000"),
    "renamed": lambda key: ("RENAME", key, "elsewhere"),
    "flushed": lambda _: ("FLUSHALL",),
}


@pytest.mark.parametrize("how", REVOCATIONS)
async def test_revoked_within_a_second(
    folder: Folder, redis: RedisServer, replicas: list[Process], how: str
) -> None:
    """Under 200 requests a second: nothing sent a second after redis-cli returned is accepted."""
    token = folder.token()
    load = Load([one.url for one in replicas], token)
    async with load.running(200):
        await eventually(lambda: len(load.seen) > 100, "requests are answered")
        await asyncio.to_thread(redis.cli, *REVOCATIONS[how](key_of(token)))
        returned = time.monotonic()
        await eventually(lambda: load.statuses(returned + 1.0)[401] > 50, "refusals")
    assert set(load.statuses(0, returned - 1)) <= {200}
    assert set(load.statuses(returned + 1.0)) == {401}
    asked = {url for sent, url, _ in load.seen if sent > returned + 1.0}
    assert len(asked) == 2
    print(f"revocation ({how}) seen {1000 * (load.last_accepted() - returned):.0f} ms after")  # noqa: T201 - a number worth having


async def test_revoked_by_the_command_line(folder: Folder, replicas: list[Process]) -> None:
    """The same for `token revoke`."""
    token = folder.token(name="gone")
    load = Load([one.url for one in replicas], token)
    async with load.running(200):
        await eventually(lambda: len(load.seen) > 100, "requests are answered")
        assert (await asyncio.to_thread(folder.run, "token", "revoke", "gone")).code == 0
        returned = time.monotonic()
        await eventually(lambda: load.statuses(returned + 1.0)[401] > 50, "refusals")
    assert set(load.statuses(returned + 1.0)) == {401}


async def test_the_hot_path_asks_redis_nothing(
    folder: Folder, redis: RedisServer, replicas: list[Process], web: Client
) -> None:
    """Requests of known tokens, and polls of known tasks, wait for no command in Redis.

    Calls are written down behind them, many at once.
    """
    token = folder.token()
    task = task_of(await web.submit(replicas[0], token))
    urls = [f"{one.url}/task/{task}" for one in replicas]
    posts = [f"{one.url}{TEXT}" for one in replicas]
    for _ in range(3):  # until both know the token, the task, and that it has succeeded
        for url, post in zip(urls, posts, strict=True):
            assert (await web.ask("GET", url, token)).status == 200
            assert (await web.ask("POST", post, token, CHAT)).status == 200
    with redis.monitor() as heard:
        for _ in range(100):
            answers = await asyncio.gather(
                *(web.ask("GET", url, token) for url in urls),
                *(web.ask("POST", post, token, CHAT) for post in posts),
            )
            assert {answer.status for answer in answers} == {200}
    sent = [line for line in heard if " lua] " not in line]  # a script's own are within it
    commands = Counter(re.findall(r'\] "([^"]*)"', " ".join(sent)))
    settling = {"EVAL", "HELLO", "CLIENT"}  # the latter two for a connection of its own
    assert set(commands) <= {"PING", "ROLE"} | settling, commands  # the store's own, by the clock
    assert commands.total() < 200  # for 400 requests; about 50 on a quiet machine


async def test_a_grant_by_hand_works_at_once(
    redis: RedisServer, replicas: list[Process], web: Client
) -> None:
    """`HSET dsp:token:<sha256> models …` is all it takes, also for a token just refused."""
    token = "sk-made-by-a-control-plane-elsewhere"
    EVIDENCE.secrets.add(token)
    for one in replicas:
        assert (await web.submit(one, token)).status == 401
    await asyncio.to_thread(redis.cli, "HSET", key_of(token), "models", "wan2.6-*")
    started = time.monotonic()
    for one in replicas:
        while (answer := await web.submit(one, token)).status != 200:
            assert answer.status == 401
            assert time.monotonic() - started < 1.0
        refused = await web.ask("POST", f"{one.url}{TEXT}", token, CHAT)
        assert (refused.status, refused.json()["code"]) == (403, "model_not_found")
    await asyncio.to_thread(redis.cli, "HSET", key_of(token), "models", "wan2.6-* qwen*")
    changed = time.monotonic()
    for one in replicas:
        while (await web.ask("POST", f"{one.url}{TEXT}", token, CHAT)).status != 200:
            assert time.monotonic() - changed < 1.0


async def test_a_task_is_polled_through_either(
    folder: Folder, replicas: list[Process], web: Client
) -> None:
    """A task made at one replica is its owner's at the other, and nobody else's."""
    token, stranger = folder.token(name="a"), folder.token(name="b")
    task = task_of(await web.submit(replicas[0], token))
    own = await web.ask("GET", f"{replicas[1].url}/task/bailian/tasks/{task}", token)
    other = await web.ask("GET", f"{replicas[1].url}/task/bailian/tasks/{task}", stranger)
    assert (own.status, other.status) == (200, 400)


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_an_outage(folder: Folder, redis: RedisServer, web: Client, how: str) -> None:
    """Known tokens and tasks go on, unknown ones get 503 soon; red, green, one line; and back."""
    proxy = await folder.serve().is_up()
    known, unknown = folder.token(name="known"), folder.token(name="unknown")
    task = task_of(await web.submit(proxy, known))
    assert (await web.ask("GET", f"{proxy.url}/task/{task}", known)).status == 200

    await asyncio.to_thread(redis.kill if how == "killed" else redis.pause)
    started = time.monotonic()
    down = await web.until(503, f"{proxy.admin_url}/readyz")
    for _ in range(20):
        answer = await web.ask("POST", f"{proxy.url}{TEXT}", known, CHAT)
        assert answer.status == 200
        assert (await web.ask("GET", f"{proxy.url}/task/{task}", known)).status == 200
        asked = time.monotonic()
        refused = await web.ask("POST", f"{proxy.url}{TEXT}", unknown, CHAT)
        assert (refused.status, refused.json()["code"]) == (503, "ServiceUnavailable")
        assert time.monotonic() - asked < 2
        assert (await web.ask("GET", f"{proxy.admin_url}/healthz")).status == 200
        ready = await web.ask("GET", f"{proxy.admin_url}/readyz")
        assert (ready.status, ready.json()["store"]) == (503, "unavailable")
    (line,) = proxy.events("store_down")
    assert line["why"]
    assert line["level"] == "warning"
    assert "dashscope_proxy_store_up 0.0" in await metrics(web, proxy)

    await asyncio.to_thread(redis.restart if how == "killed" else redis.resume)
    back = await web.until(200, f"{proxy.admin_url}/readyz")
    print(f"{how}: noticed after {down:.2f} s, back after {back:.2f} s")  # noqa: T201 - as above
    assert time.monotonic() - started < 60
    for token in (known, unknown):
        assert (await web.ask("POST", f"{proxy.url}{TEXT}", token, CHAT)).status == 200
    assert len(proxy.events("store_down")) == 1
    assert len(proxy.events("store_up")) == 1
    assert "dashscope_proxy_store_up 1.0" in await metrics(web, proxy)
    assert await proxy.stop() == 0


async def metrics(web: Client, proxy: Process) -> str:
    return (await web.ask("GET", f"{proxy.admin_url}/metrics")).body.decode()


async def test_known_grants_end_with_the_outage_policy(
    folder: Folder, redis: RedisServer, web: Client
) -> None:
    """PROXY_STALENESS seconds after the last confirmation a known token is not known any more."""
    proxy = await folder.serve(PROXY_STALENESS="2").is_up()
    token = folder.token()
    assert (await web.ask("POST", f"{proxy.url}{TEXT}", token, CHAT)).status == 200
    redis.kill()
    started = time.monotonic()
    while (await web.ask("POST", f"{proxy.url}{TEXT}", token, CHAT)).status == 200:
        assert time.monotonic() - started < 20
    took = time.monotonic() - started
    assert took > 1.5
    assert await proxy.stop() == 0
    redis.restart()


async def test_started_during_an_outage(folder: Folder, redis: RedisServer, web: Client) -> None:
    """It comes up without its store, says so, and is ready when the store is."""
    token = folder.token()
    redis.kill()
    proxy = await folder.serve().is_up()
    assert (await web.ask("GET", f"{proxy.admin_url}/healthz")).status == 200
    assert (await web.ask("GET", f"{proxy.admin_url}/readyz")).status == 503
    assert (await web.ask("POST", f"{proxy.url}{TEXT}", token, CHAT)).status == 503
    await asyncio.to_thread(redis.restart)
    await web.until(200, f"{proxy.admin_url}/readyz")
    assert (await web.ask("POST", f"{proxy.url}{TEXT}", token, CHAT)).status == 200
    assert len(proxy.events("store_down")) == 1
    assert await proxy.stop() == 0


class Patient:
    """A client of two replicas that tries the other one when a connection is refused."""

    def __init__(self, urls: list[str], token: str, web: Client) -> None:
        self.urls = urls
        self._token = token
        self._web = web
        self.failed: list[object] = []
        self.tasks: list[str] = []

    async def go_on(self, stop: asyncio.Event) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                answer = await self._somewhere("POST", "/task/bailian/text2video", number)
                self.tasks.append(task_of(answer))
                polled = await self._somewhere("GET", f"/task/{self.tasks[-1]}", number + 1)
                if polled.status != 200:
                    self.failed.append(polled)
            except (aiohttp.ClientError, AssertionError) as error:
                self.failed.append(repr(error))

    async def _somewhere(self, method: str, path: str, number: int) -> Answer:
        body = TEXT2VIDEO if method == "POST" else None
        for attempt in range(100):
            url = self.urls[(number + attempt) % len(self.urls)]
            try:
                return await self._web.ask(method, url + path, self._token, body)
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.01)
        raise AssertionError("nobody listens anywhere")


def batched(items: list[str], size: int) -> Iterator[list[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))


async def test_rolling_restart(folder: Folder, sandbox: Sandbox, web: Client) -> None:
    """One replica after the other, under load: no request fails, no task loses its owner."""
    running = [await folder.serve().is_up(), await folder.serve().is_up()]
    ports = [one.url.removeprefix("http://") for one in running]
    token = folder.token()
    caller = Patient([one.url for one in running], token, web)
    stop = asyncio.Event()
    clients = [asyncio.create_task(caller.go_on(stop)) for _ in range(4)]
    for _ in range(2):
        for number, port in enumerate(ports):
            done = len(caller.tasks)
            assert await running[number].stop() == 0
            running[number] = await folder.serve(PROXY_LISTEN=port).is_up()
            await eventually(lambda done=done: len(caller.tasks) > done + 20, "it goes on")  # type: ignore[misc]
    stop.set()
    await asyncio.gather(*clients)
    assert caller.failed == []
    ledger = json.loads((await web.ask("GET", f"{sandbox.url}/sandbox/ledger")).body)
    made = {task["task_id"] for task in ledger["tasks"]}
    assert made == set(caller.tasks)
    for owned in batched(sorted(made), 20):
        url = running[0].url
        polled = await asyncio.gather(
            *(web.ask("GET", f"{url}/task/{one}", token) for one in owned)
        )
        assert {answer.status for answer in polled} == {200}
    for one in running:
        assert await one.stop() == 0
