"""Holds in a SQLite file: many in one transaction, each ruled on by itself."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from stores.harness import NOW, UNIT, Clock, held, money
from stores.test_sqlite import printed, run

from proxy.core.errors import StoreUnavailableError
from proxy.core.holds import Rate, Ruling
from proxy.stores.sqlite import SqliteStore

BUDGET = ("token:tok_1", "money", "2027-01")
CALLS = Rate("token:tok_1", "requests", 3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(path: Path, clock: Clock) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, now=clock)
    await store.open()
    yield store
    await store.close()


def found(path: Path, statement: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as connection:
        rows = connection.execute(statement).fetchall()
    connection.close()
    return rows


async def test_exactly_fifty_of_four_processes(path: Path, store: SqliteStore) -> None:
    """Processes that share a file share its budgets: 200 holds at once, 50 of them fit."""
    script = """
holds = (held(f"{sys.argv[2]}-{n}", money(1)) for n in range(50))
rulings = await asyncio.gather(*map(store.hold, holds))
print(sum(ruling.refused is None for ruling in rulings))
"""
    processes = [await run(script, str(path), str(n)) for n in range(4)]
    passed = [int(await printed(process)) for process in processes]
    assert sum(passed) == 50
    assert await store.standings([BUDGET]) == [(50 * UNIT, 0)]


async def test_a_hold_that_cannot_be_written_fails_alone(store: SqliteStore, path: Path) -> None:
    """Of one transaction, the others are held; of the one that fails, nothing is."""
    bad = held("h2", Rate("tenant:fine", "requests", 5), Rate("token:\ud800", "requests", 5))
    holds = [held("h1", money(1)), bad, held("h3", money(1))]
    told = await asyncio.gather(*map(store.hold, holds), return_exceptions=True)
    assert [type(one) for one in told] == [Ruling, StoreUnavailableError, Ruling]
    assert found(path, "SELECT id FROM holds ORDER BY id") == [("h1",), ("h3",)]
    assert found(path, "SELECT * FROM rates") == []


async def test_in_their_order(store: SqliteStore, path: Path, clock: Clock) -> None:
    """Those who come together find what those before them took: calls of a minute, and money."""
    crowd = [held(f"h{n}", CALLS, money(10)) for n in range(5)]
    rulings = await asyncio.gather(*map(store.hold, crowd))
    assert [ruling.refused for ruling in rulings] == [None, None, None, CALLS, CALLS]
    assert [ruling.left[0].amount for ruling in rulings] == [2, 1, 0, 0, 0]
    assert await store.standings([BUDGET]) == [(30 * UNIT, 0)]
    bucket = ("token:tok_1", "requests", 3 * 60_000, int(NOW * 1000))
    assert found(path, "SELECT * FROM rates") == [bucket]
    clock.at += 20
    assert (await store.hold(held("h5", CALLS, money(30)))).refused == money(30)
    assert (await store.hold(held("h6", CALLS, money(20)))).refused is None


async def test_one_that_comes_twice_is_held_once(store: SqliteStore) -> None:
    """Also when both come in the same moment."""
    one = held("h1", CALLS, money(20))
    first, again = await asyncio.gather(store.hold(one), store.hold(one))
    assert first == again
    assert await store.standings([BUDGET]) == [(20 * UNIT, 0)]
