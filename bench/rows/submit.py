"""A submit, whose task gets an owner in Redis before the answer leaves."""

from bench.contestants import OURS
from bench.effort import Effort
from bench.findings import Finding, Section, Target
from bench.rows.limits import asked, costs


def measured(effort: Effort) -> Section:
    """CPU per submit, beside the same body as a call without a task; Redis is on the other core.

    What Redis takes for a request is told for each, and is in no other figure.
    """
    samples = asked("Redis", effort)
    found = [
        Finding(
            f"submit with claim in Redis, CPU per request, {name}",
            samples.ratio("cpu", f"submit, {name}", f"call, {name}"),
            Target(1.6, "× the call"),
            note=f"{samples.spread(f'submit, {name}', 'cpu').median:.0f} us",
        )
        for name in OURS
    ]
    stored = [
        Finding(f"{name}, CPU of Redis per request", samples.spread(name, "store cpu"), unit="us")
        for name in samples.by_name
    ]
    title = "a submit and a call of the same body, store Redis, 64 connections"
    return Section(title, [*found, *costs("Redis", samples), *stored], samples)
