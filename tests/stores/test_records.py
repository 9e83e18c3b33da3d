"""How records are kept as text, and which status replaces which."""

from dataclasses import replace

import pytest
from stores.harness import NOW, first, record

from proxy.core.answers import Held
from proxy.core.idempotency import Lost
from proxy.core.tasks import RETENTION
from proxy.stores.records import (
    inputs_from_text,
    is_kept,
    record_from_fields,
    record_to_fields,
    submission_from_fields,
    submission_to_fields,
    supersedes,
)


def test_round_trip() -> None:
    """A record comes back from its fields as it was."""
    task = record(created=NOW + 0.1, updated=1e-9, inputs={"a": "\ud7ff\x00"})
    assert record_from_fields(task.task_id, record_to_fields(task)) == task


@pytest.mark.parametrize("field", sorted(record_to_fields(record())))
def test_missing_field(field: str) -> None:
    """A record that lacks a field has no owner: nobody gets to see the task."""
    fields = record_to_fields(record())
    del fields[field]
    assert record_from_fields("task-1", fields) is None


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("created", "noon"),
        ("updated", ""),
        ("inputs", "{"),
        ("inputs", "[]"),
        ("inputs", '{"a":1}'),
    ],
)
def test_unreadable_field(field: str, text: str) -> None:
    """A record with a field that makes no sense has no owner."""
    assert record_from_fields("task-1", record_to_fields(record()) | {field: text}) is None


def test_inputs_are_texts() -> None:
    """Price inputs are texts, nothing else."""
    with pytest.raises(ValueError, match="inputs"):
        inputs_from_text("null")


def test_is_kept() -> None:
    """A record counts for RETENTION seconds from its creation."""
    assert is_kept(record(), NOW + RETENTION - 0.1)
    assert not is_kept(record(), NOW + RETENTION)


@pytest.mark.parametrize(
    ("status", "known", "expected"),
    [
        ("RUNNING", "PENDING", True),
        ("PENDING", "RUNNING", True),  # upstream re-queues; only an end is final
        ("RUNNING", "RUNNING", False),
        ("SUCCEEDED", "RUNNING", True),
        ("RUNNING", "SUCCEEDED", False),
        ("SUCCEEDED", "UNKNOWN", True),
        ("FAILED", "FAILED", False),
    ],
)
def test_supersedes(status: str, known: str, expected: bool) -> None:  # noqa: FBT001  # a table
    """Only news replaces, and only an end replaces an end."""
    assert supersedes(status, known) is expected


def test_submission_round_trip() -> None:
    """A submission comes back from its fields as it was; all of them are text for any store."""
    answer = Held(200, "\udc80", (("A", "\udcff"),), bytes(range(256)), ("t1", "t2"))
    for outcome in (answer, replace(answer, tasks=()), Lost("BAD", "Gone; “do not”."), None):
        whole = first(outcome=outcome, is_sending=True, target="t", fingerprint="f")
        fields = submission_to_fields(whole)
        assert submission_from_fields(fields) == whole
        assert "".join(fields.values()).encode().isascii()


def test_what_a_submission_does_not_keep() -> None:
    """What only the first call was for: upstream's id, and what frees the key is never kept."""
    answer = Held(200, "OK", (), b"{}", ("t1",), request_id="up-1")
    fields = submission_to_fields(first(outcome=answer))
    assert submission_from_fields(fields).outcome == replace(answer, request_id="")


@pytest.mark.parametrize("field", sorted(submission_to_fields(first()).keys() - {"holder"}))
def test_an_unreadable_submission_may_not_be_sent_again(field: str) -> None:
    """Of what cannot be read there may be a task: it is kept, belongs to nobody, and has ended."""
    missing = {**submission_to_fields(first())}
    del missing[field]
    for fields in (missing, {**submission_to_fields(first()), "outcome": "?"}):
        found = submission_from_fields(fields)
        assert (found.holder, found.is_kept(NOW), found.is_running(NOW)) == ("", True, False)
