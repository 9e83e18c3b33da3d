"""Each refusal of a submit, as four real clients see it: and nobody submits twice.

A submit costs money. Whatever the proxy answers for itself, upstream is asked once at most, and
no client sends its request again.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from dashscope import AsyncClient, Client
from dashscope.aigc.video_synthesis import AioVideoSynthesis, VideoSynthesis
from dashscope.api_entities.aio_session import close_shared_aio_session
from dashscope.v2.errors import DashScopeError
from harness import Stand, standing
from sdk.conftest import Point

from proxy.config.routing import PACKAGED
from proxy.core.policy import digest_of
from proxy.sandbox import Fault

BASE = "/alibailian/api/v1"


# -- the clients ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Refusal:
    """What a client tells its user. `raised` is the v2 client's exception."""

    status: int
    code: str
    message: str
    request_id: str
    raised: str | None = None


Submit: TypeAlias = Callable[[str, str, Mapping[str, object]], Refusal]
"""By base URL and key, which the 1.x surface has got already."""


def _told(answer: Any) -> Refusal:  # noqa: ANN401 - an SDK's answer
    return Refusal(answer.status_code, answer.code, answer.message, answer.request_id)


def _raised(error: DashScopeError) -> Refusal:
    return replace(_told(error), raised=type(error).__name__)


def submit_1x(_url: str, _key: str, body: Mapping[str, object]) -> Refusal:
    return _told(VideoSynthesis.async_call(**body))


def submit_1x_aio(_url: str, _key: str, body: Mapping[str, object]) -> Refusal:
    async def run() -> Refusal:
        try:
            return _told(await AioVideoSynthesis.async_call(**body))
        finally:
            await close_shared_aio_session()

    return asyncio.run(run())


def submit_v2(url: str, key: str, body: Mapping[str, object]) -> Refusal:
    with Client(api_key=key, base_url=url) as client, pytest.raises(DashScopeError) as caught:
        client.videos.jobs.create(**body)
    return _raised(caught.value)


def submit_v2_async(url: str, key: str, body: Mapping[str, object]) -> Refusal:
    async def run() -> Refusal:
        async with AsyncClient(api_key=key, base_url=url) as client:
            with pytest.raises(DashScopeError) as caught:
                await client.videos.jobs.create(**body)
        return _raised(caught.value)

    return asyncio.run(run())


CLIENTS: dict[str, Submit] = {
    "1.x": submit_1x,
    "1.x asyncio": submit_1x_aio,
    "v2": submit_v2,
    "v2 asyncio": submit_v2_async,
}


# -- the tokens ----------------------------------------------------------------------------------


async def good(stand: Stand) -> str:
    return await stand.token()


async def unknown(_: Stand) -> str:
    return "sk-never-made-by-anybody"


async def expired(stand: Stand) -> str:
    return await stand.token(expires=time.time() - 1)


async def revoked(stand: Stand) -> str:
    """Worked once, and was then taken away."""
    token = await stand.token()
    await stand.ask("GET", "/api/v1/tasks", token)
    assert await stand.proxy.store.remove_grant(digest_of(token))
    return token


async def disabled(stand: Stand) -> str:
    """Worked once, and was then switched off."""
    token = await stand.token()
    await stand.ask("GET", "/api/v1/tasks", token)
    grant = await stand.proxy.store.grant(digest_of(token))
    assert grant is not None
    await stand.proxy.store.save_grant(digest_of(token), replace(grant, enabled=False))
    return token


async def for_others(stand: Stand) -> str:
    return await stand.token("wan2.7-*", "WAN2.6-T2V", "wan2.6-t2v-*")


async def after_outage(stand: Stand) -> str:
    """Each of two accounts has refused three connections in a row."""
    token = await stand.token()
    for _ in range(6):
        answer = await stand.ask("POST", "/task/bailian/text2video", token, BODY)
        assert answer.status == 502
    return token


# -- the table -----------------------------------------------------------------------------------

BODY: dict[str, object] = {"model": "wan2.6-t2v", "prompt": "a cat"}
LONG = {**BODY, "prompt": "a cat " * 40}


@dataclass(frozen=True)
class Case:
    """A situation, and what comes of it.

    `{nowhere}` in `env` is an address at which nobody listens, and there `accounts` have their
    upstreams. `asked` is how often upstream hears of it.
    """

    status: int
    code: str
    raised: str
    token: Callable[[Stand], Awaitable[str]] = good
    env: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, object] = field(default_factory=lambda: BODY)
    fault: Fault | None = None
    accounts: tuple[str, ...] = ()
    asked: int = 0


CASES = {
    "unknown token": Case(401, "InvalidApiKey", "AuthenticationError", unknown),
    "expired token": Case(401, "InvalidApiKey", "AuthenticationError", expired),
    "revoked token": Case(401, "InvalidApiKey", "AuthenticationError", revoked),
    "disabled token": Case(401, "InvalidApiKey", "AuthenticationError", disabled),
    "model not allowed": Case(403, "model_not_found", "PermissionDeniedError", for_others),
    "body too large": Case(
        413,
        "BadRequest.TooLarge",
        "RequestTooLargeError",
        env={"PROXY_MAX_BODY": "200"},
        body=LONG,
    ),
    "store unavailable": Case(
        503,
        "ServiceUnavailable",
        "ServiceUnavailableError",
        unknown,
        env={"PROXY_STORE": "redis://{nowhere}"},
    ),
    "no healthy account": Case(
        503,
        "ModelUnavailable",
        "ServiceUnavailableError",
        after_outage,
        accounts=("one", "two"),
    ),
    "connection refused": Case(
        502, "BadGateway", "APIStatusError", env={"PROXY_UPSTREAM": "http://{nowhere}"}
    ),
    "upstream breaks off before the body": Case(
        502, "BadGateway", "APIStatusError", fault=Fault(reset="before", times=None), asked=1
    ),
    "upstream breaks off instead of answering": Case(
        502, "BadGateway", "APIStatusError", fault=Fault(reset="after_request"), asked=1
    ),
    "upstream breaks off in its answer": Case(
        502, "BadGateway", "APIStatusError", fault=Fault(reset="body"), asked=1
    ),
    "upstream does not answer in time": Case(
        504,
        "GatewayTimeout",
        "GatewayTimeoutError",
        env={"PROXY_READ_TIMEOUT": "0.3"},
        fault=Fault(delay=60),
        asked=1,
    ),
}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("name", CASES)
async def test_refused_once(
    name: str, client: str, point: Point, nowhere: str, tmp_path: Path
) -> None:
    """Status, code and a message reach the user; upstream is asked once at most, the proxy once.

    The request id is the one in the proxy's log, the exception the one v2 has for the code.
    """
    case = CASES[name]
    env = {key: value.format(nowhere=nowhere) for key, value in case.env.items()}
    if case.accounts:
        env["PROXY_ROUTES"] = _routes_for(case.accounts, nowhere, tmp_path)
    async with standing(env) as stand:
        token = await case.token(stand)
        if case.fault:
            stand.sandbox.faults.add(case.fault)
        asked, served = len(stand.sandbox.requests), len(stand.requests)
        point(stand.url + BASE, token)
        refusal = await asyncio.to_thread(CLIENTS[client], stand.url + BASE, token, case.body)
        told = stand.requests[served:]
        assert len(stand.sandbox.requests) - asked == case.asked
        assert len(stand.sandbox.tasks) <= case.asked

    assert [line["status"] for line in told] == [case.status]
    raised = case.raised if client.startswith("v2") else None
    assert refusal == Refusal(
        case.status, case.code, refusal.message, str(told[0]["request_id"]), raised
    )
    assert len(refusal.message) > len("because")


def _routes_for(accounts: tuple[str, ...], nowhere: str, folder: Path) -> str:
    """The packaged table with these accounts, none of which can be reached."""
    upstreams = [
        {"name": name, "url": f"http://{nowhere}", "key": {"env": "DASHSCOPE_API_KEY"}}
        for name in accounts
    ]
    path = folder / "routes.yaml"
    path.write_text(f"{PACKAGED.read_text()}\nupstreams: {json.dumps(upstreams)}\n")
    return str(path)
