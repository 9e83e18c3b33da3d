"""`serve --demo`: what a newcomer pastes works, with the real curl, to the end of a task."""

import json
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from harness import EVIDENCE, UPSTREAM_KEY
from redis_server import RedisServer
from system.process import Client, Folder, Process, client, eventually

ALIASES = (
    "/task/{id}",
    "/task/bailian/{id}",
    "/task/bailian/tasks/{id}",
    "/alibailian/api/v1/tasks/{id}",
    "/api/v1/tasks/{id}",
)


@pytest.fixture
def folder() -> Iterator[Folder]:
    with Folder() as place:
        yield place


@pytest.fixture
async def web() -> AsyncIterator[Client]:
    async with client() as session:
        yield session


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The variables for either kind of store."""
    if request.param == "sqlite":
        yield {}
        return
    with RedisServer.started() as redis:
        yield {"PROXY_STORE": redis.url}


class Greeting:
    """What `--demo` printed."""

    def __init__(self, process: Process) -> None:
        text = process.out
        self.text = text
        self.token = self._find(r"^Token +(\S+)$")
        self.submit = self._find(r"^Submit +(curl .*?')$", re.MULTILINE | re.DOTALL)
        self.poll = self._find(r"^Poll +(curl .*)$")
        self.sandbox = re.search(r"using the sandbox at (http://\S+)\.$", text, re.MULTILINE)
        EVIDENCE.secrets.add(self.token)
        process.hide(self.token)

    def _find(self, pattern: str, flags: int = re.MULTILINE) -> str:
        found = re.search(pattern, self.text, flags)
        assert found, self.text
        return found[1]


async def greeted(process: Process) -> Greeting:
    """Wait until a demonstration has said what it has to say."""

    def said() -> bool:
        assert process.popen.poll() is None, process.err
        return "\nPoll" in process.out and bool(process.events("listening"))

    await eventually(said, "the greeting")
    return Greeting(process)


def pasted(command: str) -> dict[str, dict[str, str]]:
    """Run a line as a person would, in bash; the JSON it prints."""
    done = subprocess.run(
        ["bash", "-c", f"{command.replace('curl ', 'curl -sS --max-time 30 ', 1)}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done
    answer: dict[str, dict[str, str]] = json.loads(done.stdout)
    return answer


async def test_the_printed_curl_works(folder: Folder, store: dict[str, str], web: Client) -> None:
    """Submit and poll as printed, until SUCCEEDED, through every alias; on each kind of store."""
    proxy = folder.start("serve", "--demo", **store)
    greeting = await greeted(proxy)
    assert proxy.url in greeting.submit
    assert not proxy.url.endswith(":0")
    task_id = pasted(greeting.submit)["output"]["task_id"]
    states: set[str] = set()

    def ended() -> bool:
        answer = pasted(greeting.poll.replace("TASK_ID", task_id))
        states.add(answer["output"]["task_status"])
        return "SUCCEEDED" in states

    await eventually(ended, "the task succeeds")
    assert states <= {"PENDING", "RUNNING", "SUCCEEDED"}
    for alias in ALIASES:
        answer = await web.ask("GET", proxy.url + alias.format(id=task_id), greeting.token)
        output = json.loads(answer.body)["output"]
        assert (answer.status, output["task_id"]) == (200, task_id)
        assert output["task_status"] == "SUCCEEDED"
        assert output["video_url"].startswith("http")
    assert await proxy.stop() == 0


async def test_a_restart_keeps_the_tasks(
    folder: Folder, store: dict[str, str], web: Client
) -> None:
    """A new start prints a new token, which ends the old one and owns its tasks."""
    proxy = folder.start("serve", "--demo", **store)
    first = await greeted(proxy)
    task_id = pasted(first.submit)["output"]["task_id"]
    assert await proxy.stop() == 0
    again = folder.start("serve", "--demo", **store)
    second = await greeted(again)
    assert second.token != first.token
    # This start's sandbox never heard of the task, but whose it is is known: upstream answers.
    polled = await web.ask("GET", f"{again.url}/task/{task_id}", second.token)
    assert polled.status == 200
    refused = await web.ask("GET", f"{again.url}/task/{task_id}", first.token)
    assert refused.status == 401
    listed = json.loads((await web.ask("GET", f"{again.url}/api/v1/tasks", second.token)).body)
    assert task_id in json.dumps(listed)
    assert await again.stop() == 0


async def test_with_a_key_there_is_no_sandbox(folder: Folder) -> None:
    """Somebody who has an account demonstrates against it."""
    proxy = folder.serve("--demo", PROXY_UPSTREAM="http://127.0.0.1:9")
    greeting = await greeted(proxy)
    assert greeting.sandbox is None
    assert not children(proxy.popen.pid)
    assert await proxy.stop() == 0


async def test_a_token_called_demo_is_left_alone(folder: Folder, web: Client) -> None:
    """The demonstration replaces its own token and nobody else's."""
    token = folder.token("qwen*", name="demo")
    proxy = folder.start("serve", "--demo")
    await greeted(proxy)
    assert (await web.ask("GET", f"{proxy.url}/api/v1/tasks", token)).status == 200
    assert await proxy.stop() == 0


async def test_demo_with_workers(folder: Folder) -> None:
    """One greeting, whatever the number of processes, and the curl works."""
    proxy = folder.start("serve", "--demo", "--workers", "2")
    greeting = await greeted(proxy)
    await proxy.is_up(workers=2)
    assert greeting.text.count("\nToken ") == 1
    assert pasted(greeting.submit)["output"]["task_status"] == "PENDING"
    assert await proxy.stop() == 0


async def test_demo_on_a_unix_socket(folder: Folder) -> None:
    """What is printed works there as well."""
    path = folder.path / "a place" / "proxy.sock"
    path.parent.mkdir()
    proxy = folder.start("serve", "--demo", "--listen", f"unix:{path}")
    greeting = await greeted(proxy)
    task_id = pasted(greeting.submit)["output"]["task_id"]
    polled = pasted(greeting.poll.replace("TASK_ID", task_id))
    assert polled["output"]["task_id"] == task_id
    assert await proxy.stop() == 0


@pytest.mark.parametrize("words", [[], ["--workers", "2"]], ids=["one", "two"])
async def test_demo_without_its_store(folder: Folder, words: list[str]) -> None:
    """A demonstration that cannot store its token says so in one line, and ends."""
    proxy = folder.start("serve", "--demo", *words, PROXY_STORE="redis://127.0.0.1:9")
    code, _ = await proxy.ended()
    assert code == 1
    (line,) = proxy.err.splitlines()
    assert line.startswith("PROXY_STORE: the redis store does not answer: ")


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def command_of(pid: int) -> bytes:
    """Its command line; nothing when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize("words", [[], ["--workers", "2"]], ids=["one", "two"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
async def test_the_sandbox_ends_with_its_proxy(
    folder: Folder, number: signal.Signals, words: list[str]
) -> None:
    """Whatever ended the proxy, nothing of it is left running."""
    proxy = folder.start("serve", "--demo", *words)
    await greeted(proxy)
    await proxy.is_up(workers=2 if words else 1)
    helpers = children(proxy.popen.pid)
    assert helpers
    proxy.signal(number)
    await proxy.ended()
    await eventually(lambda: not any(map(command_of, helpers)), "its children have ended")


async def test_a_sandbox_that_died_is_survived(folder: Folder, web: Client) -> None:
    """Workers and their parent go on without it: upstream is away, that is all."""
    proxy = folder.start("serve", "--demo", "--workers", "2")
    greeting = await greeted(proxy)
    await proxy.is_up(workers=2)
    assert greeting.sandbox
    (sandbox,) = [pid for pid in children(proxy.popen.pid) if b"sandbox" in command_of(pid)]
    os.kill(sandbox, signal.SIGKILL)
    answer = await web.submit(proxy, greeting.token)
    assert answer.status == 502
    assert proxy.popen.poll() is None
    assert await proxy.stop() == 0


async def test_the_sandbox_alone(folder: Folder, web: Client) -> None:
    """`sandbox` runs in the foreground without a key, closed standard input or not."""
    process = folder.start("sandbox", "--listen", "127.0.0.1:0", "--key", UPSTREAM_KEY)
    await eventually(lambda: "sandbox at http://" in process.out, "it says where it is")
    found = re.search(r"http://[^,]+", process.out)
    assert found
    process.hide(UPSTREAM_KEY)
    answer = await web.ask("GET", f"{found[0]}/api/v1/models", UPSTREAM_KEY)
    assert answer.status == 200
    assert await process.stop() == 0
