"""One SQLite file: private, durable, shared, watched, and never a foreign exception."""

import asyncio
import json
import sqlite3
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from stores.harness import (
    GRANT,
    NOW,
    OTHER,
    PLACE,
    TOKEN,
    Clock,
    eventually,
    first,
    held,
    money,
    record,
    usage,
)

from proxy.core.errors import StoreUnavailableError
from proxy.core.policy import grant_to_fields
from proxy.core.settlement import Settlement
from proxy.stores.sqlite import SqliteStore
from proxy.stores.sqlite_file import LOOK_EVERY, SchemaTooNewError
from proxy.stores.sqlite_schema import STORE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "store.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, now=Clock())
    await store.open()
    yield store
    await store.close()


def remove(path: Path) -> None:
    """What `rm proxy.db*` does."""
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


async def made_anew(path: Path, digest: str) -> None:
    """What `token create` does in another process: a file with one token."""
    other = SqliteStore(path, now=Clock())
    await other.open()
    await other.save_grant(digest, GRANT)
    await other.close()


async def answer(store: SqliteStore, digest: str) -> str:
    try:
        return "granted" if await store.grant(digest) else "unknown"
    except StoreUnavailableError:
        return "unavailable"


def synced(store: SqliteStore) -> bool:
    """Whether the last transaction went to the disk before it was over."""
    opened = store._file._writer  # noqa: SLF001  # no public way shows a connection's settings
    assert opened is not None
    names = ("journal_mode", "synchronous")
    mode, level = (opened.connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
    assert mode == "wal"
    return bool(level == 2)


async def test_fsync_before_return(store: SqliteStore) -> None:
    """A commit reaches the disk, but for what a call takes: that is over when the power goes."""
    await store.claim(record())
    assert synced(store)
    await store.hold(held("h1", money(1)))
    assert not synced(store)
    await store.settle(Settlement("s", 1, (usage(),), ("h1",)))
    assert synced(store)


async def test_private_files(store: SqliteStore, path: Path) -> None:
    """Only the owner may read the file, its companions and the directory made for it."""
    await store.save_grant(TOKEN, GRANT)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert {file.name for file in path.parent.iterdir()} >= {"store.db", "store.db-wal"}


@pytest.mark.parametrize("content", [b"this is no database, but long enough" * 100, b"\x00" * 5000])
async def test_corrupt_file(tmp_path: Path, content: bytes) -> None:
    """A file that is no database is an outage, told once, and mended by mending the file."""
    path = tmp_path / "store.db"
    path.write_bytes(content)
    changes: list[bool] = []
    store = SqliteStore(path, on_change=changes.append)
    await store.open()
    for _ in range(2):
        with pytest.raises(StoreUnavailableError):
            await store.grant(TOKEN)
        with pytest.raises(StoreUnavailableError):
            await store.claim(record())
        with pytest.raises(StoreUnavailableError):
            await store.ping()
    assert changes == [False]
    assert "DatabaseError" in store.trouble
    path.unlink()
    await store.save_grant(TOKEN, GRANT)
    assert await store.grant(TOKEN) == GRANT
    assert changes == [False, True]
    await store.close()


async def test_impossible_directory(tmp_path: Path) -> None:
    """A directory that cannot be made is an outage, not a crash."""
    (tmp_path / "file").touch()
    store = SqliteStore(tmp_path / "file" / "store.db")
    await store.open()
    with pytest.raises(StoreUnavailableError):
        await store.ping()
    with pytest.raises(StoreUnavailableError):
        await store.grant(TOKEN)
    with pytest.raises(StoreUnavailableError):
        await store.tasks_of("ada", 0, NOW)
    await store.close()


async def test_locked_by_another(store: SqliteStore, path: Path) -> None:
    """While somebody else holds the lock, claims fail after a while; reads do not even notice."""
    await store.save_grant(TOKEN, GRANT)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    claim = asyncio.create_task(store.claim(record()))
    slowest = 0.0
    while not claim.done():
        begun = time.monotonic()
        assert await store.grant(TOKEN) == GRANT
        slowest = max(slowest, time.monotonic() - begun)
        await asyncio.sleep(0.01)
    with pytest.raises(StoreUnavailableError):
        await claim
    assert slowest < 0.5
    other.execute("ROLLBACK")
    other.close()
    await store.claim(record())


async def test_locked_briefly(store: SqliteStore, path: Path) -> None:
    """A lock held for a moment costs that moment and no error."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    claim = asyncio.create_task(store.claim(record()))
    await asyncio.sleep(0)
    other.execute("COMMIT")
    await claim
    other.close()


async def test_newer_schema(store: SqliteStore, path: Path) -> None:
    """A file of a later version is refused with both versions named, and not touched."""
    await store.close()
    with sqlite3.connect(path) as other:
        other.execute(f"PRAGMA user_version = {STORE.version + 1}")
    other.close()
    late = SqliteStore(path)
    with pytest.raises(
        SchemaTooNewError, match=f"schema {STORE.version + 1}, .* knows {STORE.version}"
    ):
        await late.open()
    await late.close()


async def test_older_schema(path: Path) -> None:
    """A file of the first version gets what it lacks when it is opened, and keeps what it has."""
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        for statement in STORE.steps[0]:
            other.execute(statement)
        other.execute("PRAGMA user_version = 1")
        fields = json.dumps(grant_to_fields(GRANT))
        other.execute("INSERT INTO tokens VALUES (?, ?)", (TOKEN, fields))
    other.close()
    for _ in range(2):
        store = SqliteStore(path, now=Clock())
        await store.open()
        assert await store.grant(TOKEN) == GRANT
        assert await store.reserve(PLACE, first()) is None
        await store.close()


async def test_replaced_file(store: SqliteStore, path: Path) -> None:
    """`rm proxy.db*; token create`: within a second the old token is refused, the new one works.

    What is claimed then, and in the very next moment already, lands in the file that is there.
    """
    await store.save_grant(TOKEN, GRANT)
    assert await answer(store, TOKEN) == "granted"
    remove(path)
    await made_anew(path, OTHER)
    begun = time.monotonic()
    await store.claim(record())
    while await answer(store, TOKEN) == "granted":
        assert time.monotonic() - begun < LOOK_EVERY + 0.5
    assert await answer(store, TOKEN) == "unknown"
    assert await answer(store, OTHER) == "granted"
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT task_id FROM tasks").fetchall() == [("task-1",)]
    other.close()


async def test_replaced_while_nobody_writes(store: SqliteStore, path: Path) -> None:
    """Readers notice by themselves, and leave what the new file has in its log alone."""
    await store.save_grant(TOKEN, GRANT)
    assert await answer(store, TOKEN) == "granted"
    remove(path)
    other = SqliteStore(path, now=Clock())
    await other.open()
    await other.save_grant(OTHER, GRANT)  # in the -wal file of the new one, for it stays open
    took = await eventually(lambda: _is(store, OTHER, "granted"))
    assert took < LOOK_EVERY + 0.5
    assert await answer(store, TOKEN) == "unknown"
    await other.close()
    assert await answer(store, OTHER) == "granted"


async def test_removed_file(store: SqliteStore, path: Path) -> None:
    """A file that is gone is an outage within a second; writing makes a new one, which is empty."""
    await store.save_grant(TOKEN, GRANT)
    assert await answer(store, TOKEN) == "granted"
    remove(path)
    await eventually(lambda: _is(store, TOKEN, "unavailable"), LOOK_EVERY + 0.5)
    await store.ping()
    assert await answer(store, TOKEN) == "unknown"


async def test_moved_over(store: SqliteStore, path: Path) -> None:
    """A restored copy that is moved over the file counts like any other."""
    await store.save_grant(TOKEN, GRANT)
    assert await answer(store, TOKEN) == "granted"
    copy = path.with_name("copy.db")
    await made_anew(copy, OTHER)
    remove(path)
    copy.rename(path)
    await eventually(lambda: _is(store, OTHER, "granted"), LOOK_EVERY + 0.5)
    await store.claim(record())
    assert await store.owner("task-1", "ada") == record()


async def _is(store: SqliteStore, digest: str, expected: str) -> bool:
    return await answer(store, digest) == expected
