"""The real `openai` client: directly and through the proxy it sees the same."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import openai
import pytest
from harness import UPSTREAM_KEY, standing
from sdk.protocols import Call, Client, MakeClient, called, failed, parts, settled

from proxy.core.policy import ACCOUNT, INFERENCE
from proxy.sandbox import Sandbox

BASES = ["/compatible-mode/v1", "/alibailian/compatible-mode/v1"]
UPSTREAM_BASE = BASES[0]
CLIENTS: dict[str, MakeClient] = {
    "sync": lambda url, key: openai.OpenAI(base_url=url, api_key=key),
    "async": lambda url, key: openai.AsyncOpenAI(base_url=url, api_key=key),
}
HELLO = [{"role": "user", "content": "Grüß dich"}]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
STREAM = {"stream": True, "stream_options": {"include_usage": True}}


async def chat(client: Client, **more: object) -> object:
    body = {"model": "qwen-plus", "messages": HELLO, **more}
    return await settled(client.chat.completions.create(**body))


async def respond(client: Client, **more: object) -> object:
    return await settled(client.responses.create(**{"model": "qwen-plus", "input": "hi", **more}))


async def embed(client: Client, **more: object) -> object:
    body = {"model": "text-embedding-v4", "input": ["a", "b"], "dimensions": 8, **more}
    return await settled(client.embeddings.create(**body))


async def stored(client: Client) -> object:
    """A response that is kept, read, continued and deleted."""
    first = await settled(client.responses.create(model="qwen-plus", input="hi"))
    read = await settled(client.responses.retrieve(first.id))
    more = {"model": "qwen-plus", "input": "ho", "previous_response_id": first.id}
    second = await settled(client.responses.create(**more))
    await settled(client.responses.delete(first.id))
    return [read, second]


async def batch(client: Client) -> object:
    """A batch of an uploaded file, and both in their lists."""
    file = await settled(client.files.create(file=("j.jsonl", b"{}\n"), purpose="batch"))
    order = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
    made = await settled(client.batches.create(input_file_id=file.id, **order))
    return [file, made, *await parts(client.files.list()), *await parts(client.batches.list())]


CALLS: Mapping[str, Call] = {
    "chat": chat,
    "chat, stream": lambda client: parts(chat(client, **STREAM)),
    "chat, tool": lambda client: chat(client, tools=[TOOL], tool_choice="required"),
    "chat, tool, stream": lambda client: parts(
        chat(client, tools=[TOOL], tool_choice="required", stream=True)
    ),
    "completions": lambda client: settled(
        client.completions.create(model="qwen-coder", prompt="hi")
    ),
    "embeddings": embed,
    "responses": respond,
    "responses, stream": lambda client: parts(respond(client, stream=True)),
    "model": lambda client: settled(client.models.retrieve("wan2.6-t2v")),
    "models": lambda client: parts(client.models.list()),
    "upstream refuses": lambda client: chat(client, messages=[]),
    "upstream refuses, stream": lambda client: parts(
        chat(client, messages=[{"role": "user", "content": "sandbox:inspect"}], **STREAM)
    ),
    "stored responses": stored,
    "batch": batch,
}
WHOLE_ACCOUNT = {"stored responses", "batch"}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("kind", CLIENTS)
async def test_the_same_directly_and_through_the_proxy(kind: str, base: str) -> None:
    """Each call's value, stream or exception; ids and times apart, which differ from run to run."""
    make = CLIENTS[kind]
    async with standing() as stand:
        tenant, whole = await stand.token(), await stand.token(scopes=(INFERENCE, ACCOUNT))
        for name, call in CALLS.items():
            token = whole if name in WHOLE_ACCOUNT else tenant
            async with Sandbox(keys=[UPSTREAM_KEY]) as direct:
                expected = await called(make, direct.url + UPSTREAM_BASE, UPSTREAM_KEY, call)
            assert await called(make, stand.url + base, token, call) == expected, name
            refused = isinstance(expected, dict) and "raised" in expected
            assert refused is name.startswith("upstream refuses"), expected


@pytest.mark.parametrize("kind", CLIENTS)
async def test_models_are_the_tokens_own(kind: str) -> None:
    """The list holds what the token may use; any other model is as good as none."""
    async with standing() as stand:
        token = await stand.token("qwen-*", "kling/*")
        url = stand.url + BASES[1]
        listed = await called(CLIENTS[kind], url, token, CALLS["models"])
        assert {model["id"] for model in listed} == {
            *("qwen-plus", "qwen-turbo", "qwen-max", "qwen-vl-plus", "qwen-vl-max", "qwen-image"),
            "kling/kling-v3-video-generation",
        }
        error = await failed(CLIENTS[kind], url, token, CALLS["model"])
        assert isinstance(error, openai.PermissionDeniedError)
        assert error.code == "model_not_found"


# -- refusals ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Refusal:
    """A call, what it raises, and what the exception says. `asked` is how often upstream was."""

    call: Call
    raises: type[openai.APIStatusError]
    code: str
    param: str | None = None
    base: str = BASES[0]
    models: tuple[str, ...] = ("*",)
    key: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)


REFUSALS: Mapping[str, Refusal] = {
    "no such token": Refusal(chat, openai.AuthenticationError, "InvalidApiKey", key="sk-nobody"),
    "forbidden model": Refusal(
        chat, openai.PermissionDeniedError, "model_not_found", "model", models=("wan*",)
    ),
    "forbidden model, stream": Refusal(
        CALLS["chat, stream"],
        openai.PermissionDeniedError,
        "model_not_found",
        "model",
        models=("wan*",),
    ),
    "forbidden embedding": Refusal(
        embed, openai.PermissionDeniedError, "model_not_found", "model", models=("qwen*",)
    ),
    "forbidden model of a tool": Refusal(
        lambda client: respond(client, tools=[{"type": "image_generation", "model": "z-image"}]),
        openai.PermissionDeniedError,
        "model_not_found",
        "model",
        models=("qwen*",),
    ),
    "no model": Refusal(
        lambda client: chat(client, model=""),
        openai.BadRequestError,
        "BadRequest.EmptyModel",
        "model",
    ),
    "stored response": Refusal(
        lambda client: respond(client, previous_response_id="resp_1"),
        openai.PermissionDeniedError,
        "AccessDenied",
        "previous_response_id",
    ),
    "stored conversation": Refusal(
        lambda client: respond(client, conversation="conv_1"),
        openai.PermissionDeniedError,
        "AccessDenied",
        "conversation",
    ),
    "knowledge base": Refusal(
        lambda client: respond(client, tools=[{"type": "file_search", "vector_store_ids": ["v"]}]),
        openai.PermissionDeniedError,
        "AccessDenied",
        "tools[].vector_store_ids",
    ),
    "response of others": Refusal(
        lambda client: settled(client.responses.retrieve("resp_1")),
        openai.PermissionDeniedError,
        "AccessDenied",
    ),
    "files": Refusal(batch, openai.PermissionDeniedError, "AccessDenied"),
    "wrong base": Refusal(chat, openai.NotFoundError, "NotFound", base="/api/v1"),
    "no version": Refusal(chat, openai.NotFoundError, "NotFound", base="/compatible-mode"),
    "wrong method": Refusal(
        lambda client: settled(client.models.delete("qwen-plus")),
        openai.APIStatusError,
        "MethodNotAllowed",
    ),
    "too large": Refusal(
        chat, openai.APIStatusError, "BadRequest.TooLarge", env={"PROXY_MAX_BODY": "20"}
    ),
    "upstream is down": Refusal(
        chat, openai.InternalServerError, "BadGateway", env={"PROXY_UPSTREAM": "http://{nowhere}"}
    ),
}


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.parametrize("name", REFUSALS)
async def test_a_refusal_is_an_exception_with_its_reasons(
    name: str, kind: str, nowhere: str
) -> None:
    """Class, code, field and id as the client reads them; asked once, though it likes to retry."""
    row = REFUSALS[name]
    env = {key: value.format(nowhere=nowhere) for key, value in row.env.items()}
    async with standing(env) as stand:
        key = row.key or await stand.token(*row.models)
        error = await failed(CLIENTS[kind], stand.url + row.base, key, row.call)
        assert type(error) is row.raises
        assert isinstance(error, openai.APIStatusError)
        (line,) = stand.requests
        assert stand.sandbox.requests == []
    assert (error.code, error.param) == (row.code, row.param)
    assert (error.request_id, error.status_code) == (line["request_id"], line["status"])
    assert isinstance(error.body, dict)
    assert error.body["message"] in error.message
    assert error.type == ("server_error" if error.status_code >= 500 else "invalid_request_error")


async def heard_until_broken(client: Client) -> object:
    """How many chunks came, and how it ended."""
    count = 0
    stream = await settled(client.chat.completions.create(**BROKEN))
    try:
        if isinstance(stream, openai.Stream):
            for _ in stream:
                count += 1
        else:
            async for _ in stream:
                count += 1
    except openai.APIConnectionError:
        return count, "broken"
    return count, "ended"


BROKEN = {"model": "qwen-plus", "messages": HELLO, "stream": True}


@pytest.mark.parametrize("kind", CLIENTS)
async def test_a_stream_that_breaks_is_an_exception(kind: str) -> None:
    """What came is there, nobody takes it for the whole, and nobody asks again."""
    async with standing() as stand:
        stand.sandbox.faults.add(reset="body")
        token = await stand.token()
        count, end = await called(CLIENTS[kind], stand.url + BASES[0], token, heard_until_broken)
        assert (count > 0, end) == (True, "broken")
        assert len(stand.sandbox.requests) == 1
