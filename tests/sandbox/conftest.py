"""One sandbox per test, two accounts, and three ways to talk to it: aiohttp, SDK, raw bytes."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeAlias

import aiohttp
import dashscope
import pytest
from dashscope.api_entities.aio_session import close_shared_aio_session
from dashscope.api_entities.http_request import close_shared_sync_session

from proxy.sandbox import Sandbox

KEY = "sk-one"
OTHER_KEY = "sk-two"

VIDEO = "/api/v1/services/aigc/video-generation/video-synthesis"
TEXT = "/api/v1/services/aigc/text-generation/generation"
ASYNC = {"X-DashScope-Async": "enable"}
SSE = {"X-DashScope-SSE": "enable"}


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        payload: dict[str, Any] = json.loads(self.body)
        return payload


Call: TypeAlias = Callable[..., Awaitable[Reply]]


@pytest.fixture
def anything() -> dict[str, Any]:
    """A submit nobody could object to."""
    return {"model": "wan2.6-t2v", "input": {"prompt": "a cat"}, "parameters": {}}


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(keys=(KEY, OTHER_KEY), task_seconds=0) as running:
        yield running


@pytest.fixture
async def call(sandbox: Sandbox) -> AsyncIterator[Call]:
    """Send one request with a key; the options are aiohttp's."""
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(cookie_jar=jar, auto_decompress=False) as session:

        async def send(method: str, path: str, *, key: str | None = KEY, **more: Any) -> Reply:  # noqa: ANN401 - aiohttp's own options
            headers = dict(more.pop("headers", {}))
            if key is not None:
                headers["Authorization"] = f"Bearer {key}"
            url = path if path.startswith("http") else sandbox.url + path
            async with session.request(method, url, headers=headers, **more) as response:
                seen = {name.lower(): value for name, value in response.headers.items()}
                return Reply(response.status, seen, await response.read())

        yield send


@pytest.fixture
def submit(call: Call, anything: dict[str, Any]) -> Callable[..., Awaitable[str]]:
    """Submit a video task, by default the plainest; gives its id."""

    async def send(key: str = KEY, **changes: Any) -> str:  # noqa: ANN401 - body fields
        reply = await call("POST", VIDEO, key=key, json=anything | changes, headers=ASYNC)
        assert reply.status == 200, reply.body
        return str(reply.json()["output"]["task_id"])

    return send


@pytest.fixture
async def sdk(sandbox: Sandbox) -> AsyncIterator[ModuleType]:
    """The real SDK, its module settings pointed at the sandbox and put back afterwards."""
    before = dashscope.base_http_api_url, dashscope.api_key
    dashscope.base_http_api_url = f"{sandbox.url}/api/v1"
    dashscope.api_key = KEY
    yield dashscope
    dashscope.base_http_api_url, dashscope.api_key = before
    await close_shared_aio_session()
    close_shared_sync_session()


@pytest.fixture
def raw(sandbox: Sandbox) -> Callable[[bytes], Awaitable[bytes]]:
    """Send bytes on a fresh connection, give back everything until it closes or resets."""

    async def send(request: bytes) -> bytes:
        host, _, port = sandbox.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request)
        answer = bytearray()
        try:
            async with asyncio.timeout(5):
                while chunk := await reader.read(65536):
                    answer += chunk
        except ConnectionResetError:
            answer += b"<RESET>"
        finally:
            writer.close()
        return bytes(answer)

    return send
