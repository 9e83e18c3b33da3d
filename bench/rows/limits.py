"""What limits cost: two tokens at one process, one with every limit and one with none.

With SQLite here; with Redis in `submit`, which asks the same.
"""

from contextlib import ExitStack

from bench.contestants import LIMITED, UNLIMITED, fixed, ours
from bench.effort import Effort
from bench.findings import Finding, Section
from bench.load import CALL, SUBMIT, Loader
from bench.processes import redis_process
from bench.samples import Samples, interleaved
from bench.subject import proxy

KINDS = {"call": CALL, "submit": SUBMIT}


def measured(effort: Effort) -> Section:
    """Calls and submits, store SQLite."""
    samples = asked("SQLite", effort)
    return Section("limits, store SQLite, 64 connections", costs("SQLite", samples), samples)


def asked(store: str, effort: Effort) -> Samples:
    """Calls and submits of the same body, each with either token."""
    core, load = effort.cores.subject, effort.cores.load
    with ExitStack() as stack:
        upstream = stack.enter_context(fixed(load)).url
        pid, url = None, ""
        if store == "Redis":
            pid, url = stack.enter_context(redis_process(load))
        proxied = stack.enter_context(proxy(upstream, url, core))
        contestants = [
            (f"{kind}, {name}", (Loader(ask, load, effort.seconds, store=pid), contestant))
            for kind, ask in KINDS.items()
            for name, contestant in ours(proxied)
        ]
        return interleaved(contestants, lambda one: one[0].figures(one[1]), effort.rounds)


def costs(store: str, samples: Samples) -> list[Finding]:
    """A token with limits beside one without."""
    return [
        Finding(
            f"all seven limits, {store}, {kind}, CPU per request",
            samples.ratio("cpu", f"{kind}, {LIMITED}", f"{kind}, {UNLIMITED}"),
            unit="× without any",
        )
        for kind in KINDS
    ]
