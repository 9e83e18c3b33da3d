"""Which protocol a path speaks, and what every one of them has in common."""

import pytest
from sandbox.conftest import KEY, Call

from proxy.sandbox import Sandbox
from proxy.sandbox.surfaces import compiled, events, frame, plain

CHAT = "/compatible-mode/v1/chat/completions"
MESSAGES = "/apps/anthropic/v1/messages"


@pytest.mark.parametrize(
    ("pattern", "path", "captured"),
    [
        ("models", "models", {}),
        ("models", "models/", None),
        ("tasks[/]", "tasks/", {}),
        ("files/{id}", "files/a", {"id": "a"}),
        ("files/{id}", "files/a/b", None),
        ("models/{name:path}", "models/a/b", {"name": "a/b"}),
        ("a.b", "axb", None),
    ],
)
def test_path_patterns(pattern: str, path: str, captured: dict[str, str] | None) -> None:
    """One segment, any number of them, or a slash that may be there; the rest is literal."""
    found = compiled(pattern).fullmatch(path)
    assert (found.groupdict() if found else None) == captured


def test_frames_have_blanks_behind_their_colons() -> None:
    """Unlike the native ones; the event has a name where the protocol gives it one."""
    assert frame({"a": "é"}) == 'data: {"a":"é"}\n\n'.encode()
    assert frame({}, "ping") == b"event: ping\ndata: {}\n\n"
    answer = events([b"1", b"2"])
    assert (answer.content_type, answer.pieces, answer.streamed) == (
        "text/event-stream",
        (b"1", b"2"),
        True,
    )
    assert plain({}, 404).status == 404


@pytest.mark.parametrize(
    ("path", "says"),
    [
        (CHAT, {"error": {"type": "invalid_request_error", "code": "invalid_api_key"}}),
        ("/compatible-api/v1/reranks", {"error": {"code": "invalid_api_key", "param": None}}),
        (MESSAGES, {"type": "error", "error": {"type": "authentication_error"}}),
        ("/api/v1/tokenizer", {"code": "InvalidApiKey"}),
        ("/elsewhere", {"code": "InvalidApiKey"}),
    ],
)
async def test_a_refusal_is_worded_as_the_path_speaks(
    call: Call, path: str, says: dict[str, object]
) -> None:
    """The same refusal in three shapes, each with the id that is in the header."""
    reply = await call("POST", path, key="sk-wrong", json={})
    told = reply.json()
    assert reply.status == 401
    assert told["request_id"] == reply.headers["x-request-id"]
    for name, value in says.items():
        shown = told[name]
        assert shown.items() >= value.items() if isinstance(value, dict) else shown == value


async def test_a_fault_is_worded_as_the_path_speaks(sandbox: Sandbox, call: Call) -> None:
    """An answer that replaces the real one is none of another protocol's."""
    sandbox.faults.add(status=429, times=3)
    assert (await call("POST", CHAT, json={})).json()["error"]["code"] == "limit_requests"
    assert (await call("POST", MESSAGES, json={})).json()["error"]["type"] == "rate_limit_error"
    assert (await call("GET", "/api/v1/models")).json()["code"] == "Throttling.RateQuota"


@pytest.mark.parametrize(
    ("key", "headers", "status"),
    [
        (KEY, {}, 200),
        (None, {"x-api-key": KEY}, 200),
        (None, {"x-api-key": "sk-wrong"}, 401),
        (None, {}, 401),
    ],
)
async def test_anthropics_key(
    call: Call, key: str | None, headers: dict[str, str], status: int
) -> None:
    """As a bearer token or in a field of its own; elsewhere that field says nothing."""
    reply = await call("GET", "/apps/anthropic/v1/models", key=key, headers=headers)
    assert reply.status == status
    elsewhere = await call("GET", "/compatible-mode/v1/models", key=key, headers=headers)
    assert elsewhere.status == (200 if key else 401)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", CHAT, 405), ("POST", f"{CHAT}/x", 404), ("DELETE", MESSAGES, 405)],
)
async def test_unknown_calls(call: Call, method: str, path: str, status: int) -> None:
    """A wrong method and a wrong path, in the protocol's own shape."""
    reply = await call(method, path)
    assert (reply.status, "error" in reply.json()) == (status, True)
