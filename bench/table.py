"""Tables, for the terminal and for the README: everybody's figures, and the targets."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.findings import Finding, Section

UNITS = {
    "cpu": "CPU us each",
    "rps": "a second",
    "p50": "p50 ms",
    "p99": "p99 ms",
    "memory": "MiB",
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
    note = f"; {one.note}" if one.note and one.measured else one.note
    return one.subject, str(one.target or ""), one.measured + note, one.verdict


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


def for_readme(found: Sequence[Finding], told_by: str) -> str:
    """The targets' table with its date, machine and command, and where it is not met."""
    targets = [one for one in found if one.target]
    others = [one for one in found if not one.target]
    lost = [f"{one.subject}: {one.middle}" for one in targets if one.is_met is False]
    lines = [
        f"{told_by} Medians of rounds in turns, least and most in brackets.",
        "",
        *markdown([HEAD, *map(cells, targets)]),
        "",
        "Where we lose:" if lost else "Every target that can be measured here is met.",
        *(f"- {one}" for one in lost),
        "",
        *markdown([TOLD, *((one.subject, one.measured) for one in others)]),
    ]
    return "\n".join(lines) + "\n"


def rewrite(readme: Path, text: str) -> None:
    """Put the text between the README's two marks. Raises `ValueError` where they are missing."""
    new, count = BETWEEN.subn(lambda found: found[1] + text + found[2], readme.read_text("utf-8"))
    if count != 1:
        raise ValueError(f"{readme} has {count} places for the table")
    readme.write_text(new, "utf-8")
