"""`python -m bench`: the gate alone, then whole processes side by side."""

import asyncio
import base64
import json
import re
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from urllib.parse import urlsplit

from bench.processes import cpu_seconds, process, proxy, redis
from proxy.core.gate import Gate

ROUNDS = 5
REQUESTS = 2000
CONNECTIONS = 16

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


def _loaded(url: str, path: str, token: str) -> None:
    asyncio.run(load(url, path, token))


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
        proxied = stack.enter_context(proxy(upstream))
        sync = "/api/v1/services/aigc/text-generation/generation"
        runs = {
            "naive aiohttp relay, no policy": (naive, sync),
            "proxy, judged call": ((proxied.pid, proxied.url), sync),
        }
        found: dict[str, list[float]] = {name: [] for name in runs}
        for turn in range(ROUNDS + 1):
            for name, ((pid, url), path) in runs.items():
                spent = microseconds(pid, partial(_loaded, url, path, proxied.token))
                if turn:  # the first round warms up
                    found[name].append(spent)
        base = statistics.median(found["naive aiohttp relay, no policy"])
        for name, values in found.items():
            middle = statistics.median(values)
            spread = f"{min(values):.0f}-{max(values):.0f}"
            yield f"{name}: {middle:.0f} us CPU per request ({spread}), ratio {middle / base:.2f}"


def limit_rows() -> Iterator[str]:
    """What limits cost: two tokens at one process, one with every limit and one with none."""
    paths = {
        "judged call": "/api/v1/services/aigc/text-generation/generation",
        "submit": "/task/bailian/text2video",
    }
    for store in ("SQLite", "Redis"):
        with ExitStack() as stack:
            _, upstream = stack.enter_context(process("-m", "bench.upstream"))
            url = stack.enter_context(redis()) if store == "Redis" else ""
            proxied = stack.enter_context(proxy(upstream, url))
            for name, path in paths.items():
                found: tuple[list[float], list[float]] = ([], [])
                for turn in range(ROUNDS + 1):
                    for token, spent in zip((proxied.token, proxied.limited), found, strict=True):
                        run = partial(_loaded, proxied.url, path, token)
                        cost = microseconds(proxied.pid, run)
                        if turn:  # the first round warms up
                            spent.append(cost)
                off, on = map(statistics.median, found)
                yield (
                    f"limits, {store}, {name}: {off:.0f} us CPU without any, {on:.0f} us with all "
                    f"seven, ratio {on / off:.2f}"
                )


def main() -> None:
    """Print one line per measurement."""
    for rows in (gate_rows, process_rows, limit_rows):
        for line in rows():
            print(line, flush=True)  # noqa: T201 - the point of it


main()
