"""One SQLite file that several processes share: how it is made, opened, read and written.

Rule 1: every write runs in one thread of its own and is on the disk when the call returns
        (WAL, synchronous=FULL): a claim lost with the power is money lost. What is only noted
        outlives this process, and is on the disk with the next write.
Rule 2: a read by primary key runs where it is asked, on the event loop. It takes microseconds,
        less than handing it to a thread does, and because it reads the file and not a memory,
        a change by another process (the command line) counts with the very next request. A
        read that would have to wait is handed to a thread after all.
Rule 3: no `sqlite3` error leaves this file: locked, full, corrupt or gone, it is all
        `StoreUnavailableError`, and the next call tries again.
Rule 4: the file is the one that the path names now. An open one that was removed or replaced
        would go on saying yes, so it is compared before each write, and before a read when that
        was a second ago.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias, TypeVar

from proxy.core.errors import StoreUnavailableError
from proxy.stores.notices import OnChange, ignore
from proxy.stores.sqlite_schema import Schema

BUSY_TIMEOUT = 2.0
"""Seconds that a thread waits for another process's lock; the event loop waits for none."""

LOOK_EVERY = 1.0
"""Seconds that readers trust that the path still names the file they have open."""

T = TypeVar("T")
Query = Callable[[sqlite3.Connection], T]
_Synchronous: TypeAlias = Literal["FULL", "NORMAL"]

_PRIVATE_DIR, _PRIVATE_FILE = 0o700, 0o600


class SchemaTooNewError(ValueError):
    """The file was written by a later version of this program. The text names both versions."""


# ValueError: `SchemaTooNewError`, and a row that holds what nobody here wrote.
_FOREIGN = (sqlite3.Error, OSError, ValueError)


class Opened(NamedTuple):
    """A connection, and the file it was opened on: device and inode."""

    connection: sqlite3.Connection
    file: tuple[int, int]


class SqliteFile:
    """The file at `path` with the tables of `schema`, made when missing, private to its owner.

    Every method but `open` and `close` raises `StoreUnavailableError`, also before the one and
    after the other. `trouble` says why, or why it last did.
    """

    def __init__(self, path: str | Path, schema: Schema, on_change: OnChange = ignore) -> None:
        self._path = Path(path).expanduser().absolute()
        self._schema = schema
        self._on_change = on_change
        self._thread: ThreadPoolExecutor | None = None
        self._writer: Opened | None = None  # touched in the thread only
        self._reader: Opened | None = None  # touched on the event loop only
        self._look_at = 0.0
        self._up = True
        self.trouble = "not opened"

    def __repr__(self) -> str:
        return f"{str(self._path)!r}, {'up' if self._up else self.trouble}"

    async def open(self) -> None:
        """Open the file, or leave that to the next call when it cannot be.

        Raises `SchemaTooNewError`.
        """
        self._thread = self._thread or ThreadPoolExecutor(1, "sqlite")
        try:
            await self.write(lambda _: None)
        except StoreUnavailableError as error:
            if isinstance(error.__cause__, SchemaTooNewError):
                raise error.__cause__ from None

    async def close(self) -> None:
        """Close the file; what is being written is written first."""
        if self._thread is None:
            return
        thread, self._thread = self._thread, None
        self.trouble = "closed"
        await asyncio.get_running_loop().run_in_executor(thread, self._drop_writer)
        thread.shutdown()
        self._drop_reader()

    async def read(self, query: Query[T]) -> T:
        """Read by key, here and now."""
        try:
            self._require_open()
            found = query(self._reading())
        except _FOREIGN as error:
            if _is_busy(error):
                return await self.read_aside(query)
            self._drop_reader()
            raise self._failed(error) from error
        self._report(up=True)
        return found

    async def read_aside(self, query: Query[T]) -> T:
        """Read much, or wait for a lock: in some thread, over a connection of its own."""

        def run() -> T:
            reader = _open(self._path, BUSY_TIMEOUT).connection
            try:
                return query(reader)
            finally:
                reader.close()

        try:
            self._require_open()
            found = await asyncio.to_thread(run)
        except _FOREIGN as error:
            raise self._failed(error) from error
        self._report(up=True)
        return found

    async def write(self, change: Query[T]) -> T:
        """Run a transaction in the thread; it is on the disk when this returns.

        Cancelled, it is written all the same.
        """
        return await self._run(change, "FULL")

    async def note(self, change: Query[T]) -> T:
        """The same for what is worth nothing once the power is gone: it does not wait for the disk.

        Whatever is written after it is on the disk after it.
        """
        return await self._run(change, "NORMAL")

    async def _run(self, change: Query[T], synchronous: _Synchronous) -> T:
        try:
            thread, loop = self._require_open(), asyncio.get_running_loop()
            done = await loop.run_in_executor(thread, self._commit, change, synchronous)
        except _FOREIGN as error:
            raise self._failed(error) from error
        self._report(up=True)
        return done

    def _commit(self, change: Query[T], synchronous: _Synchronous) -> T:
        if self._writer is not None and self._writer.file != _file_at(self._path):
            self._drop_writer()
        if self._writer is None:
            self._writer = _create(self._path, self._schema)
            self._look_at = 0.0  # readers look now as well, whether theirs is this one
        try:
            self._writer.connection.execute(f"PRAGMA synchronous = {synchronous}")
            return _transact(self._writer.connection, change)
        except sqlite3.Error:
            self._drop_writer()  # whatever state it is in, the next write starts afresh
            raise

    def _reading(self) -> sqlite3.Connection:
        now = time.monotonic()
        if self._reader is not None and now >= self._look_at:
            self._look_at = now + LOOK_EVERY
            if self._reader.file != _file_at(self._path):
                self._drop_reader()
        self._reader = self._reader or _open(self._path, timeout=0)
        return self._reader.connection

    def _require_open(self) -> ThreadPoolExecutor:
        if self._thread is None:
            raise StoreUnavailableError
        return self._thread

    # A connection whose file was moved away closes without touching the -wal and -shm files of
    # the file that took its name: SQLite compares inodes too (SQLITE_FCNTL_HAS_MOVED).

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._writer.connection.close()
            self._writer = None

    def _drop_reader(self) -> None:
        if self._reader is not None:
            self._reader.connection.close()
            self._reader = None

    def _failed(self, error: Exception) -> StoreUnavailableError:
        self.trouble = f"{type(error).__name__}: {error}"
        self._report(up=False)
        return StoreUnavailableError()

    def _report(self, *, up: bool) -> None:
        if up is not self._up:
            self._up = up
            self._on_change(up)


def _create(path: Path, schema: Schema) -> Opened:
    """A connection that may write, to a file that is made if need be, with its tables."""
    if not path.exists():
        path.parent.mkdir(_PRIVATE_DIR, parents=True, exist_ok=True)
        # SQLite would obey the umask; its -wal and -shm files copy the mode of this one.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, _PRIVATE_FILE))
    opened = _open(path, BUSY_TIMEOUT)
    try:
        opened.connection.execute("PRAGMA journal_mode = WAL")
        opened.connection.execute("PRAGMA synchronous = FULL")
        _transact(opened.connection, lambda connection: _migrate(connection, schema))
    except (sqlite3.Error, SchemaTooNewError):
        opened.connection.close()
        raise
    return opened


def _open(path: Path, timeout: float) -> Opened:
    """A connection without implicit transactions, to a file that exists."""
    before = _file_at(path)
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw",
        uri=True,
        timeout=timeout,
        isolation_level=None,
        check_same_thread=False,  # the writer's thread may be replaced; never two at a time
    )
    if before is None or before != _file_at(path):
        connection.close()
        msg = "the file was replaced while it was being opened"
        raise OSError(msg)
    return Opened(connection, before)


def _file_at(path: Path) -> tuple[int, int] | None:
    """The file that a path names now, None when there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _transact(connection: sqlite3.Connection, change: Query[T]) -> T:
    """Run `change` under the write lock, all of it or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        done = change(connection)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return done


def _migrate(connection: sqlite3.Connection, schema: Schema) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > schema.version:
        msg = f"the file has schema {version}, this version knows {schema.version}: upgrade first"
        raise SchemaTooNewError(msg)
    for step in schema.steps[version:]:
        for statement in step:
            connection.execute(statement)
    if version < schema.version:
        connection.execute(f"PRAGMA user_version = {schema.version}")


def _is_busy(error: Exception) -> bool:
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode in (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_BUSY_RECOVERY,
        sqlite3.SQLITE_BUSY_SNAPSHOT,
    )
