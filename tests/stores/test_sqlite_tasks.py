"""Task owners in a SQLite file: bounds, and rows that nobody here wrote."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from stores.harness import NOW, Clock, record

from proxy.core.errors import StoreUnavailableError
from proxy.stores.records import LIST_LIMIT
from proxy.stores.sqlite_file import SqliteFile
from proxy.stores.sqlite_schema import CLAIM, OUTBOX, row_of
from proxy.stores.sqlite_tasks import SqliteTasks


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
