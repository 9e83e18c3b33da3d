"""A poll of a running task, which upstream is asked about once a second however many ask here."""

import json
import urllib.request
from contextlib import ExitStack

from bench.contestants import OURS, Contestant, bare, fixed, nginx, ours
from bench.effort import Effort
from bench.findings import Finding, Section, Target, floor
from bench.load import SUBMIT, Ask, Loader
from bench.processes import redis
from bench.samples import interleaved
from bench.subject import proxy

BARE = "aiohttp's server with a fixed answer"
"""What the proxy stands on."""


def measured(effort: Effort) -> Section:
    """CPU per poll answered from what is known, beside nginx that asks upstream each time."""
    core, load = effort.cores.subject, effort.cores.load
    with ExitStack() as stack:
        upstream = stack.enter_context(fixed(load)).url
        proxied = stack.enter_context(proxy(upstream, stack.enter_context(redis(load)), core))
        contestants = [
            ("nginx", stack.enter_context(nginx(upstream, core))),
            (BARE, stack.enter_context(bare(core))),
            *ours(proxied),
        ]
        poll = Ask("GET", f"/api/v1/tasks/{submitted(contestants[-1][1])}")
        loader = Loader(poll, load, effort.seconds)
        samples = interleaved(contestants, loader.figures, effort.rounds)
    found = [
        Finding(
            f"poll of a running task from the micro-cache, CPU per request, {name}",
            samples.ratio("cpu", name, "nginx"),
            Target(1.5, "× nginx"),
            note=f"{samples.spread(name, 'cpu').median:.0f} us",
        )
        for name in OURS
    ]
    found.append(floor(samples, BARE, "CPU per request"))
    return Section("a poll of a running task, 64 connections", found, samples)


def submitted(contestant: Contestant) -> str:
    """The id of a new task of this contestant's token."""
    request = urllib.request.Request(  # noqa: S310 - our own upstream
        contestant.url + SUBMIT.path,
        SUBMIT.body.encode(),
        {"Authorization": f"Bearer {contestant.token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the same
        task_id: str = json.load(answer)["output"]["task_id"]
    return task_id
