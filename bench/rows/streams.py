"""Event streams: 300 at a time, each with 33 events a second."""

import asyncio
import statistics
from contextlib import ExitStack

import uvloop

from bench.contestants import OURS, Contestant, caddy, haproxy, naive, nginx, ours
from bench.effort import Effort
from bench.findings import Finding, Section, Target, added
from bench.frames import STEADY
from bench.machine import MIB, cpu_seconds, resident, spent_when_idle
from bench.processes import module, redis
from bench.readers import begun, opened
from bench.samples import Figures, interleaved
from bench.subject import proxy

STREAMS = 300

LIVE = 600.0
"""Seconds that a stream would go on for: it is left before."""

WARM = 0.5
"""Seconds from the last stream's first event until events count."""


def measured(effort: Effort) -> Section:
    """CPU per event and the delay of each, beside nginx without buffers."""
    core, load = effort.cores.subject, effort.cores.load
    with ExitStack() as stack:
        pid, source = stack.enter_context(module("bench.source", str(LIVE), core=load))
        store = stack.enter_context(redis(load))
        proxied = stack.enter_context(proxy(source, store, core))
        contestants = [
            ("direct", Contestant(pid, source)),
            ("nginx", stack.enter_context(nginx(source, core, buffers=False))),
            ("HAProxy", stack.enter_context(haproxy(source, core))),
            ("Caddy", stack.enter_context(caddy(source, core))),
            ("naive aiohttp", stack.enter_context(naive(source, core))),
            *ours(proxied),
        ]
        samples = interleaved(
            contestants,
            lambda one: uvloop.run(figures(one, effort.seconds)),
            effort.rounds,
        )
    found = []
    for name in OURS:
        cost = samples.ratio("cpu", name, "nginx")
        reached = (
            f"{samples.spread(name, 'rps').median:,.0f} of {STREAMS * STEADY:,} events a second"
        )
        note = f"{samples.spread(name, 'cpu').median:.0f} us, {reached}"
        subject = f"SSE, {STREAMS} streams, CPU per event, {name}"
        delay = f"SSE, {STREAMS} streams, added delay p99, {name}"
        found += [
            Finding(subject, cost, Target(1.5, "× nginx"), note=note),
            added(samples, "p99", name, delay, Target(2, "× nginx")),
        ]
    return Section(f"{STREAMS} event streams, {STEADY} events a second each", found, samples)


async def figures(contestant: Contestant, seconds: float) -> Figures:
    """`cpu` in microseconds an event, `rps` events a second, `p50` and `p99` of the delay in ms."""
    readers = await opened(contestant.url, "steady", contestant.token, STREAMS)
    await begun(readers)
    await asyncio.sleep(WARM)
    for reader in readers:
        reader.reading.delays.clear()
    before = cpu_seconds(contestant.pid)
    await asyncio.sleep(seconds)
    spent = cpu_seconds(contestant.pid) - before
    delays = [delay for reader in readers for delay in reader.reading.delays]
    memory = resident(contestant.pid) / MIB
    if any(reader.reading.lost or reader.over.done() for reader in readers):
        raise RuntimeError("a stream lost events, or ended")
    for reader in readers:
        reader.leave()
    await asyncio.to_thread(spent_when_idle, contestant.pid)  # what is left is not the next one's
    percentiles = statistics.quantiles(delays, n=100)
    return {
        "cpu": spent / len(delays) * 1e6,
        "rps": len(delays) / seconds,
        "p50": percentiles[49] * 1e3,
        "p99": percentiles[98] * 1e3,
        "memory": memory,
    }
