"""What lies in SQLite files: their tables and versions, every statement, and how rows are read.

Text and values only: nothing here opens a file.
"""

import json
from functools import lru_cache
from typing import NamedTuple

from proxy.core.idempotency import Submission
from proxy.core.policy import Grant, GrantUnreadableError, grant_from_fields
from proxy.core.tasks import TaskRecord
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

STORE = Schema(((_TOKENS, *_TASKS), _SUBMISSIONS))
"""The embedded store."""

OUTBOX = Schema((_TASKS,))
"""Claims that wait for the shared store."""

GRANT = "SELECT fields FROM tokens WHERE digest = ?"
GRANTS = "SELECT digest, fields FROM tokens"
SAVE_GRANT = "INSERT OR REPLACE INTO tokens (digest, fields) VALUES (?, ?)"
REMOVE_GRANT = "DELETE FROM tokens WHERE digest = ?"

_TASK = "task_id, tenant, token, account, model, created, request_id, inputs, status, updated"
OWN_TASK = f"SELECT {_TASK} FROM tasks WHERE task_id = ? AND tenant = ?"  # noqa: S608  # a constant
TENANT = "SELECT tenant FROM tasks WHERE task_id = ?"
STATUS = "SELECT status FROM tasks WHERE task_id = ? AND created > ?"
TASKS_OF = f"""
    SELECT {_TASK} FROM tasks WHERE tenant = ? AND created BETWEEN ? AND ? AND created > ?
    ORDER BY created DESC LIMIT ?
"""  # noqa: S608  # a constant
CLAIM = f"""
    INSERT INTO tasks ({_TASK}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""  # noqa: S608  # a constant
OBSERVE = "UPDATE tasks SET status = ?, updated = ? WHERE task_id = ?"

OLDEST = f"SELECT {_TASK} FROM tasks ORDER BY created LIMIT ?"  # noqa: S608  # a constant
REMOVE = "DELETE FROM tasks WHERE task_id = ? AND status = ?"
"""Only as it was read: a status seen since then is still to be told."""

PURGE = """
    DELETE FROM tasks WHERE task_id IN (SELECT task_id FROM tasks WHERE created <= ? LIMIT 100)
"""
"""At most 100 per claim: after a long pause no single claim pays for all that expired."""


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
    )


def record_of(row: tuple[str, str, str, str, str, float, str, str, str, float]) -> TaskRecord:
    """A row of `OWN_TASK`, `TASKS_OF` or `OLDEST` as the record it was."""
    task_id, tenant, token, account, model, created, request_id, inputs, status, updated = row
    return TaskRecord(
        task_id=task_id,
        tenant=tenant,
        token=token,
        account=account,
        model=model,
        created=created,
        request_id=request_id,
        inputs=inputs_from_text(inputs),
        status=status,
        updated=updated,
    )


def submission_of(text: str) -> Submission:
    """Read the stored fields of a submission."""
    return submission_from_fields(_texts(text) or {})


@lru_cache(maxsize=4096)
def grant_of(digest: str, text: str) -> Grant:
    """Read stored fields; the same text is read once. Raises `GrantUnreadableError`."""
    fields = _texts(text)
    if fields is None:
        msg = "fields: not a JSON object of texts"
        raise GrantUnreadableError(msg)
    return grant_from_fields(digest, fields)


def _texts(text: str) -> dict[str, str] | None:
    """A JSON object of texts, None for anything else."""
    try:
        fields = json.loads(text)
    except ValueError:
        return None
    if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
        return None
    return fields
