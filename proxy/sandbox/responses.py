"""OpenAI's Responses API: an answer that is stored, and may be gone on from.

What is stored belongs to the account: whoever holds its key can read, continue and delete it.
"""

from collections.abc import Callable, Iterator

from proxy.sandbox.answers import Answer, Payload, RefusalError
from proxy.sandbox.ask import Ask
from proxy.sandbox.inference import tokens
from proxy.sandbox.prompts import doom, echo, pieces, prompt_of, strings
from proxy.sandbox.surfaces import Action, events, frame, plain


class Responses:
    """The responses of every account. `check_model` gives a call's model or refuses it."""

    def __init__(self, check_model: Callable[[Ask], str]) -> None:
        self._check_model = check_model
        self._stored: dict[tuple[str, str], Payload] = {}

    def rows(self) -> list[tuple[str, str, Action]]:
        """Method, path and action of each endpoint."""
        return [
            ("POST", "responses", self._create),
            ("GET", "responses/{response_id}", self._retrieve),
            ("DELETE", "responses/{response_id}", self._delete),
            ("POST", "responses/{response_id}/cancel", self._retrieve),
        ]

    def _create(self, ask: Ask) -> Answer:
        model, given = self._check_model(ask), ask.body.get("input")
        previous = ask.body.get("previous_response_id")
        if previous is not None:
            self._find(ask, str(previous))
        failure = doom(given)
        if failure is not None:
            raise failure
        said = echo(given if isinstance(given, str) else prompt_of({"messages": given}))
        whole = _response(ask, model, said, sum(map(tokens, strings(given))))
        self._stored[ask.account, whole["id"]] = whole
        if ask.body.get("stream") is True:
            return events(list(_told(whole, said)))
        return plain(whole)

    def _retrieve(self, ask: Ask, response_id: str) -> Answer:
        return plain(self._find(ask, response_id))

    def _delete(self, ask: Ask, response_id: str) -> Answer:
        self._find(ask, response_id)
        del self._stored[ask.account, response_id]
        return plain({"id": response_id, "object": "response", "deleted": True})

    def _find(self, ask: Ask, response_id: str) -> Payload:
        found = self._stored.get((ask.account, response_id))
        if found is None:
            message = f"Response with id '{response_id}' not found."
            raise RefusalError(404, "not_found", message)
        return found


def _response(ask: Ask, model: str, said: str, heard: int) -> Payload:
    part = {"type": "output_text", "text": said, "annotations": []}
    message = {
        "id": f"msg_{ask.fresh_id('message')}",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }
    spoken = tokens(said)
    return {
        "id": f"resp_{ask.fresh_id('response')}",
        "object": "response",
        "created_at": int(ask.now),
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": ask.body.get("instructions"),
        "metadata": ask.body.get("metadata") or {},
        "model": model,
        "output": [message],
        "parallel_tool_calls": True,
        "previous_response_id": ask.body.get("previous_response_id"),
        "temperature": ask.body.get("temperature"),
        "tool_choice": ask.body.get("tool_choice", "auto"),
        "tools": ask.body.get("tools") or [],
        "top_p": ask.body.get("top_p"),
        "usage": {
            "input_tokens": heard,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": spoken,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": heard + spoken,
        },
    }


def _told(whole: Payload, said: str) -> Iterator[bytes]:
    """The typed events of a stream, numbered, from `response.created` to `response.completed`."""
    for number, (kind, payload) in enumerate(_steps(whole, said)):
        yield frame({"type": kind, "sequence_number": number, **payload}, kind)


def _steps(whole: Payload, said: str) -> Iterator[tuple[str, Payload]]:
    (message,) = whole["output"]
    (part,) = message["content"]
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    at_item: Payload = {"output_index": 0}
    at_part: Payload = {"item_id": message["id"], "output_index": 0, "content_index": 0}
    empty = {**message, "status": "in_progress", "content": []}
    yield "response.created", {"response": begun}
    yield "response.in_progress", {"response": begun}
    yield "response.output_item.added", {**at_item, "item": empty}
    yield "response.content_part.added", {**at_part, "part": {**part, "text": ""}}
    for piece in pieces(said):
        yield "response.output_text.delta", {**at_part, "delta": piece, "logprobs": []}
    yield "response.output_text.done", {**at_part, "text": said, "logprobs": []}
    yield "response.content_part.done", {**at_part, "part": part}
    yield "response.output_item.done", {**at_item, "item": message}
    yield "response.completed", {"response": whole}
