"""Processes to measure: they print their URL when they listen, and end with the measurement."""

import os
import re
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
    """A proxy in a process of its own, and a token that may use any model."""

    pid: int
    url: str
    token: str


@contextmanager
def proxy(upstream: str) -> Iterator[Proxy]:
    """The proxy in front of this upstream, its log in a file: a pipe nobody reads would stop it."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        env = {
            "DASHSCOPE_API_KEY": "sk-bench",
            "PROXY_UPSTREAM": upstream,
            "PROXY_LISTEN": "127.0.0.1:0",
            "PROXY_ADMIN_LISTEN": "127.0.0.1:0",
            "PROXY_STORE": f"sqlite://{folder}/proxy.db",
            "PROXY_LOG": "json",
        }
        token = subprocess.run(
            [sys.executable, "-m", "proxy", "token", "create", "bench", "--model", "*"],
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        log = Path(folder) / "log"
        pid, url = stack.enter_context(_logged(env, log))
        yield Proxy(pid, url, token)


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
