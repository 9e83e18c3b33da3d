"""Applications and MCP servers: what an account has put together, called by its id (1b, 1c)."""

from proxy.sandbox import inference
from proxy.sandbox.answers import (
    JSON_TYPE,
    SSE_TYPE,
    Answer,
    Payload,
    dumps,
    native,
    stream,
)
from proxy.sandbox.ask import Ask
from proxy.sandbox.outputs import Link
from proxy.sandbox.prompts import doom

MODEL = "qwen-plus"
"""What every application here runs on: the caller learns it from `usage` only."""

TOOL = {"name": "echo", "description": "Says it back.", "inputSchema": {"type": "object"}}
SERVER = {
    "protocolVersion": "2025-03-26",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "sandbox", "version": "1"},
}


def completion(ask: Ask, app_id: str, link: Link) -> Answer:  # noqa: ARG001 - any app will do
    """`apps/{app_id}/completion`: text at once or as SSE, within a session."""
    failure = doom(ask.input)
    reply = inference.text(ask, link)
    session = ask.input.get("session_id") or ask.fresh_id("session").hex
    if ask.streaming:
        parts = reply.parts if failure is None else reply.parts[:1]
        return stream([_within(part, session) for part in parts], ask.request_id, failure)
    if failure is not None:
        raise failure
    return native(_within(reply.whole, session), ask.request_id)


def _within(reply: Payload, session: object) -> Payload:
    usage = {name: reply["usage"][name] for name in ("input_tokens", "output_tokens")}
    return {
        "output": {**reply["output"], "session_id": session},
        "usage": {"models": [{"model_id": MODEL, **usage}]},
    }


def mcp(ask: Ask, server: str) -> Answer:  # noqa: ARG001 - all servers are alike
    """`mcps/{server}/mcp`: JSON-RPC, answered as an event where the caller accepts events.

    A notification is accepted without a word.
    """
    if "id" not in ask.body:
        return Answer(202, JSON_TYPE, ())
    answer = dumps({"jsonrpc": "2.0", "id": ask.body["id"], **_called(ask)})
    if ask.streaming:
        return Answer(200, SSE_TYPE, (b"event:message\ndata:" + answer + b"\n\n",), streamed=True)
    return Answer(200, JSON_TYPE, (answer,))


def _called(ask: Ask) -> Payload:
    parameters = ask.body.get("params")
    match ask.body.get("method"):
        case "initialize":
            return {"result": SERVER}
        case "tools/list":
            return {"result": {"tools": [TOOL]}}
        case "tools/call" if isinstance(parameters, dict):
            said = str(parameters.get("arguments"))
            return {"result": {"content": [{"type": "text", "text": said}], "isError": False}}
        case _:
            return {"error": {"code": -32601, "message": "Method not found"}}


def mcp_events(ask: Ask, server: str) -> Answer:
    """`mcps/{server}/sse`: says where to post, and ends."""
    event = f"event:endpoint\ndata:/api/v1/mcps/{server}/message?sessionId={ask.fresh_id('mcp')}"
    return Answer(200, SSE_TYPE, (f"{event}\n\n".encode(),), streamed=True)


def public_key(_ask: Ask) -> Payload:
    """`public-keys/latest`: a prop that nothing can be encrypted for."""
    return {"data": {"public_key_id": "1", "public_key": "c2FuZGJveA=="}}
