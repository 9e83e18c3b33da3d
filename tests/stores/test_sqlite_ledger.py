"""The ledger in a SQLite file: shared by processes, brought up from older files, kept small."""

import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from stores.harness import GRANT, NOW, TOKEN, UNIT, Clock, eventually, held, money, record, usage
from stores.test_sqlite import printed, run

from proxy.core.holds import Rate
from proxy.core.limits import Limits, LimitUnreadableError
from proxy.core.policy import grant_to_fields
from proxy.core.settlement import FIRST_LOOK, Kind, Settlement
from proxy.core.tasks import RETENTION
from proxy.stores.sqlite import SqliteStore
from proxy.stores.sqlite_schema import STORE
from proxy.stores.usage_fields import DAY, DAYS_KEPT, MONTHS_KEPT, SETTLEMENTS_KEPT, TOTALS_KEPT

BUDGET = ("token:tok_1", "money", "2027-01")
CALL = usage("req-1", kind=Kind.CALL)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "store.db"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(path: Path, clock: Clock) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, now=clock)
    await store.open()
    yield store
    await store.close()


def rows(path: Path, table: str) -> int:
    with sqlite3.connect(path) as connection:
        (number,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608  # ours
    connection.close()
    return int(number)


async def test_settled_once_by_four_processes(path: Path, store: SqliteStore) -> None:
    """Each task has one record, whoever settles it."""
    for n in range(20):
        await store.claim(record(f"task-{n}"))
    script = """
from proxy.core.settlement import Settlement
for n in range(20):
    await store.settle(Settlement(sys.argv[2], n + 1, (usage(f"task-{n}"),)))
"""
    processes = [await run(script, str(path), f"process-{n}") for n in range(4)]
    for process in processes:
        await printed(process)
    assert len(await store.records("", 100)) == 20
    assert await store.standings([BUDGET]) == [(0, 60 * UNIT)]


async def test_killed_in_the_middle(path: Path, store: SqliteStore) -> None:
    """A process that is killed leaves a settlement whole, or not at all."""
    script = """
from proxy.core.settlement import Kind, Settlement
number = 0
print("on", flush=True)
while True:
    number += 1
    calls = tuple(usage(f"c{n}", kind=Kind.CALL) for n in range(5))
    await store.settle(Settlement("killed", number, calls))
"""
    process = await run(script, str(path))
    assert process.stdout is not None
    await process.stdout.readline()
    await eventually(lambda: _has_records(store, 20))
    process.kill()
    await process.wait()
    found = len(await store.records("", 100_000))
    assert found % 5 == 0
    assert await store.standings([BUDGET]) == [(0, found * 3 * UNIT)]
    (total,) = await store.totals("2027-01-15", "2027-01-15")
    assert total.records == found


@pytest.mark.parametrize("version", [1, 2])
async def test_older_files(path: Path, version: int) -> None:
    """A file of an earlier version gets a ledger, and its tasks hold nothing."""
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        for statement in (one for step in STORE.steps[:version] for one in step):
            other.execute(statement)
        other.execute(f"PRAGMA user_version = {version}")
        other.execute(
            "INSERT INTO tokens VALUES (?, ?)", (TOKEN, json.dumps(grant_to_fields(GRANT)))
        )
        old = ("task-1", "ada", "tok_1", "main", "wan2.6-t2v", NOW, "req-1")
        inputs = '{"duration":"5","size":"1280*720"}'
        marks = ", ".join("?" * 10)
        other.execute(f"INSERT INTO tasks VALUES ({marks})", (*old, inputs, "PENDING", 0.0))  # noqa: S608  # ours
    other.close()
    clock = Clock()
    store = SqliteStore(path, now=clock)
    await store.open()
    assert await store.grant(TOKEN) == GRANT
    assert await store.owner("task-1", "ada") == record()
    await store.claim(record())
    clock.at = NOW + FIRST_LOOK
    assert await store.due_tasks(1) == [record()]
    await store.close()


async def test_what_is_past_its_time_goes(store: SqliteStore, path: Path, clock: Clock) -> None:
    """Each thing in its own: the file does not grow for ever."""
    await store.hold(held("h1", money(1), Rate("token:a", "requests", 5)))
    await store.claim(record())
    await store.claim(record("never settled"))
    await store.settle(Settlement("s", 1, (usage(), CALL)))
    tables = ("rates", "holds", "held", "spent", "open", "done", "settlements", "sums")
    assert all(rows(path, table) for table in tables)
    for age in (RETENTION, SETTLEMENTS_KEPT, DAYS_KEPT, MONTHS_KEPT, (TOTALS_KEPT + 2) * DAY):
        clock.at = NOW + age
        await store.hold(held(f"at {age}", Rate("token:b", "requests", 5)))
        await store.claim(record(f"at {age}", created=clock.at))
        late = usage(f"at {age}", amount=0, created=clock.at)
        await store.settle(Settlement("t", int(age), (late,)))
    left = {table: rows(path, table) for table in tables}
    assert left == {
        "rates": 1,
        "holds": 1,
        "held": 0,
        "spent": 2,  # of all times, by token and tenant
        "open": 0,
        "done": 1,
        "settlements": 2,  # of the last two, which are two days apart
        "sums": 5,  # all but the first
    }


@pytest.mark.parametrize("text", ["{", "[]", '{"budget_day":1}', '{"budget_day":"plenty"}'])
async def test_unreadable_limits(store: SqliteStore, path: Path, text: str) -> None:
    """Limits that nobody can read grant nothing, and are no outage."""
    await store.save_grant(TOKEN, GRANT)
    with sqlite3.connect(path) as other:
        other.execute("INSERT INTO tenants VALUES ('ada', ?)", (text,))
    other.close()
    assert await store.grant(TOKEN) is None
    with pytest.raises(LimitUnreadableError):
        await store.tenant_limits("ada")
    await store.ping()
    assert store.trouble == "not opened"  # there was none


async def test_pages_of_nothing_readable_are_not_the_end(store: SqliteStore, path: Path) -> None:
    """What a later version wrote, or a hand spoilt, is passed over; those behind it are told."""
    calls = [usage(f"c{n}", kind=Kind.CALL) for n in range(5)]
    await store.settle(Settlement("process-1", 1, tuple(calls)))
    with sqlite3.connect(path) as other:
        other.execute("UPDATE usage SET fields = '{}' WHERE place <= 3")
    other.close()
    (found,) = await store.records("", 1)
    assert found == ("4", calls[3])
    assert await store.records("5", 1) == []


async def test_limits_of_another_process(store: SqliteStore, path: Path) -> None:
    """What the command line sets counts with the very next request."""
    await store.save_grant(TOKEN, GRANT)
    assert await store.grant(TOKEN) == GRANT
    other = SqliteStore(path, now=Clock())
    await other.open()
    await other.limit_tenant("ada", Limits(concurrent_tasks=1))
    await other.close()
    grant = await store.grant(TOKEN)
    assert grant is not None
    assert grant.tenant_limits.concurrent_tasks == 1


async def _has_records(store: SqliteStore, number: int) -> bool:
    return len(await store.records("", number)) == number
