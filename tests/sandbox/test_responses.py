"""Responses: typed events, and what is stored for the account."""

import json
from typing import Any

from openai.types.responses import Response
from sandbox.conftest import OTHER_KEY, Call

PATH = "/compatible-mode/v1/responses"
HELLO: dict[str, Any] = {"model": "qwen-plus", "input": "hello"}


async def test_a_response(call: Call) -> None:
    """Its client's type reads it; a list of messages says the same as a text."""
    told = Response.model_validate((await call("POST", PATH, json=HELLO)).json())
    assert (told.status, told.output_text) == ("completed", "The sandbox heard: hello")
    messages = {**HELLO, "input": [{"role": "user", "content": "hello"}]}
    again = Response.model_validate((await call("POST", PATH, json=messages)).json())
    assert again.output_text == told.output_text
    assert again.id != told.id


async def test_a_stream_of_events(call: Call) -> None:
    """Numbered, named by their type, from created to completed, the deltas in between."""
    reply = await call("POST", PATH, json={**HELLO, "stream": True})
    *parts, rest = reply.body.decode().split("\n\n")
    assert rest == ""
    told = []
    for number, part in enumerate(parts):
        event, data = part.split("\n")
        payload = json.loads(data.removeprefix("data: "))
        assert event == f"event: {payload['type']}"
        assert payload["sequence_number"] == number
        told.append(payload)
    assert told[0]["type"] == "response.created"
    assert told[-1]["type"] == "response.completed"
    deltas = [one["delta"] for one in told if one["type"] == "response.output_text.delta"]
    whole = Response.model_validate(told[-1]["response"])
    assert len(deltas) > 2
    assert "".join(deltas) == whole.output_text == "The sandbox heard: hello"


async def test_what_is_stored_is_the_accounts(call: Call) -> None:
    """Read, continued and deleted by whoever has the account's key, and by nobody else."""
    made = (await call("POST", PATH, json=HELLO)).json()
    where = f"{PATH}/{made['id']}"
    assert (await call("GET", where)).json() == made
    assert (await call("POST", f"{where}/cancel")).json() == made
    onwards = {**HELLO, "previous_response_id": made["id"]}
    assert (await call("POST", PATH, json=onwards)).json()["previous_response_id"] == made["id"]
    for method, path, body in (("GET", where, None), ("POST", PATH, onwards)):
        assert (await call(method, path, key=OTHER_KEY, json=body)).status == 404
    assert (await call("DELETE", where)).json()["deleted"] is True
    assert (await call("GET", where)).status == 404


async def test_a_response_refuses(call: Call) -> None:
    """A model that is not served, and words that fail."""
    for change, status in (({"model": "gpt-9"}, 404), ({"input": "sandbox:inspect"}, 400)):
        assert (await call("POST", PATH, json={**HELLO, **change})).status == status
