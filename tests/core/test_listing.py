"""`GET tasks` from our own records: upstream's filters, pages and times, nobody's account."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import ProxyError, Situation
from proxy.core.listing import Wanted, parse_wanted, render_listing
from proxy.core.paging import MAX_PAGE_SIZE
from proxy.core.tasks import RETENTION, TaskRecord

NOW = datetime(2026, 8, 1, 12, tzinfo=UTC).timestamp()
ALL = parse_wanted(None, NOW)

RECORD = TaskRecord(
    task_id="t-1",
    tenant="acme-tenant",
    token="tok-1",
    account="account-beijing",
    model="wan2.6-t2v",
    created=NOW - 60.25,
    request_id="r-1",
    inputs={"duration": "5"},
    status="RUNNING",
    updated=NOW - 1.5,
)


def rows(query: str | None, *records: TaskRecord) -> list[dict[str, Any]]:
    found = json.loads(render_listing(records, parse_wanted(query, NOW), "our-id"))["data"]
    assert isinstance(found, list)
    return found


def test_nothing_asked_is_everything_kept() -> None:
    """Without a query: all that is remembered, ten to the page, as upstream pages."""
    assert parse_wanted(None, NOW) == parse_wanted("", NOW) == parse_wanted("page_no=", NOW)
    assert Wanted(NOW - RETENTION, NOW, 1, 10, None, None, None, None) == ALL


def test_a_row_is_upstreams_without_the_account() -> None:
    """Upstream's names and milliseconds; the key's id is the token's, the account is not there."""
    assert rows(None, RECORD) == [
        {
            "task_id": "t-1",
            "status": "RUNNING",
            "model_name": "wan2.6-t2v",
            "request_id": "r-1",
            "api_key_id": "tok-1",
            "gmt_create": int((NOW - 60.25) * 1000),
            "start_time": int((NOW - 60.25) * 1000),
        }
    ]


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "CANCELED", "UNKNOWN"])
def test_a_finished_task_has_an_end(status: str) -> None:
    """`end_time` is when the final state was seen."""
    (row,) = rows(None, replace(RECORD, status=status))
    assert row["end_time"] == int((NOW - 1.5) * 1000)


def test_no_field_identifies_the_account() -> None:
    """Protocol section 5: account, caller and upstream key ids stand in upstream's list."""
    text = render_listing([RECORD, replace(RECORD, status="FAILED")], ALL, "our-id").decode()
    for secret in ("beijing", "acme", "account", "caller", "uid", "unique_key", "region", "tenant"):
        assert secret not in text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("task_id=t-1", ["t-1"]),
        ("task_id=t", []),
        ("task_id=T-1", []),
        ("model_name=kling/v3", ["t-3", "t-2"]),
        ("model_name=kling%2Fv3", ["t-3", "t-2"]),
        ("model_name=kling*", []),
        ("status=FAILED", ["t-2"]),
        ("status=failed", []),
        ("api_key_id=tok-2", ["t-3"]),
        ("api_key_id=tok-2&status=FAILED", []),
        ("model_name=kling/v3&status=FAILED", ["t-2"]),
        ("status=", ["t-3", "t-2", "t-1"]),
        ("something=else", ["t-3", "t-2", "t-1"]),
    ],
)
def test_filters_are_exact_and_all_count(query: str, found: list[str]) -> None:
    """Every filter given must hold; an empty one is none."""
    records = [
        replace(RECORD, task_id="t-3", model="kling/v3", token="tok-2"),
        replace(RECORD, task_id="t-2", model="kling/v3", status="FAILED"),
        RECORD,
    ]
    assert [row["task_id"] for row in rows(query, *records)] == found


@given(st.integers(0, 45), st.integers(1, 12), st.integers(1, MAX_PAGE_SIZE))
def test_pages_are_the_whole_cut_up(count: int, page_no: int, page_size: int) -> None:
    """Pages are slices in the records' order; totals tell the whole, a page beyond is empty."""
    records = [replace(RECORD, task_id=f"t-{n}") for n in range(count)]
    wanted = parse_wanted(f"page_no={page_no}&page_size={page_size}", NOW)
    answer = json.loads(render_listing(records, wanted, "our-id"))
    page = records[(page_no - 1) * page_size :][:page_size]
    assert [row["task_id"] for row in answer.pop("data")] == [record.task_id for record in page]
    assert answer == {
        "request_id": "our-id",
        "total": count,
        "total_page": count // page_size + (count % page_size > 0),
        "page_no": page_no,
        "page_size": page_size,
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20260801200000", NOW),
        ("20260801000000", NOW - 20 * 3600),
        ("20260101000000", datetime(2025, 12, 31, 16, tzinfo=UTC).timestamp()),
        ("00010101000000", datetime(1, 1, 1, tzinfo=UTC).timestamp() - 8 * 3600),
    ],
)
def test_times_are_beijings(text: str, expected: float) -> None:
    """`YYYYMMDDhhmmss` carries no zone and means Beijing's, wherever the proxy runs."""
    wanted = parse_wanted(f"start_time={text}&end_time={text}", NOW)
    assert (wanted.since, wanted.until) == (expected, expected)


NO_TIMES = [
    *("0", "tomorrow", "2026", "2026080120000", "202608012000000", "20261301000000"),
    *("20260230000000", "20260801240000", "20260801006000", "2026-08-01", "-0260801200000"),
    *(
        "1785585600",
        "2026080120",
        "+0260801200000",
        "２０２６０８０１２００００００",
        "99991231235959x",
    ),
    *("20260801%20200000", "2026080120000%0A", "00000101000000"),
]
NO_COUNTS = ["0", "-1", "1.5", "x", "1e2", "+1", "00", "1_0", "%31%20", "١", "9" * 11, "0" * 9]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in ("start_time", "end_time") for value in NO_TIMES),
        *((name, value) for name in ("page_no", "page_size") for value in NO_COUNTS),
    ],
)
def test_a_bad_parameter_is_named(name: str, value: str) -> None:
    """What cannot be read is refused by name, never guessed at and never ignored."""
    with pytest.raises(ProxyError, match=rf"^query\.{name}: ") as refusal:
        parse_wanted(f"status=FAILED&{name}={value}", NOW)
    assert refusal.value.situation is Situation.ILLEGAL_INPUT


@pytest.mark.parametrize(
    "name",
    ["task_id", "model_name", "status", "api_key_id", "page_no", "page_size", "start_time"],
)
def test_a_parameter_stands_once(name: str) -> None:
    """Given twice, or in a look-alike spelling, nobody knows which one was meant."""
    for query in (f"{name}=1&{name}=1", f"{name.title()}=1", f"{name.replace('_', '')}[]=1"):
        with pytest.raises(ProxyError, match=rf"^query\.{name}: "):
            parse_wanted(query, NOW)
