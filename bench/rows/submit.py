"""A submit, whose task gets an owner in Redis before the answer leaves."""

from contextlib import ExitStack

from bench.contestants import OURS, fixed, ours
from bench.effort import Effort
from bench.findings import Finding, Section, Target
from bench.load import CALL, SUBMIT, Loader
from bench.processes import redis
from bench.samples import interleaved
from bench.subject import proxy


def measured(effort: Effort) -> Section:
    """CPU per submit, beside the same body as a call without a task."""
    core, load = effort.cores.subject, effort.cores.load
    kinds = {
        "submit": Loader(SUBMIT, load, effort.seconds),
        "call": Loader(CALL, load, effort.seconds),
    }
    with ExitStack() as stack:
        upstream = stack.enter_context(fixed(load)).url
        proxied = stack.enter_context(proxy(upstream, stack.enter_context(redis(load)), core))
        asked = [
            (f"{kind}, {name}", (loader, contestant))
            for name, contestant in ours(proxied)
            for kind, loader in kinds.items()
        ]
        samples = interleaved(asked, lambda one: one[0].figures(one[1]), effort.rounds)
    found = [
        Finding(
            f"submit with claim in Redis, CPU per request, {name}",
            samples.ratio("cpu", f"submit, {name}", f"call, {name}"),
            Target(1.6, "× the call"),
            note=f"{samples.spread(f'submit, {name}', 'cpu').median:.0f} us",
        )
        for name in OURS
    ]
    return Section("a submit and a call of the same body, store Redis", found, samples)
