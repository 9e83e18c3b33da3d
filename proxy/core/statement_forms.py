"""A statement as rows of text, as CSV and as JSON. Amounts and seconds are exact: never floats."""

import csv
import json
from collections.abc import Iterator
from unicodedata import normalize

from proxy.core.money import text_of
from proxy.core.statement import Line, Query, Statement

_USED = ("images", "input_tokens", "output_tokens", "characters")
NUMBERS = ("records", "amount", "currency", "seconds", *_USED)
"""The columns behind what is added up by."""

_FORMULA = "=+-@\t\r"
"""What a spreadsheet may take for the start of a formula."""


def statement_rows(statement: Statement, unpriced: str = "") -> list[tuple[str, ...]]:
    """The header, then a row for each line.

    What has no price has no amount, and `unpriced` in place of its currency.
    """
    query = statement.query
    lines = statement.lines
    rows = ((*_keyed(query, line), *_numbers(line, unpriced)) for line in lines)
    return [(*_heads(query), *NUMBERS), *rows]


def sum_rows(statement: Statement, unpriced: str = "") -> list[tuple[str, ...]]:
    """A row for each sum, as wide as the others, with `TOTAL` where their keys stand."""
    blank = ("TOTAL", *("" for _ in _heads(statement.query)[1:]))
    return [(*blank, *_numbers(line, unpriced)) for line in statement.sums]


def statement_csv(statement: Statement) -> str:
    """The lines as CSV (RFC 4180), without the sums: whoever adds the column up gets those.

    A cell that a spreadsheet would take for a formula begins with a `'` instead.
    """
    written = _Written()
    csv.writer(written).writerows([map(_inert, row) for row in statement_rows(statement)])
    return "".join(written)


def statement_json(statement: Statement) -> str:
    """One object; what has no price has null for amount and currency."""
    query = statement.query
    return json.dumps(
        {
            "since": query.first_day,
            "until": query.last_day,
            "timezone": "UTC+08:00",
            "by": query.by,
            "lines": [
                dict(zip(_heads(query), _keyed(query, line), strict=True)) | _facts(line)
                for line in statement.lines
            ],
            "total": [_facts(line) for line in statement.sums],
        },
        ensure_ascii=False,
    )


class _Written(list[str]):
    """What a `csv.writer` writes to."""

    def write(self, text: str) -> None:
        self.append(text)


def _heads(query: Query) -> list[str]:
    """The columns before the numbers: a token has its name beside it."""
    return [head for key in query.by for head in ((key, "name") if key == "token" else (key,))]


def _keyed(query: Query, line: Line) -> list[str]:
    pairs = zip(query.by, line.keys, strict=True)
    return [cell for key, at in pairs for cell in ((at, line.name) if key == "token" else (at,))]


def _numbers(line: Line, unpriced: str) -> Iterator[str]:
    facts = _facts(line) | {"currency": line.currency or unpriced}
    return ("" if facts[name] is None else str(facts[name]) for name in NUMBERS)


def _facts(line: Line) -> dict[str, object]:
    is_priced = bool(line.currency)
    return {
        "records": line.records,
        "amount": text_of(line.amount) if is_priced else None,
        "currency": line.currency or None,
        "seconds": f"{line.seconds.normalize():f}",
        **{name: getattr(line, name) for name in _USED},
    }


def _inert(cell: str) -> str:
    first = normalize("NFKC", cell.lstrip(" "))[:1]  # wide signs, as they are typed in Chinese
    return f"'{cell}" if first and first in _FORMULA else cell
