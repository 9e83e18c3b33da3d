"""What was used, on the command line. The sums are proved in `core/test_statement.py`."""

import asyncio
import csv
import io
import json
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from cli.conftest import Cli

from proxy.core.beijing import day_of
from proxy.core.settlement import Basis, Kind, Settlement, UsageRecord
from proxy.core.usage import Used
from proxy.stores import open_store

Create = Callable[..., str]
NOW = time.time()


def record(number: int, token: str, **other: object) -> UsageRecord:
    values: dict[str, object] = {
        "id": f"call-{number}",
        "kind": Kind.CALL,
        "tenant": "studio",
        "token": token,
        "account": "main",
        "model": "qwen-plus",
        "status": "SUCCEEDED",
        "created": NOW,
        "ended": NOW + 1,
        "used": Used(input_tokens=1000, output_tokens=20),
        "amount": 1_000_000_001,
        "currency": "CNY",
        "basis": Basis.USAGE,
    }
    return UsageRecord(**(values | other))  # type: ignore[arg-type]  # names of its own fields


@pytest.fixture
def token_id(cli: Cli, create: Create) -> str:
    """A token called `=alice`, with two calls, and one without a price; and one that is gone."""
    create("=alice")
    return str(cli("token", "show", "=alice", "--json").json()["id"])


@pytest.fixture
def used(state: Path, token_id: str) -> None:
    async def settle() -> None:
        store = open_store(f"sqlite://{state}/dashscope-proxy/proxy.db")
        await store.open()
        video = {"model": "wan2.6-t2v", "used": Used(seconds=Decimal("2.5")), "amount": 0}
        records = (
            record(1, token_id),
            record(2, token_id),
            record(3, token_id, currency="", basis=Basis.NOTHING, **video),
            record(4, "tok_gone", created=NOW - 40 * 86_400),
        )
        await store.settle(Settlement("test", 1, records))
        await store.close()

    asyncio.run(settle())


@pytest.mark.usefixtures("used")
def test_the_table(cli: Cli, token_id: str) -> None:
    """A month by token: name beside id, exact amounts, no price said so, sums at the end."""
    said = cli("usage")
    header, *rows = [row.split("  ") for row in said.rows]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in (header, *rows)]
    assert cells[0][:5] == ["TOKEN", "NAME", "RECORDS", "AMOUNT", "CURRENCY"]
    assert cells[1][:5] == [token_id, "=alice", "1", "no price", "2.5"]
    assert cells[2][:5] == [token_id, "=alice", "2", "2.000000002", "CNY"]
    assert [row[0] for row in cells[3:]] == ["TOTAL", "TOTAL"]
    assert cells[4][:4] == ["TOTAL", "2", "2.000000002", "CNY"]
    assert f"{day_of(NOW)[:7]}-01 to {day_of(NOW)}, days of Beijing" in said.err


@pytest.mark.usefixtures("used")
def test_csv_and_json(cli: Cli, token_id: str) -> None:
    """For spreadsheets without a formula, for programs with everything exact."""
    words = ("usage", "--by", "token", "--by", "model", "--format")
    rows = list(csv.DictReader(io.StringIO(cli(*words, "csv").out, newline="")))
    assert [(row["token"], row["name"], row["model"], row["amount"]) for row in rows] == [
        (token_id, "'=alice", "qwen-plus", "2.000000002"),
        (token_id, "'=alice", "wan2.6-t2v", ""),
    ]
    told = cli(*words, "json").json()
    assert [line["name"] for line in told["lines"]] == ["=alice", "=alice"]
    assert told["total"][1]["amount"] == "2.000000002"


@pytest.mark.parametrize("flag", ["--tenant", "--token", "--model"])
def test_an_empty_filter_is_a_mistake(cli: Cli, flag: str) -> None:
    """An unset shell variable would otherwise ask for nobody's usage, and find none."""
    said = cli("usage", flag, "")
    assert said.code == 1
    assert said.err.strip() == f"{flag}: must not be empty; leave it out for all of them"


@pytest.mark.usefixtures("used")
def test_days_and_filters(cli: Cli, token_id: str) -> None:
    """Each flag narrows, a token by its id or its name; a revoked one is counted by its id."""

    def lines(*words: str) -> list[tuple[str, int]]:
        told = cli("usage", *words, "--format", "json").json()
        return [(line["token"], line["records"]) for line in told["lines"] if line["currency"]]

    since = ("--since", day_of(NOW - 50 * 86_400))
    assert lines(*since) == sorted([(token_id, 2), ("tok_gone", 1)])
    assert lines(*since, "--token", "=alice") == [(token_id, 2)]
    assert lines(*since, "--token", "tok_gone") == [("tok_gone", 1)]
    assert lines(*since, "--until", day_of(NOW - 30 * 86_400)) == [("tok_gone", 1)]
    assert lines(*since, "--tenant", "nobody") == []
    assert lines(*since, "--model", "wan*") == []


@pytest.mark.usefixtures("used")
def test_records_one_by_one(cli: Cli) -> None:
    """All in the order they were written, in parts that join without a gap or a double."""
    rows = [json.loads(row) for row in cli("usage", "records", "--json").rows]
    assert [row["id"] for row in rows] == ["call-1", "call-2", "call-3", "call-4"]
    assert (rows[0]["amount"], rows[0]["currency"], rows[0]["input_tokens"]) == (
        *("1.000000001", "CNY"),
        "1000",
    )
    first = [json.loads(row) for row in cli("usage", "records", "--most", "3").rows]
    assert first == rows[:3]
    behind = cli("usage", "records", "--after", first[-1]["place"])
    assert [json.loads(row) for row in behind.rows] == rows[3:]
    assert cli("usage", "records", "--after", rows[-1]["place"]).out == ""


MISTAKES = [
    (["--by", "colour"], "--by: 'colour' is not one of day, tenant, token, model"),
    (["--since", "monday"], "--since: 'monday' is no day, as in 2026-11-20"),
    (["--until", ""], "--until: '' is no day"),
    (["--since", "2026-11-02", "--until", "2026-11-01"], "--since: 2026-11-02 is after 2026-11-01"),
    (["--format", "xml"], "'xml' is not one of"),
    (["--token", "a", "records"], "`records` has flags of its own"),
    (["records", "--after", "x"], "--after: 'x' is no place"),
    (["records", "--after", "1795186800000-0"], "is no place in this store"),
    (["records", "--after", "9" * 19], "is no place in this store"),
    (["records", "--most", "0"], "'--most'"),
    (["--store", "memory:"], "ends with this command"),
]


@pytest.mark.parametrize(("words", "problem"), MISTAKES, ids=lambda value: " ".join(value)[:40])
def test_a_mistake_is_one_line(cli: Cli, words: list[str], problem: str) -> None:
    """What is wrong stands in one line on standard error, by the flag's name."""
    said = cli("usage", *words)
    assert said.code in {1, 2}
    assert said.out == ""
    assert problem in said.err.splitlines()[-1]


def test_nothing_used_yet(cli: Cli) -> None:
    """A header and no line: nothing was used, which is an answer."""
    assert len(cli("usage").rows) == 1
    assert cli("usage", "records").out == ""
