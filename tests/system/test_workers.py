"""Several processes on one port: they share the work, outlive one another, and end together."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from harness import UPSTREAM_KEY
from prometheus_client.parser import text_string_to_metric_families
from system.process import Client, Folder, Process, client, eventually, is_refused

from proxy.sandbox import Sandbox

TEXT = "/api/v1/services/aigc/text-generation/generation"
CHAT = {"model": "qwen-plus", "input": {"prompt": "kittens"}}


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(keys=[UPSTREAM_KEY], task_seconds=0) as running:
        yield running


@pytest.fixture
def folder(sandbox: Sandbox) -> Iterator[Folder]:
    with Folder(PROXY_UPSTREAM=sandbox.url) as place:
        yield place


@pytest.fixture
async def web() -> AsyncIterator[Client]:
    async with client() as session:
        yield session


@pytest.fixture
async def pair(folder: Folder) -> AsyncIterator[Process]:
    """Two workers on one port."""
    proxy = await folder.serve("--workers", "2").is_up(workers=2)
    yield proxy
    if proxy.popen.poll() is None:
        assert await proxy.stop() == 0


def pids(proxy: Process) -> list[int]:
    """The workers that listen or have listened, oldest first."""
    return [int(str(line["pid"])) for line in proxy.events("listening")]


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that waits to be buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def counted(web: Client, proxy: Process, name: str) -> float:
    """The sum over a metric's samples."""
    page = (await web.ask("GET", f"{proxy.admin_url}/metrics")).body.decode()
    return sum(
        one.value
        for family in text_string_to_metric_families(page)
        for one in family.samples
        if one.name == f"dashscope_proxy_{name}"
    )


def taken_in(pid: int) -> int:
    """Bytes that a process has read: what tells which one was at work."""
    text = Path(f"/proc/{pid}/io").read_text()
    return int(dict(line.split(": ") for line in text.splitlines())["rchar"])


async def test_both_work_and_one_page_counts(folder: Folder, pair: Process, web: Client) -> None:
    """Connections reach both workers; /metrics is the sum, whichever of them answers."""
    token = folder.token()
    before = {pid: taken_in(pid) for pid in pids(pair)}
    assert len(before) == 2
    answers = await asyncio.gather(
        *(web.ask("POST", f"{pair.url}{TEXT}", token, CHAT) for _ in range(60))
    )
    assert {answer.status for answer in answers} == {200}
    assert all(taken_in(pid) > size + 3000 for pid, size in before.items())
    await eventually(lambda: len(pair.events("request")) == 60, "every request has its line")
    for _ in range(10):  # a new connection each, so both workers are asked
        assert await counted(web, pair, "requests_total") == 60
        assert await counted(web, pair, "running_requests") == 0
        assert await counted(web, pair, "store_up") == 1


async def test_a_file_that_is_just_being_made(folder: Folder, pair: Process, web: Client) -> None:
    """A worker that starts, or was killed while it did, does not take /metrics away."""
    (place,) = folder.path.glob("dashscope-proxy-metrics-*")
    for name in ("counter_1.db", "histogram_1.db", "gauge_livesum_1.db"):
        (place / name).touch()
    assert (await web.ask("GET", f"{pair.url}/nowhere")).status == 404
    await eventually(lambda: pair.events("request"), "it is counted, which comes after the answer")
    for _ in range(4):
        assert await counted(web, pair, "requests_total") == 1
        assert await counted(web, pair, "store_up") == 1


async def test_a_killed_worker_is_replaced(folder: Folder, pair: Process, web: Client) -> None:
    """Requests that come while a worker is missing are served late, none is refused."""
    token = folder.token()
    failed: list[object] = []
    done = 0
    stop = asyncio.Event()

    async def go_on() -> None:
        nonlocal done
        while not stop.is_set():
            answer = await web.ask("POST", f"{pair.url}{TEXT}", token, CHAT)
            done += 1
            if answer.status != 200:
                failed.append(answer)

    await web.ask("POST", f"{pair.url}{TEXT}", token, CHAT)
    # Killed while nothing runs in it: what a killed process holds in its hands is lost.
    victim = pids(pair)[0]
    os.kill(victim, signal.SIGKILL)
    started = time.monotonic()
    clients = [asyncio.create_task(go_on()) for _ in range(8)]
    await eventually(lambda: len(pids(pair)) == 3, "a third worker listens")
    took = time.monotonic() - started
    stop.set()
    await asyncio.gather(*clients)
    assert not failed
    assert done > 0
    (told,) = pair.events("worker_ended")
    assert (told["worker"], told["code"], told["level"]) == (victim, -9, "warning")
    assert took < 20  # about 2 on a quiet machine: it had lived for less than `BROKEN`
    assert await counted(web, pair, "running_requests") == 0


async def test_both_hear_of_a_revocation(folder: Folder, pair: Process, web: Client) -> None:
    """A token that the command line revoked in SQLite is refused by both within a second."""
    token = folder.token(name="gone")
    ask = [web.ask("POST", f"{pair.url}{TEXT}", token, CHAT) for _ in range(20)]
    assert {answer.status for answer in await asyncio.gather(*ask)} == {200}
    done = await asyncio.to_thread(folder.run, "token", "revoke", "gone")
    assert done.code == 0
    ask = [web.ask("POST", f"{pair.url}{TEXT}", token, CHAT) for _ in range(20)]
    assert {answer.status for answer in await asyncio.gather(*ask)} == {401}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_told_to_stop_all_drain(
    folder: Folder, sandbox: Sandbox, pair: Process, web: Client, number: signal.Signals
) -> None:
    """One signal to the parent, and every worker finishes what it has; 0 when all did."""
    token = folder.token()
    hold = asyncio.Event()
    for _ in range(10):
        sandbox.faults.add(path=TEXT, hold=hold)
    asked = [
        asyncio.create_task(web.ask("POST", f"{pair.url}{TEXT}", token, CHAT)) for _ in range(10)
    ]
    await eventually(lambda: len(sandbox.requests) == 10, "all are upstream")
    pair.signal(number)
    await web.until(503, f"{pair.admin_url}/readyz")
    await eventually(lambda: is_refused(pair.url), "new connections are refused, not kept waiting")
    hold.set()
    assert {answer.status for answer in await asyncio.gather(*asked)} == {200}
    code, _ = await pair.ended()
    assert code == 0
    assert not any(is_alive(pid) for pid in pids(pair))
    assert not list(folder.path.glob("dashscope-proxy-metrics-*"))


async def test_a_second_interrupt_reaches_all(
    folder: Folder, sandbox: Sandbox, web: Client
) -> None:
    """Ctrl-C twice ends the drain of every worker."""
    proxy = await folder.serve("--workers", "2", PROXY_DRAIN="600").is_up(workers=2)
    token = folder.token()
    for _ in range(6):
        sandbox.faults.add(path=TEXT, hold=asyncio.Event())
    url = f"{proxy.url}{TEXT}"
    asked = [asyncio.create_task(web.ask("POST", url, token, CHAT)) for _ in range(6)]
    await eventually(lambda: len(sandbox.requests) == 6, "all are upstream")
    proxy.signal(signal.SIGINT)
    await web.until(503, f"{proxy.admin_url}/readyz")
    assert proxy.popen.poll() is None
    proxy.signal(signal.SIGINT)
    assert (await proxy.ended())[0] == 0
    await asyncio.gather(*asked, return_exceptions=True)


async def test_workers_end_with_their_parent(folder: Folder) -> None:
    """A parent that was killed leaves nobody behind on its port."""
    proxy = await folder.serve("--workers", "2").is_up(workers=2)
    proxy.kill()
    await eventually(lambda: not any(is_alive(pid) for pid in pids(proxy)), "both have ended")


async def test_a_proxy_in_the_working_directory_is_not_ours(folder: Folder) -> None:
    """Workers and the sandbox are the program that was started, whatever lies around."""
    trap = folder.path / "somewhere"
    trap.mkdir()
    (trap / "proxy.py").write_text("raise SystemExit('the wrong proxy')")
    script = Path(sys.executable).parent / "dashscope-proxy"
    command = f"cd {trap} && exec {script} serve --demo --workers 2"
    proxy = await folder.shell(command).is_up(workers=2)
    assert await proxy.stop() == 0
    assert "the wrong proxy" not in proxy.out + proxy.err
