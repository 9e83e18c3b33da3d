"""Task owners in a SQLite file: bounds, and rows that nobody here wrote."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from stores.harness import NOW, Clock, record

from proxy.core.errors import StoreUnavailableError
from proxy.core.tasks import TaskConflictError
from proxy.stores.records import LIST_LIMIT
from proxy.stores.sqlite_file import SqliteFile
from proxy.stores.sqlite_schema import CLAIM, OUTBOX, row_of
from proxy.stores.sqlite_tasks import MOST, SqliteTasks


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tasks.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteTasks]:
    store = SqliteTasks(SqliteFile(path, OUTBOX), Clock())
    await store.open()
    yield store
    await store.close()


async def test_list_limit(store: SqliteTasks, path: Path) -> None:
    """However many tasks a tenant has, a list has at most the 10,000 newest."""
    with sqlite3.connect(path) as other:
        rows = (row_of(record(f"task-{n}", created=NOW - n)) for n in range(LIST_LIMIT + 5))
        other.executemany(CLAIM, rows)
    other.close()
    found = await store.tasks_of("ada", 0, NOW)
    assert [task.task_id for task in found] == [f"task-{n}" for n in range(LIST_LIMIT)]


async def test_unreadable_row(store: SqliteTasks, path: Path) -> None:
    """A row that makes no sense is a file of no use, not a foreign exception; others are fine."""
    await store.claim(record("task-1"))
    await store.claim(record("task-2"))
    with sqlite3.connect(path) as other:
        other.execute("UPDATE tasks SET inputs = '{' WHERE task_id = 'task-1'")
    other.close()
    with pytest.raises(StoreUnavailableError):
        await store.owner("task-1", "ada")
    assert "ValueError" in store.trouble or "JSONDecodeError" in store.trouble
    assert await store.owner("task-2", "ada") == record("task-2")
    assert repr(store).startswith(f"SqliteTasks({str(path)!r}, up")
    with pytest.raises(StoreUnavailableError):
        await store.tasks_of("ada", 0, NOW)


async def test_a_crowd(store: SqliteTasks) -> None:
    """Claims of one moment share a transaction, as many as there is room for in one."""
    statements: list[str] = []
    opened = store._file._writer  # noqa: SLF001  # no public way shows what a connection does
    assert opened is not None
    opened.connection.set_trace_callback(statements.append)
    await asyncio.gather(*(store.claim(record(f"task-{n}")) for n in range(MOST + 1)))
    assert statements.count("COMMIT") == 2
    assert len(await store.tasks_of("ada", 0, NOW)) == MOST + 1


async def test_what_goes_wrong_is_ones_own(store: SqliteTasks) -> None:
    """Another's task, or what cannot be written: the others' claims are there, and only they."""
    await store.claim(record("task-1", "eve"))
    told = await asyncio.gather(
        store.claim(record("task-1")),
        store.claim(record("task-2", model="\ud800")),
        store.claim(record("task-3")),
        return_exceptions=True,
    )
    kinds = [TaskConflictError, StoreUnavailableError, type(None)]
    assert [type(one) for one in told] == kinds
    assert [one.task_id for one in await store.tasks_of("ada", 0, NOW)] == ["task-3"]
    assert repr(store).endswith(", up)")


async def test_closing_writes_what_was_claimed(store: SqliteTasks) -> None:
    """Also what still waits for its turn, and those who claimed it have left."""
    claims = [asyncio.create_task(store.claim(record(f"task-{n}"))) for n in range(2 * MOST)]
    await asyncio.sleep(0)
    for claim in claims:
        claim.cancel()
    await store.close()
    await store.open()
    assert len(await store.tasks_of("ada", 0, NOW)) == 2 * MOST
