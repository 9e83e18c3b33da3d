"""`dashscope-proxy` as an operator runs it: a process, its variables, what it prints.

    with Folder() as folder:
        proxy = folder.serve(PROXY_STORE=redis.url)
        await proxy.is_up()
        folder.run("token", "create", "alice", "--model", "wan2.6-*")

Nothing is read from or written to the machine's own environment or home. What every process
printed, and every file it left in its folder, is evidence for `tests/test_secrets.py`.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
from harness import EVIDENCE, TEXT2VIDEO, UPSTREAM_KEY, Answer
from yarl import URL

PROGRAM = (sys.executable, "-m", "proxy")
ROOT = Path(__file__).parents[2]

PATIENCE = 30.0
"""Seconds to wait for what takes one: generous, for machines that are busy with other tests."""


async def eventually(holds: Callable[[], object], what: str, seconds: float = PATIENCE) -> float:
    """Wait until `holds()` is true; how long that took, in seconds."""
    started = time.monotonic()
    while not holds():
        waited = time.monotonic() - started
        assert waited < seconds, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.01)
    return time.monotonic() - started


def is_refused(url: str) -> bool:
    """Whether a new connection is refused at once."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=1).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # closed at this very moment
        return False
    return False


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str


class Process:
    """One running command. `out` and `err` are what it has printed so far."""

    def __init__(
        self, command: list[str], variables: Mapping[str, str], place: Path, out: int | None
    ) -> None:
        self._printed: list[str] = []
        self._out, self._err = place.with_suffix(".out"), place.with_suffix(".err")
        with self._out.open("wb") as own, self._err.open("wb") as err:
            self.popen = subprocess.Popen(
                command,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=own if out is None else out,
                stderr=err,
                cwd=ROOT,
            )

    def hide(self, secret: str) -> None:
        """Leave out of the evidence what was printed once, on purpose."""
        self._printed.append(secret)

    def leave(self) -> None:
        """Give what was printed to the evidence."""
        for file in (self._out, self._err):
            text = file.read_text()
            file.unlink()
            for secret in self._printed:
                text = text.replace(secret, "(printed on purpose)")
            EVIDENCE.written.append(text.encode())

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    @property
    def lines(self) -> list[dict[str, object]]:
        """The log so far: whole lines that are JSON (`--demo` prints others as well)."""
        text = self.out
        whole = text[: text.rfind("\n") + 1].splitlines()
        return [json.loads(line) for line in whole if line.startswith("{")]

    def events(self, name: str) -> list[dict[str, object]]:
        return [line for line in self.lines if line["event"] == name]

    def _where(self, listener: str) -> str:
        found = self.events("listening")[-1][listener]
        assert isinstance(found, list)
        return str(found[0])

    @property
    def url(self) -> str:
        return self._where("public")

    @property
    def admin_url(self) -> str:
        return self._where("admin")

    async def is_up(self, workers: int = 1) -> Self:
        """Wait until all of them listen."""

        def listening() -> bool:
            assert self.popen.poll() is None, f"ended with {self.popen.returncode}: {self.err}"
            return len(self.events("listening")) >= workers

        await eventually(listening, "listening")
        return self

    async def ended(self, seconds: float = PATIENCE) -> tuple[int, float]:
        """Exit code, and the seconds until it came."""
        took = await eventually(lambda: self.popen.poll() is not None, "the process ends", seconds)
        return self.popen.returncode, took

    def signal(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    async def stop(self) -> int:
        self.signal(signal.SIGTERM)
        code, _ = await self.ended()
        return code

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.popen.kill()
        self.popen.wait()


class Folder:
    """A home of its own for some processes, which end with it."""

    def __init__(self, **variables: str) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="proxy-system-")
        self.path = Path(self._temporary.name)
        self.variables = variables
        self._processes: list[Process] = []

    @property
    def store(self) -> Path:
        """Where the embedded store is, unless PROXY_STORE says otherwise."""
        return self.path / "state" / "dashscope-proxy" / "proxy.db"

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        """All that a process knows of the world."""
        given = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.path),
            "XDG_STATE_HOME": str(self.path / "state"),
            "TMPDIR": str(self.path),
            "PROXY_LISTEN": "127.0.0.1:0",
            "PROXY_ADMIN_LISTEN": "127.0.0.1:0",
            "PROXY_DRAIN": "20",
            "PROXY_POLL_HOLD": "0",  # each poll moves a task of the sandbox on
            **self.variables,
            **variables,
        }
        return {name: value for name, value in given.items() if value}

    def start(self, *words: str, **variables: str) -> Process:
        """Start a command and go on."""
        return self._begin([*PROGRAM, *words], variables)

    def shell(self, text: str, **variables: str) -> Process:
        """Start a line of bash and go on."""
        return self._begin(["bash", "-c", text], variables)

    def serve(self, *words: str, **variables: str) -> Process:
        """Start a proxy with an account."""
        return self.serve_into(None, *words, **variables)

    def serve_into(self, out: int | None, *words: str, **variables: str) -> Process:
        """The same, with a descriptor for its standard output."""
        given = {"DASHSCOPE_API_KEY": UPSTREAM_KEY, **variables}
        return self._begin([*PROGRAM, "serve", *words], given, out)

    def _begin(
        self, command: list[str], variables: Mapping[str, str], out: int | None = None
    ) -> Process:
        place = self.path / f"process-{len(self._processes)}"
        process = Process(command, self.environment(variables), place, out)
        self._processes.append(process)
        return process

    def run(self, *words: str, given: str = "", secret: bool = False, **variables: str) -> Done:
        """Run a command to its end, `given` on its standard input."""
        done = subprocess.run(
            [*PROGRAM, *words],
            env=self.environment(variables),
            cwd=ROOT,
            input=given,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        if not secret:
            EVIDENCE.written.append((done.stdout + done.stderr).encode())
        return Done(done.returncode, done.stdout, done.stderr)

    def token(self, *models: str, name: str = "test", **variables: str) -> str:
        """A new token, made with the command line."""
        patterns = [word for model in models or ("*",) for word in ("--model", model)]
        done = self.run("token", "create", name, *patterns, secret=True, **variables)
        assert done.code == 0, done
        EVIDENCE.secrets.add(done.out.strip())
        return done.out.strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        for process in self._processes:
            process.kill()
            process.leave()
        for left in self.path.rglob("*"):
            if left.is_file():
                EVIDENCE.written.append(left.read_bytes())
        self._temporary.cleanup()


class Client:
    """An HTTP client without habits: one connection per request, nothing retried."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def ask(
        self,
        method: str,
        url: str,
        token: str | None = None,
        body: Mapping[str, object] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request and read the whole answer."""
        given = {"Content-Type": "application/json"} if body is not None else {}
        if token is not None:
            given["Authorization"] = f"Bearer {token}"
        data = json.dumps(body).encode() if isinstance(body, Mapping) else body
        async with self.session.request(
            method,
            URL(url, encoded=True),
            data=data,
            headers={**given, **(headers or {})},
            allow_redirects=False,
        ) as response:
            content = await response.read()
            fields = {name.lower(): value for name, value in response.headers.items()}
            answer = Answer(response.status, fields, content)
        if answer.status >= 400:
            EVIDENCE.written.append(answer.body)
        return answer

    async def until(self, status: int, url: str, token: str | None = None) -> float:
        """Ask until the answer has this status; the seconds that took."""
        started = time.monotonic()
        while (answer := await self.ask("GET", url, token)).status != status:
            assert time.monotonic() - started < PATIENCE, f"{url} still answers {answer}"
            await asyncio.sleep(0.02)
        return time.monotonic() - started

    async def submit(self, proxy: Process | str, token: str) -> Answer:
        url = proxy if isinstance(proxy, str) else proxy.url
        return await self.ask("POST", f"{url}/task/bailian/text2video", token, TEXT2VIDEO)


@asynccontextmanager
async def client() -> AsyncIterator[Client]:
    """A client with a new connection for every request."""
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield Client(session)


def task_of(answer: Answer) -> str:
    """The task id in the answer to a submit."""
    assert answer.status == 200, answer
    output = answer.json()["output"]
    assert isinstance(output, dict)
    return str(output["task_id"])
