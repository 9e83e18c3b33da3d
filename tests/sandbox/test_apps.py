"""Applications and MCP servers."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

Call: TypeAlias = Callable[..., Awaitable[Any]]

APP = "/api/v1/apps/a1/completion"
MCP = "/api/v1/mcps/tools/mcp"
SSE = {"X-DashScope-SSE": "enable"}


async def test_an_app_says_its_words_in_a_session(call: Call) -> None:
    """The answer names the session and what ran, which the request does not."""
    answer = (await call("POST", APP, json={"input": {"prompt": "hi"}})).json()
    assert answer["output"]["text"] == "The sandbox heard: hi"
    assert answer["output"]["session_id"]
    assert [one["model_id"] for one in answer["usage"]["models"]] == ["qwen-plus"]


async def test_an_app_streams(call: Call) -> None:
    """SSE in native frames, every one of them with the session that was given."""
    body = {"input": {"prompt": "hi", "session_id": "s"}}
    answer = await call("POST", APP, json=body, headers=SSE)
    frames = [
        json.loads(line.removeprefix("data:"))
        for line in answer.body.decode().splitlines()
        if line.startswith("data:")
    ]
    assert len(frames) > 1
    assert {frame["output"]["session_id"] for frame in frames} == {"s"}


async def test_an_app_fails_as_it_is_told(call: Call) -> None:
    """The words that steer a prompt steer an application's as well."""
    answer = await call("POST", APP, json={"input": {"prompt": "sandbox:inspect"}})
    assert (answer.status, answer.json()["code"]) == (400, "DataInspectionFailed")


async def test_mcp_is_json_rpc(call: Call) -> None:
    """A call gets its result, an unknown method the protocol's own error, a notification 202."""
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    (tool,) = (await call("POST", MCP, json=asked)).json()["result"]["tools"]
    asked = {"id": 2, "method": "tools/call", "params": {"name": tool["name"], "arguments": "a"}}
    assert (await call("POST", MCP, json=asked)).json()["result"]["content"][0]["text"] == "a"
    assert (await call("POST", MCP, json={"id": 3, "method": "x"})).json()["error"]["code"] < 0
    assert (await call("POST", MCP, json={"method": "notifications/initialized"})).status == 202


async def test_mcp_speaks_in_events(call: Call) -> None:
    """Whoever accepts events gets the same answer as one."""
    asked = {"jsonrpc": "2.0", "id": 1, "method": "initialize"}
    answer = await call("POST", MCP, json=asked, headers={"Accept": "text/event-stream"})
    assert answer.body.startswith(b"event:message\ndata:{")
    opened = await call("GET", "/api/v1/mcps/tools/sse")
    assert opened.body.startswith(b"event:endpoint\ndata:/api/v1/mcps/tools/message?sessionId=")


async def test_there_is_a_public_key(call: Call) -> None:
    """Under `data`, where the SDK looks for it."""
    assert (await call("GET", "/api/v1/public-keys/latest")).json()["data"]["public_key_id"]
