"""`python -m bench [--only relay,poll] [--rounds 9] [--seconds 1] [--json FILE] [--readme]`.

Everything, or what is named; every figure is for this machine, this minute. All of it takes some
fifteen minutes where nobody else works.
"""

import argparse
import datetime as dt
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import table
from bench.contestants import versions
from bench.effort import Effort
from bench.findings import Finding, Section
from bench.machine import kind, load_average, raise_limits, warnings
from bench.rows import ROWS

README = Path(__file__).parents[1] / "README.md"
RESULTS = Path(__file__).parent / "results.json"

BESIDE = ("relay", "latency", "streams", "upload")
"""Sections of which the README tells everybody's own figures."""

MOST = 30 * 60
"""Seconds after which it ends, whatever hangs."""


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    asked = arguments(words)
    signal.signal(signal.SIGTERM, _stop)  # whoever stops it stops all that it started
    signal.signal(signal.SIGALRM, _stop)
    signal.alarm(MOST)
    began, load, effort = time.monotonic(), load_average(), Effort(asked.rounds, asked.seconds)
    cores = effort.cores
    machine = f"{kind(len(cores.all))}; {versions()}; load {load:.1f} before it began"
    say(f"{machine}; who is measured on core {cores.subject}, everything else on {cores.load}")
    doubts = warnings(cores)
    say("\n".join(doubts))
    os.sched_setaffinity(0, {cores.load})
    raise_limits()
    day = dt.datetime.now(dt.UTC).date()
    told: dict[str, object] = {}
    written = {
        "machine": machine,
        "date": str(day),
        "command": command(effort),
        "doubts": doubts,
        "sections": told,
    }
    sections = {}
    for number, name in enumerate(asked.only, start=1):
        passed = time.monotonic() - began
        say(f"\n{name}, {number} of {len(asked.only)}, after {passed:.0f} s")
        sections[name] = measured(name, effort)
        told[name] = sections[name].told()
        asked.json.write_text(json.dumps(written, indent=1), "utf-8")
    say("\n".join(["\neverything:", *table.findings(all_of(sections))]))
    say(f"every round: {asked.json}")
    if asked.readme:
        when = f"{day.day} {day:%B %Y}, {machine}."
        told_by = " ".join([f"`{command(effort)}`, {when}", *doubts])
        beside = [sections[name] for name in BESIDE]
        table.rewrite(README, table.for_readme(all_of(sections), beside, told_by))


def command(effort: Effort) -> str:
    """What measures as much of everything, and writes it into the README."""
    return f'make bench ARGS="--readme --rounds {effort.rounds} --seconds {effort.seconds:g}"'


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """What was asked for on the command line."""
    usual, parser = Effort(), argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--only", type=names, default=list(ROWS), help=", ".join(ROWS))
    parser.add_argument("--rounds", type=int, default=usual.rounds, help="of each contestant")
    parser.add_argument("--seconds", type=float, default=usual.seconds, help="of each round")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where every round goes")
    parser.add_argument("--readme", action="store_true", help="write the README's table anew")
    asked = parser.parse_args(words)
    if asked.readme and set(asked.only) != set(ROWS):
        parser.error("the README has all rows: --readme goes without --only")
    return asked


def names(text: str) -> list[str]:
    """Names of rows, separated by commas."""
    wanted = text.split(",")
    if unknown := set(wanted) - ROWS.keys():
        raise argparse.ArgumentTypeError(f"no row is called {', '.join(sorted(unknown))}")
    return wanted


def all_of(sections: Mapping[str, Section]) -> list[Finding]:
    """Every row, in the order of the sections."""
    return [one for section in sections.values() for one in section.findings]


def measured(name: str, effort: Effort) -> Section:
    """One section, told when it is there."""
    began = time.monotonic()
    section = ROWS[name](effort)
    lines = [*table.figures(section), *table.findings(section.findings)]
    say("\n".join([f"\n{name}: {section.title} ({time.monotonic() - began:.0f} s)", *lines]))
    return section


def say(text: str) -> None:
    """To whoever waits."""
    print(text, flush=True)  # noqa: T201 - the point of it


def _stop(*_: object) -> None:
    sys.exit(1)


if __name__ == "__main__":
    main()
