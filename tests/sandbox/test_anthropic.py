"""The service as Anthropic speaks: its client's own types can read every answer."""

import json
from typing import Any

import pytest
from anthropic.types import Message, ModelInfo
from sandbox.conftest import Call

BASE = "/apps/anthropic/v1"
HELLO: dict[str, Any] = {
    "model": "qwen-plus",
    "max_tokens": 99,
    "messages": [{"role": "user", "content": "hello"}],
}


async def test_a_message(call: Call) -> None:
    """An echo in one block, counted."""
    told = Message.model_validate((await call("POST", f"{BASE}/messages", json=HELLO)).json())
    (block,) = told.content
    assert block.type == "text"
    assert (block.text, told.stop_reason) == ("The sandbox heard: hello", "end_turn")
    assert told.usage.output_tokens > 0


EVENTS = [
    *("message_start", "content_block_start", "ping", "content_block_delta"),
    *("content_block_stop", "message_delta", "message_stop"),
]


async def told(call: Call, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a stream, each of which has its type for a name."""
    reply = await call("POST", f"{BASE}/messages", json={**body, "stream": True})
    *parts, rest = reply.body.decode().split("\n\n")
    assert (reply.status, rest) == (200, "")
    events = []
    for part in parts:
        event, data = part.split("\n")
        events.append(json.loads(data.removeprefix("data: ")))
        assert event == f"event: {events[-1]['type']}"
    return events


async def test_a_stream(call: Call) -> None:
    """The documented order, and deltas that make up the text."""
    events = await told(call, HELLO)
    assert list(dict.fromkeys(event["type"] for event in events)) == EVENTS
    deltas = [event["delta"]["text"] for event in events if "text" in event.get("delta", {})]
    assert len(deltas) > 2
    assert "".join(deltas) == "The sandbox heard: hello"


async def test_words_that_fail(call: Call) -> None:
    """A plain call is refused, a stream ends with the error event."""
    body = {**HELLO, "messages": [{"role": "user", "content": "sandbox:fail"}]}
    plain = await call("POST", f"{BASE}/messages", json=body)
    assert (plain.status, plain.json()["error"]["type"]) == (500, "api_error")
    events = await told(call, body)
    assert [event["type"] for event in events] == ["message_start", "error"]
    assert events[-1]["error"] == plain.json()["error"]


@pytest.mark.parametrize(
    ("change", "status", "kind"),
    [
        ({"model": "claude-9"}, 404, "not_found_error"),
        ({"model": None}, 400, "invalid_request_error"),
        ({"max_tokens": None}, 400, "invalid_request_error"),
    ],
)
async def test_a_message_refuses(
    call: Call, change: dict[str, object], status: int, kind: str
) -> None:
    """No such model, none, and no limit, which this protocol demands."""
    reply = await call("POST", f"{BASE}/messages", json={**HELLO, **change})
    assert (reply.status, reply.json()["error"]["type"]) == (status, kind)


async def test_tokens_are_counted(call: Call) -> None:
    """What is heard, the system's words included."""
    path = f"{BASE}/messages/count_tokens"
    few = (await call("POST", path, json=HELLO)).json()["input_tokens"]
    more = (await call("POST", path, json={**HELLO, "system": "be brief"})).json()["input_tokens"]
    assert more > few > 0


async def test_models(call: Call) -> None:
    """Pages from behind an id, and one by its name."""
    first = (await call("GET", f"{BASE}/models?limit=3")).json()
    names = [ModelInfo.model_validate(entry).id for entry in first["data"]]
    assert (len(names), first["has_more"]) == (3, True)
    assert (first["first_id"], first["last_id"]) == (names[0], names[-1])
    rest = (await call("GET", f"{BASE}/models?limit=1000&after_id={names[-1]}")).json()
    assert rest["has_more"] is False
    assert names[-1] not in [entry["id"] for entry in rest["data"]]
    assert (await call("GET", f"{BASE}/models/{names[0]}")).json() == first["data"][0]
    assert (await call("GET", f"{BASE}/models/none")).status == 404
    everything = (await call("GET", f"{BASE}/models?limit=1000")).json()
    last = everything["data"][-1]["id"]
    assert (await call("GET", f"{BASE}/models?after_id={last}")).json()["data"] == []
