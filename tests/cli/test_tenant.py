"""Limits of all tokens of a tenant together, on the command line."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from cli.conftest import Cli

Create = Callable[..., str]


def shown(cli: Cli, name: str = "studio") -> dict[str, object]:
    facts: dict[str, object] = cli("tenant", "show", name, "--json").json()
    return facts


def test_limits_of_a_tenant(cli: Cli) -> None:
    """Set, changed one by one, listed, and taken away, in the words of a token's limits."""
    assert cli("tenant", "set", "studio", "--budget-month", "500").out == "limited studio\n"
    cli("tenant", "set", "studio", "--requests-per-minute", "600")
    assert shown(cli)["limits"] == {"requests_per_minute": "600", "budget_month": "500"}
    assert cli("tenant", "list").rows == [
        "TENANT  LIMITS",
        "studio  requests_per_minute=600 budget_month=500",
    ]
    cli("tenant", "set", "studio", "--budget-month", "none")
    assert cli("tenant", "list", "--json").json() == [
        {"tenant": "studio", "limits": {"requests_per_minute": "600"}}
    ]
    assert cli("tenant", "clear", "studio").out == "cleared studio\n"
    assert cli("tenant", "list", "--json").json() == []
    assert shown(cli)["limits"] == {}


def test_a_token_shows_its_tenants_limits(cli: Cli, create: Create) -> None:
    """Who asks about a token sees all that bounds it."""
    create("a", "--tenant", "studio", "--budget-day", "1")
    cli("tenant", "set", "studio", "--budget-month", "500", "--concurrent-tasks", "3")
    facts = cli("token", "show", "a", "--json").json()
    assert facts["limits"] == {"budget_day": "1"}
    assert facts["tenant_limits"] == {"concurrent_tasks": "3", "budget_month": "500"}
    assert facts["use"]["day"]["left"] == "1"
    assert facts["tenant_use"]["month"]["left"] == "500"
    rows = [row.split() for row in cli("token", "show", "a").rows]
    assert ["tenant", "tasks", "now", "3", "-", "0", "3"] in rows
    month = next(row for row in rows if row[:2] == ["tenant", "money"])
    assert month[3:] == ["500", "0", "0", "500"]


def test_a_tenant_is_shown_with_its_use(cli: Cli) -> None:
    """Also one that has no limits: what it spends is known all the same."""
    facts = shown(cli, "nobody")
    assert facts["limits"] == {}
    assert facts["use"]["total"] == {  # type: ignore[index]  # JSON as it came
        "period": "total",
        "limit": None,
        "spent": "0",
        "held": "0",
        "left": None,
    }
    told = cli("tenant", "show", "nobody")
    assert told.rows[0].split() == ["tenant", "nobody"]
    assert "WHOSE" in told.out


def test_nothing_to_change(cli: Cli) -> None:
    """A command without a wish is a mistake."""
    said = cli("tenant", "set", "studio")
    assert said.code == 1
    assert "nothing to change" in said.err


@pytest.mark.parametrize("command", ["set", "show", "clear"])
def test_a_name_that_is_none(cli: Cli, command: str) -> None:
    """As everywhere: what is empty or cannot be shown names nobody."""
    words = ["--budget-day", "1"] if command == "set" else []
    for name in ("", "two\nlines"):
        said = cli("tenant", command, name, *words)
        assert said.code == 1
        assert said.err.startswith("TENANT: must not be empty")


def test_limits_that_cannot_be_read(cli: Cli, state: Path) -> None:
    """They are shown as such, nothing is built upon them, and they can be taken away."""
    cli("tenant", "set", "studio", "--budget-day", "1")
    with sqlite3.connect(state / "dashscope-proxy" / "proxy.db") as store:
        store.execute("UPDATE tenants SET fields = ?", (json.dumps({"budget_day": "lots"}),))
    store.close()
    (row,) = cli("tenant", "list", "--json").json()
    assert (row["limits"], "budget_day" in row["why"]) == (None, True)
    assert "? budget_day" in cli("tenant", "list").out
    for words in (("show", "studio"), ("set", "studio", "--budget-day", "1")):
        said = cli("tenant", *words)
        assert said.code == 1
        assert "tenant clear" in said.err
    assert cli("tenant", "clear", "studio").code == 0
    assert cli("tenant", "list", "--json").json() == []
