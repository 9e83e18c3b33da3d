"""One body of 1 GiB, judged while it passes: a picture in base64, as clients send them."""

import socket
import time
from contextlib import ExitStack
from urllib.parse import urlsplit

from bench.contestants import LIMITED, OURS, Contestant, caddy, nginx, ours
from bench.effort import Effort
from bench.findings import Finding, Section, Target
from bench.load import CALL
from bench.machine import MIB, cpu_seconds, forget_peak, peak, resident, spent_when_idle
from bench.processes import module, redis
from bench.samples import Figures, interleaved
from bench.subject import proxy

BEGIN = b'{"model":"wan2.6-i2v","input":{"img_url":"data:image/png;base64,'
END = b'"}}'
BLOCK = b"QUJD" * (MIB // 4)
BLOCKS = 1024

MOST_ROUNDS = 6
"""A gigabyte takes its time."""

PATIENCE = 120.0

WHOLE = {LIMITED: ", read whole before it goes on: a budget is reserved for what is asked"}
"""What is different with limits."""


def measured(effort: Effort) -> Section:
    """Throughput and memory, beside nginx that buffers nothing."""
    core, load = effort.cores.subject, effort.cores.load
    with ExitStack() as stack:
        pid, sink = stack.enter_context(module("bench.sink", core=load))
        store = stack.enter_context(redis(load))
        proxied = stack.enter_context(proxy(sink, store, core))
        contestants = [
            ("direct", Contestant(pid, sink)),
            ("nginx", stack.enter_context(nginx(sink, core, buffers=False))),
            ("Caddy", stack.enter_context(caddy(sink, core))),
            *ours(proxied),
        ]
        before = {one.pid: resident(one.pid) for _, one in contestants}
        samples = interleaved(
            contestants,
            lambda one: figures(one, before[one.pid]),
            min(MOST_ROUNDS, effort.rounds),
        )
    found, beside = [], samples.spread("nginx", "cpu").median
    for name in OURS:
        rate, grown = samples.ratio("rate", name, "nginx"), samples.spread(name, "grown")
        at_all = f"{samples.spread(name, 'rate').median:.0f} MB/s{WHOLE.get(name, '')}"
        least = Target(0.5, "× nginx", is_least=True)
        found += [
            Finding(f"1 GiB upload with the gate on, throughput, {name}", rate, least, note=at_all),
            Finding(
                f"1 GiB upload with the gate on, CPU per MiB, {name}",
                samples.ratio("cpu", name, "nginx"),
                unit="× nginx",
                note=f"{samples.spread(name, 'cpu').median:.0f} us, nginx {beside:.0f}",
            ),
            Finding(f"1 GiB upload, resident growth, {name}", grown, Target(16, "MiB")),
        ]
    return Section("an upload of 1 GiB, CPU of each MiB", found, samples)


def figures(contestant: Contestant, memory: int) -> Figures:
    """`rate` in MB/s until the answer, `cpu` in microseconds a MiB.

    `grown` is by how many MiB it came, at most, to be over what it held before its first upload.
    """
    forget_peak(contestant.pid)
    used = cpu_seconds(contestant.pid)
    begun = time.perf_counter()
    upload(contestant)
    taken = time.perf_counter() - begun
    return {
        "rate": BLOCKS * MIB / taken / 1e6,
        "cpu": (spent_when_idle(contestant.pid) - used) / BLOCKS * 1e6,
        "grown": (peak(contestant.pid) - memory) / MIB,
    }


def upload(contestant: Contestant) -> None:
    """Send it, as fast as it is taken, and wait for the answer. Raises `RuntimeError`."""
    parts = urlsplit(contestant.url)
    head = (
        f"POST {CALL.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n"
        f"Authorization: Bearer {contestant.token}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(BEGIN) + BLOCKS * MIB + len(END)}\r\n\r\n"
    )
    where = ("127.0.0.1", int(parts.port or 0))
    with socket.create_connection(where, timeout=PATIENCE) as connection:
        connection.sendall(head.encode() + BEGIN)
        for _ in range(BLOCKS):
            connection.sendall(BLOCK)
        connection.sendall(END)
        answer = connection.recv(65_536)
    if not answer.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(answer.decode("latin-1"))
