"""`core.events`: ends and usage in what upstream tells on a WebSocket."""

import json

import pytest

from proxy.core.events import CREATED, DONE, MAX_EVENT, response_event, task_event


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b'{"header":{"event":"task-finished","task_id":"t"}}', ("task-finished", "t")),
        (b'{"header":{"event":5,"task_id":[]}}', ("", "")),
        (b'{"header":[]}', ("", "")),
        (b"[]", ("", "")),
        (b"\xff", ("", "")),
        (b"[" * 100_000, ("", "")),
        (b'{"header":{"event":"task-finished"}, "x":"' + b" " * MAX_EVENT + b'"}', ("", "")),
    ],
)
def test_what_upstream_tells_is_read_with_care(text: bytes, told: tuple[str, str]) -> None:
    """Whatever upstream says is passed on; only what is plainly the end of a task is noted."""
    event = task_event(text)
    assert (event.name, event.task_id) == told


@pytest.mark.parametrize(
    ("payload", "tells"),
    [
        ({"usage": {"characters": 12}}, True),
        ({"output": {}, "usage": None}, False),
        ({"usage": 5}, False),
        (None, False),
    ],
)
def test_usage_of_a_task(payload: object, tells: bool) -> None:  # noqa: FBT001 - a row of a table
    """Only an object is usage; many events have null in its place."""
    text = json.dumps({"header": {"event": "result-generated", "task_id": "t"}, "payload": payload})
    event = task_event(text.encode())
    assert not tells or event.payload == payload


def told(kind: str, **response: object) -> bytes:
    return json.dumps({"event_id": "e", "type": kind, "response": response}).encode()


def test_responses_begin_and_end() -> None:
    """Told apart from the events between, and from words that only speak of them."""
    created = response_event(told(CREATED, id="r1", status="in_progress"))
    assert created is not None
    assert (created.name, created.response_id, created.is_answer) == (CREATED, "r1", False)
    done = response_event(told(DONE, id="r1", status="completed", usage={"output_tokens": 3}))
    assert done is not None
    assert (done.name, done.response["usage"], done.is_answer) == (DONE, {"output_tokens": 3}, True)
    for other in (
        told("response.audio.delta", id="r1"),
        told("response.text.delta", id="r1", delta="a response.done"),
        told(DONE),
        told(DONE, id=5),
        b'{"type":"response.done","response":[]}',
        b"response.done",
    ):
        assert response_event(other) is None


@pytest.mark.parametrize(
    ("response", "is_answer"),
    [
        ({"status": "completed"}, True),
        ({"status": "cancelled", "usage": {"output_tokens": 1}}, True),
        ({"status": "cancelled"}, False),
        ({"status": "failed", "usage": None}, False),
    ],
)
def test_what_a_response_came_to(response: dict[str, object], is_answer: bool) -> None:  # noqa: FBT001 - a row of a table
    """One that failed or was cancelled is charged for what it says it used, and else not."""
    event = response_event(told(DONE, id="r", **response))
    assert event is not None
    assert event.is_answer is is_answer
