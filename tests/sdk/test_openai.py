"""The real `openai` client: directly and through the proxy it sees the same."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import openai
import pytest
from harness import UPSTREAM_KEY, standing
from sdk.openai_calls import CALLS, CLIENTS, HELLO, WHOLE_ACCOUNT, batch, chat, embed, respond
from sdk.protocols import Call, Client, called, failed, played, settled

from proxy.core.policy import ACCOUNT, INFERENCE
from proxy.sandbox import Sandbox

BASES = ["/compatible-mode/v1", "/alibailian/compatible-mode/v1"]
UPSTREAM_BASE = BASES[0]


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("kind", CLIENTS)
async def test_the_same_directly_and_through_the_proxy(kind: str, base: str) -> None:
    """Each call's value, stream or exception; ids and times apart, which differ from run to run."""
    make = CLIENTS[kind]
    mine = {name: call for name, call in CALLS.items() if name not in WHOLE_ACCOUNT}
    all_of_it = {name: CALLS[name] for name in WHOLE_ACCOUNT}
    async with standing() as stand, Sandbox(keys=[UPSTREAM_KEY]) as direct:
        for calls, scopes in ((mine, ()), (all_of_it, (INFERENCE, ACCOUNT))):
            expected = await played(make, direct.url + UPSTREAM_BASE, UPSTREAM_KEY, calls)
            token = await stand.token(scopes=scopes)
            assert await played(make, stand.url + base, token, calls) == expected
            refused = {n for n, told in expected.items() if "raised" in told}
            assert refused == {name for name in calls if name.startswith("upstream refuses")}


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
        "tools[].model",
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
