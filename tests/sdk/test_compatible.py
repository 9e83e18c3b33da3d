"""The `dashscope` SDK where it speaks other protocols: the same directly and through the proxy."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import dashscope
import pytest
from dashscope import AsyncClient
from dashscope import Client as V2Client
from dashscope.aigc.chat_completion import Completions
from dashscope.api_entities.http_request import close_shared_sync_session
from harness import UPSTREAM_KEY, standing
from sdk.protocols import Call, Client, called, parts, settled
from sdk.views import plain

from proxy.sandbox import Sandbox

PATHS = {"openai": "/compatible-mode/v1", "anthropic": "/apps/anthropic"}
HELLO = [{"role": "user", "content": "Grüß dich"}]


async def chat(client: Client, **more: object) -> object:
    body = {"model": "qwen-plus", "messages": HELLO, "max_tokens": 99, **more}
    return await settled(client.chat.completions.create(**body))


CALLS: dict[str, Call] = {
    "chat": chat,
    "stream": lambda client: parts(chat(client, stream=True)),
    "refused": lambda client: chat(client, model="gpt-9"),
}
MAKES: dict[str, Callable[..., Client]] = {"sync": V2Client, "async": AsyncClient}


@pytest.mark.parametrize("alias", ["", "/alibailian"])
@pytest.mark.parametrize("kind", MAKES)
@pytest.mark.parametrize("protocol", PATHS)
async def test_the_v2_client(protocol: str, kind: str, alias: str) -> None:
    """Chat, streamed and whole, and upstream's own refusal, in either protocol."""

    def make(url: str, key: str) -> Client:
        return MAKES[kind](api_key=key, base_url=url, protocol=protocol)

    async with standing() as stand, Sandbox(keys=[UPSTREAM_KEY]) as direct:
        token = await stand.token()
        for name, call in CALLS.items():
            expected = await called(make, direct.url + PATHS[protocol], UPSTREAM_KEY, call)
            told = await called(make, stand.url + alias + PATHS[protocol], token, call)
            assert told == expected
            assert ("raised" in expected) is (name == "refused")


@pytest.mark.parametrize("alias", ["", "/alibailian"])
@pytest.mark.parametrize("protocol", PATHS)
@pytest.mark.parametrize("kind", MAKES)
async def test_the_v2_client_is_refused_once(kind: str, protocol: str, alias: str) -> None:
    """A forbidden model raises what the client has for 403, and nothing is sent again."""

    def make(url: str, key: str) -> Client:
        return MAKES[kind](api_key=key, base_url=url, protocol=protocol)

    async with standing() as stand:
        token = await stand.token("wan*")
        told = await called(make, stand.url + alias + PATHS[protocol], token, chat)
        code = {"openai": "model_not_found", "anthropic": "permission_error"}[protocol]
        assert (told["raised"], told["status_code"], told["code"]) == (
            "PermissionDeniedError",
            403,
            code,
        )
        assert (len(stand.requests), stand.sandbox.requests) == (1, [])


async def test_the_v2_clients_decisions() -> None:
    """The decision model is asked at the compatible base, whatever the chat protocol."""
    question = {"type": "choice", "criteria": {"billing": "money", "other": "the rest"}}

    async def decide(client: Client) -> object:
        body = {"model": "decision-model-preview", "state": "x", "questions": {"team": question}}
        return await settled(client.decision.create(**body))

    def make(url: str, key: str) -> Client:
        return V2Client(api_key=key, base_url=url)

    path = PATHS["openai"]
    async with standing() as stand, Sandbox(keys=[UPSTREAM_KEY]) as direct:
        expected = await called(make, direct.url + path, UPSTREAM_KEY, decide)
        assert await called(make, stand.url + path, await stand.token(), decide) == expected
        assert expected["answers"]["team"]["choice"] == "billing"
        refused = await called(make, stand.url + path, await stand.token("qwen*"), decide)
        assert (refused["raised"], refused["code"]) == ("PermissionDeniedError", "model_not_found")


def asked_1x(url: str, key: str) -> list[Any]:
    """The 1.x helper, whole and streamed. Its base is an attribute of the module.

    Its own `stream=True` asks for no stream; and at the `[DONE]` of one it stumbles.
    """
    dashscope.base_compatible_api_url, dashscope.api_key = url, key
    body = {"model": "qwen-plus", "messages": HELLO}
    told = [Completions.create(**body)]
    try:
        told += Completions.create(**body, stream=True, extra_body={"stream": True})
    except AttributeError as error:
        told.append(error)
    return [plain(one) for one in told]


@pytest.fixture
def module() -> Iterator[None]:
    """Put the module's attributes back, and close what it keeps open."""
    before = dashscope.base_compatible_api_url, dashscope.api_key
    yield
    dashscope.base_compatible_api_url, dashscope.api_key = before
    close_shared_sync_session()


@pytest.mark.usefixtures("module")
@pytest.mark.parametrize("alias", ["", "/alibailian"])
async def test_the_1x_completions_helper(alias: str) -> None:
    """Whole and streamed, with the token in the place of the key."""
    path = PATHS["openai"]
    async with standing() as stand, Sandbox(keys=[UPSTREAM_KEY]) as direct:
        expected = await asyncio.to_thread(asked_1x, direct.url + path, UPSTREAM_KEY)
        token = await stand.token()
        assert await asyncio.to_thread(asked_1x, stand.url + alias + path, token) == expected
        assert len(expected) > 5
        assert expected[-1]["raised"] == "AttributeError"
