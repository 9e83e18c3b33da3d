"""Reading a copy of upstream's answers: any coding, no trust, and no more than a megabyte."""

import gzip
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.answers import (
    MAX_READ,
    AnswerUnreadableError,
    Held,
    error_code,
    read_json,
    request_id,
    task_ids,
    task_status,
)

ANSWER = {"output": {"task_id": "t-1", "task_status": "PENDING"}, "request_id": "r-1"}
PLAIN = json.dumps(ANSWER).encode()
BOMB = b'{"a":"' + b"a" * 50 * MAX_READ + b'"}'
ZIPPED = gzip.compress(PLAIN, mtime=0)  # without the time: it names tests


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (PLAIN, None),
        (PLAIN, ""),
        (PLAIN, "identity"),
        (PLAIN, " Identity "),
        (b" \r\n" + PLAIN + b"\n", None),
        (ZIPPED, "gzip"),
        (ZIPPED, "GZIP"),
        (ZIPPED, "x-gzip"),
        (zlib.compress(PLAIN), "deflate"),
    ],
)
def test_an_answer_is_read_in_its_coding(body: bytes, coding: str | None) -> None:
    """Plain, gzip and deflate, named in any case."""
    assert read_json(body, coding) == ANSWER


UNREADABLE = [
    (b"", None),
    (b"", "gzip"),
    (b"<html>", None),
    (PLAIN[:-1], None),
    (PLAIN + b"x", None),
    (b"\xff\xfe\xfa", None),
    (b"[" * 200_000, None),
    (b"1" * 5000, None),
    (PLAIN, "gzip"),
    (PLAIN, "deflate"),
    (ZIPPED, None),
    (ZIPPED[:-20], "gzip"),
    (zlib.compress(PLAIN), "gzip"),
    (PLAIN, "br"),
    (PLAIN, "zstd"),
    (gzip.compress(ZIPPED, mtime=0), "gzip, gzip"),
]


@pytest.mark.parametrize(("body", "coding"), UNREADABLE)
def test_what_cannot_be_read_says_so(body: bytes, coding: str | None) -> None:
    """One error for every way of being unreadable, never another, never half an answer."""
    with pytest.raises(AnswerUnreadableError):
        read_json(body, coding)


@pytest.mark.parametrize("body", [gzip.compress(BOMB), zlib.compress(BOMB)], ids=["gzip", "zlib"])
def test_a_bomb_is_not_inflated(body: bytes) -> None:
    """A small answer that inflates without end costs `MAX_READ`, and is unreadable."""
    coding = "gzip" if body[:2] == b"\x1f\x8b" else "deflate"
    assert len(body) < MAX_READ / 10
    with pytest.raises(AnswerUnreadableError, match=f"char {MAX_READ}|Unterminated"):
        read_json(body, coding)


@given(st.binary(max_size=200), st.sampled_from([None, "gzip", "deflate", "br"]))
def test_any_answer_is_read_or_unreadable(body: bytes, coding: str | None) -> None:
    """Garbage raises `AnswerUnreadableError` or is JSON by chance; nothing else comes out."""
    try:
        read_json(body, coding)
    except AnswerUnreadableError as error:
        assert str(error)  # noqa: PT017 - both ends are right


PLACES = (("output", "task_id"), ("task_id",))
ANSWERS: list[tuple[object, list[str]]] = [
    (ANSWER, ["t-1"]),
    ({"task_id": "t-2"}, ["t-2"]),
    ({"task_id": "t-2", "output": {"task_id": "t-1"}}, ["t-1", "t-2"]),
    ({"task_id": "t-1", "output": {"task_id": "t-1"}}, ["t-1"]),
    ({"output": {"task_id": None}}, []),
    ({"output": {"task_id": ""}}, []),
    ({"output": "t-1"}, []),
    ({"output": None}, []),
    ({"output": {"Task_Id": "t-1"}}, []),
    ({}, []),
    ([], []),
    (["output"], []),
    ("output", []),
    (None, []),
    (1, []),
]


@pytest.mark.parametrize("text", ["a/../b", "t-1\n", "a.b:c", "a" * 129])
def test_an_id_of_an_unknown_form_is_not_passed_over(text: str) -> None:
    """It would leave without an owner, so the whole answer counts as unreadable."""
    with pytest.raises(AnswerUnreadableError):
        task_ids({"output": {"task_id": text}}, PLACES)


@pytest.mark.parametrize(("answer", "expected"), ANSWERS)
def test_task_ids_are_read_where_the_route_says(answer: object, expected: list[str]) -> None:
    """Only ids fit for a URL, only at the named places, each once; odd shapes hold none."""
    assert task_ids(answer, PLACES) == expected
    assert task_ids(answer, ()) == []


@pytest.mark.parametrize(
    ("answer", "status", "upstream_id"),
    [
        (ANSWER, "PENDING", "r-1"),
        ({"output": {"task_status": 1}, "request_id": 2}, None, ""),
        ({"output": {"task_status": None}, "request_id": None}, None, ""),
        ({"output": None, "task_status": "PENDING"}, None, ""),
        ({}, None, ""),
        ([], None, ""),
        (None, None, ""),
    ],
)
def test_states_and_ids_are_text_or_nothing(
    answer: object, status: str | None, upstream_id: str
) -> None:
    """What is not text at its place counts as absent."""
    assert task_status(answer) == status
    assert request_id(answer) == upstream_id


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"code": "Arrearage", "message": "m"}, "Arrearage"),
        ({"error": {"code": "model_not_found"}}, "model_not_found"),
        ({"code": None, "error": {"code": 5}}, ""),
        ({"code": "", "output": {"code": "InvalidParameter"}}, ""),
        ({}, ""),
        ([], ""),
        (None, ""),
        ("code", ""),
    ],
)
def test_a_code_is_the_answers_own(answer: object, code: str) -> None:
    """In either shape of an error; the code of a failed task is none."""
    assert error_code(answer) == code


@pytest.mark.parametrize("value", [5, 0, False, 1.5, ["t-1"], [], {}])
def test_an_id_that_is_no_text(value: object) -> None:
    """A number could be polled as well: what is there and cannot be claimed is unreadable."""
    with pytest.raises(AnswerUnreadableError):
        task_ids({"output": {"task_id": value}}, PLACES)


def held(status: int, *headers: tuple[str, str], code: bool = False) -> Held:
    return Held(status, "So", headers, b"{}", has_code=code)


def test_what_a_refusal_is() -> None:
    """Upstream says that it did not take the call on; a timeout or an error there says nothing."""
    assert all(held(status).is_refusal for status in (400, 401, 403, 404, 409, 422, 429, 499))
    doubtful = (200, 204, 301, 302, 307, 408, 500, 502, 503, 504, 599)
    assert not any(held(status).is_refusal for status in doubtful)
    assert held(200, code=True).is_refusal
    assert [held(status).is_success for status in (199, 200, 299, 300)] == [
        False,
        True,
        True,
        False,
    ]


NOT_AGAIN = ("x-should-retry", "false")
REPLAYED = ("x-proxy-replayed", "true")


def test_what_sdks_would_send_again() -> None:
    """On 408 and 5xx they are told not to, unless upstream has told them what to do."""
    told = {status: held(status).marks for status in (200, 302, 400, 408, 429, 499, 500, 504)}
    assert {status for status, marks in told.items() if marks} == {408, 500, 504}
    assert told[504] == [NOT_AGAIN]
    for advice in ("true", "false"):
        assert held(504, ("X-Should-Retry", advice)).marks == []


def test_what_a_repeat_is_told() -> None:
    """That it was said before; and where that was no success, that it will be said again."""
    assert held(200, ("X-Should-Retry", "x")).again().marks == [REPLAYED]
    for status in (302, 408, 503):
        again = held(status, ("A", "b"), ("X-Should-Retry", "true")).again()
        assert (again.headers, again.marks) == ((("A", "b"),), [REPLAYED, NOT_AGAIN])
        assert (again.status, again.body, again.replayed) == (status, b"{}", True)
