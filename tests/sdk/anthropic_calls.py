"""Calls of the real `anthropic` client, for whoever runs them somewhere."""

from collections.abc import Mapping
from typing import Any

import anthropic
from sdk.protocols import Call, Client, MakeClient, parts, settled

OMIT: Any = anthropic.Omit()
CLIENTS: dict[str, MakeClient] = {
    "sync": lambda url, key: anthropic.Anthropic(base_url=url, api_key=key),
    "async": lambda url, key: anthropic.AsyncAnthropic(base_url=url, auth_token=key),
    "field": lambda url, key: anthropic.Anthropic(
        base_url=url, api_key=key, default_headers={"X-Api-Key": key, "Authorization": OMIT}
    ),
    "both": lambda url, key: anthropic.AsyncAnthropic(
        base_url=url, api_key=key, default_headers={"X-Api-Key": key}
    ),
}
"""The key as this version sends it, as older ones do, and in both forms."""

HELLO = [{"role": "user", "content": "Grüß dich"}]
INSPECTED = [{"role": "user", "content": "sandbox:inspect"}]


async def ask(client: Client, **more: object) -> object:
    body = {"model": "qwen-plus", "max_tokens": 99, "messages": HELLO, **more}
    return await settled(client.messages.create(**body))


async def helper(client: Client) -> object:
    """The client's own reading of a stream, which puts the message together again."""
    stream = client.messages.stream(model="qwen-plus", max_tokens=99, messages=HELLO)
    if isinstance(client, anthropic.Anthropic):
        with stream as opened:
            return [*opened.text_stream, opened.get_final_message()]
    async with stream as opened:
        return [*[text async for text in opened.text_stream], await opened.get_final_message()]


CALLS: Mapping[str, Call] = {
    "message": ask,
    "stream": lambda client: parts(ask(client, stream=True)),
    "stream, put together": helper,
    "tokens": lambda client: settled(
        client.messages.count_tokens(model="qwen-plus", messages=HELLO, system="be brief")
    ),
    "models": lambda client: parts(client.models.list(limit=4)),
    "model": lambda client: settled(client.models.retrieve("qwen-max")),
    "upstream refuses": lambda client: ask(client, messages=INSPECTED),
    "upstream refuses, stream": lambda client: parts(ask(client, messages=INSPECTED, stream=True)),
}
