"""The table that a run prints: operation by client, and what differs.

Cells travel as properties of test reports, because a test may run in another process.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from conformance.clients import CLIENTS

PROPERTY = "conformance"

Cell: TypeAlias = tuple[str, str, Mapping[str, bool]]
"""Operation, client, and the differences seen: whether each is a usual one."""


def lines(cells: Iterable[Cell]) -> Iterator[str]:
    """The table as text; a cell names the differences that are not usual."""
    seen = {(name, client): rows for name, client, rows in cells}
    names = list(dict.fromkeys(name for name, _ in seen))
    clients = [client for client in CLIENTS if any(one == client for _, one in seen)]
    rows = [["operation", *clients]]
    rows += [[name, *(_cell(seen.get((name, one))) for one in clients)] for name in names]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
    usual = {name: None for rows in seen.values() for name, is_usual in rows.items() if is_usual}
    yield f"\n{len(seen)} cells; identical: but for what calls show by design ({', '.join(usual)})."
    yield "The names stand in README, What the proxy changes."


def _cell(rows: Mapping[str, bool] | None) -> str:
    if rows is None:
        return "-"
    return ", ".join(name for name, is_usual in rows.items() if not is_usual) or "identical"
