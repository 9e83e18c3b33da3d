"""What limits cost: two tokens at one process, one with every limit and one with none."""

from contextlib import ExitStack

from bench.contestants import LIMITED, UNLIMITED, fixed, ours
from bench.effort import Effort
from bench.findings import Finding, Section
from bench.load import CALL, SUBMIT, Loader
from bench.processes import redis
from bench.samples import Samples, interleaved
from bench.subject import proxy

KINDS = {"call": CALL, "submit": SUBMIT}


def measured(effort: Effort) -> Section:
    """Calls and submits, with either store."""
    samples = Samples()
    for store in ("SQLite", "Redis"):
        samples.by_name.update(at(store, effort).by_name)
    found = [
        Finding(
            f"all seven limits, {store}, {kind}, CPU per request",
            samples.ratio("cpu", f"{store}, {kind}, {LIMITED}", f"{store}, {kind}, {UNLIMITED}"),
            unit="× without any",
        )
        for store in ("SQLite", "Redis")
        for kind in KINDS
    ]
    return Section("limits, 64 connections", found, samples)


def at(store: str, effort: Effort) -> Samples:
    """Both tokens, both kinds, one store."""
    core, load = effort.cores.subject, effort.cores.load
    with ExitStack() as stack:
        upstream = stack.enter_context(fixed(load)).url
        url = stack.enter_context(redis(load)) if store == "Redis" else ""
        proxied = stack.enter_context(proxy(upstream, url, core))
        asked = [
            (f"{store}, {kind}, {name}", (Loader(ask, load, effort.seconds), contestant))
            for kind, ask in KINDS.items()
            for name, contestant in ours(proxied)
        ]
        return interleaved(asked, lambda one: one[0].figures(one[1]), effort.rounds)
