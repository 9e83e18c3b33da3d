"""`core.statement_forms`: the same statement for eyes, spreadsheets and programs."""

import csv
import io
import json

import pytest

from proxy.core.statement import Query, Statement, Total, state
from proxy.core.statement_forms import statement_csv, statement_json, statement_rows, sum_rows

HEAD = [
    *("token", "name", "model", "records", "amount", "currency"),
    *("seconds", "images", "input_tokens", "output_tokens", "characters"),
]


ALICE = "tok_1"


def statement(name: str = "alice", model: str = "wan2.6-t2v", *, token: str = ALICE) -> Statement:
    query = Query("2026-11-01", "2026-11-30", ("token", "model"))
    day, tenant = "2026-11-20", "studio"
    totals = [
        Total(day, tenant, token, model, "CNY", 2, 3_000_000_001, "10.0", 0, 0, 0, 0),
        Total(day, tenant, "tok_2", "qwen-plus", "", 1, 0, "", 0, 1000, 2000, 3),
    ]
    return state(totals, query, {token: name})


def test_rows() -> None:
    """A name stands beside its id; what has no price has no amount, rather than one of 0."""
    head, first, second = statement_rows(statement())
    assert list(head) == HEAD
    assert list(first) == [
        *("tok_1", "alice", "wan2.6-t2v", "2", "3.000000001", "CNY", "10", "0", "0", "0", "0")
    ]
    assert list(second) == [*("tok_2", "", "qwen-plus", "1", "", "", "0", "0", "1000", "2000", "3")]
    assert [row[:6] for row in sum_rows(statement())] == [
        ("TOTAL", "", "", "1", "", ""),
        ("TOTAL", "", "", "2", "3.000000001", "CNY"),
    ]


def test_csv_is_read_back() -> None:
    """What the csv module writes it reads: every cell, and lines that end as RFC 4180 has it."""
    text = statement_csv(statement(name='a "b", c\nd'))
    assert text.count("\r\n") == 3
    read = list(csv.reader(io.StringIO(text, newline="")))
    assert read[0] == HEAD
    assert read[1][:2] == ["tok_1", 'a "b", c\nd']


@pytest.mark.parametrize(
    "name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "\uff1d1+1", "\uff0d1"]
)
def test_csv_holds_no_formula(name: str) -> None:
    """A token's name or a model that looks like one would run in the operator's spreadsheet."""
    for planted in (statement(name=name), statement(model=name), statement(token=name)):
        rows = csv.reader(io.StringIO(statement_csv(planted), newline=""))
        cells = [cell for row in rows for cell in row]
        assert f"'{name}" in cells
        assert name not in cells


def test_json_is_exact() -> None:
    """Amounts and seconds are text, as no float is; what has no price is null."""
    told = json.loads(statement_json(statement(name="名")))
    assert (told["since"], told["until"], told["timezone"], told["by"]) == (
        *("2026-11-01", "2026-11-30", "UTC+08:00"),
        ["token", "model"],
    )
    first, second = told["lines"]
    assert list(first) == HEAD
    assert (first["name"], first["amount"], first["seconds"], first["records"]) == (
        *("名", "3.000000001", "10"),
        2,
    )
    assert (second["amount"], second["currency"]) == (None, None)
    assert [line["amount"] for line in told["total"]] == [None, "3.000000001"]


def test_a_statement_about_nothing() -> None:
    """A header and no row: a program sees that it asked, and that there is nothing."""
    empty = state([], Query("2026-11-01", "2026-11-30", ("day",)), {})
    assert statement_csv(empty).splitlines() == [",".join(["day", *HEAD[3:]])]
    told = json.loads(statement_json(empty))
    assert (told["lines"], told["total"]) == ([], [])
    assert sum_rows(empty) == []
