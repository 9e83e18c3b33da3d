"""The table that a run prints of `test_submit_faults.py`: what happened to submits, counted.

Rows travel as properties of test reports, because a test may run in another process.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, NamedTuple

PROPERTY = "submit faults"

_NUMBERS = ("requests", "submits", "whole", "tasks", "owned")


class Row(NamedTuple):
    """One client in one phase. The five numbers are in the order of the table's columns."""

    place: int
    phase: str
    client: str
    numbers: tuple[int, ...]
    got: str
    again: str


def lines(told: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    """The table as text, one line for all aliases and framings of a client in a phase."""
    table: list[tuple[str, ...]] = [
        ("phase", "client", "cells", *_NUMBERS, "client got", "again, same key")
    ]
    rows = sorted(Row(*one) for one in told)
    for (_, phase, client), group in groupby(rows, key=lambda row: row[:3]):
        cells = list(group)
        sums = (str(sum(column)) for column in zip(*(row.numbers for row in cells), strict=True))
        got = "/".join(sorted({row.got for row in cells}))
        again = "/".join(sorted({row.again for row in cells}))
        table.append((phase, client, str(len(cells)), *sums, got, again))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        cut = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        yield "  ".join(cut).rstrip()
    yield "\nrequests: of the client. submits: those that reached upstream; whole: with their body."
    yield "tasks: in upstream's ledger. owned: of these, with an owner in the store."
    yield "!: told not to re-send, as there may be a task. *: what the first call got, again."
