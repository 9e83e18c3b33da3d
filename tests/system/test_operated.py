"""One proxy as an operator meets it: started, told to stop, killed, on every kind of address."""

import asyncio
import json
import os
import pty
import shlex
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from harness import TEXT2VIDEO, UPSTREAM_KEY
from system.process import PROGRAM, Client, Folder, client, eventually, is_refused, task_of

from proxy.sandbox import Sandbox

SIGNALS = [signal.SIGTERM, signal.SIGINT]
TEXT = "/api/v1/services/aigc/text-generation/generation"
VIDEO = "/api/v1/services/aigc/video-generation/video-synthesis"
CHAT = {"model": "qwen-plus", "input": {"prompt": "Tell me about cliffs and kittens, at length"}}


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


@pytest.mark.parametrize("number", SIGNALS)
async def test_told_to_stop_it_finishes_what_runs(
    folder: Folder, sandbox: Sandbox, web: Client, number: signal.Signals
) -> None:
    """No new connections, the stream that runs comes whole, the exit code is 0."""
    proxy = await folder.serve().is_up()
    token, url = folder.token(), proxy.url
    hold = asyncio.Event()
    sandbox.faults.add(path=TEXT, hold=hold, hold_after=2)
    headers = {"Authorization": f"Bearer {token}", "X-DashScope-SSE": "enable"}
    async with web.session.post(f"{url}{TEXT}", json=CHAT, headers=headers) as stream:
        first = await stream.content.readuntil(b"\n\n")
        proxy.signal(number)
        await eventually(lambda: is_refused(url), "the port is closed")
        assert proxy.popen.poll() is None
        ready = await web.ask("GET", f"{proxy.admin_url}/readyz")
        assert (ready.status, ready.json()["process"]) == (503, "draining")
        assert (await web.ask("GET", f"{proxy.admin_url}/healthz")).status == 200
        hold.set()
        rest = await stream.content.read()
    assert b'"finish_reason": "stop"' in first + rest or b'"finish_reason":"stop"' in first + rest
    code, took = await proxy.ended()
    assert code == 0
    assert took < 10
    assert [line["event"] for line in proxy.lines][-1] == "stopped"
    assert not proxy.events("drain_cut_short")


@pytest.mark.parametrize("number", SIGNALS)
async def test_a_submit_without_a_client_ends_with_an_owner(
    folder: Folder, sandbox: Sandbox, web: Client, number: signal.Signals
) -> None:
    """The client hung up, the proxy was told to stop: the task that upstream makes has an owner."""
    proxy = await folder.serve().is_up()
    token = folder.token()
    hold = asyncio.Event()
    sandbox.faults.add(path=VIDEO, hold=hold)
    asked = asyncio.create_task(web.submit(proxy, token))
    await eventually(lambda: sandbox.requests and sandbox.requests[-1].complete, "it is upstream")
    asked.cancel()
    await eventually(lambda: proxy.events("request"), "the proxy saw the client go")
    proxy.signal(number)
    await eventually(lambda: is_refused(proxy.url), "the port is closed")
    assert proxy.popen.poll() is None
    hold.set()
    assert (await proxy.ended())[0] == 0
    ledger = await web.ask("GET", f"{sandbox.url}/sandbox/ledger")
    (task,) = json.loads(ledger.body)["tasks"]
    again = await folder.serve().is_up()
    polled = await web.ask("GET", f"{again.url}/task/{task['task_id']}", token)
    assert polled.status == 200
    assert await again.stop() == 0


@pytest.mark.parametrize("number", SIGNALS)
async def test_beyond_the_deadline_it_cuts_off(
    folder: Folder, sandbox: Sandbox, web: Client, number: signal.Signals
) -> None:
    """What does not end within PROXY_DRAIN is broken off, visibly, and the exit code is still 0."""
    proxy = await folder.serve(PROXY_DRAIN="1").is_up()
    token = folder.token()
    sandbox.faults.add(path=TEXT, hold=asyncio.Event(), hold_after=2)
    headers = {"Authorization": f"Bearer {token}", "X-DashScope-SSE": "enable"}
    async with web.session.post(f"{proxy.url}{TEXT}", json=CHAT, headers=headers) as stream:
        await stream.content.readuntil(b"\n\n")
        started = time.monotonic()
        proxy.signal(number)
        with pytest.raises(aiohttp.ClientPayloadError):
            await stream.content.read()
        code, _ = await proxy.ended()
    took = time.monotonic() - started
    assert code == 0
    assert 0.9 < took < 8  # about 1.6 on a quiet machine
    assert proxy.events("drain_cut_short")


async def test_a_second_interrupt_ends_the_drain(
    folder: Folder, sandbox: Sandbox, web: Client
) -> None:
    """Whoever presses Ctrl-C twice does not want to wait; a second SIGTERM changes nothing."""
    proxy = await folder.serve(PROXY_DRAIN="600").is_up()
    token, url = folder.token(), proxy.url
    sandbox.faults.add(path=TEXT, hold=asyncio.Event())
    asked = asyncio.create_task(web.ask("POST", f"{url}{TEXT}", token, CHAT))
    await eventually(lambda: sandbox.requests, "it is upstream")
    proxy.signal(signal.SIGINT)
    await eventually(lambda: is_refused(url), "the port is closed")
    proxy.signal(signal.SIGTERM)
    await asyncio.sleep(0.2)
    assert proxy.popen.poll() is None
    proxy.signal(signal.SIGINT)
    code, took = await proxy.ended()
    assert code == 0
    assert took < 8
    with pytest.raises(aiohttp.ClientError):
        await asked


async def test_the_deadline_counts_from_the_signal(
    folder: Folder, sandbox: Sandbox, web: Client
) -> None:
    """Who is connected and silent is heard out within PROXY_DRAIN, not in addition to it."""
    proxy = await folder.serve(PROXY_DRAIN="1").is_up()
    sandbox.faults.add(path=TEXT, hold=asyncio.Event())
    token = folder.token()
    asked = asyncio.create_task(web.ask("POST", f"{proxy.url}{TEXT}", token, CHAT))
    await eventually(lambda: sandbox.requests, "it is upstream")
    host, _, port = proxy.url.removeprefix("http://").rpartition(":")
    _, silent = await asyncio.open_connection(host, int(port))
    assert await proxy.stop() == 0
    (cut,) = proxy.events("drain_cut_short")
    assert isinstance(cut["seconds"], float)
    assert 0.9 < cut["seconds"] < 1.8
    silent.close()
    with pytest.raises(aiohttp.ClientError):
        await asked


async def test_idle_connections_hold_nothing_up(folder: Folder) -> None:
    """A client that keeps its connections open, on either listener, is not waited for."""
    proxy = await folder.serve().is_up()
    async with aiohttp.ClientSession() as session:
        for url in (proxy.url, proxy.admin_url):
            async with session.get(f"{url}/healthz") as response:
                await response.read()
        host, _, port = proxy.admin_url.removeprefix("http://").rpartition(":")
        _, half = await asyncio.open_connection(host, int(port))
        half.write(b"GET /metrics HT")
        await half.drain()
        proxy.signal(signal.SIGTERM)
        code, took = await proxy.ended()
        half.close()
    assert code == 0
    assert took < 8  # about 0.1 on a quiet machine


async def test_ipv6(folder: Folder, web: Client) -> None:
    """An IPv6 address and a free port are told as a URL that works."""
    proxy = await folder.serve(PROXY_LISTEN="[::1]:0", PROXY_ADMIN_LISTEN="[::1]:0").is_up()
    assert proxy.url.startswith("http://[::1]:")
    assert (await web.ask("GET", f"{proxy.admin_url}/healthz")).status == 200
    assert (await web.submit(proxy, folder.token())).status == 200
    assert await proxy.stop() == 0


async def over_unix(path: Path, target: str, token: str) -> tuple[int, bytes]:
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session:
        headers = {"Authorization": f"Bearer {token}"}
        async with session.post(f"http://proxy{target}", json=TEXT2VIDEO, headers=headers) as got:
            return got.status, await got.read()


async def test_unix_socket(folder: Folder) -> None:
    """A path is served beside a port; a live one is not taken over, a dead one's is."""
    path = folder.path / "proxy.sock"
    listen = f"unix:{path},127.0.0.1:0"
    first = await folder.serve(PROXY_LISTEN=listen).is_up()
    token = folder.token()
    assert first.url == f"unix:{path}"
    assert (await over_unix(path, "/task/bailian/text2video", token))[0] == 200
    second = folder.serve(PROXY_LISTEN=listen)
    assert (await second.ended())[0] == 1
    assert second.err.startswith(f"PROXY_LISTEN: unix:{path}: is in use")
    assert (await over_unix(path, "/task/bailian/text2video", token))[0] == 200
    first.kill()
    third = await folder.serve(PROXY_LISTEN=listen).is_up()
    assert (await over_unix(path, "/task/bailian/text2video", token))[0] == 200
    assert path.stat().st_mode & 0o777 == 0o660
    assert await third.stop() == 0


async def test_a_port_in_use_is_told(folder: Folder) -> None:
    """One line with the address and what to do, for both listeners, with workers too."""
    first = await folder.serve().is_up()
    for name, url in (("PROXY_LISTEN", first.url), ("PROXY_ADMIN_LISTEN", first.admin_url)):
        for workers in ("1", "2"):
            address = url.removeprefix("http://")
            variables = {"PROXY_WORKERS": workers, name: address}
            done = folder.serve(**variables)
            assert (await done.ended())[0] == 1
            (line,) = done.err.splitlines()
            assert line.startswith(f"{name}: {address}: is in use; choose another")
            assert done.out == ""


async def test_administration_is_on_its_own_listener(folder: Folder, web: Client) -> None:
    """The public port knows nothing of health and metrics, the other one nothing of tasks."""
    proxy = await folder.serve().is_up()
    for path in ("/healthz", "/readyz", "/metrics"):
        public = await web.ask("GET", proxy.url + path)
        assert (public.status, public.json()["code"]) == (404, "NotFound")
        assert public.headers["content-type"] == "application/json"
        assert (await web.ask("GET", proxy.admin_url + path)).status == 200
    assert (await web.submit(proxy.admin_url, folder.token())).status == 404
    assert await proxy.stop() == 0


async def test_no_account_no_proxy(folder: Folder) -> None:
    """Without an account it does not start, and says what to set."""
    proxy = folder.serve(DASHSCOPE_API_KEY="")
    assert (await proxy.ended())[0] == 1
    assert proxy.err.startswith("DASHSCOPE_API_KEY: set it, or list `upstreams:`")


async def test_a_key_from_a_file(folder: Folder, web: Client) -> None:
    """Containers mount secrets as files, with a newline at the end."""
    key = folder.path / "key"
    key.write_text(f"{UPSTREAM_KEY}\n")
    proxy = await folder.serve(DASHSCOPE_API_KEY="", DASHSCOPE_API_KEY_FILE=str(key)).is_up()
    assert (await web.submit(proxy, folder.token())).status == 200
    assert await proxy.stop() == 0
    key.unlink()  # the folder is searched for secrets, and this one is there on purpose


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_store_of_a_later_version(folder: Folder, workers: str) -> None:
    """No traceback and no restarts: one line, and the end."""
    folder.token()
    with sqlite3.connect(folder.store) as store:
        store.execute("PRAGMA user_version = 99")
    store.close()
    proxy = folder.serve(PROXY_WORKERS=workers)
    assert (await proxy.ended())[0] == 1
    (line,) = proxy.err.splitlines()
    assert line.startswith("PROXY_STORE: the file has schema 99")


async def test_a_log_nobody_reads_any_more(folder: Folder) -> None:
    """The reader of standard output may go: requests are answered, and the exit code is 0."""
    path = folder.path / "proxy.sock"
    reading, writing = os.pipe()
    proxy = folder.serve_into(writing, "--listen", f"unix:{path}")
    os.close(writing)
    line = await asyncio.to_thread(os.read, reading, 65536)
    assert json.loads(line)["event"] == "listening"
    os.close(reading)
    token = folder.token()
    for _ in range(3):
        assert (await over_unix(path, "/task/bailian/text2video", token))[0] == 200
    assert await proxy.stop() == 0
    assert proxy.err == ""


async def test_calls_import_nothing(folder: Folder, web: Client) -> None:
    """What calls need is here before they are: everybody else would wait for the import."""
    proxy = await folder.serve(PYTHONPROFILEIMPORTTIME="1").is_up()
    here = proxy.err
    assert "proxy.edge.gateway" in here
    token = folder.token()
    assert (await web.ask("POST", f"{proxy.url}{TEXT}", token, CHAT)).status == 200
    task_id = task_of(await web.submit(proxy, token))
    assert (await web.ask("GET", f"{proxy.url}/task/{task_id}", token)).status == 200
    assert (await web.ask("GET", f"{proxy.url}/nowhere", token)).status == 404
    assert proxy.err == here


async def test_on_a_terminal_it_speaks_to_people(folder: Folder) -> None:
    """A terminal gets lines for eyes; a file or a pipe gets JSON; PROXY_LOG overrides."""
    shown = {}
    for form in ("auto", "json", "console"):
        master, terminal = pty.openpty()
        proxy = folder.serve_into(terminal, PROXY_LOG=form)
        os.close(terminal)
        shown[form] = await asyncio.to_thread(os.read, master, 65536)
        assert await proxy.stop() == 0
        os.close(master)
    assert json.loads(shown["json"])["event"] == "listening"
    for form in ("auto", "console"):
        assert b"listening" in shown[form]
        assert b"\x1b[" in shown[form]
        assert not shown[form].startswith(b"{")
    proxy = folder.serve(PROXY_LOG="console")
    await eventually(lambda: "listening" in proxy.out, "it listens")
    assert "\x1b" not in proxy.out
    assert await proxy.stop() == 0


async def test_without_standard_output(folder: Folder) -> None:
    """Started with its output closed, it runs all the same."""
    path = folder.path / "proxy.sock"
    words = [*PROGRAM, "serve", "--listen", f"unix:{path}"]
    proxy = folder.shell(f"exec {shlex.join(words)} >&-", DASHSCOPE_API_KEY=UPSTREAM_KEY)
    await eventually(path.exists, "it listens")
    assert (await over_unix(path, "/task/bailian/text2video", folder.token()))[0] == 200
    assert await proxy.stop() == 0
    assert proxy.err == ""
