"""What an open stream takes: one that says nothing, and one whose reader is slow.

Every round has processes of its own: what one has once asked the system for, it keeps.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial

import uvloop

from bench.contestants import LIMITED, Contestant, caddy, nginx, ours
from bench.effort import Effort
from bench.findings import Finding, Section, Target
from bench.machine import forget_peak, peak, resident
from bench.processes import module, redis
from bench.readers import idle, opened
from bench.samples import Figures, interleaved
from bench.subject import proxy

KIB = 1024
STREAMS = 300
SLOW = 100

WARM = 20
"""Streams before the first measurement: what a process needs once is not a stream's share."""

NAP = 0.5
"""Seconds that a slow reader sleeps after each read."""

FILLED = 4.0
"""Seconds after which slow streams have filled whatever fills."""

LEAVE = 0.5
"""Seconds until everybody has noticed that the readers left."""

MOST_ROUNDS = 3

Start = Callable[[], AbstractContextManager[Contestant]]


def measured(effort: Effort) -> Section:
    """Kibibytes each."""
    core, load = effort.cores.subject, effort.cores.load
    with ExitStack() as stack:
        _, source = stack.enter_context(module("bench.source", "600", core=load))
        store = stack.enter_context(redis(load))
        starts: list[tuple[str, Start]] = [
            ("nginx", partial(nginx, source, core, buffers=False)),
            ("Caddy", partial(caddy, source, core)),
            (LIMITED, partial(limited, source, store, core)),
        ]
        samples = interleaved(starts, figures, min(MOST_ROUNDS, effort.rounds), warm=0)
    found = [
        Finding(
            f"memory of {what} open stream, {LIMITED}",
            samples.spread(LIMITED, f"{figure} KiB"),
            Target(32, "KiB"),
            note=f"nginx {samples.spread('nginx', f'{figure} KiB').median:.0f}",
        )
        for figure, what in (("idle", "an idle"), ("slow", "a slow"))
    ]
    return Section("memory of an open stream", found, samples)


@contextmanager
def limited(upstream: str, store: str, core: int) -> Iterator[Contestant]:
    """The proxy, asked with the token that has limits."""
    with proxy(upstream, store, core) as proxied:
        yield dict(ours(proxied))[LIMITED]


def figures(start: Start) -> Figures:
    """Of a stream that is idle and of a slow one; each from a process just started."""
    with start() as contestant:
        silent = uvloop.run(idled(contestant))
    with start() as contestant:
        slow = uvloop.run(slowed(contestant))
    return {"idle KiB": silent / KIB, "slow KiB": slow / KIB}


async def idled(contestant: Contestant) -> float:
    """Bytes for each of many idle streams."""
    await idle(contestant, WARM)
    await asyncio.sleep(LEAVE)
    return await idle(contestant, STREAMS) / STREAMS


async def slowed(contestant: Contestant) -> float:
    """Bytes, at most, for each of many streams that bring more than is taken."""
    await idle(contestant, WARM)
    await asyncio.sleep(LEAVE)
    forget_peak(contestant.pid)
    before = resident(contestant.pid)
    await opened(contestant.url, "large", contestant.token, SLOW, NAP)
    await asyncio.sleep(FILLED)
    return (peak(contestant.pid) - before) / SLOW
