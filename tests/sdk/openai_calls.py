"""Calls of the real `openai` client, for whoever runs them somewhere."""

from collections.abc import Mapping

import openai
from sdk.protocols import Call, Client, MakeClient, parts, settled

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
    kind = {"Content-Type": "multipart/form-data; boundary=between"}  # by itself, a random one
    given = {"file": ("j.jsonl", b"{}\n"), "purpose": "batch", "extra_headers": kind}
    file = await settled(client.files.create(**given))
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
