"""The sandbox as a whole: its life, its accounts, what it keeps."""

import asyncio
import hashlib
import io
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import aiohttp
import pytest

from proxy.sandbox import Sandbox
from proxy.sandbox.record import KEPT_BODY

Call: TypeAlias = Callable[..., Awaitable[Any]]
Raw: TypeAlias = Callable[[bytes], Awaitable[bytes]]

KEY = "sk-one"
VIDEO = "/api/v1/services/aigc/video-generation/video-synthesis"
ASYNC = {"X-DashScope-Async": "enable"}
MIB = 1024 * 1024


async def test_a_sandbox_starts_and_stops() -> None:
    """Its URL exists between start and stop; stopping twice is fine."""
    sandbox = Sandbox()
    with pytest.raises(RuntimeError):
        sandbox.url  # noqa: B018 - the access is the test
    assert repr(sandbox) == "<Sandbox not started, 0 requests, 0 tasks>"
    await sandbox.start()
    assert sandbox.url.startswith("http://127.0.0.1:")
    await sandbox.stop()
    await sandbox.stop()


async def test_answers_repeat() -> None:
    """With a clock and ids given, the same questions get the same answers, byte for byte."""

    async def told() -> bytes:
        ids = iter(range(100))
        async with (
            Sandbox(clock=lambda: 1e9, ids=lambda: uuid.UUID(int=next(ids))) as sandbox,
            aiohttp.ClientSession() as session,
        ):
            body = {"model": "wan2.6-t2v", "input": {"prompt": "a cat"}}
            headers = {"Authorization": "Bearer sk-sandbox", **ASYNC}
            async with session.post(sandbox.url + VIDEO, json=body, headers=headers) as answer:
                return await answer.read()

    assert await told() == await told()


AUTHORIZATIONS = [
    (None, "No API-key provided."),
    ("", "No API-key provided."),
    ("Basic c2stb25lOg==", "No API-key provided."),
    ("Bearer sk-wrong", "Invalid API-key provided."),
]


@pytest.mark.parametrize(("value", "message"), AUTHORIZATIONS)
async def test_a_wrong_key(call: Call, value: str | None, message: str) -> None:
    """No key and a wrong key are both 401 InvalidApiKey, with a message each."""
    headers = {} if value is None else {"Authorization": value}
    reply = await call("GET", "/api/v1/models", key=None, headers=headers)
    assert reply.status == 401
    assert (reply.json()["code"], reply.json()["message"]) == ("InvalidApiKey", message)


async def test_the_scheme_is_spelled_as_you_like(call: Call) -> None:
    """`bearer` is as good as `Bearer`."""
    reply = await call(
        "GET", "/api/v1/models", key=None, headers={"Authorization": f"bearer {KEY}"}
    )
    assert reply.status == 200


async def test_with_no_keys_every_key_is_good(call: Call) -> None:
    """A sandbox without keys takes any key as an account of its own."""
    async with Sandbox(keys=()) as open_house:
        url = f"{open_house.url}/api/v1/tasks"
        assert (await call("GET", url, key="sk-whatever")).status == 200
        assert (await call("GET", url, key=None)).status == 401


async def test_the_request_is_kept_as_it_came(sandbox: Sandbox, raw: Raw) -> None:
    """Target, header order and spelling are those on the wire."""
    await raw(
        b"GET /api/v1/tasks/%2e%2E/x?a=%41&&b HTTP/1.1\r\nHost: h\r\nx-ODD-name: 1\r\n"
        b"X-Odd-Name: 2\r\nConnection: close\r\n\r\n"
    )
    (entry,) = sandbox.requests
    assert (entry.method, entry.target) == ("GET", "/api/v1/tasks/%2e%2E/x?a=%41&&b")
    assert entry.headers == (
        ("Host", "h"),
        ("x-ODD-name", "1"),
        ("X-Odd-Name", "2"),
        ("Connection", "close"),
    )
    assert (entry.framing, entry.size, entry.complete, entry.answered) == ("none", 0, True, True)


async def _long(size: int) -> AsyncIterator[bytes]:
    yield b'{"model":"wan2.6-i2v","input":{"img_url":"'
    for _ in range(size // MIB):
        yield b"A" * MIB
    yield b'"}}'


async def test_a_huge_body_costs_no_memory(call: Call, sandbox: Sandbox) -> None:
    """Over the parse limit the model is found at either end, and little is kept."""
    reply = await call("POST", VIDEO, data=_long(64 * MIB), headers=ASYNC)
    assert reply.status == 200
    entry = sandbox.requests[-1]
    assert (entry.framing, entry.complete) == ("chunked", True)
    assert entry.size > 64 * MIB
    assert len(entry.body) == entry.kept == KEPT_BODY
    assert sandbox.tasks.created[KEY, "wan2.6-i2v"] == 1
    digest = hashlib.sha256()
    async for chunk in _long(64 * MIB):
        digest.update(chunk)
    assert entry.sha256 == digest.hexdigest()


async def test_a_model_at_the_far_end_of_a_huge_body(call: Call, sandbox: Sandbox) -> None:
    """The last MiB is searched too."""
    body = io.BytesIO(b'{"input":{"x":"' + b"A" * (9 * MIB) + b'"},"model":"wan2.6-t2v"}')
    assert (await call("POST", VIDEO, data=body, headers=ASYNC)).status == 200
    assert sandbox.tasks.created[KEY, "wan2.6-t2v"] == 1


async def test_a_client_that_breaks_off_is_seen(sandbox: Sandbox) -> None:
    """A body that stops short leaves an entry that is hung up and not complete."""
    host, _, port = sandbox.url.removeprefix("http://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /api/v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf")
    entry = await sandbox.received(lambda entry: entry.size == 4)
    assert not entry.complete
    writer.close()
    entry = await sandbox.received(lambda entry: entry.hung_up)
    assert (entry.complete, entry.answered, entry.body) == (False, False, b"half")


async def test_expect_continue(raw: Raw) -> None:
    """A client that waits for leave to send its body gets it."""
    answer = await raw(
        b"POST /api/v1/tokenizer HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer sk-one\r\n"
        b"Content-Length: 42\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
        b'{"model":"m","input":{"prompt":"one two"}}'
    )
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


async def test_nonsense_framing_is_refused(sandbox: Sandbox, raw: Raw) -> None:
    """A broken chunk ends the request; it never counts as complete."""
    await raw(
        b"POST /api/v1/tokenizer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    )
    assert not any(entry.complete for entry in sandbox.requests)


async def test_links_can_be_given_another_name(call: Call) -> None:
    """`public_url` is what result and upload links begin with."""
    async with Sandbox(keys=(KEY,), public_url="http://sandbox.example") as sandbox:
        url = f"{sandbox.url}/api/v1/uploads?action=getPolicy&model=m"
        host = (await call("GET", url)).json()["data"]["upload_host"]
        assert host == "http://sandbox.example/oss/"


@pytest.mark.parametrize("status", [None, 503])
async def test_an_outage(call: Call, sandbox: Sandbox, status: int | None) -> None:
    """Connections are refused, or all is answered with one status; then all is as before.

    Open connections are closed, the port stays its own, other faults stay in force.
    """
    url = sandbox.url
    assert (await call("GET", "/api/v1/models")).status == 200
    async with sandbox.outage(status):
        for _ in range(3):
            if status is None:
                with pytest.raises(aiohttp.ClientConnectorError):
                    await call("GET", f"{url}/api/v1/models")
            else:
                assert (await call("GET", f"{url}/api/v1/models")).status == status
        lasting = sandbox.faults.add(status=418)
    assert sandbox.url == url
    assert (await call("GET", "/api/v1/models")).status == lasting.status
    assert (await call("GET", "/api/v1/models")).status == 200
