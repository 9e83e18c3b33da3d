"""One process: built up, ready or not and why, drained, taken down. `tests/system` has the rest."""

import asyncio
import gc
import io
import json
import os
import socket
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
from harness import EVIDENCE, UPSTREAM_KEY, Stand, standing

from proxy.app.process import Proxy, spare_what_is_here
from proxy.app.sockets import bind_all
from proxy.config import ConfigError
from proxy.config.settings import load_settings
from proxy.sandbox import Sandbox
from proxy.telemetry import Metrics, StructuredTelemetry


class Built:
    """A proxy that is not started yet, and its log."""

    def __init__(self, folder: Path, variables: Mapping[str, str] | None = None) -> None:
        self.log = io.StringIO()
        self.metrics = Metrics()
        telemetry = StructuredTelemetry(self.metrics, console=False, stream=self.log)
        given = {
            "DASHSCOPE_API_KEY": UPSTREAM_KEY,
            "PROXY_UPSTREAM": "http://127.0.0.1:9",
            "PROXY_LISTEN": "127.0.0.1:0",
            "PROXY_ADMIN_LISTEN": "127.0.0.1:0",
            "PROXY_STORE": f"sqlite://{folder}/proxy.db",
            "PROXY_OUTBOX": str(folder),
            **(variables or {}),
        }
        settings = load_settings(given)
        self.sockets = bind_all(settings.env.listen, "PROXY_LISTEN")
        self.proxy = Proxy(settings, telemetry, self.metrics, self.sockets)

    @property
    def lines(self) -> list[dict[str, object]]:
        EVIDENCE.written.append(self.log.getvalue().encode())
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


def backlog_of(listening: socket.socket) -> int:
    """Linux tells it where an open connection has `tcpi_sacked` (`struct tcp_info`)."""
    info = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)
    return int.from_bytes(info[28:32], sys.byteorder)


async def readiness(stand: Stand) -> tuple[int, dict[str, str]]:
    async with aiohttp.ClientSession() as session, session.get(f"{stand.admin_url}/readyz") as got:
        found: dict[str, str] = await got.json()
        return got.status, found


async def test_it_says_where_it_listens(tmp_path: Path) -> None:
    """One line with what an operator looks for first: pid, addresses, kind of store, accounts."""
    built = Built(tmp_path)
    async with built.proxy as proxy:
        first = built.lines[0]
        del first["timestamp"]
        assert first == {
            "event": "listening",
            "level": "info",
            "pid": os.getpid(),
            "public": proxy.urls,
            "admin": proxy.admin_urls,
            "store": "sqlite",
            "accounts": ["default"],
        }
    assert [line["event"] for line in built.lines] == ["listening", "stopped"]
    assert UPSTREAM_KEY not in built.log.getvalue()


async def test_ready_says_what_is_wrong() -> None:
    """Everything it depends on has a name and a state; one that is not ok makes it not ready."""
    async with standing() as stand:
        assert await readiness(stand) == (
            200,
            {"status": "ok", "store": "ok", "upstream": "ok"},
        )


async def test_an_upstream_that_is_away_makes_it_unready() -> None:
    """When no account can be reached, a load balancer should ask somebody else."""
    sandbox = Sandbox(keys=[UPSTREAM_KEY])
    async with standing({"PROXY_UPSTREAM": f"http://127.0.0.1:{closed_port()}"}, sandbox) as stand:
        token = await stand.token()
        for _ in range(3):
            assert (await stand.ask("GET", "/api/v1/models", token)).status == 502
        status, found = await readiness(stand)
    assert status == 503
    assert found["upstream"].startswith("no account answers")
    assert found["store"] == "ok"


def closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


async def test_a_start_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """A file of a later version: one line for people, and what was opened is closed again."""
    with sqlite3.connect(tmp_path / "proxy.db") as store:
        store.execute("PRAGMA user_version = 99")
    store.close()
    built = Built(tmp_path)
    (url,) = built.proxy.urls
    with pytest.raises(ConfigError, match="PROXY_STORE: the file has schema 99"):
        await built.proxy.start()
    assert [line["event"] for line in built.lines] == ["store_down"]
    with socket.socket() as peer:
        host, _, port = url.removeprefix("http://").partition(":")
        assert peer.connect_ex((host, int(port))) != 0


async def test_an_outage_is_told_with_its_reason(tmp_path: Path) -> None:
    """One line when the store goes; metrics and readiness say the same."""
    variables = {"PROXY_STORE": f"redis://127.0.0.1:{closed_port()}"}
    built = Built(tmp_path, variables)
    async with built.proxy as proxy:
        assert await proxy.readiness() == {"store": "unavailable", "upstream": "ok"}
    down, *_ = built.lines
    assert down["event"] == "store_down"
    assert str(down["why"]).startswith("ConnectionError: Error 111")
    assert b"dashscope_proxy_store_up 0.0" in built.metrics.page()[0]


async def test_an_outbox_of_no_use_is_told(tmp_path: Path) -> None:
    """With a shared store: at the start, with the reason, and it stops nobody."""
    (tmp_path / "file").touch()
    variables = {
        "PROXY_STORE": f"redis://127.0.0.1:{closed_port()}",
        "PROXY_OUTBOX": f"{tmp_path}/file",
    }
    built = Built(tmp_path, variables)
    async with built.proxy:
        pass
    (line,) = [line for line in built.lines if line["event"] == "outbox_down"]
    assert "FileExistsError" in str(line["why"])


async def test_hurried_before_it_stops() -> None:
    """A second interrupt may come before the drain has begun: it waits for nobody either."""
    async with standing({"PROXY_DRAIN": "600"}) as stand:
        token = await stand.token()
        hold = asyncio.Event()
        stand.sandbox.faults.add(path="/api/v1/models", hold=hold)
        asked = asyncio.create_task(stand.ask("GET", "/api/v1/models", token))
        async with asyncio.timeout(10):
            while not stand.sandbox.requests:  # noqa: ASYNC110 - another server's list
                await asyncio.sleep(0.01)
        stand.proxy.hurry()
        async with asyncio.timeout(10):
            await stand.proxy.stop()
        hold.set()
        with suppress(aiohttp.ClientError):
            await asked
    assert [line["event"] for line in stand.lines if line["event"] != "request"] == [
        "listening",
        "drain_cut_short",
        "stopped",
        "stopped",
    ]


async def test_the_kernel_keeps_who_cannot_be_accepted_yet(tmp_path: Path) -> None:
    """As many as when the port was bound: beyond them a client waits a second to try again."""
    built = Built(tmp_path)
    (bound,) = built.sockets
    kept = backlog_of(bound)
    async with built.proxy:
        assert backlog_of(bound) == kept


async def test_workers_share_the_pace() -> None:
    """One of four may ask an account a fourth as often; who gets no turn hears what is known."""
    pace = {"PROXY_WORKERS": "4", "PROXY_POLLS_PER_SECOND": "2"}
    async with standing(pace) as stand:
        token = await stand.token()
        tasks = [await stand.submit(token) for _ in range(2)]
        answers = [await stand.ask("GET", f"/task/{task_id}", token) for task_id in tasks]
        assert [b"RUNNING" in answer.body for answer in answers] == [True, False]
        polls = [line["poll"] for line in stand.requests if "poll" in line]
        assert polls == ["fresh", "last_known"]


def test_what_is_here_at_the_start_is_not_searched() -> None:
    """What comes later still is."""
    usual = gc.get_threshold()
    here: list[object] = []
    here.append(here)
    spare_what_is_here()
    try:
        later: list[object] = [here]
        searched = {id(one) for one in gc.get_objects()}
        assert id(here) not in searched
        assert id(later) in searched
    finally:
        gc.unfreeze()
        gc.set_threshold(*usual)
