"""`python -m bench`: the gate alone, then whole processes side by side."""

import asyncio
import base64
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from proxy.core.gate import Gate

ROUNDS = 5
REQUESTS = 2000
CONNECTIONS = 16
TICK = os.sysconf("SC_CLK_TCK")

SMALL = json.dumps(
    {
        "model": "wan2.6-t2v",
        "input": {"prompt": "An epic cute scene. " * 40, "audio_url": "https://example.com/a.mp3"},
        "parameters": {"size": "1280*720", "prompt_extend": True, "duration": 5},
    }
).encode()
PICTURE = b'{"model":"wan2.6-i2v","input":{"img_url":"data:image/png;base64,%b"}}' % (
    base64.b64encode(bytes(range(256)) * 32_768)
)


def gate_seconds(body: bytes, chunk: int) -> float:
    """How long the gate takes for one body that arrives in chunks."""
    started = time.perf_counter()
    gate = Gate({("model",): lambda _: None})
    for at in range(0, len(body), chunk):
        gate.feed(body[at : at + chunk])
    gate.finish()
    return time.perf_counter() - started


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


async def load(url: str, path: str, token: str) -> None:
    """`REQUESTS` posts over `CONNECTIONS` connections, each answer read to its end."""
    parts = urlsplit(url)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(SMALL)}\r\n\r\n"
    ).encode()

    async def one() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for _ in range(REQUESTS // CONNECTIONS):
            writer.write(head + SMALL)
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(answer.decode())
            length = re.search(rb"content-length: (\d+)", answer, re.IGNORECASE)
            await reader.readexactly(int(length[1]) if length else 0)
        writer.close()

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))


def microseconds(pid: int, run: Callable[[], None]) -> float:
    """CPU microseconds per request that a process spends while `run` runs."""
    before = cpu_seconds(pid)
    run()
    return (cpu_seconds(pid) - before) / REQUESTS * 1e6


def gate_rows() -> Iterator[str]:
    """The gate's lines."""
    small = statistics.median(gate_seconds(SMALL, 65_536) for _ in range(1000))
    yield f"gate, {len(SMALL)} bytes at once: {small * 1e6:.0f} us"
    for chunk in (65_536, 1_024):
        large = statistics.median(gate_seconds(PICTURE, chunk) for _ in range(ROUNDS))
        rate = len(PICTURE) / large / 1e6
        yield f"gate, {len(PICTURE) >> 20} MiB of base64 in chunks of {chunk}: {rate:.0f} MB/s"


def process_rows() -> Iterator[str]:
    """The processes' lines: each contestant in turn, several rounds, medians and ratios."""
    with ExitStack() as stack:
        _, upstream = stack.enter_context(process("-m", "bench.upstream"))
        naive = stack.enter_context(process("-m", "bench.upstream", upstream))
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
        proxy = stack.enter_context(_logged_proxy(env, log))
        sync = "/api/v1/services/aigc/text-generation/generation"
        runs = {
            "naive aiohttp relay, no policy": (naive, sync),
            "proxy, judged call": (proxy, sync),
        }
        found: dict[str, list[float]] = {name: [] for name in runs}
        for turn in range(ROUNDS + 1):
            for name, ((pid, url), path) in runs.items():
                spent = microseconds(pid, lambda u=url, p=path: asyncio.run(load(u, p, token)))  # type: ignore[misc]
                if turn:  # the first round warms up
                    found[name].append(spent)
        base = statistics.median(found["naive aiohttp relay, no policy"])
        for name, values in found.items():
            middle = statistics.median(values)
            spread = f"{min(values):.0f}-{max(values):.0f}"
            yield f"{name}: {middle:.0f} us CPU per request ({spread}), ratio {middle / base:.2f}"


@contextmanager
def _logged_proxy(env: Mapping[str, str], log: Path) -> Iterator[tuple[int, str]]:
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


def main() -> None:
    """Print one line per measurement."""
    for line in gate_rows():
        print(line, flush=True)  # noqa: T201 - the point of it
    for line in process_rows():
        print(line, flush=True)  # noqa: T201 - the point of it


main()
