"""Task records: ids that fit into a URL, states that are final, times that outlive upstream's."""

from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.tasks import PENDING, RETENTION, TERMINAL, TaskRecord, is_task_id


@pytest.mark.parametrize(
    "text", ["a", "0385dc79-5ff8-4d82-bcb6-7d6f63f2e4a5", "A_z-9", "x" * 128, "-", "_"]
)
def test_an_id_is_letters_digits_and_dashes(text: str) -> None:
    """Upstream's UUIDs and anything like them."""
    assert is_task_id(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "x" * 129, "a b", " a", "a\n", "a/b", "..", "a.b", "a%2fb", "a?b", "a#b", "a;b"),
        *("a\x00", "ä", "١", "Ａ", "a:b", "a,b", "a\\b", "*", "\udcff"),
    ],
)
def test_noise_is_no_id(text: str) -> None:
    """Nothing that means something in a URL, a key or a log, no other alphabets."""
    assert not is_task_id(text)


@given(st.text())
def test_an_id_means_itself_in_a_url(text: str) -> None:
    """Whatever counts as an id is plain ASCII without a separator."""
    if is_task_id(text):
        assert text.isascii()
        assert text.replace("-", "").replace("_", "").isalnum() or not text.strip("-_")
        assert len(text) <= 128


def test_a_new_record_is_pending() -> None:
    """Before the first poll the state is PENDING; a record cannot be changed."""
    record = TaskRecord("t", "acme", "tok", "main", "wan", 1.0)
    assert (record.status, record.updated, dict(record.inputs)) == (PENDING, 0.0, {})
    with pytest.raises(FrozenInstanceError):
        record.tenant = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        record.inputs["duration"] = "1"  # type: ignore[index]


def test_final_states_are_upstreams() -> None:
    """Protocol section 5: these four never change again; PENDING, RUNNING, SUSPENDED may."""
    assert {"SUCCEEDED", "FAILED", "CANCELED", "UNKNOWN"} == TERMINAL


def test_an_owner_is_remembered_longer_than_the_task() -> None:
    """48 hours, twice what upstream keeps, so that expired and never yours look the same."""
    assert RETENTION == 48 * 3600
