"""Errors as bytes: the shapes that clients parse, and nothing in them that trips one."""

import json
from typing import get_args

import pytest
from anthropic.types.shared import ErrorType
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.envelope import CONTENT_TYPE, render, shaped, sse_frame, unknown_task
from proxy.core.errors import ProxyError, Situation
from proxy.core.routes import Envelope

texts = st.text(min_size=1)


@pytest.mark.parametrize("situation", list(Situation))
def test_the_native_shape_is_three_strings(situation: Situation) -> None:
    """`code`, `message`, `request_id`: all there, all non-empty, none null, nothing nested."""
    told = json.loads(render(ProxyError(situation, "Why."), Envelope.NATIVE, "req-1"))
    data = told.pop("data", "absent")
    assert told == {"code": situation.code, "message": "Why.", "request_id": "req-1"}
    assert (data is None) is (situation is Situation.TASK_NOT_EXIST)


def test_an_unknown_task_carries_null_data() -> None:
    """`task_not_exist`, byte for byte: the same for unknown, expired and somebody else's."""
    error = ProxyError(Situation.TASK_NOT_EXIST, "No such task.")
    assert render(error, Envelope.NATIVE, "r") == (
        b'{"code":"task_not_exist","message":"No such task.","request_id":"r","data":null}'
    )


@pytest.mark.parametrize("situation", list(Situation))
def test_the_openai_shape_is_nested(situation: Situation) -> None:
    """`error` with its four members, the blame as its type, and the id beside it."""
    told = json.loads(render(ProxyError(situation, "Why."), Envelope.OPENAI, "req-1"))
    kind = "server_error" if situation.status >= 500 else "invalid_request_error"
    inner = {"message": "Why.", "type": kind, "param": None, "code": situation.code}
    assert told == {"error": inner, "request_id": "req-1"}


def test_the_openai_shape_names_the_field() -> None:
    """`param` is the field at fault, where the error has one."""
    error = ProxyError(Situation.ILLEGAL_INPUT, "Why.", param="tools[].model")
    assert json.loads(render(error, Envelope.OPENAI, "r"))["error"]["param"] == "tools[].model"


# Each type that Anthropic documents, and what it is told for.
ANTHROPIC = {
    "authentication_error": {Situation.INVALID_TOKEN},
    "permission_error": {
        Situation.MODEL_NOT_FOUND,
        Situation.ACCESS_DENIED,
        Situation.WRONG_ADDRESS,
    },
    "not_found_error": {Situation.NOT_FOUND},
    "rate_limit_error": {Situation.RATE_LIMITED, Situation.BUDGET_SPENT},
    "api_error": {Situation.BAD_GATEWAY, Situation.INTERNAL_ERROR},
    "timeout_error": {Situation.GATEWAY_TIMEOUT},
    "overloaded_error": {
        Situation.STORE_UNAVAILABLE,
        Situation.BUSY,
        Situation.STOPPING,
        Situation.MODEL_UNAVAILABLE,
        Situation.STOPPING,
    },
}


@pytest.mark.parametrize("situation", list(Situation))
def test_the_anthropic_shape_is_typed(situation: Situation) -> None:
    """`type` twice, a message, and the id beside it; what is not listed blames the request."""
    told = json.loads(render(ProxyError(situation, "Why."), Envelope.ANTHROPIC, "req-1"))
    kinds = [kind for kind, situations in ANTHROPIC.items() if situation in situations]
    inner = {"type": kinds[0] if kinds else "invalid_request_error", "message": "Why."}
    assert told == {"type": "error", "error": inner, "request_id": "req-1"}


def test_anthropics_types_are_its_clients() -> None:
    """The client knows each type by name."""
    assert {*ANTHROPIC, "invalid_request_error"} <= set(get_args(ErrorType))


def test_the_stream_frame_is_upstreams_byte_for_byte() -> None:
    """No blanks behind the colons, one line of data, a blank line last (protocol section 3)."""
    error = ProxyError(Situation.GATEWAY_TIMEOUT, "Zu spät\nhier.")
    assert sse_frame(error, Envelope.NATIVE, "r-1") == (
        b"event:error\n"
        b":HTTP_STATUS/504\n"
        b'data:{"code":"GatewayTimeout","message":"Zu sp\xc3\xa4t\\nhier.","request_id":"r-1"}\n'
        b"\n"
    )


def test_the_anthropic_stream_frame_is_its_error_event() -> None:
    """The documented event: its name, and the whole envelope as its data."""
    error = ProxyError(Situation.BAD_GATEWAY, "Cut.")
    assert sse_frame(error, Envelope.ANTHROPIC, "r-1") == (
        b"event: error\n"
        b'data: {"type":"error","error":{"type":"api_error","message":"Cut."},"request_id":"r-1"}\n'
        b"\n"
    )


def test_openai_streams_have_no_frame() -> None:
    """None is documented, so that such a stream can only be broken off."""
    assert sse_frame(ProxyError(Situation.BAD_GATEWAY, "Cut."), Envelope.OPENAI, "r") is None


def test_the_facades_shapes() -> None:
    """51kik's has everything in `error`, Crazyrouter's beside `data`; neither streams."""
    error = ProxyError(Situation.ILLEGAL_INPUT, "image: no.", param="image")
    inner = {"code": "BadRequest.IllegalInput", "message": "image: no.", "param": "image"}
    unified = {"error": inner, "request_id": "r"}
    compat = {**inner, "data": None, "request_id": "r"}
    assert json.loads(render(error, Envelope.UNIFIED, "r")) == unified
    assert json.loads(render(error, Envelope.COMPAT, "r")) == compat
    told = ("Throttling", "Slow.", "r-2")
    assert shaped(Envelope.UNIFIED, *told)["error"] == {
        "code": "Throttling",
        "message": "Slow.",
        "param": None,
    }
    assert shaped(Envelope.COMPAT, *told)["code"] == "Throttling"
    assert sse_frame(error, Envelope.UNIFIED, "r") is sse_frame(error, Envelope.COMPAT, "r") is None


def test_upstreams_words_for_an_unknown_task() -> None:
    """A success with the status UNKNOWN, the id echoed, and no top-level `code`."""
    assert unknown_task("t-1", "r-1") == (
        b'{"request_id":"r-1","output":{"task_id":"t-1","task_status":"UNKNOWN"}}'
    )


@given(st.sampled_from(Situation), texts, texts)
def test_any_text_stays_text(situation: Situation, message: str, request_id: str) -> None:
    """Whatever a message holds: valid JSON in UTF-8, and exactly one event in a stream."""
    error = ProxyError(situation, message)
    for envelope in Envelope:
        told = json.loads(render(error, envelope, request_id).decode())
        assert told["request_id"] == request_id
        assert told.get("error", told)["message"] == message
    for envelope, lines in ((Envelope.NATIVE, 4), (Envelope.ANTHROPIC, 3)):
        frame = sse_frame(error, envelope, request_id) or b""
        assert frame.splitlines()[-2].startswith(b"data:")
        assert (len(frame.splitlines()), frame.count(b"\n\n"), frame[-2:]) == (lines, 1, b"\n\n")


def test_the_content_type_names_json() -> None:
    """The v2 client and Java both look at it before they look at the body."""
    assert CONTENT_TYPE == "application/json"
