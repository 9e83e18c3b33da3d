"""`GET tasks` answered from our own records: upstream's list shows every tenant's tasks.

The filters and the shape are upstream's (protocol section 5), without the fields that identify
the account. States are the last ones seen on a poll: a task nobody polled shows PENDING.
"""

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from proxy.core.beijing import BEIJING
from proxy.core.compact import compact
from proxy.core.paging import misread, only, parse_page
from proxy.core.tasks import RETENTION, TERMINAL, TaskRecord


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a listing asks for. Times are Unix seconds, None is no filter."""

    since: float
    until: float
    page_no: int
    page_size: int
    task_id: str | None
    model_name: str | None
    status: str | None
    api_key_id: str | None


def parse_wanted(query: str | None, now: float) -> Wanted:
    """Read a listing's query. Raises `ProxyError` (`ILLEGAL_INPUT`) naming the parameter."""
    page_no, page_size = parse_page(query)
    return Wanted(
        since=_time(query, "start_time", now - RETENTION),
        until=_time(query, "end_time", now),
        page_no=page_no,
        page_size=page_size,
        task_id=only(query, "task_id"),
        model_name=only(query, "model_name"),
        status=only(query, "status"),
        api_key_id=only(query, "api_key_id"),
    )


def render_listing(records: Iterable[TaskRecord], wanted: Wanted, request_id: str) -> bytes:
    """The answer's body: the wanted page of the records, which come newest first."""
    found = [record for record in records if _is_wanted(record, wanted)]
    first = (wanted.page_no - 1) * wanted.page_size
    page = found[first : first + wanted.page_size]
    answer = {
        "request_id": request_id,
        "total": len(found),
        "total_page": -(-len(found) // wanted.page_size),
        "page_no": wanted.page_no,
        "page_size": wanted.page_size,
        "data": [_row(record) for record in page],
    }
    return compact(answer)


def _is_wanted(record: TaskRecord, wanted: Wanted) -> bool:
    asked = (
        (wanted.task_id, record.task_id),
        (wanted.model_name, record.model),
        (wanted.status, record.status),
        (wanted.api_key_id, record.token),
    )
    return all(want is None or want == has for want, has in asked)


def _row(record: TaskRecord) -> dict[str, object]:
    row: dict[str, object] = {
        "task_id": record.task_id,
        "status": record.status,
        "model_name": record.model,
        "request_id": record.request_id,
        "api_key_id": record.token,
        "gmt_create": int(record.created * 1000),
        "start_time": int(record.created * 1000),
    }
    if record.status in TERMINAL:
        row["end_time"] = int(record.updated * 1000)
    return row


def _time(query: str | None, name: str, default: float) -> float:
    text = only(query, name)
    if text is None:
        return default
    if re.fullmatch(r"[0-9]{14}", text):  # strptime alone reads Unix seconds as some date
        with suppress(ValueError):
            return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=BEIJING).timestamp()
    raise misread(name, "must be YYYYMMDDhhmmss, Beijing time")
