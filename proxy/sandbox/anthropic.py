"""The service as Anthropic speaks: `/apps/anthropic/v1`.

Rule 1: an error is `{"type": "error", "error": {"type", "message"}, "request_id"}`.
Rule 2: a stream is asked for in the body; each frame has the name of its type as its event.
Rule 3: the key comes as `x-api-key`, or as a bearer token.
"""

from collections.abc import Iterator

from proxy.sandbox import models
from proxy.sandbox.answers import Answer, Payload, RefusalError
from proxy.sandbox.ask import Ask, items_of
from proxy.sandbox.inference import tokens
from proxy.sandbox.openai import check_model
from proxy.sandbox.prompts import doom, echo, pieces, prompt_of, strings
from proxy.sandbox.surfaces import Endpoints, Surface, events, frame, plain

PREFIX = "/apps/anthropic/v1/"
PAGE_SIZE = 20

TYPES: dict[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
}
"""By status; every other blames the request."""


def error_of(refusal: RefusalError, request_id: str) -> Payload:
    """The error object of rule 1."""
    kind = TYPES.get(refusal.status, "invalid_request_error")
    inner = {"type": kind, "message": refusal.message}
    return {"type": "error", "error": inner, "request_id": request_id}


def anthropic_refused(refusal: RefusalError, request_id: str) -> Answer:
    """A refusal outside any stream."""
    return plain(error_of(refusal, request_id), refusal.status)


def surface() -> Surface:
    """Everything below the prefix."""
    endpoints = Endpoints(
        [
            ("POST", "messages", _messages),
            ("POST", "messages/count_tokens", _count),
            ("GET", "models", _models),
            ("GET", "models/{name:path}", _model),
        ]
    )
    return Surface(PREFIX, endpoints.answer, anthropic_refused, key_header="x-api-key")


def _messages(ask: Ask) -> Answer:
    """The echo of the last message, whole or in events."""
    model, messages = check_model(ask), items_of(ask.body, "messages")
    if not isinstance(ask.body.get("max_tokens"), int):
        raise RefusalError(400, "InvalidParameter", "max_tokens: Field required")
    said, failure = echo(prompt_of(ask.body)), doom(messages)
    heard = sum(map(tokens, strings(messages)))
    whole = _message(ask, model, said, heard)
    if ask.body.get("stream") is True:
        steps = list(_steps(whole, said))
        frames = [frame({"type": kind, **step}, kind) for kind, step in steps]
        if failure is not None:
            error = frame(error_of(failure, ask.request_id), "error")
            return events([frames[0], error])
        return events(frames)
    if failure is not None:
        raise failure
    return plain(whole)


def _message(ask: Ask, model: str, said: str, heard: int) -> Payload:
    return {
        "id": f"msg_{ask.fresh_id('message')}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": said}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": heard,
            "output_tokens": tokens(said),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
        },
    }


def _steps(whole: Payload, said: str) -> Iterator[tuple[str, Payload]]:
    """Type and content of each event, from `message_start` to `message_stop`."""
    usage = whole["usage"]
    begun = {**whole, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    yield "message_start", {"message": begun}
    yield "content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}
    yield "ping", {}
    for piece in pieces(said):
        delta = {"type": "text_delta", "text": piece}
        yield "content_block_delta", {"index": 0, "delta": delta}
    yield "content_block_stop", {"index": 0}
    reason = {"stop_reason": "end_turn", "stop_sequence": None}
    yield "message_delta", {"delta": reason, "usage": {"output_tokens": usage["output_tokens"]}}
    yield "message_stop", {}


def _count(ask: Ask) -> Answer:
    check_model(ask)
    heard = sum(map(tokens, strings([ask.body.get("system"), ask.body.get("messages")])))
    return plain({"input_tokens": heard})


def _models(ask: Ask) -> Answer:
    """A page of the catalogue, from behind `after_id`."""
    size, after = ask.number("limit", PAGE_SIZE), ask.first("after_id")
    names = [entry["model"] for entry in models.ENTRIES]
    begin = names.index(after) + 1 if after in names else 0
    page = [_entry(entry) for entry in models.ENTRIES[begin : begin + size]]
    ids = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {}
    return plain({"data": page, "has_more": begin + size < len(names), **ids})


def _model(_ask: Ask, name: str) -> Answer:
    return plain(_entry(models.entry_of(name)))


def _entry(entry: Payload) -> Payload:
    return {
        "type": "model",
        "id": entry["model"],
        "display_name": entry["name"],
        "created_at": "2026-01-01T00:00:00Z",
        "lifecycle": "active",
    }
