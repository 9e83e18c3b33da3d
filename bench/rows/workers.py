"""Two workers beside one.

How much more they do can be seen only where the load leaves them two cores. Elsewhere both share
the core of whoever is measured, and what is told is what a request costs two workers beside one:
what they cost each other, and nothing about how they scale.
"""

from contextlib import ExitStack

from bench.contestants import UNLIMITED, Contestant, fixed
from bench.effort import Effort
from bench.findings import Finding, Section, Target
from bench.load import CALL, Loader
from bench.processes import redis
from bench.samples import Samples, interleaved
from bench.subject import proxy

ENOUGH = 3
"""Cores: two for the workers, one for the load."""

SUBJECT = "2 workers, throughput"
TARGET = Target(1.8, "× 1 worker", is_least=True)


def measured(effort: Effort) -> Section:
    """Throughput where there are cores enough, else CPU per request."""
    load = effort.cores.load
    free = [core for core in effort.cores.all if core != load]
    where = ",".join(map(str, free or [load]))
    with ExitStack() as stack:
        upstream = stack.enter_context(fixed(load)).url
        store = stack.enter_context(redis(load))
        contestants = []
        for count in ("1", "2"):
            own = stack.enter_context(proxy(upstream, store, where, PROXY_WORKERS=count))
            contestants.append((count, Contestant(own.pid, own.url, own.token)))
        loader = Loader(CALL, load, effort.seconds)
        samples = interleaved(contestants, loader.figures, effort.rounds)
    return Section(f"workers, {UNLIMITED}", [found(samples, len(effort.cores.all))], samples)


def found(samples: Samples, count: int) -> Finding:
    """The row, for a machine with so many cores."""
    if count >= ENOUGH:
        return Finding(SUBJECT, samples.ratio("rps", "2", "1"), TARGET)
    cost = samples.ratio("cpu", "2", "1").median
    note = f"{count} cores; sharing one core, a request costs {cost:.2f} × what it costs 1 worker"
    return Finding(SUBJECT, None, TARGET, note=note)
