"""Text for a terminal and for pipes: aligned columns, one row a line, nothing that steers."""

from collections.abc import Collection, Iterable, Sequence

import click


def shown(text: str) -> str:
    """The text on one line, without what a terminal would obey: others may have written it."""
    return text if text.isprintable() else repr(text)


def print_table(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> None:
    """Print rows, the header first. The columns in `right`, numbers, end at one edge."""
    cells = [[shown(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        aligned = (
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        click.echo("  ".join(aligned).rstrip(" "))


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print one fact a line, each behind its name."""
    for name, value in facts:
        click.echo(f"{name:9} {shown(value)}".rstrip(" "))
