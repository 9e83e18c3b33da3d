"""Upstream's answers in the words of a façade. Pure: bytes in, status and body out.

Documented by 51kik: `{task_id}` for a new task; `{task_id, task_status, model, created, updated,
completed, data, error}` for its state, times in milliseconds, completed null until the end. By
Crazyrouter: `{id, status, status_update_time}` for a new task and `{id, status, video_url}` for
its state, one of processing, completed and failed. Inferred: `task_id` beside `id` (new-api's
clients read it), `status_update_time` in polls, `error` and `data` as 51kik has them; a cancelled
task is `failed` there, the page has no other end for it.

A task that upstream says UNKNOWN of is ours and was there: upstream forgets tasks and their
results after 24 hours. To a poller that is an end, so it is told as `failed`, with the reason;
a stranger's id never comes this far.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from proxy.core.answers import AnswerUnreadableError, error_code, read_json, request_id, task_status
from proxy.core.beijing import unix_time
from proxy.core.compact import compact
from proxy.core.envelope import shaped
from proxy.core.jsonscan import ITEM, Path
from proxy.core.routes import Envelope
from proxy.core.tasks import TERMINAL, TaskRecord

MOST = 16 * 1024 * 1024
"""Bytes of an answer that are read."""

SUCCESS, FAILED, CANCELLED = "success", "failed", "cancelled"

STATES: Mapping[str, str] = MappingProxyType(
    {
        "PENDING": "pending",
        "RUNNING": "running",
        "SUSPENDED": "running",
        "SUCCEEDED": SUCCESS,
        "FAILED": FAILED,
        "CANCELED": CANCELLED,
        "UNKNOWN": FAILED,
    }
)
"""A state that is not known yet is taken for `running`: an end must not be made up."""

_COMPAT_STATES = {SUCCESS: "completed", FAILED: "failed", CANCELLED: "failed"}

RESULTS: tuple[Path, ...] = (
    ("video_url",),
    ("output_video_url",),
    ("results", "video_url"),
    ("results", "url"),
    ("results", ITEM),
    ("choices", ITEM, "message", "content", ITEM),
)
"""Where families put what they made, below `output`: a URL, or an object that holds one."""

_LINKS = ("url", "video_url", "video", "image")
_MORE = ("orig_prompt", "actual_prompt")

_REASONS: Mapping[str, tuple[str, str]] = {
    "FAILED": ("UpstreamTaskFailed", "The task failed, and upstream does not say why."),
    "CANCELED": ("TaskCanceled", "The task was cancelled."),
    "UNKNOWN": ("TaskExpired", "Upstream no longer knows this task: it keeps them for 24 hours."),
}

_BLAMING: Mapping[int, str] = {
    400: "BadRequest",
    401: "InvalidApiKey",
    403: "AccessDenied",
    404: "NotFound",
    408: "RequestTimeOut",
    409: "Conflict",
    413: "BadRequest.TooLarge",
    429: "Throttling",
}
"""Statuses that say enough without a code, and upstream's code for each."""

_Object: TypeAlias = dict[str, object]


class Retold(NamedTuple):
    """An answer of a façade."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Heard:
    """Upstream's answer as it came. `coding` is its `Content-Encoding`, `id` ours of the call."""

    status: int
    body: bytes
    coding: str | None
    id: str


def submitted(heard: Heard, tasks: tuple[str, ...], facade: Envelope, now: float) -> Retold:
    """The answer to a call that was to make a task. `now` is Unix seconds."""
    if not tasks or not _is_good(heard.status):
        return _refused(heard, _read(heard), facade)
    return Retold(HTTPStatus.OK, compact(FACADES[facade].task(tasks[0], now)))


def polled(heard: Heard, record: TaskRecord, facade: Envelope, now: float) -> Retold:
    """The answer to a poll of the caller's task. `now` is Unix seconds."""
    answer = _read(heard)
    state = task_status(answer) if heard.status == HTTPStatus.OK else None
    if state is None:
        return _refused(heard, answer, facade)
    told = _story(answer, state, record, now)
    return Retold(HTTPStatus.OK, compact(FACADES[facade].state(told)))


def _is_good(status: int) -> bool:
    return HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES


def _read(heard: Heard) -> object:
    try:
        return read_json(heard.body, heard.coding, MOST)
    except AnswerUnreadableError:
        return None


def _refused(heard: Heard, answer: object, facade: Envelope) -> Retold:
    """Upstream's own refusal, its code and message kept.

    A redirect is nothing a client could follow, and a success without a task is none; the latter
    is upstream's word that it did not take the call on where it has a code. What has none is an
    answer of some gateway on the way, unless the status itself blames the call.
    """
    code, status = error_code(answer), heard.status
    if code:
        status = HTTPStatus.BAD_REQUEST if _is_good(status) else status
    if status < HTTPStatus.BAD_REQUEST or (not code and status not in _BLAMING):
        status = HTTPStatus.BAD_GATEWAY
    code = code or _BLAMING.get(status, "BadGateway")
    message = _message(answer) or f"Upstream answered {heard.status} and gave no reason."
    return Retold(status, compact(shaped(facade, code, message, request_id(answer) or heard.id)))


def _message(answer: object) -> str:
    found = [*_at(answer, ("message",)), *_at(answer, ("error", "message"))]
    return next((text for text in found if isinstance(text, str)), "")


def _story(answer: object, state: str, record: TaskRecord, now: float) -> _Object:
    """A task's state in the words of 51kik, which has the most of them."""
    (output,) = _at(answer, ("output",)) or ({},)
    status = STATES.get(state, "running")
    created = _millis(record.created)
    seen = [_time(output, name) for name in ("submit_time", "scheduled_time", "end_time")]
    ended = seen[2] or _observed(record, now)
    completed = max(created, _millis(ended)) if state in TERMINAL else None
    updated = completed or max([created, *(_millis(at) for at in seen if at)])
    story: _Object = {
        "task_id": record.task_id,
        "task_status": status,
        "model": record.model,
        "created": created,
        "updated": updated,
        "completed": completed,
        "data": list(_results(output)) if status == SUCCESS else [],
        "error": _error(answer, output, state) if status in {FAILED, CANCELLED} else None,
    }
    usage = _at(answer, ("usage",))
    return {**story, "usage": usage[0]} if status == SUCCESS and usage else story


def _observed(record: TaskRecord, now: float) -> float:
    """When a task was first seen to have ended, if upstream does not say."""
    return record.updated if record.status in TERMINAL and record.updated else now


def _millis(at: float) -> int:
    return int(at * 1000)


def _time(output: object, name: str) -> float | None:
    """One of upstream's times in Unix seconds; None where there is none, or it cannot be read."""
    (text,) = _at(output, (name,)) or (None,)
    return unix_time(text) if isinstance(text, str) else None


def _error(answer: object, output: object, state: str) -> _Object:
    """The reason that upstream gives: of the task, of a result, or of the answer."""
    ours = _REASONS[state]
    for place in (output, *_at(output, ("results", ITEM)), answer):
        told = [next(_texts(place, name), "") for name in ("code", "message")]
        if any(told):
            return {"code": told[0] or ours[0], "message": told[1] or ours[1]}
    return {"code": ours[0], "message": ours[1]}


def _texts(value: object, name: str) -> Iterator[str]:
    return (text for text in _at(value, (name,)) if isinstance(text, str))


def _results(output: object) -> Iterator[_Object]:
    """Each result once, with what is told of it; one that failed alone has no URL."""
    common = {name: text for name in _MORE for text in _at(output, (name,))}
    seen: set[object] = set()
    for place in RESULTS:
        for found in _at(output, place):
            item = found if isinstance(found, dict) else {"url": found}
            link = next((item[name] for name in _LINKS if isinstance(item.get(name), str)), None)
            if link in seen or (link is None and "code" not in item):
                continue
            seen |= {link} - {None}
            rest = {name: value for name, value in item.items() if name not in _LINKS}
            yield {**({"url": link} if link else {}), **common, **rest}


def _at(value: object, path: Path) -> list[object]:
    """What stands at a place, which `ITEM` makes several; nothing for null."""
    if not path:
        return [] if value is None else [value]
    if path[0] == ITEM:
        items = value if isinstance(value, list) else []
        return [found for item in items for found in _at(item, path[1:])]
    return _at(value.get(path[0]), path[1:]) if isinstance(value, dict) else []


# -- the two façades ----------------------------------------------------------------------------


class Facade(NamedTuple):
    """How a façade tells a new task (its id, Unix seconds now), and a state told as 51kik does."""

    task: Callable[[str, float], _Object]
    state: Callable[[_Object], _Object]


def _compat_task(task_id: str, now: float) -> _Object:
    state = {"status": "processing", "status_update_time": int(now)}
    return {"id": task_id, "task_id": task_id, **state}


def _compat_state(told: _Object) -> _Object:
    task_id, updated, data = told["task_id"], told["updated"], told["data"]
    state = {
        "id": task_id,
        "task_id": task_id,
        "model": told["model"],
        "status": _COMPAT_STATES.get(str(told["task_status"]), "processing"),
        "status_update_time": updated // 1000 if isinstance(updated, int) else 0,
        "data": data,
        "error": told["error"],
    }
    links = [item["url"] for item in data if "url" in item] if isinstance(data, list) else []
    return {**state, "video_url": links[0]} if links else state


FACADES: Mapping[Envelope, Facade] = {
    Envelope.UNIFIED: Facade(lambda task_id, _now: {"task_id": task_id}, dict),
    Envelope.COMPAT: Facade(_compat_task, _compat_state),
}
"""By envelope; those of all others are no façades, and nothing is translated behind them."""
