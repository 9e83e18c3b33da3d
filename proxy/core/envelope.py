"""An error as bytes, in the shape the caller's client parses (protocol section 4).

A native client reads only top-level `code`, `message` and `request_id`, and needs all three to
be non-empty strings: null makes the Java SDK lose the reason, a nested `error` the Python one.
The clients of OpenAI and of Anthropic look into a nested `error`, and for the id of a request
into a header of their own. The façades tell errors as the systems do that they are modelled on:
51kik's shows `error` with code and message in a task, Crazyrouter's page `{code, message, data}`.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from proxy.core.compact import compact
from proxy.core.errors import ProxyError, Situation
from proxy.core.routes import Envelope

CONTENT_TYPE = "application/json"

ID_FIELDS: Mapping[Envelope, str] = MappingProxyType(
    {Envelope.OPENAI: "x-request-id", Envelope.ANTHROPIC: "request-id"}
)
"""The header field in which a client looks for the request's id, where it looks into any."""

_Object: TypeAlias = Mapping[str, object]


def render(error: ProxyError, envelope: Envelope, request_id: str) -> bytes:
    """The body of an error answer."""
    if envelope in _FACADES:
        code, param = error.situation.code, error.param
        return compact(shaped(envelope, code, error.message, request_id, param))
    return compact(_SHAPES[envelope](error, request_id))


def shaped(
    envelope: Envelope, code: str, message: str, request_id: str, param: str | None = None
) -> _Object:
    """An error in the shape of a façade, ours or upstream's."""
    return _FACADES[envelope]({"code": code, "message": message, "param": param}, request_id)


def sse_frame(error: ProxyError, envelope: Envelope, request_id: str) -> bytes | None:
    """An error inside an event stream, or None where the protocol has no frame for it.

    The native one is byte for byte as upstream sends its own, without blanks behind the colons:
    the Python SDK compares the event's name with them.
    """
    body = render(error, envelope, request_id)
    if envelope not in {Envelope.NATIVE, Envelope.ANTHROPIC}:
        return None
    if envelope is Envelope.ANTHROPIC:
        return b"event: error\ndata: " + body + b"\n\n"
    return f"event:error\n:HTTP_STATUS/{error.situation.status}\ndata:".encode() + body + b"\n\n"


def unknown_task(task_id: str, request_id: str) -> bytes:
    """Upstream's own words for a task it does not know: a success, with the status UNKNOWN."""
    output = {"task_id": task_id, "task_status": "UNKNOWN"}
    return compact({"request_id": request_id, "output": output})


def _native(error: ProxyError, request_id: str) -> _Object:
    situation = error.situation
    native = {"code": situation.code, "message": error.message, "request_id": request_id}
    return {**native, "data": None} if situation is Situation.TASK_NOT_EXIST else native


def _openai(error: ProxyError, request_id: str) -> _Object:
    kind = "server_error" if error.situation.is_ours else "invalid_request_error"
    code, param = error.situation.code, error.param
    inner = {"message": error.message, "type": kind, "param": param, "code": code}
    return {"error": inner, "request_id": request_id}


def _anthropic(error: ProxyError, request_id: str) -> _Object:
    kind = _ANTHROPIC_TYPES.get(error.situation.status, "invalid_request_error")
    inner = {"type": kind, "message": error.message}
    return {"type": "error", "error": inner, "request_id": request_id}


_SHAPES: Mapping[Envelope, Callable[[ProxyError, str], _Object]] = {
    Envelope.NATIVE: _native,
    Envelope.OPENAI: _openai,
    Envelope.ANTHROPIC: _anthropic,
}

_FACADES: Mapping[Envelope, Callable[[_Object, str], _Object]] = {
    Envelope.UNIFIED: lambda inner, request_id: {"error": inner, "request_id": request_id},
    Envelope.COMPAT: lambda inner, request_id: {**inner, "data": None, "request_id": request_id},
}
"""Around code, message and the field at fault."""

_ANTHROPIC_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
}
"""By status, as Anthropic documents them; every other status blames the request."""
