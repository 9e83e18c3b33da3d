"""A small JSON call, relayed over 64 connections: everybody."""

from contextlib import ExitStack

from bench.contestants import OURS, bare, caddy, fixed, haproxy, naive, nginx, ours
from bench.effort import Effort
from bench.findings import Finding, Section, Target, floor
from bench.load import CALL, Loader
from bench.processes import redis
from bench.samples import Samples, interleaved
from bench.subject import proxy

BARE = "bare relay"
"""What the proxy stands on: the same server and the same transport, and no policy."""


def measured(effort: Effort) -> Section:
    """CPU per request and throughput, beside nginx and Caddy."""
    samples = run(effort)
    found = []
    for base, limit, stretch in (("nginx", 2.5, "; the stretch is 2"), ("Caddy", 0.6, "")):
        found += [
            Finding(
                f"small JSON relay, CPU per request, {name}",
                samples.ratio("cpu", name, base),
                Target(limit, f"× {base}"),
                note=f"{samples.spread(name, 'cpu').median:.0f} us{stretch}",
            )
            for name in OURS
        ]
    found += [
        Finding(
            f"throughput of one worker, 64 connections, {name}",
            samples.ratio("rps", name, "Caddy"),
            Target(1.5, "× Caddy", is_least=True),
            note=f"{samples.spread(name, 'rps').median:.0f} a second",
        )
        for name in OURS
    ]
    found.append(
        floor(samples, BARE, "CPU per request: no policy, the proxy's own server and transport")
    )
    return Section("relay of a 1 KB JSON POST, 64 connections, store Redis", found, samples)


def run(effort: Effort) -> Samples:
    """Everybody in turns."""
    core, load = effort.cores.subject, effort.cores.load
    with ExitStack() as stack:
        direct = stack.enter_context(fixed(load))
        upstream = direct.url
        store = stack.enter_context(redis(load))
        proxied = stack.enter_context(proxy(upstream, store, core))
        contestants = [
            ("direct", direct),
            ("nginx", stack.enter_context(nginx(upstream, core))),
            ("HAProxy", stack.enter_context(haproxy(upstream, core))),
            ("Caddy", stack.enter_context(caddy(upstream, core))),
            ("naive aiohttp", stack.enter_context(naive(upstream, core))),
            (BARE, stack.enter_context(bare(core, upstream))),
            *ours(proxied),
        ]
        loader = Loader(CALL, load, effort.seconds)
        return interleaved(contestants, loader.figures, effort.rounds)
