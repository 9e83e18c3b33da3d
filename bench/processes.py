"""Processes to measure: they print their URL when they listen, and end with the measurement."""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@contextmanager
def process(*arguments: str, env: Mapping[str, str] | None = None) -> Iterator[tuple[int, str]]:
    """A Python process that prints its URL: its id and the URL."""
    with subprocess.Popen(  # noqa: S603 - our own modules
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
    ) as running:
        lines = running.stdout or ()
        url = next(found[0] for found in map(_url, lines) if found)
        try:
            yield running.pid, url
        finally:
            running.kill()


def _url(line: str) -> list[str]:
    return re.findall(r"http://127\.0\.0\.1:\d+", line)


def cpu_seconds(pid: int) -> float:
    """CPU time a process has used so far, from the kernel's own accounting."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def resident(pid: int) -> int:
    """Bytes of memory that a process holds now."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE


def descriptors(pid: int) -> int:
    """How many files and sockets a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


@dataclass(frozen=True)
class Proxy:
    """A proxy in a process of its own, and a token that may use any model.

    `limited` is another one of the same tenant, with every kind of limit, none of which it meets.
    """

    pid: int
    url: str
    token: str
    limited: str = ""


LIMITS = (
    *("--requests-per-minute", "999999999", "--submits-per-minute", "999999999"),
    *("--concurrent-tasks", "999999999", "--concurrent-streams", "999999999"),
    *("--budget-day", "9000000", "--budget-month", "9000000", "--budget-total", "9000000"),
)


@contextmanager
def proxy(upstream: str, store: str = "") -> Iterator[Proxy]:
    """The proxy in front of this upstream, its log in a file: a pipe nobody reads would stop it."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        env = {
            "DASHSCOPE_API_KEY": "sk-bench",
            "PROXY_UPSTREAM": upstream,
            "PROXY_LISTEN": "127.0.0.1:0",
            "PROXY_ADMIN_LISTEN": "127.0.0.1:0",
            "PROXY_STORE": store or f"sqlite://{folder}/proxy.db",
            "PROXY_OUTBOX": folder,
            "PROXY_ROUTES": str(_priced(Path(folder))),
            "PROXY_LOG": "json",
        }
        token, limited = _token(env, "bench"), _token(env, "limited", *LIMITS)
        log = Path(folder) / "log"
        pid, url = stack.enter_context(_logged(env, log))
        yield Proxy(pid, url, token, limited)


@contextmanager
def redis() -> Iterator[str]:
    """A Redis of its own: its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--save", "", "--bind", "127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as running:  # noqa: S603 - our own words
        try:
            while socket.socket().connect_ex(("127.0.0.1", port)):
                time.sleep(0.05)
            yield f"redis://127.0.0.1:{port}"
        finally:
            running.kill()


def _priced(folder: Path) -> Path:
    """The packaged routes, with a price for every model, so that budgets are asked."""
    routes = folder / "routes.yaml"
    prices = "\ncurrency: CNY\nprices:\n  - {models: '*', per_call: 0.000001}\n"
    packaged = Path(__file__).parents[1] / "proxy" / "routes.yaml"
    routes.write_text(packaged.read_text("utf-8") + prices, "utf-8")
    return routes


def _token(env: Mapping[str, str], name: str, *flags: str) -> str:
    words = ["token", "create", name, "--tenant", "bench", "--model", "*", *flags]
    return subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-m", "proxy", *words],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


@contextmanager
def _logged(env: Mapping[str, str], log: Path) -> Iterator[tuple[int, str]]:
    """The proxy with its log in a file: a pipe nobody reads would stop it."""
    with (
        log.open("w") as out,
        subprocess.Popen(
            [sys.executable, "-m", "proxy", "serve"], stdout=out, env={**os.environ, **env}
        ) as running,
    ):
        try:
            while not (found := _url(log.read_text(encoding="utf-8"))):
                time.sleep(0.02)
            yield running.pid, found[0]
        finally:
            running.kill()
