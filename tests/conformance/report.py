"""The table that a run prints: operation by client, and what differs."""

from collections.abc import Iterator

from conformance.differences import DIFFERENCES, Difference
from conformance.operations import CLIENTS

SEEN: dict[tuple[str, str], list[Difference]] = {}
"""The differences by operation and client, as they were seen in this run."""


def lines() -> Iterator[str]:
    """The table as text."""
    names = list(dict.fromkeys(name for name, _ in SEEN))
    clients = [client for client in CLIENTS if any(one == client for _, one in SEEN)]
    rows = [["operation", *clients]]
    rows += [[name, *(_cell(name, client) for client in clients)] for name in names]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
    yield ""
    usual = ", ".join(row.name for row in DIFFERENCES if row.usual)
    yield f"identical: but for what calls show by design ({usual})"
    yield "the names stand in README, What the proxy changes"


def _cell(name: str, client: str) -> str:
    if (name, client) not in SEEN:
        return "-"
    return ", ".join(row.name for row in SEEN[name, client] if not row.usual) or "identical"
