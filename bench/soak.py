"""Many streams at a time: `python -m bench.soak [--seconds 120] [--streams 300] [--json]`.

A source, the proxy and the readers are processes of their own. A fifth of the readers are slow:
their streams bring more than they take. Beside them some ordinary streams come directly from the
source, in the same seconds: what they show is the machine's share.
"""

import argparse
import asyncio
import json
import signal
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import uvloop

from bench.contestants import Contestant
from bench.frames import LARGE_PER_TIME, PER_SECOND, Reading
from bench.machine import cpu_seconds, descriptors, resident
from bench.processes import module
from bench.readers import Reader, idle, opened
from bench.subject import Proxy, proxy

DIRECT = 30
"""Streams that come directly."""

SLOW = 5
"""One reader in so many is slow."""

NAP = 0.5
"""Seconds that a slow reader sleeps after each read, until its stream should be over."""

WARM = 20
"""Streams before the first measurement: what a process needs once is not a stream's share."""

PATIENCE = 60.0
"""Seconds that slow readers may take to read what is left when their streams have ended."""

SETTLED = 5.0
"""Seconds after which what streams held must have been let go."""

OFFERED = PER_SECOND * LARGE_PER_TIME
"""Events a second in a stream that nobody slows."""


@dataclass(frozen=True)
class Report:
    """What a soak showed. Memory is bytes, delays are milliseconds, `cpu` microseconds.

    `slow_share` is how much of what slow readers' streams had to say they said.
    """

    streams: int
    slow: int
    slow_share: float
    seconds: float
    events: int
    merged: int
    split: int
    split_slow: int
    lost: int
    unfinished: int
    idle_memory: int
    memory: int
    delay_p50: float
    delay_p99: float
    direct_p50: float
    direct_p99: float
    cpu: float
    left_descriptors: int

    def lines(self) -> list[str]:
        """For people."""
        kib = 1024
        return [
            (
                f"{self.streams} streams for {self.seconds:g} s, {self.slow} with a slow reader "
                f"that slows it to {self.slow_share:.0%}: {self.events} events"
            ),
            (
                f"chunks lost {self.lost}, merged {self.merged}, split {self.split} "
                f"(slow readers: {self.split_slow}); streams without an end {self.unfinished}"
            ),
            (
                f"memory per stream: {self.idle_memory / kib:.0f} KiB idle, "
                f"{self.memory / kib:.0f} KiB at most, slow readers' buffers included"
            ),
            (
                f"delay of an event, p50 {self.delay_p50:.2f} ms, p99 {self.delay_p99:.2f} ms; "
                f"directly {self.direct_p50:.2f} and {self.direct_p99:.2f} ms"
            ),
            f"CPU of the proxy: {self.cpu:.0f} us per event",
            f"descriptors left behind: {self.left_descriptors}",
        ]


async def at_most(pid: int, readers: Sequence[Reader], seconds: float) -> int:
    """The most memory that a process holds until all readers are done, or time is up."""
    most = 0
    waiting = asyncio.wait([reader.over for reader in readers], timeout=seconds)
    over = asyncio.ensure_future(waiting)
    while not over.done():
        most = max(most, resident(pid))
        await asyncio.wait({over}, timeout=0.2)
    return most


async def settled_at(pid: int, count: int) -> int:
    """How many descriptors are left over, when it stays so."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + SETTLED
    while descriptors(pid) > count and loop.time() < ends:  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.05)
    return descriptors(pid) - count


async def measure(source: str, proxied: Proxy, streams: int, seconds: float) -> Report:
    """Soak this proxy."""
    subject = Contestant(proxied.pid, proxied.url, proxied.token)
    files = descriptors(proxied.pid)
    await idle(subject, WARM)
    await settled_at(proxied.pid, files)
    files, memory = descriptors(proxied.pid), resident(proxied.pid)
    grown = await idle(subject, streams)
    await settled_at(proxied.pid, files)

    used = cpu_seconds(proxied.pid)
    slow = await opened(proxied.url, "large", proxied.token, streams // SLOW, NAP)
    fast = await opened(proxied.url, "ordinary", proxied.token, streams - len(slow))
    direct = await opened(source, "ordinary", "", DIRECT)
    for reader in slow:
        asyncio.get_running_loop().call_later(seconds, reader.wake)
    most = await at_most(proxied.pid, [*slow, *fast, *direct], seconds + PATIENCE)
    used = cpu_seconds(proxied.pid) - used

    through, all_of_them = [one.reading for one in fast], [one.reading for one in (*fast, *slow)]
    events = sum(len(one.delays) for one in all_of_them)
    delays, beside = _percentiles(through), _percentiles([one.reading for one in direct])
    return Report(
        streams=streams,
        slow=len(slow),
        slow_share=sum(one.reading.chunks for one in slow) / (len(slow) * seconds * OFFERED),
        seconds=seconds,
        events=events,
        merged=sum(one.merged for one in all_of_them),
        split=sum(one.split for one in through),
        split_slow=sum(one.reading.split for one in slow),
        lost=sum(one.lost for one in all_of_them),
        unfinished=sum(not one.is_whole for one in all_of_them),
        idle_memory=grown // streams,
        memory=(most - memory) // streams,
        delay_p50=delays[49],
        delay_p99=delays[98],
        direct_p50=beside[49],
        direct_p99=beside[98],
        cpu=used / events * 1e6,
        left_descriptors=await settled_at(proxied.pid, files),
    )


def _percentiles(readings: Sequence[Reading]) -> list[float]:
    """In milliseconds."""
    delays = [delay * 1000 for one in readings for delay in one.delays]
    return statistics.quantiles(delays, n=100)


def soak(streams: int, seconds: float) -> Report:
    """Start what it takes, measure, end it all."""
    with module("bench.source", str(seconds)) as (_, source), proxy(source) as proxied:
        return uvloop.run(measure(source, proxied, streams, seconds))


def main() -> None:
    """Print what a soak showed."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--streams", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # whoever stops it stops all of it
    report = soak(asked.streams, asked.seconds)
    told = [json.dumps(asdict(report))] if asked.json else report.lines()
    print("\n".join(told), flush=True)  # noqa: T201 - the point of it


if __name__ == "__main__":
    main()
