"""`GET tasks` answered from our own records: upstream's list shows every tenant's tasks.

The filters and the shape are upstream's (protocol section 5), without the fields that identify
the account. States are the last ones seen on a poll: a task nobody polled shows PENDING.
"""

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from proxy.core.errors import ProxyError, Situation
from proxy.core.target import query_values
from proxy.core.tasks import RETENTION, TERMINAL, TaskRecord

BEIJING = timezone(timedelta(hours=8))
"""Upstream's times carry no zone and mean this one."""

MAX_PAGE_SIZE = 100


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
        task_id=_one(query, "task_id"),
        model_name=_one(query, "model_name"),
        status=_one(query, "status"),
        api_key_id=_one(query, "api_key_id"),
    )


def parse_page(query: str | None) -> tuple[int, int]:
    """Page number and size. Raises `ProxyError` (`ILLEGAL_INPUT`) naming the parameter."""
    return _count(query, "page_no", 1, None), _count(query, "page_size", 10, MAX_PAGE_SIZE)


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
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()


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


def _one(query: str | None, name: str) -> str | None:
    values = query_values(query, name)
    if len(values) > 1:
        raise _bad(name, "given more than once")
    return values[0] if values and values[0] else None


def _count(query: str | None, name: str, default: int, most: int | None) -> int:
    text = _one(query, name)
    if text is None:
        return default
    if not re.fullmatch(r"0{0,3}[1-9][0-9]{0,8}", text):
        raise _bad(name, "must be a number from 1 on")
    return int(text) if most is None else min(int(text), most)


def _time(query: str | None, name: str, default: float) -> float:
    text = _one(query, name)
    if text is None:
        return default
    if re.fullmatch(r"[0-9]{14}", text):  # strptime alone reads Unix seconds as some date
        with suppress(ValueError):
            return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=BEIJING).timestamp()
    raise _bad(name, "must be YYYYMMDDhhmmss, Beijing time")


def _bad(name: str, problem: str) -> ProxyError:
    return ProxyError(Situation.ILLEGAL_INPUT, f"query.{name}: {problem}.")
