"""Upstream's answers in the words of the façades: where families put results, times, reasons."""

import json
from typing import Any

import pytest

from proxy.core.retelling import Heard, polled, submitted
from proxy.core.routes import Envelope
from proxy.core.tasks import TaskRecord

NOW = 1_767_294_300.0
RECORD = TaskRecord("t-1", "a", "g", "main", "wan2.6-t2v", created=1_767_294_245.5)
TIMES = {
    "submit_time": "2026-01-02 03:04:05.678",
    "scheduled_time": "2026-01-02 03:04:07.000",
    "end_time": "2026-01-02 03:04:50.250",
}


def told(output: object, facade: Envelope = Envelope.UNIFIED, **more: object) -> dict[str, Any]:
    answer = {"output": output, "request_id": "up", **more}
    heard = Heard(200, json.dumps(answer).encode(), None, "r-1")
    said = polled(heard, RECORD, facade, NOW)
    assert said.status == 200
    body: dict[str, Any] = json.loads(said.body)
    return body


RESULTS = [
    ({"video_url": "u"}, ["u"]),
    ({"results": {"video_url": "u"}}, ["u"]),
    ({"output_video_url": "u"}, ["u"]),
    ({"results": [{"url": "a"}, {"url": "b"}]}, ["a", "b"]),
    ({"results": [{"video_url": "a"}], "video_url": "a"}, ["a"]),
    ({"choices": [{"message": {"content": [{"type": "image", "image": "i"}]}}]}, ["i"]),
    ({}, []),
    ({"results": None, "video_url": None}, []),
    ({"results": "x", "choices": [7]}, []),
]


@pytest.mark.parametrize(("output", "urls"), RESULTS)
def test_each_place_of_a_result(output: dict[str, object], urls: list[str]) -> None:
    """Every URL once, in order, wherever a family puts it; the first is Crazyrouter's."""
    output = {"task_status": "SUCCEEDED", **output}
    unified, compat = told(output), told(output, Envelope.COMPAT)
    assert [item["url"] for item in unified["data"]] == urls
    assert compat.get("video_url") == next(iter(urls), None)


def test_what_is_told_with_a_result() -> None:
    """The prompts, what stands beside the URL, the usage; an item that failed keeps its reason."""
    output = {
        "task_status": "SUCCEEDED",
        "orig_prompt": "a cat",
        "actual_prompt": "a fine cat",
        "results": [{"url": "a", "seed": 7}, {"code": "C", "message": "M"}],
    }
    said = told(output, usage={"duration": 5})
    more = {"orig_prompt": "a cat", "actual_prompt": "a fine cat"}
    assert said["data"] == [
        {"url": "a", **more, "seed": 7},
        {**more, "code": "C", "message": "M"},
    ]
    assert said["usage"] == {"duration": 5}


def test_every_result_that_failed_is_told() -> None:
    """Only URLs are told once: two failures are two, even of one reason."""
    failed = [{"code": "A", "message": "a"}, {"code": "B", "message": "b"}]
    results = [{"url": "u"}, *failed, failed[0], {"url": "u"}]
    data = told({"task_status": "SUCCEEDED", "results": results})["data"]
    assert data == [{"url": "u"}, *failed, failed[0]]


def test_what_is_told_is_json() -> None:
    """Numbers that JSON has not are null: clients' parsers refuse them."""
    body = b'{"output":{"task_status":"SUCCEEDED","results":[{"url":"u","seed":NaN}]},'
    body += b'"usage":{"duration":-Infinity,"x":1e999,"y":5.5}}'
    said = polled(Heard(200, body, None, "r-1"), RECORD, Envelope.UNIFIED, NOW)
    assert all(word not in said.body for word in (b"NaN", b"Infinity"))
    assert json.loads(said.body)["usage"] == {"duration": None, "x": None, "y": 5.5}
    assert json.loads(said.body)["data"] == [{"url": "u", "seed": None}]


def test_times() -> None:
    """Milliseconds since 1970, of Beijing's clock; an end is never before its beginning."""
    ended = told({"task_status": "SUCCEEDED", "video_url": "u", **TIMES})
    assert (ended["created"], ended["updated"]) == (1767294245500, 1767294290250)
    assert ended["completed"] == ended["updated"]
    running = told({"task_status": "RUNNING", **TIMES, "end_time": ""})
    assert (running["updated"], running["completed"]) == (1767294247000, None)
    assert told({"task_status": "CANCELED"})["completed"] == int(NOW * 1000)
    early = told({"task_status": "FAILED", "end_time": "1999-01-01 00:00:00.000"})
    assert early["completed"] == early["created"]
    assert told({"task_status": "PENDING", "submit_time": "soon"})["updated"] == 1767294245500


def test_an_end_without_a_reason_has_one() -> None:
    """Code and message are never empty; upstream's win."""
    assert told({"task_status": "FAILED"})["error"]["code"] == "UpstreamTaskFailed"
    assert told({"task_status": "UNKNOWN"})["error"]["code"] == "TaskExpired"
    real = {"code": "InternalError.Algo", "message": "No."}
    assert told({"task_status": "FAILED", **real})["error"] == real


WHY = {"code": "InvalidURL", "message": "cannot fetch"}
OTHER = {"code": "Other", "message": "second"}
SILENCE = "The task failed, and upstream does not say why."
REASONS = [
    ({"results": [{"url": "u"}, WHY, OTHER]}, {}, WHY),
    ({}, WHY, WHY),
    ({"code": "", "message": None}, WHY, WHY),
    (WHY, OTHER, WHY),
    (WHY | {"results": [OTHER]}, OTHER, WHY),
    ({"results": [WHY]}, OTHER, WHY),
    ({"code": 5, "message": {"a": 1}}, WHY, WHY),
    ({"code": "C", "message": 7}, {}, {"code": "C", "message": SILENCE}),
]


@pytest.mark.parametrize(("output", "top", "error"), REASONS)
def test_upstreams_reason_wherever_it_stands(
    output: dict[str, Any], top: dict[str, Any], error: dict[str, Any]
) -> None:
    """Of the task, else of the first result that has one, else of the answer; always texts."""
    assert told({"task_status": "FAILED", **output}, **top)["error"] == error


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"output":{}}', b'{"output":7}'])
def test_a_poll_without_a_state(body: bytes) -> None:
    """It is no state and no success: 502, in words."""
    said = polled(Heard(200, body, None, "r-1"), RECORD, Envelope.UNIFIED, NOW)
    assert said.status == 502
    assert json.loads(said.body)["error"]["code"] == "BadGateway"


def test_a_refused_poll_keeps_its_words() -> None:
    """Upstream's code, message and request id, on both façades."""
    heard = Heard(429, b'{"code":"Throttling","message":"Slow.","request_id":"u"}', None, "r-1")
    unified = polled(heard, RECORD, Envelope.UNIFIED, NOW)
    compat = polled(heard, RECORD, Envelope.COMPAT, NOW)
    assert (unified.status, compat.status) == (429, 429)
    inner = {"code": "Throttling", "message": "Slow.", "param": None}
    assert json.loads(unified.body) == {"error": inner, "request_id": "u"}
    assert json.loads(compat.body) == {**inner, "data": None, "request_id": "u"}


def test_new_tasks() -> None:
    """51kik's has the id alone, Crazyrouter's a status and the time in seconds."""
    heard = Heard(200, b"{}", None, "r-1")
    assert json.loads(submitted(heard, ("t-1",), Envelope.UNIFIED, NOW).body) == {"task_id": "t-1"}
    compat = json.loads(submitted(heard, ("t-1",), Envelope.COMPAT, NOW).body)
    assert compat == {
        "id": "t-1",
        "task_id": "t-1",
        "status": "processing",
        "status_update_time": int(NOW),
    }
