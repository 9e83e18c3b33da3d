"""The service as OpenAI speaks: its client's own types can read every answer."""

import json
from typing import Any

import pytest
from openai.types import Completion, CreateEmbeddingResponse, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from sandbox.conftest import Call, Reply

BASE = "/compatible-mode/v1"
HELLO: dict[str, Any] = {"model": "qwen-plus", "messages": [{"role": "user", "content": "hello"}]}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {}}}


def frames(reply: Reply) -> list[bytes]:
    """The data of a stream, frame by frame."""
    assert reply.headers["content-type"] == "text/event-stream"
    *parts, rest = reply.body.split(b"\n\n")
    assert rest == b""
    return [part.removeprefix(b"data: ") for part in parts]


async def test_chat(call: Call) -> None:
    """An echo, counted, with the id that is in the header."""
    reply = await call("POST", f"{BASE}/chat/completions", json=HELLO)
    told = ChatCompletion.model_validate(reply.json())
    assert told.choices[0].message.content == "The sandbox heard: hello"
    assert told.choices[0].finish_reason == "stop"
    assert (told.model, told.id) == ("qwen-plus", f"chatcmpl-{reply.headers['x-request-id']}")
    assert told.usage is not None
    assert told.usage.total_tokens == told.usage.prompt_tokens + told.usage.completion_tokens


@pytest.mark.parametrize("usage", [True, False])
async def test_chat_stream(call: Call, *, usage: bool) -> None:
    """Role, deltas, the reason, the usage where it is asked for, and the end."""
    body = {**HELLO, "stream": True, "stream_options": {"include_usage": usage}}
    *told, last = frames(await call("POST", f"{BASE}/chat/completions", json=body))
    assert last == b"[DONE]"
    chunks = [ChatCompletionChunk.model_validate(json.loads(one)) for one in told]
    said = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert said == "The sandbox heard: hello"
    reasons = [c.choices[0].finish_reason for c in chunks if c.choices]
    assert (reasons[-1], set(reasons[:-1])) == ("stop", {None})
    assert [chunk.usage is not None for chunk in chunks[-2:]] == [False, usage]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_tool_is_called_when_it_must_be(call: Call, *, stream: bool) -> None:
    """The first one, without arguments."""
    body = {**HELLO, "tools": [TOOL], "tool_choice": "required", "stream": stream}
    reply = await call("POST", f"{BASE}/chat/completions", json=body)
    if stream:
        chunks = [ChatCompletionChunk.model_validate_json(one) for one in frames(reply)[:-1]]
        calls = [one for c in chunks for one in c.choices[0].delta.tool_calls or []]
        assert [one.function and one.function.name for one in calls] == ["look"]
        assert chunks[-1].choices[0].finish_reason == "tool_calls"
        return
    choice = ChatCompletion.model_validate(reply.json()).choices[0]
    assert choice.finish_reason == "tool_calls"
    (made,) = choice.message.tool_calls or []
    assert made.type == "function"
    assert (made.function.name, made.function.arguments) == ("look", "{}")


@pytest.mark.parametrize("stream", [True, False])
async def test_words_that_fail(call: Call, *, stream: bool) -> None:
    """As in every protocol: a plain call is refused, a stream ends with its error."""
    bad = [{"role": "user", "content": "sandbox:inspect"}]
    body = {**HELLO, "messages": bad, "stream": stream}
    reply = await call("POST", f"{BASE}/chat/completions", json=body)
    error = json.loads(frames(reply)[-1]) if stream else reply.json()
    assert reply.status == (200 if stream else 400)
    assert error["error"]["code"] == "data_inspection_failed"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({**HELLO, "model": "gpt-9"}, 404, "model_not_found"),
        ({**HELLO, "model": ""}, 400, "invalid_request_error"),
        ({"messages": HELLO["messages"]}, 400, "invalid_request_error"),
        ({"model": "qwen-plus"}, 400, "invalid_parameter_error"),
    ],
)
async def test_chat_refuses(call: Call, body: dict[str, Any], status: int, code: str) -> None:
    """No such model, no model, nothing said."""
    reply = await call("POST", f"{BASE}/chat/completions", json=body)
    assert (reply.status, reply.json()["error"]["code"]) == (status, code)


async def test_completions(call: Call) -> None:
    """The older form, whole and streamed."""
    body = {"model": "qwen-coder", "prompt": "hello"}
    told = Completion.model_validate((await call("POST", f"{BASE}/completions", json=body)).json())
    assert told.choices[0].text == "The sandbox heard: hello"
    streamed = await call("POST", f"{BASE}/completions", json={**body, "stream": True})
    *parts, last = frames(streamed)
    assert last == b"[DONE]"
    texts = [json.loads(part)["choices"][0]["text"] for part in parts]
    assert "".join(texts) == told.choices[0].text
    failing = {**body, "prompt": "sandbox:fail"}
    assert (await call("POST", f"{BASE}/completions", json=failing)).status == 500


async def test_embeddings(call: Call) -> None:
    """A vector per text, the same for the same text, as long as it is asked for."""
    body = {"model": "text-embedding-v4", "input": ["a", "b", "a"], "dimensions": 8}
    reply = await call("POST", f"{BASE}/embeddings", json=body)
    told = CreateEmbeddingResponse.model_validate(reply.json())
    first, second, third = (one.embedding for one in told.data)
    assert (first, len(first)) == (third, 8)
    assert first != second


async def test_reranks(call: Call) -> None:
    """The documents that share most with the query come first."""
    body = {
        "model": "qwen3-rerank",
        "query": "red cat",
        "documents": ["blue dog", "red dog", "red cat"],
        "top_n": 2,
        "return_documents": True,
    }
    told = (await call("POST", "/compatible-api/v1/reranks", json=body)).json()
    assert [(row["index"], row["document"]["text"]) for row in told["results"]] == [
        (2, "red cat"),
        (1, "red dog"),
    ]


async def test_decisions(call: Call) -> None:
    """An answer for every question, of its own kind."""
    questions = {
        "team": {"type": "choice", "criteria": {"billing": "", "other": ""}},
        "urgent": {"type": "noul"},
        "mood": {"type": "score", "criteria": ["bad", "so", "good"]},
    }
    body = {"model": "decision-model-preview", "state": "x", "questions": questions}
    told = (await call("POST", f"{BASE}/systemone", json=body)).json()["answers"]
    assert (told["team"]["choice"], told["urgent"]["noul"], told["mood"]["score"]) == (
        "billing",
        0.5,
        1.0,
    )


async def test_models(call: Call) -> None:
    """The whole catalogue, and one of it, also with a slash in its name."""
    listed = (await call("GET", f"{BASE}/models")).json()
    names = [Model.model_validate(one).id for one in listed["data"]]
    assert (listed["object"], len(names) > 20) == ("list", True)
    name = "kling/kling-v3-video-generation"
    one = await call("GET", f"{BASE}/models/{name}")
    assert one.json() == listed["data"][names.index(name)]
    missing = await call("GET", f"{BASE}/models/none")
    assert (missing.status, missing.json()["error"]["code"]) == (404, "model_not_found")
