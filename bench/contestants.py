"""Who is measured: nginx, HAProxy, Caddy, a naive relay and the proxy, each in turn on one core."""

import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench import configs
from bench.processes import ENV, answering, free_port, module, started
from bench.subject import Proxy


@dataclass(frozen=True, slots=True)
class Contestant:
    """Where it is, and with which token it is asked. `pid` is the first of its processes."""

    pid: int
    url: str
    token: str = "none"  # noqa: S105 - whoever has no policy takes any


LIMITED = "proxy with limits"
UNLIMITED = "proxy without limits"
OURS = (LIMITED, UNLIMITED)


def ours(proxied: Proxy) -> list[tuple[str, Contestant]]:
    """The proxy twice: asked with the token with every limit, and with the one without any."""
    return [
        (LIMITED, Contestant(proxied.pid, proxied.url, proxied.limited)),
        (UNLIMITED, Contestant(proxied.pid, proxied.url, proxied.token)),
    ]


VERSIONS = {
    "nginx": ("nginx", "-v"),
    "HAProxy": ("haproxy", "-v"),
    "Caddy": ("caddy", "version"),
    "wrk": ("wrk", "-v"),
}
"""What says which version it is: programs as Debian has them, and older than their makers do."""


def versions() -> str:
    """Who is measured, and what asks, with their versions."""
    found = []
    for name, command in VERSIONS.items():
        done = subprocess.run(command, env=ENV, capture_output=True, text=True, check=False)
        number = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
        found.append(f"{name} {number[0] if number else '?'}")
    return ", ".join(found)


@contextmanager
def nginx(upstream: str, core: int | str | None, *, buffers: bool = True) -> Iterator[Contestant]:
    """Nginx and its one worker."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        text = configs.nginx_relay(Path(folder), port, urlsplit(upstream).netloc, buffers=buffers)
        with _nginx(Path(folder), port, text, core) as contestant:
            yield contestant


@contextmanager
def fixed(core: int | str | None) -> Iterator[Contestant]:
    """The upstream: nginx with an answer for everybody."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        text = configs.nginx_upstream(Path(folder), port)
        with _nginx(Path(folder), port, text, core) as contestant:
            yield contestant


@contextmanager
def _nginx(folder: Path, port: int, text: str, core: int | str | None) -> Iterator[Contestant]:
    config = folder / "nginx.conf"
    config.write_text(text, "utf-8")
    command = ("nginx", "-p", str(folder), "-e", "/dev/null", "-c", str(config))
    with started(*command, core=core) as running:
        yield Contestant(running.pid, answering(port, running))


@contextmanager
def haproxy(upstream: str, core: int | str | None) -> Iterator[Contestant]:
    """HAProxy with one thread."""
    with tempfile.TemporaryDirectory() as folder:
        port, config = free_port(), Path(folder) / "haproxy.cfg"
        text = configs.HAPROXY.format(port=port, upstream=urlsplit(upstream).netloc)
        config.write_text(text, "utf-8")
        with started("haproxy", "-q", "-db", "-f", str(config), core=core) as running:
            yield Contestant(running.pid, answering(port, running))


@contextmanager
def caddy(upstream: str, core: int | str | None) -> Iterator[Contestant]:
    """Caddy, whose runtime takes as many cores as it may use: one."""
    with tempfile.TemporaryDirectory() as folder:
        port, config = free_port(), Path(folder) / "Caddyfile"
        text = configs.CADDY.format(port=port, upstream=urlsplit(upstream).netloc)
        config.write_text(text, "utf-8")
        command = ("caddy", "run", "--config", str(config), "--adapter", "caddyfile")
        env = {"HOME": folder, "XDG_DATA_HOME": folder, "XDG_CONFIG_HOME": folder}
        with (
            (Path(folder) / "log").open("w") as log,
            started(*command, core=core, env=env, err=log) as running,
        ):
            yield Contestant(running.pid, answering(port, running))


@contextmanager
def naive(
    upstream: str, core: int | str | None, through: Sequence[str] = ()
) -> Iterator[Contestant]:
    """The relay of a few lines of aiohttp, on uvloop; `through` is a module that runs it."""
    with module(*through, "bench.naive", upstream, core=core) as (pid, url):
        yield Contestant(pid, url)


@contextmanager
def bare(core: int | str | None, *upstream: str) -> Iterator[Contestant]:
    """The server and the transport that the proxy stands on, without any policy; see `bare`."""
    with module("bench.bare", *upstream, core=core) as (pid, url):
        yield Contestant(pid, url)
