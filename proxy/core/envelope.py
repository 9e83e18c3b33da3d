"""An error as bytes, in the shape the caller's client parses (protocol section 4).

A native client reads only top-level `code`, `message` and `request_id`, and needs all three to
be non-empty strings: null makes the Java SDK lose the reason, a nested `error` the Python one.
"""

import json
from collections.abc import Mapping

from proxy.core.errors import ProxyError, Situation
from proxy.core.routes import Envelope

CONTENT_TYPE = "application/json"


def render(error: ProxyError, envelope: Envelope, request_id: str) -> bytes:
    """The body of an error answer."""
    situation = error.situation
    if envelope is Envelope.OPENAI:
        kind = "server_error" if situation.is_ours else "invalid_request_error"
        inner = {"message": error.message, "type": kind, "param": None, "code": situation.code}
        return _json({"error": inner, "request_id": request_id})
    native = {"code": situation.code, "message": error.message, "request_id": request_id}
    if situation is Situation.TASK_NOT_EXIST:
        return _json({**native, "data": None})
    return _json(native)


def sse_frame(error: ProxyError, request_id: str) -> bytes:
    """An error inside a native event stream, byte for byte as upstream sends its own.

    No blanks behind the colons: the Python SDK compares the event's name with them.
    """
    head = f"event:error\n:HTTP_STATUS/{error.situation.status}\ndata:".encode()
    return head + render(error, Envelope.NATIVE, request_id) + b"\n\n"


def unknown_task(task_id: str, request_id: str) -> bytes:
    """Upstream's own words for a task it does not know: a success, with the status UNKNOWN."""
    output = {"task_id": task_id, "task_status": "UNKNOWN"}
    return _json({"request_id": request_id, "output": output})


def _json(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
