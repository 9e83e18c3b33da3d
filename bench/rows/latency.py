"""What a relay adds to a call on a single connection."""

from contextlib import ExitStack

from bench.contestants import OURS, caddy, fixed, nginx, ours
from bench.effort import Effort
from bench.findings import Section, Target, added
from bench.load import CALL, Loader
from bench.processes import redis
from bench.samples import interleaved
from bench.subject import proxy

TARGETS = {"p50": Target(1.5, "× nginx"), "p99": Target(2, "× nginx")}


def measured(effort: Effort) -> Section:
    """Median and 99th percentile over what upstream takes by itself, beside nginx."""
    core, load = effort.cores.subject, effort.cores.load
    with ExitStack() as stack:
        upstream = stack.enter_context(fixed(load))
        store = stack.enter_context(redis(load))
        proxied = stack.enter_context(proxy(upstream.url, store, core))
        contestants = [
            ("direct", upstream),
            ("nginx", stack.enter_context(nginx(upstream.url, core))),
            ("Caddy", stack.enter_context(caddy(upstream.url, core))),
            *ours(proxied),
        ]
        loader = Loader(CALL, load, effort.seconds, connections=1)
        samples = interleaved(contestants, loader.figures, effort.rounds)
    found = [
        added(samples, figure, name, f"latency added at 1 connection, {figure}, {name}", target)
        for name in OURS
        for figure, target in TARGETS.items()
    ]
    return Section("a call on one connection", found, samples)
