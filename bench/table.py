"""Tables, for the terminal and for the README: everybody's figures, and the targets."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.findings import Finding, Section, Target
from bench.samples import number

UNITS = {
    "cpu": "CPU us each",
    "rps": "a second",
    "p50": "p50 ms",
    "p99": "p99 ms",
    "memory": "MiB",
    "load": "load's core, %",
    "store cpu": "Redis us each",
    "rate": "MB/s",
    "grown": "MiB grown",
    "each": "KiB each",
    "started": "s",
}
"""What figures are called in tables."""

HEAD = ("what", "target", "measured", "met")
TOLD = ("without a target", "measured")

BETWEEN = re.compile(r"(<!-- bench: begin -->\n).*?(<!-- bench: end -->)", re.DOTALL)


def figures(section: Section) -> list[str]:
    """Everybody's medians and spreads."""
    by_name = section.samples.by_name
    if not by_name:
        return []
    names = list(next(iter(by_name.values()))[0])
    rows = [["", *(UNITS.get(name, name) for name in names)]]
    for contestant in by_name:
        spreads = [section.samples.spread(contestant, name) for name in names]
        rows.append([contestant, *(one.told() for one in spreads)])
    return aligned(rows)


def findings(found: Iterable[Finding]) -> list[str]:
    """The rows of the table, with their notes."""
    rows = [list(HEAD), *([*cells(one)] for one in found)]
    return aligned(rows)


def cells(one: Finding) -> Sequence[str]:
    """What stands in a row."""
    return one.subject, str(one.target or ""), said(one), one.verdict


def said(one: Finding) -> str:
    """What was measured, and the note."""
    return "; ".join(filter(None, (one.measured, one.note)))


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns, as wide as what is in them."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def markdown(rows: Iterable[Sequence[str]]) -> list[str]:
    """A table whose first row is its head."""
    head, *rest = (f"| {' | '.join(row)} |" for row in rows)
    return [head, "|" + "---|" * (head.count("|") - 1), *rest]


SPREAD = (
    "Medians of rounds in turns; in brackets between what they would lie, 19 times of 20, if there "
    "were any number of rounds: of fewer than six, the least and the most. A target is met, or is "
    "not, where all of that says so."
)


def for_readme(found: Sequence[Finding], beside: Iterable[Section], told_by: str) -> str:
    """The targets' table with its date, machine and command, and where it is not met.

    Then everybody's own figures in the sections `beside`, and what has no target.
    """
    targets = [one for one in found if one.target]
    others = [one for one in found if not one.target]
    lost = losses(targets)
    lines = [
        f"{told_by} {SPREAD}",
        "",
        *markdown([HEAD, *map(cells, targets)]),
        "",
        "Where we lose:" if lost else "No target that can be measured here is missed.",
        *(f"- {one}" for one in lost),
        "",
        *(line for section in beside for line in [*markdown(medians(section)), ""]),
        *markdown([TOLD, *((one.subject, said(one)) for one in others)]),
    ]
    return "\n".join(lines) + "\n"


def losses(found: Iterable[Finding]) -> list[str]:
    """A line for each target that is not met; for both kinds of token together."""
    lines: dict[tuple[str, Target | None], list[str]] = {}
    for one in found:
        if one.is_met is False:
            subject, _, token = one.subject.partition(", proxy ")
            lines.setdefault((subject, one.target), []).append(f"{one.middle} {token}".rstrip())
    return [f"{subject}: {', '.join(who)}" for (subject, _), who in lines.items()]


def medians(section: Section) -> list[Sequence[str]]:
    """Everybody's, under the section's title."""
    by_name = section.samples.by_name
    names = list(next(iter(by_name.values()))[0])
    rows: list[Sequence[str]] = [(section.title, *(UNITS.get(name, name) for name in names))]
    for who in by_name:
        spreads = (section.samples.spread(who, name) for name in names)
        rows.append((who, *(number(one.median) for one in spreads)))
    return rows


def rewrite(readme: Path, text: str) -> None:
    """Put the text between the README's two marks. Raises `ValueError` where they are missing."""
    new, count = BETWEEN.subn(lambda found: found[1] + text + found[2], readme.read_text("utf-8"))
    if count != 1:
        raise ValueError(f"{readme} has {count} places for the table")
    readme.write_text(new, "utf-8")
