"""What an answer is, before faults and sockets: native JSON, a refusal, SSE frames.

Rule 1: every native body carries the `request_id` that is also in the `x-request-id` header.
Rule 2: a refusal is `{"code", "message", "request_id"}` and nothing else (protocol section 4).
Rule 3: an SSE frame has no space after its colons (section 3); clients depend on it.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

Payload: TypeAlias = dict[str, Any]
"""A JSON object on its way in or out."""

JSON_TYPE = "application/json"
SSE_TYPE = "text/event-stream;charset=UTF-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, content type, and the body in the pieces in which it is sent.

    `streamed` answers go out chunked, piece by piece; others with a Content-Length.
    """

    status: int
    content_type: str
    pieces: tuple[bytes, ...]
    streamed: bool = False


class RefusalError(Exception):
    """An error the service answers with: HTTP status, native code, message.

    `more` is what some families of endpoints add to the native object.
    """

    def __init__(self, status: int, code: str, message: str, more: Payload | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self._more = more or {}

    def payload(self, request_id: str) -> Payload:
        """The native error object."""
        native_fields = {"code": self.code, "message": self.message, "request_id": request_id}
        return native_fields | self._more


def dumps(payload: Payload) -> bytes:
    """Compact UTF-8 JSON, non-ASCII characters as they are, lone surrogates as `?`."""
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def native(payload: Payload, request_id: str) -> Answer:
    """A plain 200: `output` and `usage` as given, with the request id."""
    return Answer(200, JSON_TYPE, (dumps({**payload, "request_id": request_id}),))


def refused(refusal: RefusalError, request_id: str) -> Answer:
    """A refusal outside any stream."""
    return Answer(refusal.status, JSON_TYPE, (dumps(refusal.payload(request_id)),))


def stream(
    payloads: Iterable[Payload], request_id: str, failure: RefusalError | None = None
) -> Answer:
    """Result frames, closed by an error frame when there is a failure. The status stays 200."""
    frames = [
        _frame(number, "result", 200, {**payload, "request_id": request_id})
        for number, payload in enumerate(payloads, start=1)
    ]
    if failure is not None:
        frames.append(_frame(len(frames) + 1, "error", failure.status, failure.payload(request_id)))
    return Answer(200, SSE_TYPE, tuple(frames), streamed=True)


def _frame(number: int, event: str, status: int, payload: Payload) -> bytes:
    head = f"id:{number}\nevent:{event}\n:HTTP_STATUS/{status}\ndata:"
    return head.encode() + dumps(payload) + b"\n\n"
