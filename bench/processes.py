"""Processes to measure, each on its core: they end with the block that started them.

They end with this process too, however that ends: the kernel tells them (`setpriv --pdeathsig`).
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

PATIENCE = 60.0
"""Seconds that a process may take to listen: generous, for machines that are busy."""

LEAVE = 2.0
"""Seconds that it may take to end when asked to. nginx must be asked: its workers outlive it."""

ENV = {
    **os.environ,
    "PATH": f"{os.environ['PATH']}:/usr/sbin",
    "PYTHONDONTWRITEBYTECODE": "",
}
"""Debian has servers where only root looks for programs. Python keeps what it has compiled, as it
does wherever it is installed: else every start would measure its compiler."""


@contextmanager
def started(
    *command: str,
    core: int | str | None = None,
    env: Mapping[str, str] | None = None,
    out: int | IO[str] = subprocess.DEVNULL,
    err: int | IO[str] | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """A command that runs on this core, or where it likes. `out` and `err` take what it says."""
    pinned = () if core is None else ("taskset", "--cpu-list", str(core))
    running = subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", *pinned, *command],
        stdout=out,
        stderr=err,
        env={**ENV, **(env or {})},
        text=True,
        start_new_session=True,
    )
    try:
        yield running
    finally:
        running.terminate()
        with suppress(subprocess.TimeoutExpired):
            running.wait(LEAVE)
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        if running.stdout:
            running.stdout.close()


@contextmanager
def module(
    *words: str, core: int | str | None = None, env: Mapping[str, str] | None = None
) -> Iterator[tuple[int, str]]:
    """A Python module, with its arguments, that prints its URL: its process id and the URL."""
    with started(sys.executable, "-m", *words, core=core, env=env, out=subprocess.PIPE) as running:
        for line in running.stdout or ():
            if found := url_in(line):
                yield running.pid, found
                return
        raise RuntimeError(f"{words[0]} ended before it listened")


def url_in(text: str) -> str:
    """The first loopback URL in a text, or nothing."""
    found = re.search(r"http://127\.0\.0\.1:\d+", text)
    return found[0] if found else ""


def told(log: Path, running: subprocess.Popen[str]) -> str:
    """The URL that a process writes into its log when it listens."""
    ends = time.monotonic() + PATIENCE
    while not (found := url_in(log.read_text("utf-8"))):
        _still(running, ends)
    return found


def answering(port: int, running: subprocess.Popen[str]) -> str:
    """The URL of a process that listens on this loopback port, as soon as it does."""
    ends = time.monotonic() + PATIENCE
    while not _connects(port):
        _still(running, ends)
    return f"http://127.0.0.1:{port}"


def _still(running: subprocess.Popen[str], ends: float) -> None:
    if running.poll() is not None or time.monotonic() > ends:
        raise RuntimeError(f"{running.args!r} does not listen")
    time.sleep(0.01)


def _connects(port: int) -> bool:
    with socket.socket() as probe:
        return not probe.connect_ex(("127.0.0.1", port))


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


@contextmanager
def redis(core: int | str | None = None) -> Iterator[str]:
    """A Redis of its own that writes nothing to disk: its URL."""
    with redis_process(core) as (_, url):
        yield url


@contextmanager
def redis_process(core: int | str | None = None) -> Iterator[tuple[int, str]]:
    """The same, with its process id."""
    port = free_port()
    command = ("redis-server", "--port", str(port), "--save", "", "--bind", "127.0.0.1")
    with started(*command, core=core) as running:
        yield running.pid, answering(port, running).replace("http", "redis")
