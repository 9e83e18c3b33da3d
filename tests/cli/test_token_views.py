"""`token list` and `token show`. The commands that change tokens are in `test_token.py`."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cli.conftest import Cli, plant_unreadable

from proxy.config.routing import PACKAGED
from proxy.core.beijing import periods_of
from proxy.core.holds import Hold, Level
from proxy.core.settlement import Kind, Settlement, UsageRecord
from proxy.stores import open_store

Create = Callable[..., str]

PRICES = """
currency: CNY
prices:
  - models: [qwen-plus]
    per_1k_input_tokens: 0.0008
"""


def test_list_is_a_table_for_pipes(cli: Cli, create: Create) -> None:
    """One header and one row per token, oldest first, with no column that moves."""
    create("a")
    create("longer-name", "--model", "wan2.6-*", "--model", "qwen*")
    header, *rows = cli("token", "list").rows
    columns = "ID NAME TENANT STATE EXPIRES SCOPES LIMITS MODELS"
    assert header.split() == columns.split()
    assert len(rows) == 2
    at = header.index("NAME")
    assert {row[at : at + 11].strip() for row in rows} == {"a", "longer-name"}
    assert any(row.endswith("wan2.6-* qwen*") for row in rows)


def test_json_is_json(cli: Cli, create: Create) -> None:
    """Odd names travel through JSON unharmed."""
    name = '名 "quoted" \\ ünï'
    create(name)
    listed = cli("token", "list", "--json").out
    assert [row["name"] for row in json.loads(listed)] == [name]


def test_an_end_beyond_the_calendar(cli: Cli, create: Create) -> None:
    """A token that outlives the year 9999 is listed like every other."""
    create("a", "--expires", "999999w")
    assert cli("token", "list", "--json").json()[0]["expires"].isdecimal()
    assert len(cli("token", "list").rows) == 2
    assert cli("token", "show", "a").code == 0


@pytest.mark.parametrize("words", [["list"], ["show", "tok_planted"]])
def test_a_planted_name_keeps_the_table(
    cli: Cli, create: Create, state: Path, words: list[str]
) -> None:
    """What a control plane wrote is shown so that it forges no row and steers no terminal."""
    create("known")
    with sqlite3.connect(state / "dashscope-proxy" / "proxy.db") as store:
        fields = {"id": "tok_planted", "name": "x\ntok_1  forged\x1b[2J", "models": "a\x1b[1m"}
        store.execute("INSERT INTO tokens VALUES (?, ?)", ("f" * 64, json.dumps(fields)))
    store.close()
    said = cli("token", *words)
    assert "\x1b" not in said.out
    assert not [row for row in said.rows if row.startswith("tok_1 ")]
    assert r"x\ntok_1" in said.out


def test_an_unreadable_grant_is_listed_for_programs(cli: Cli, create: Create, state: Path) -> None:
    """`--json` hides no token: one that cannot be read has the same fields, and says why."""
    create("known")
    plant_unreadable(state)
    known, unreadable = sorted(cli("token", "list", "--json").json(), key=lambda one: one["state"])
    assert unreadable.pop("why").endswith("'tomorrow' is not Unix seconds")
    assert unreadable.keys() == known.keys()
    told = {name: value for name, value in unreadable.items() if value}
    assert told == {"id": "f" * 16, "state": "unreadable", "digest": "f" * 64}


def amounts(*told: str | None) -> dict[str, str | None]:
    return dict(zip(("period", "limit", "spent", "held", "left"), told, strict=True))


def test_show_tells_what_is_left(cli: Cli, create: Create, state: Path) -> None:
    """Spent, held and left of each budget, and what runs, for programs and for people."""
    create("a", "--budget-day", "10", "--budget-total", "100.5", "--concurrent-tasks", "4")
    identity = cli("token", "show", "a", "--json").json()["id"]
    now = time.time()
    day, month, always = periods_of(now)
    who = f"token:{identity}"
    levels = [Level(who, "money", period, 2_500_000_000, None) for period in (day, always)]
    hold = Hold("one", (), (*levels, Level(who, "tasks", "", 1, 4)), now + 60)
    call = UsageRecord(
        *("call-1", Kind.CALL, identity, identity, "main", "m", "SUCCEEDED", now, now),
        amount=3_000_000_001,
        currency="CNY",
    )

    async def use() -> None:
        store = open_store(f"sqlite://{state}/dashscope-proxy/proxy.db")
        await store.open()
        await store.hold(hold)
        await store.settle(Settlement("test", 1, (call,)))
        await store.close()

    asyncio.run(use())
    priced = PACKAGED.read_text("utf-8") + PRICES
    (state / "routes.yaml").write_text(priced, "utf-8")
    routes = {"PROXY_ROUTES": str(state / "routes.yaml")}
    facts = cli("token", "show", "a", "--json", **routes).json()
    assert facts["currency"] == "CNY"
    assert facts["use"] == {
        "tasks": {"limit": 4, "held": 1, "left": 3},
        "streams": {"limit": None, "held": 0, "left": None},
        "day": amounts(day, "10", "3.000000001", "2.5", "4.499999999"),
        "month": amounts(month, None, "3.000000001", "0", None),
        "total": amounts(always, "100.5", "3.000000001", "2.5", "94.999999999"),
    }
    assert "nothing has a price" in cli("token", "show", "a").out
    rows = [row.split() for row in cli("token", "show", "a", **routes).rows]
    assert ["currency", "CNY"] in rows
    assert ["token", "money", day, "10", "3.000000001", "2.5", "4.499999999"] in rows
    assert ["token", "tasks", "now", "4", "-", "1", "3"] in rows


def test_show_of_a_tenant_that_cannot_be_read(cli: Cli, create: Create, state: Path) -> None:
    """What bounds a token cannot be told then: it says so, and what mends it."""
    create("a", "--tenant", "studio")
    cli("tenant", "set", "studio", "--budget-day", "1")
    with sqlite3.connect(state / "dashscope-proxy" / "proxy.db") as store:
        store.execute("UPDATE tenants SET fields = ?", (json.dumps({"budget_day": "lots"}),))
    store.close()
    said = cli("token", "show", "a")
    assert said.code == 1
    assert "tenant 'studio': budget_day: 'lots'" in said.err
