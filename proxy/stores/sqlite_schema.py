"""What lies in SQLite files: their tables and versions, every statement, and how rows are read.

Text and values only: nothing here opens a file.
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from proxy.core.idempotency import Submission
from proxy.core.policy import Grant, GrantUnreadableError, grant_from_fields, within_tenant
from proxy.core.tasks import TaskRecord
from proxy.stores import sqlite_ledger_sql
from proxy.stores.records import inputs_from_text, inputs_to_text, submission_from_fields


class Schema(NamedTuple):
    """What makes each version of a file from the one before; version 0 is an empty file."""

    steps: tuple[tuple[str, ...], ...]

    @property
    def version(self) -> int:
        """The `PRAGMA user_version` of a file that has them all."""
        return len(self.steps)


# WITHOUT ROWID: the primary key is the table, so a lookup walks one tree, not two.
_TOKENS = """CREATE TABLE tokens (
        digest TEXT PRIMARY KEY,
        fields TEXT NOT NULL
    ) WITHOUT ROWID"""
_TASKS = (
    """CREATE TABLE tasks (
        task_id TEXT PRIMARY KEY,
        tenant TEXT NOT NULL,
        token TEXT NOT NULL,
        account TEXT NOT NULL,
        model TEXT NOT NULL,
        created REAL NOT NULL,
        request_id TEXT NOT NULL,
        inputs TEXT NOT NULL,
        status TEXT NOT NULL,
        updated REAL NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX tasks_by_tenant ON tasks (tenant, created)",
    "CREATE INDEX tasks_by_age ON tasks (created)",
)

_SUBMISSIONS = (
    """CREATE TABLE submissions (
        place TEXT PRIMARY KEY,
        holder TEXT NOT NULL,
        created REAL NOT NULL,
        fields TEXT NOT NULL
    )""",
    "CREATE INDEX submissions_by_age ON submissions (created)",
)

_HOLD_OF_TASK = "ALTER TABLE tasks ADD COLUMN hold TEXT NOT NULL DEFAULT ''"

_SETTLEMENTS = """CREATE TABLE settlements (
        place INTEGER PRIMARY KEY AUTOINCREMENT,
        fields TEXT NOT NULL
    )"""

STORE = Schema(
    ((_TOKENS, *_TASKS), _SUBMISSIONS, (_HOLD_OF_TASK, *sqlite_ledger_sql.TABLES)),
)
"""The embedded store."""

OUTBOX = Schema((_TASKS, (_HOLD_OF_TASK, _SETTLEMENTS)))
"""Claims and settlements that wait for the shared store."""

GRANT = "SELECT fields FROM tokens WHERE digest = ?"
GRANTS = "SELECT digest, fields FROM tokens"
SAVE_GRANT = "INSERT OR REPLACE INTO tokens (digest, fields) VALUES (?, ?)"
REMOVE_GRANT = "DELETE FROM tokens WHERE digest = ?"

_COLUMNS = (
    *("task_id", "tenant", "token", "account", "model", "created", "request_id", "inputs"),
    *("status", "updated", "hold"),
)
_TASK = ", ".join(_COLUMNS)
OWN_TASK = f"SELECT {_TASK} FROM tasks WHERE task_id = ? AND tenant = ?"  # noqa: S608  # a constant
TENANT = "SELECT tenant FROM tasks WHERE task_id = ?"
STATUS = "SELECT status FROM tasks WHERE task_id = ? AND created > ?"
TASKS_OF = f"""
    SELECT {_TASK} FROM tasks WHERE tenant = ? AND created BETWEEN ? AND ? AND created > ?
    ORDER BY created DESC LIMIT ?
"""  # noqa: S608  # a constant
CLAIM = f"""
    INSERT INTO tasks ({_TASK}) VALUES ({", ".join("?" * len(_COLUMNS))})
    ON CONFLICT DO NOTHING
"""  # noqa: S608  # a constant
DUE_TASKS = f"""
    SELECT {_TASK} FROM open JOIN tasks USING (task_id) WHERE look_at <= ? AND created > ?
    ORDER BY look_at LIMIT ?
"""  # noqa: S608  # a constant
OBSERVE = "UPDATE tasks SET status = ?, updated = ? WHERE task_id = ?"

OLDEST = f"SELECT {_TASK} FROM tasks ORDER BY created LIMIT ?"  # noqa: S608  # a constant
REMOVE = "DELETE FROM tasks WHERE task_id = ? AND status = ?"
"""Only as it was read: a status seen since then is still to be told."""

KEEP_SETTLEMENT = "INSERT INTO settlements (fields) VALUES (?)"
SETTLEMENTS = "SELECT place, fields FROM settlements ORDER BY place LIMIT ?"
REMOVE_SETTLEMENT = "DELETE FROM settlements WHERE place = ?"

PURGE = """
    DELETE FROM tasks WHERE task_id IN (SELECT task_id FROM tasks WHERE created <= ? LIMIT 100)
"""
"""At most 100 at a time: after a long pause no single claim pays for all that expired."""


SUBMISSION = "SELECT fields FROM submissions WHERE place = ? AND created > ?"
RESERVE = "INSERT OR REPLACE INTO submissions (place, holder, created, fields) VALUES (?, ?, ?, ?)"
HELD = "SELECT fields FROM submissions WHERE place = ? AND holder = ?"
ADVANCE = "UPDATE submissions SET fields = ? WHERE place = ?"
RELEASE = "DELETE FROM submissions WHERE place = ? AND holder = ?"
FORGET_KEYS = """
    DELETE FROM submissions
    WHERE rowid IN (SELECT rowid FROM submissions WHERE created <= ? LIMIT 100)
"""


def row_of(record: TaskRecord) -> tuple[str | float, ...]:
    """A record in the order of the columns. Inverse of `record_of`."""
    return (
        record.task_id,
        record.tenant,
        record.token,
        record.account,
        record.model,
        record.created,
        record.request_id,
        inputs_to_text(record.inputs),
        record.status,
        record.updated,
        record.hold,
    )


def record_of(row: Sequence[str | float]) -> TaskRecord:
    """A row of `OWN_TASK`, `TASKS_OF`, `DUE_TASKS` or `OLDEST` as the record it was."""
    columns: dict[str, Any] = dict(zip(_COLUMNS, row, strict=True))
    return TaskRecord(**{**columns, "inputs": inputs_from_text(columns["inputs"])})


def submission_of(text: str) -> Submission:
    """Read the stored fields of a submission."""
    return submission_from_fields(texts(text) or {})


@lru_cache(maxsize=4096)
def limited(grant: Grant, text: str) -> Grant:
    """The grant with its tenant's stored limits. Raises `GrantUnreadableError`."""
    fields = texts(text)
    if fields is None:
        msg = f"limits of tenant {grant.tenant!r}: not a JSON object of texts"
        raise GrantUnreadableError(msg)
    return within_tenant(grant, fields)


@lru_cache(maxsize=4096)
def grant_of(digest: str, text: str) -> Grant:
    """Read stored fields; the same text is read once. Raises `GrantUnreadableError`."""
    fields = texts(text)
    if fields is None:
        msg = "fields: not a JSON object of texts"
        raise GrantUnreadableError(msg)
    return grant_from_fields(digest, fields)


def texts(text: str) -> dict[str, str] | None:
    """A JSON object of texts, None for anything else."""
    try:
        fields = json.loads(text)
    except ValueError:
        return None
    if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
        return None
    return fields
