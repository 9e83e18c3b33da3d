"""Text frames of a WebSocket: what they name, who may send them, and what a refusal looks like.

Two protocols (protocol section 3). In *frames* a socket runs tasks, begun by a `run-task` that
names its model; in a *session* the handshake names the model, and events may name others.

Rule 1: what names a model is judged, wherever the route says that one may stand; what cannot be
        read in one way only is refused, as in a body (`proxy.core.gate`).
Rule 2: an action that is not known to leave the model as it is counts like `run-task`.
Rule 3: what goes up is the text that was judged, its comments blanked.
Rule 4: places are an allow-list of where upstream is known, or likely, to read a name. Not any
        `model` anywhere: the words of a conversation and the arguments of its tools are full of
        such members, and nobody would be safer for having them refused.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from proxy.core import asking
from proxy.core.compact import compact
from proxy.core.dialects import NATIVE
from proxy.core.errors import ProxyError, Situation
from proxy.core.gate import Gate, Heard, dotted
from proxy.core.jsonscan import Path
from proxy.core.judging import judge_confined, judge_model
from proxy.core.places import Places, places_of
from proxy.core.policy import ACCOUNT, Grant, has_scope
from proxy.core.routes import Route, Websocket

ACTION: Path = ("header", "action")
TASK: Path = ("header", "task_id")
EVENT_ID: Path = ("event_id",)
EVENT_TYPE: Path = ("type",)

FINISH = "finish-task"
RESPOND = "response.create"
"""The event that asks for an answer in a session."""

HARMLESS = frozenset({"continue-task", FINISH})
"""Actions that go on with a task as it is."""

MAX_START = 64 * 1024
"""Bytes of the start of a task that is looked at for its price; known ones have some 1,000."""

_WHOLE = frozenset({"none", "out"})
"""Kinds of tasks whose input stands in their start, all of it."""

_HEARD = {Websocket.FRAMES: (ACTION, TASK), Websocket.SESSION: (EVENT_ID, EVENT_TYPE)}


@dataclass(frozen=True, slots=True)
class Frame:
    """One readable text frame.

    `named` are the models it names and `confined` what stands where the route confines tokens
    without `account`; each with its place, in the order they came.
    """

    text: bytes
    task_id: str
    action: str
    named: Sequence[tuple[Path, str]]
    confined: Sequence[tuple[Path, Heard]]

    @property
    def begins(self) -> bool:
        """Whether it counts as the start of a task."""
        return self.action not in HARMLESS


class FrameReader:
    """Reads one text frame. Feed `gate` with it as it is convenient, then `finish` with what came.

    `task_id`, `action` and `event_id` are what was read so far, also of a frame that turns out
    unreadable.
    """

    def __init__(self, route: Route) -> None:
        self._route = route
        self._heard: dict[Path, str] = {}
        self._named: list[tuple[Path, str]] = []
        self._confined: list[tuple[Path, Heard]] = []
        self.gate = Gate(_places(route), self._hear, "A text frame")

    @property
    def task_id(self) -> str:
        """The client's name for the task, or nothing."""
        return self._heard.get(TASK, "")

    @property
    def action(self) -> str:
        """What the client wants done, or nothing."""
        return self._heard.get(ACTION, "")

    @property
    def may_begin(self) -> bool:
        """Whether it is the start of a task, for all that was read of it."""
        return self.action not in HARMLESS

    @property
    def event_id(self) -> str:
        """The client's name for the event, or nothing."""
        return self._heard.get(EVENT_ID, "")

    @property
    def asks_for_response(self) -> bool:
        """Whether it is an event that asks for an answer."""
        return self._heard.get(EVENT_TYPE) == RESPOND

    def finish(self, approved: bytes) -> Frame:
        """The frame; `approved` is what the gate let out. Raises `ProxyError`."""
        text = approved + self.gate.finish()
        return Frame(text, self.task_id, self.action, self._named, self._confined)

    def _hear(self, path: Path, told: Heard) -> None:
        name, route = told if isinstance(told, str) else "", self._route
        if path in route.models or path in route.also_models:
            self._named.append((path, name))
        elif any(path == at for at, _ in route.tenant_safe):
            self._confined.append((path, told))
        else:
            self._heard[path] = name


@lru_cache(maxsize=64)  # as many as there are routes to sockets, with room
def _places(route: Route) -> Places:
    own = _HEARD[route.websocket or Websocket.FRAMES]
    confined = (path for path, _ in route.tenant_safe)
    paths = (*own, *route.models, *route.also_models, *confined)
    return places_of(paths, paths, route.texts)


def must_be_judged(route: Route, frame: Frame) -> bool:
    """Whether the caller's grant decides about this frame."""
    begins = route.websocket is Websocket.FRAMES and frame.begins
    return begins or bool(frame.named or frame.confined)


def judge_frame(route: Route, frame: Frame, grant: Grant) -> str | None:
    """Judge all that a frame names; return the model its task is about, if it names it.

    Raises `ProxyError`: `EMPTY_MODEL`, `MODEL_NOT_FOUND`, `ACCESS_DENIED`.
    """
    for path, name in frame.named:
        judge_model(dotted(path), name, grant)
    named = dict(frame.named)
    if route.websocket is Websocket.FRAMES and frame.begins:
        for path in route.models:
            if path not in named:
                judge_model(dotted(path), None, grant)
    if not has_scope(grant, ACCOUNT):
        safe = dict(route.tenant_safe)
        for path, value in frame.confined:
            judge_confined(path, safe[path], value)
    return next((named[path] for path in route.models if path in named), None)


def task_failed(code: str, message: str, task_id: str) -> bytes:
    """A refusal within the frames protocol: the end of this task, and of no other."""
    header = {
        "task_id": task_id,
        "event": "task-failed",
        "error_code": code,
        "error_message": message,
        "attributes": {},
    }
    return compact({"header": header, "payload": {}})


def finish_task(task_id: str) -> bytes:
    """The proxy's own word to upstream that nothing more comes for a task, as the SDK says it."""
    header = {"action": FINISH, "task_id": task_id, "streaming": "duplex"}
    return compact({"header": header, "payload": {"input": {}}})


def cancel_response(response_id: str) -> bytes:
    """The proxy's own word to upstream that a response in a session is not to go on."""
    return compact({"type": "response.cancel", "response_id": response_id})


def error_event(error: ProxyError, event_id: str) -> bytes:
    """A refusal within a session: what the client asked for was not done, the session goes on."""
    kind = "server_error" if error.situation.is_ours else "invalid_request_error"
    inner = {
        "type": kind,
        "code": error.situation.code,
        "message": error.message,
        "param": error.param,
    }
    return compact(
        {"type": "error", "error": inner, **({"event_id": event_id} if event_id else {})}
    )


def price_inputs(text: bytes) -> tuple[dict[str, str], int | None]:
    """What the start of a task says that decides its price, and its size where nothing follows.

    Inputs are JSON texts by name, see `proxy.core.asking`. What can be read in two ways says
    nothing, and is held for as the dearest.
    """
    try:
        told = json.loads(text, object_pairs_hook=_single) if len(text) <= MAX_START else None
    except (ValueError, RecursionError):
        told = None
    header, payload = (_inner(told, name) for name in ("header", "payload"))
    given = _inner(payload, "parameters")
    inputs = {name: _input(name, given[name]) for name in asking.NAMES & given.keys()}
    is_whole = header.get("streaming") in _WHOLE
    return inputs, len(text) if is_whole else None


def sent_text(text: bytes) -> int:
    """Bytes of the words in a frame's input: at least as many as characters that cost something."""
    try:
        told = json.loads(text) if len(text) <= MAX_START else None
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        return len(text)
    words = _inner(_inner(told, "payload"), "input").values()
    return sum(len(word.encode(errors="replace")) for word in words if isinstance(word, str))


def demand_task(frame: Frame, is_known: Callable[[str], bool]) -> None:
    """Raise `ProxyError` unless a frame names a task: a new one, or one that was begun here."""
    if not frame.task_id:
        raise ProxyError(
            Situation.ILLEGAL_INPUT, "header.task_id: missing, empty or no string; name the task."
        )
    if not frame.begins and not is_known(frame.task_id):
        raise ProxyError(
            Situation.ILLEGAL_INPUT,
            "header.task_id: no task of this socket; begin it with `run-task`.",
        )


def _single(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object whose members have names of their own. Raises `ValueError`."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


def _inner(told: object, name: str) -> dict[str, object]:
    found = told.get(name) if isinstance(told, dict) else None
    return found if isinstance(found, dict) else {}


def _input(name: str, value: object) -> str:
    is_heeded = name in NATIVE.heeds or value is None
    return (
        json.dumps(value) if is_heeded and not isinstance(value, dict | list) else asking.UNREADABLE
    )
