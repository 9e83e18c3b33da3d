"""The real `anthropic` client: directly and through the proxy it sees the same."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import anthropic
import pytest
from harness import UPSTREAM_KEY, standing
from sdk.anthropic_calls import CALLS, CLIENTS, HELLO, ask
from sdk.protocols import Call, Client, called, failed, played, settled

from proxy.sandbox import Sandbox

BASES = ["/apps/anthropic", "/alibailian/apps/anthropic"]
UPSTREAM_BASE = BASES[0]


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("kind", CLIENTS)
async def test_the_same_directly_and_through_the_proxy(kind: str, base: str) -> None:
    """Each call's value, stream or exception; ids and times apart, which differ from run to run."""
    make = CLIENTS[kind]
    async with standing() as stand, Sandbox(keys=[UPSTREAM_KEY]) as direct:
        expected = await played(make, direct.url + UPSTREAM_BASE, UPSTREAM_KEY, CALLS)
        assert await played(make, stand.url + base, await stand.token(), CALLS) == expected
        refused = {name for name, told in expected.items() if "raised" in told}
        assert refused == {name for name in CALLS if name.startswith("upstream refuses")}


@pytest.mark.parametrize("kind", CLIENTS)
async def test_models_are_the_tokens_own(kind: str) -> None:
    """All pages together hold what the token may use; any other model is as good as none."""
    async with standing() as stand:
        token, url = await stand.token("qwen*"), stand.url + BASES[1]
        listed = await called(CLIENTS[kind], url, token, CALLS["models"])
        names = [model["id"] for model in listed]
        assert len(names) > 8
        assert all(name.startswith("qwen") for name in names)
        error = await failed(
            CLIENTS[kind],
            url,
            token,
            lambda client: settled(client.models.retrieve("wan2.6-t2v")),
        )
        assert isinstance(error, anthropic.PermissionDeniedError)


# -- refusals ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Refusal:
    """A call, what it raises, and the type that the exception has."""

    call: Call
    raises: type[anthropic.APIStatusError]
    kind: str
    base: str = BASES[0]
    models: tuple[str, ...] = ("*",)
    key: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)


REFUSALS: Mapping[str, Refusal] = {
    "no such token": Refusal(
        ask, anthropic.AuthenticationError, "authentication_error", key="sk-nobody"
    ),
    "forbidden model": Refusal(
        ask, anthropic.PermissionDeniedError, "permission_error", models=("wan*",)
    ),
    "forbidden model, stream": Refusal(
        CALLS["stream"], anthropic.PermissionDeniedError, "permission_error", models=("wan*",)
    ),
    "forbidden model, tokens": Refusal(
        CALLS["tokens"], anthropic.PermissionDeniedError, "permission_error", models=("wan*",)
    ),
    "forbidden model of a tool": Refusal(
        lambda client: ask(client, tools=[{"type": "advisor", "model": "qwen-max"}]),
        anthropic.PermissionDeniedError,
        "permission_error",
        models=("qwen-plus",),
    ),
    "no model": Refusal(
        lambda client: ask(client, model=""), anthropic.BadRequestError, "invalid_request_error"
    ),
    "stored container": Refusal(
        lambda client: ask(client, extra_body={"container": "c_1"}),
        anthropic.PermissionDeniedError,
        "permission_error",
    ),
    "batches": Refusal(
        lambda client: settled(client.messages.batches.list()),
        anthropic.PermissionDeniedError,
        "permission_error",
    ),
    "wrong base": Refusal(ask, anthropic.NotFoundError, "not_found_error", base="/api/v1"),
    "version twice": Refusal(
        ask, anthropic.NotFoundError, "not_found_error", base="/apps/anthropic/v1"
    ),
    "too large": Refusal(
        ask,
        anthropic.RequestTooLargeError,
        "invalid_request_error",
        env={"PROXY_MAX_BODY": "20"},
    ),
    "upstream is down": Refusal(
        ask,
        anthropic.InternalServerError,
        "api_error",
        env={"PROXY_UPSTREAM": "http://{nowhere}"},
    ),
}


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("name", REFUSALS)
async def test_a_refusal_is_an_exception_with_its_reasons(
    name: str, kind: str, nowhere: str
) -> None:
    """Class, type and id as the client reads them; asked once, though it likes to retry."""
    row = REFUSALS[name]
    env = {key: value.format(nowhere=nowhere) for key, value in row.env.items()}
    async with standing(env) as stand:
        key = row.key or await stand.token(*row.models)
        error = await failed(CLIENTS[kind], stand.url + row.base, key, row.call)
        assert type(error) is row.raises
        assert isinstance(error, anthropic.APIStatusError)
        (line,) = stand.requests
        assert stand.sandbox.requests == []
    assert (error.request_id, error.status_code) == (line["request_id"], line["status"])
    assert error.type == row.kind
    assert isinstance(error.body, dict)
    assert error.body["request_id"] == error.request_id


async def test_two_different_credentials_are_refused() -> None:
    """A good token beside another one is not a good token."""
    async with standing() as stand:
        token, other = await stand.token(), await stand.token()
        error = await failed(
            lambda url, key: anthropic.Anthropic(
                base_url=url, api_key=key, default_headers={"X-Api-Key": other}
            ),
            stand.url + BASES[0],
            token,
            ask,
        )
        assert isinstance(error, anthropic.AuthenticationError)
        assert stand.sandbox.requests == []


async def heard_until_broken(client: Client) -> object:
    """How a stream ended."""
    count = 0
    stream = await settled(
        client.messages.create(model="qwen-plus", max_tokens=9, messages=HELLO, stream=True)
    )
    try:
        if isinstance(stream, anthropic.Stream):
            for _ in stream:
                count += 1
        else:
            async for _ in stream:
                count += 1
    except anthropic.APIStatusError as error:
        return error.type
    except Exception as error:  # noqa: BLE001 - its client lets its transport's own one out
        return type(error).__name__
    return f"ended after {count}"


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("framed", [True, False])
async def test_a_stream_that_breaks_is_an_exception(kind: str, *, framed: bool) -> None:
    """Between two events the error event tells why; within one only the connection can."""
    frame = b'event: ping\ndata: {"type": "ping"}\n\n'
    part = frame if framed else frame[:-3]
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    async with standing() as stand:
        stand.sandbox.faults.add(wire=head + b"%x\r\n%b\r\n" % (len(part), part))
        token = await stand.token()
        seen = await called(CLIENTS[kind], stand.url + BASES[0], token, heard_until_broken)
        assert seen == ("api_error" if framed else "RemoteProtocolError")
        assert len(stand.sandbox.requests) == 1
