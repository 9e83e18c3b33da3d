"""Calls answered at once."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from itertools import pairwise
from types import ModuleType
from typing import Any, TypeAlias

import pytest
from dashscope import Client
from dashscope.audio.http_tts import HttpSpeechSynthesizer

from proxy.sandbox import Sandbox

Call: TypeAlias = Callable[..., Awaitable[Any]]

SERVICES = "/api/v1/services/"
TEXT = f"{SERVICES}aigc/text-generation/generation"
SSE = {"X-DashScope-SSE": "enable"}
KEY = "sk-one"
ECHO = "The sandbox heard: "


def _frames(body: bytes) -> list[tuple[str, dict[str, Any]]]:
    """Event name and data of each native frame; fails on anything but the exact spelling."""
    frames = []
    for number, frame in enumerate(body.decode().removesuffix("\n\n").split("\n\n"), start=1):
        ident, event, status, data = frame.split("\n")
        assert ident == f"id:{number}"
        assert status.startswith(":HTTP_STATUS/")
        frames.append((event.removeprefix("event:"), json.loads(data.removeprefix("data:"))))
    return frames


async def test_text_at_once(call: Call) -> None:
    """Text generation echoes, as `text` or as `choices`, and counts tokens."""
    body: dict[str, Any] = {"model": "qwen-plus", "input": {"prompt": "你好"}}
    plain = (await call("POST", TEXT, json=body)).json()
    assert plain["output"] == {"finish_reason": "stop", "text": f"{ECHO}你好"}
    usage = plain["usage"]
    assert usage["input_tokens"] + usage["output_tokens"] == usage["total_tokens"]
    body["parameters"] = {"result_format": "message"}
    choice = (await call("POST", TEXT, json=body)).json()["output"]["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": f"{ECHO}你好"}


@pytest.mark.parametrize("headers", [SSE, {"Accept": "text/event-stream"}])
async def test_frames_are_native(call: Call, headers: dict[str, str]) -> None:
    """Either header turns SSE on; frames are exact, grow, and end with `stop`."""
    body = {"model": "qwen-plus", "input": {"prompt": "hello"}}
    reply = await call("POST", TEXT, json=body, headers=headers)
    assert reply.headers["content-type"] == "text/event-stream;charset=UTF-8"
    frames = _frames(reply.body)
    texts = [data["output"]["text"] for _, data in frames]
    assert len(frames) > 2
    assert all(later.startswith(sooner) for sooner, later in pairwise(texts))
    assert texts[-1] == f"{ECHO}hello"
    assert [data["output"]["finish_reason"] for _, data in frames][-2:] == ["null", "stop"]
    assert len({data["request_id"] for _, data in frames}) == 1


async def test_deltas(call: Call) -> None:
    """With `incremental_output` each frame carries only what is new."""
    parameters = {"incremental_output": True}
    body = {"model": "qwen-plus", "input": {"prompt": "hello"}, "parameters": parameters}
    frames = _frames((await call("POST", TEXT, json=body, headers=SSE)).body)
    assert "".join(data["output"]["text"] for _, data in frames) == f"{ECHO}hello"


async def test_an_error_inside_a_stream(call: Call) -> None:
    """The HTTP status stays 200; the last frame is `event:error` and names the real one."""
    body = {"model": "qwen-plus", "input": {"prompt": "sandbox:inspect"}}
    reply = await call("POST", TEXT, json=body, headers=SSE)
    assert reply.status == 200
    assert b"event:error\n:HTTP_STATUS/400\ndata:{" in reply.body
    events = _frames(reply.body)
    assert [event for event, _ in events] == ["result", "error"]
    assert set(events[-1][1]) == {"code", "message", "request_id"}


async def test_an_error_before_any_stream(call: Call) -> None:
    """The same prompt without SSE is a plain refusal."""
    body = {"model": "qwen-plus", "input": {"prompt": "sandbox:fail"}}
    reply = await call("POST", TEXT, json=body)
    assert (reply.status, reply.json()["code"]) == (500, "InternalError.Algo")


CASES: list[tuple[str, str, dict[str, Any], Callable[[dict[str, Any]], Any], Any]] = [
    (
        "multimodal words",
        "aigc/multimodal-generation/generation",
        {"model": "qwen-vl-plus", "input": {"messages": [{"content": [{"text": "hi"}]}]}},
        lambda answer: answer["output"]["choices"][0]["message"]["content"],
        [{"text": f"{ECHO}hi"}],
    ),
    (
        "multimodal image",
        "aigc/multimodal-generation/generation",
        {"model": "qwen-image", "input": {"messages": []}, "parameters": {"n": 2}},
        lambda answer: answer["usage"]["image_count"],
        2,
    ),
    (
        "multimodal speech",
        "aigc/multimodal-generation/generation",
        {"model": "qwen3-tts-flash", "input": {"text": "four"}},
        lambda answer: answer["usage"],
        {"characters": 4},
    ),
    (
        "embeddings",
        "embeddings/text-embedding/text-embedding",
        {"model": "e", "input": {"texts": ["a", "b", "a"]}, "parameters": {"dimension": 8}},
        lambda answer: [len(item["embedding"]) for item in answer["output"]["embeddings"]],
        [8, 8, 8],
    ),
    (
        "multimodal embeddings",
        "embeddings/multimodal-embedding/multimodal-embedding",
        {"model": "e", "input": {"contents": [{"text": "a"}, {"image": "http://i"}]}},
        lambda answer: [item["type"] for item in answer["output"]["embeddings"]],
        ["text", "image"],
    ),
    (
        "rerank",
        "rerank/text-rerank/text-rerank",
        {"model": "r", "input": {"query": "red cat", "documents": ["dog", "a red cat"]}},
        lambda answer: [row["index"] for row in answer["output"]["results"]],
        [1, 0],
    ),
    (
        "music",
        "audio/music/generation",
        {"model": "fun-music", "input": {"prompt": "a tune"}},
        lambda answer: answer["usage"],
        {"duration": 1},
    ),
    (
        "face detection",
        "aigc/image2video/face-detect",
        {"model": "emo-detect-v1", "input": {"image_url": "http://i"}},
        lambda answer: answer["usage"],
        {"image_count": 1},
    ),
]


@pytest.mark.parametrize(
    ("path", "body", "look", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
async def test_other_endpoints(
    call: Call,
    path: str,
    body: dict[str, Any],
    look: Callable[[dict[str, Any]], Any],
    expected: object,
) -> None:
    """Every endpoint answers in its own shape."""
    reply = await call("POST", SERVICES + path, json=body)
    assert reply.status == 200, reply.body
    assert look(reply.json()) == expected


async def test_tokenizer(call: Call) -> None:
    """The tokenizer stands outside `services/`."""
    body = {"model": "qwen-turbo", "input": {"prompt": "one two"}}
    answer = (await call("POST", "/api/v1/tokenizer", json=body)).json()
    assert answer["usage"] == {"input_tokens": 2}


def _generation(sdk: ModuleType) -> tuple[Any, list[str], Any]:
    messages = [{"role": "user", "content": "hello"}]
    plain = sdk.Generation.call("qwen-plus", messages=messages, result_format="message")
    stream = sdk.Generation.call(
        "qwen-plus",
        messages=messages,
        result_format="message",
        stream=True,
        incremental_output=True,
    )
    deltas = [part.output.choices[0].message.content for part in stream]
    *_, failed = sdk.Generation.call("qwen-plus", prompt="sandbox:inspect", stream=True)
    return plain, deltas, failed


async def test_generation_of_the_sdk(sdk: ModuleType) -> None:
    """The SDK reads plain answers, deltas, and an error inside a stream."""
    plain, deltas, failed = await asyncio.to_thread(_generation, sdk)
    assert plain.output.choices[0].message.content == f"{ECHO}hello"
    assert "".join(deltas) == f"{ECHO}hello"
    assert (failed.status_code, failed.code) == (400, "DataInspectionFailed")


async def test_asyncio_generation_of_the_sdk(sdk: ModuleType) -> None:
    """The asyncio classes stream too."""
    stream = await sdk.AioGeneration.call("qwen-plus", prompt="hello", stream=True)
    assert [part.output.text async for part in stream][-1] == f"{ECHO}hello"


def _small_things(sdk: ModuleType) -> tuple[Any, Any, Any]:
    embedded = sdk.TextEmbedding.call("text-embedding-v4", input=["a", "b"])
    ranked = sdk.TextReRank.call(
        "gte-rerank-v2", query="cat", documents=["dog", "cat"], return_documents=True, top_n=1
    )
    counted = sdk.Tokenization.call("qwen-turbo", prompt="one two three")
    return embedded, ranked, counted


async def test_small_endpoints_of_the_sdk(sdk: ModuleType) -> None:
    """Embeddings, rerank and the tokenizer answer what the SDK's classes read."""
    embedded, ranked, counted = await asyncio.to_thread(_small_things, sdk)
    assert len(embedded.output["embeddings"]) == 2
    assert ranked.output.results[0]["document"]["text"] == "cat"
    assert counted.usage["input_tokens"] == 3


def _v2(url: str) -> tuple[Any, ...]:
    with Client(api_key=KEY, base_url=f"{url}/api/v1") as client:
        said = client.chat.completions.create(model="qwen-plus", messages="hello")
        stream = client.chat.completions.create(model="qwen-plus", messages="hello", stream=True)
        streamed = "".join(stream.text_stream)
        job = client.videos.jobs.create(model="wan2.6-t2v", prompt="a cat")
        states = [client.videos.jobs.fetch(job.task_id).status for _ in range(2)]
        found = client.models.get("kling/kling-v3-video-generation")
        return said.choices[0].message.content, streamed, states, found.provider


async def test_the_v2_client(sandbox: Sandbox) -> None:
    """The v2 client chats, streams, polls and looks a model up."""
    said, streamed, states, provider = await asyncio.to_thread(_v2, sandbox.url)
    assert (said, streamed) == (f"{ECHO}hello", f"{ECHO}hello")
    assert states == ["RUNNING", "SUCCEEDED"]
    assert provider == "kling"


def _speech() -> tuple[Any, Any]:
    options = {"model": "cosyvoice-v3-plus", "voice": "v", "text": "hello"}
    plain = HttpSpeechSynthesizer.call(**options)
    return plain, list(HttpSpeechSynthesizer.call(**options, stream=True))


@pytest.mark.usefixtures("sdk")
async def test_speech_of_the_sdk() -> None:
    """Speech comes as a link, or as sound in base64 and then a link."""
    plain, parts = await asyncio.to_thread(_speech)
    assert plain.audio_url.startswith("http")
    assert parts[0].audio_data.startswith(b"RIFF")
    assert parts[-1].audio_url


async def test_a_long_prompt_is_not_said_back_whole(call: Call) -> None:
    """Megabytes of prompt are counted, but only their beginning is echoed."""
    body = {"model": "qwen-plus", "input": {"prompt": "x" * 1_000_000}}
    answer = (await call("POST", TEXT, json=body, headers=SSE)).body
    assert len(answer) < 100_000
    assert _frames(answer)[-1][1]["usage"]["input_tokens"] == 250_001
