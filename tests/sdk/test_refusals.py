"""Refusals other than of a submit by an SDK: raw requests, polls, scopes, paths, streams, bugs."""

import asyncio
import gc
import gzip
import io
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import dashscope
import httpx
import pytest
import requests
from conformance.dashscope_rows import VIDEO
from dashscope import Application, Client
from dashscope.aigc.generation import AioGeneration, Generation
from dashscope.aigc.video_synthesis import AioVideoSynthesis, VideoSynthesis
from dashscope.api_entities.aio_session import close_shared_aio_session
from dashscope.files import Files
from dashscope.v2.errors import APIStatusError, DashScopeError
from harness import EVIDENCE, TEXT2VIDEO, UPSTREAM_KEY, Answer, standing
from sdk.conftest import Point
from sdk.views import gist, plain

from proxy.config.settings import load_settings
from proxy.core.policy import Grant
from proxy.edge.gateway import Gateway, Limits
from proxy.edge.health import AccountHealth
from proxy.edge.listener import PublicServer
from proxy.edge.metering import Meter
from proxy.edge.transport import WireUpstream
from proxy.sandbox import Fault, Sandbox
from proxy.stores.memory import MemoryStore
from proxy.telemetry import Metrics, StructuredTelemetry

BASES = ("/alibailian/api/v1", "/task/bailian", "/api/v1")
SUBMITS = (
    "/task/bailian/text2video",
    "/alibailian/api/v1/services/aigc/video-generation/video-synthesis",
    "/api/v1/services/aigc/text-generation/generation",
)


def check_native(answer: Answer, status: int, code: str) -> None:
    """Three non-empty strings, as JSON, that no client sends its request again for."""
    told = answer.json()
    assert (answer.status, told.get("code")) == (status, code), answer
    assert told.keys() == {"code", "message", "request_id"}
    assert all(isinstance(text, str) and text for text in told.values())
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-proxy-request-id"] == told["request_id"]
    assert answer.headers["x-should-retry"] == "false"


# -- what no SDK sends ---------------------------------------------------------------------------

CREDENTIALS: dict[str, dict[str, str]] = {
    "none": {},
    "no token": {"Authorization": "Bearer "},
    "another scheme": {"Authorization": "Basic c2stdG9rZW4="},
    "two words": {"Authorization": "Bearer sk-one sk-two"},
    "in another field": {"X-Api-Key": "sk-one"},
}


@pytest.mark.parametrize("path", SUBMITS)
@pytest.mark.parametrize("name", CREDENTIALS)
async def test_no_token(name: str, path: str) -> None:
    """Without one bearer token there is nothing to be had, and upstream hears nothing."""
    async with standing() as stand:
        check_native(
            await stand.ask("POST", path, None, TEXT2VIDEO, CREDENTIALS[name]),
            401,
            "InvalidApiKey",
        )
        assert stand.sandbox.requests == []


GOOD = json.dumps(TEXT2VIDEO).encode()
INPUT = b'"input":{"prompt":"a"}'
ILLEGAL, EMPTY = "BadRequest.IllegalInput", "BadRequest.EmptyModel"

BODIES: dict[str, tuple[bytes, str]] = {
    "no body": (b"", ILLEGAL),
    "not JSON": (b"model=wan2.6-t2v", ILLEGAL),
    "half a body": (GOOD[:-10], ILLEGAL),
    "something behind it": (GOOD + b"x", ILLEGAL),
    "not UTF-8": (GOOD.replace(b"kitten", b"\xff"), ILLEGAL),
    "UTF-16": (GOOD.decode().encode("utf-16"), ILLEGAL),
    "two models": (b'{"model":"wan2.6-t2v","model":"wan2.6-t2v",' + INPUT + b"}", ILLEGAL),
    "a model at the end too": (b'{"model":"wan2.6-t2v",' + INPUT + b',"model":"x"}', ILLEGAL),
    "an escaped name": (b'{"model":"wan2.6-t2v",' + INPUT + rb',"mod\u0065l":"x"}', ILLEGAL),
    "no model": (b"{" + INPUT + b"}", EMPTY),
    "an empty model": (b'{"model":"",' + INPUT + b"}", EMPTY),
    "no string": (b'{"model":["wan2.6-t2v"],' + INPUT + b"}", EMPTY),
    "null": (b'{"model":null,' + INPUT + b"}", EMPTY),
}


@pytest.mark.parametrize("path", SUBMITS)
@pytest.mark.parametrize("name", BODIES)
async def test_a_body_that_cannot_be_judged(name: str, path: str) -> None:
    """It is refused as 400, and upstream never holds a whole document."""
    body, code = BODIES[name]
    async with standing() as stand:
        check_native(await stand.ask("POST", path, await stand.token(), body), 400, code)
        assert not any(request.complete for request in stand.sandbox.requests)
        assert len(stand.sandbox.tasks) == 0


@pytest.mark.parametrize("path", SUBMITS)
async def test_a_compressed_body(path: str) -> None:
    """Nobody judges what nobody can read: 415, and upstream hears nothing."""
    async with standing() as stand:
        packed = {"Content-Encoding": "gzip"}
        answer = await stand.ask("POST", path, await stand.token(), gzip.compress(GOOD), packed)
        check_native(answer, 415, "UnsupportedMediaType")
        assert stand.sandbox.requests == []


async def test_an_empty_model_of_the_v2_client() -> None:
    """The 1.x surface stops it by itself; v2 sends it and gets 400, once."""
    async with standing() as stand:
        token = await stand.token()

        def submit() -> object:
            with (
                Client(api_key=token, base_url=f"{stand.url}/api/v1") as client,
                pytest.raises(DashScopeError) as caught,
            ):
                client.videos.jobs.create(**VIDEO | {"model": ""})
            return plain(caught.value)

        told = await asyncio.to_thread(submit)
        assert gist([told]) == "BadRequestError 400 BadRequest.EmptyModel"
        assert (len(stand.requests), stand.sandbox.requests) == (1, [])


# -- tasks of nobody and of somebody else --------------------------------------------------------


def aio(call: Any) -> Any:  # noqa: ANN401 - a coroutine of the SDK, and its answer
    async def run() -> Any:  # noqa: ANN401 - the SDK's answer
        try:
            return await call
        finally:
            await close_shared_aio_session()

    return asyncio.run(run())


def v2(use: Callable[[Any], object]) -> object:
    """Use a client where the 1.x surface points; what it raises is its answer."""
    with Client(api_key=dashscope.api_key, base_url=dashscope.base_http_api_url) as client:
        try:
            return use(client)
        except DashScopeError as error:
            return error


ON_A_TASK: dict[str, tuple[Callable[[str], Any], str]] = {
    "VideoSynthesis.fetch": (VideoSynthesis.fetch, "400 task_not_exist"),
    "VideoSynthesis.wait": (VideoSynthesis.wait, "400 task_not_exist"),
    "VideoSynthesis.cancel": (VideoSynthesis.cancel, "400 task_not_exist"),
    "AioVideoSynthesis.fetch": (
        lambda task_id: aio(AioVideoSynthesis.fetch(task_id)),
        "400 task_not_exist",
    ),
    "AioVideoSynthesis.wait": (
        lambda task_id: aio(AioVideoSynthesis.wait(task_id)),
        "400 task_not_exist",
    ),
    "AioVideoSynthesis.cancel": (
        lambda task_id: aio(AioVideoSynthesis.cancel(task_id)),
        "400 task_not_exist",
    ),
    "Client fetch": (
        lambda task_id: v2(lambda client: client.videos.jobs.fetch(task_id)),
        "BadRequestError 400 task_not_exist",
    ),
    "Client wait": (
        lambda task_id: v2(lambda client: client.images.jobs.wait(task_id)),
        "BadRequestError 400 task_not_exist",
    ),
    "Client cancel": (
        lambda task_id: v2(lambda client: client.videos.jobs.cancel(task_id)),
        "BadRequestError 400 task_not_exist",
    ),
}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("name", ON_A_TASK)
async def test_a_task_of_somebody_else_is_unknown(name: str, base: str, point: Point) -> None:
    """Every client is told the same of both, at once and for good; upstream is not asked."""
    act, expected = ON_A_TASK[name]
    async with standing() as stand:
        foreign = await stand.submit(await stand.token())
        point(stand.url + base, await stand.token())
        asked = len(stand.sandbox.requests)
        told = [
            plain(await asyncio.to_thread(act, task_id), stand.sandbox.url)
            for task_id in (foreign, foreign[::-1])
        ]
        assert len(stand.sandbox.requests) == asked
    ids = [answer.pop("request_id", "other") for answer in told]
    assert all(ids)
    assert gist(told[:1]) == expected
    assert told[0] == told[1]


# -- scopes and paths ----------------------------------------------------------------------------

WHOLE_ACCOUNT: dict[str, tuple[Callable[[], Any], str]] = {
    "Files.list": (Files.list, "403 AccessDenied"),
    "Deployments.list": (dashscope.Deployments.list, "403 AccessDenied"),
    "FineTunes.list": (dashscope.FineTunes.list, "403 AccessDenied"),
    "Application.call": (
        lambda: Application.call(app_id="app", prompt="hi"),
        "403 AccessDenied",
    ),
    "Client.files": (
        lambda: v2(lambda client: client.files.list()),
        "PermissionDeniedError 403 AccessDenied",
    ),
    "Client.fine_tunes": (
        lambda: v2(lambda client: client.fine_tunes.list()),
        "PermissionDeniedError 403 AccessDenied",
    ),
    "Client.apps": (
        lambda: v2(lambda client: client.apps.completions.create(app_id="app", prompt="hi")),
        "PermissionDeniedError 403 AccessDenied",
    ),
}


@pytest.mark.parametrize("base", ["/alibailian/api/v1", "/api/v1"])
@pytest.mark.parametrize("name", WHOLE_ACCOUNT)
async def test_the_whole_account_is_out_of_reach(name: str, base: str, point: Point) -> None:
    """What acts on the whole account is 403 for a tenant, however it is asked."""
    call, expected = WHOLE_ACCOUNT[name]
    async with standing() as stand:
        point(stand.url + base, await stand.token())
        told = plain(await asyncio.to_thread(call), stand.sandbox.url)
        assert (len(stand.requests), stand.sandbox.requests) == (1, [])
    assert gist([told]) == expected


@pytest.mark.parametrize("base", ["", "/alibailian", "/v1", "/alibailian/v1"])
async def test_a_wrong_base_is_404(base: str, point: Point) -> None:
    """Both generations read that there is no such path, and which is the nearest."""
    async with standing() as stand:
        point(stand.url + base, await stand.token())

        def submit() -> list[Any]:
            old = VideoSynthesis.async_call(**VIDEO)
            return [old, v2(lambda client: client.videos.jobs.create(**VIDEO))]

        told = plain(await asyncio.to_thread(submit))
        assert (len(stand.requests), stand.sandbox.requests) == (2, [])
    assert gist(told) == "404 NotFound, NotFoundError 404 NotFound"
    assert all("services/aigc/video-generation/video-synthesis" in rsp["message"] for rsp in told)


@pytest.mark.parametrize("base", ["/alibailian/api/v1", "/api/v1", "/alibailian", ""])
@pytest.mark.parametrize(
    ("protocol", "code", "right"),
    [
        ("openai", "NotFound", "/compatible-mode/v1/chat/completions"),
        ("anthropic", "not_found_error", "/apps/anthropic/v1/messages"),
    ],
)
async def test_another_protocol_on_a_native_base(
    protocol: str, code: str, right: str, base: str
) -> None:
    """The v2 client sends every protocol to the base it was given: told the right path."""
    async with standing() as stand:
        token = await stand.token()

        def chat() -> object:
            options = {"api_key": token, "base_url": stand.url + base, "protocol": protocol}
            with Client(**options) as client, pytest.raises(DashScopeError) as caught:
                client.chat.completions.create(model="qwen-plus", messages="hi", max_tokens=9)
            return plain(caught.value)

        told = await asyncio.to_thread(chat)
        assert (len(stand.requests), stand.sandbox.requests) == (1, [])
    assert gist([told]) == f"NotFoundError 404 {code}"
    assert f"No such path; use {right}." in str(told)


async def test_a_wrong_method_is_405() -> None:
    """The answer says which methods there are."""
    rows = [
        ("GET", "/task/bailian/text2video", "POST"),
        ("PUT", "/alibailian/api/v1/tasks/some-id", "GET"),
        ("DELETE", "/api/v1/tasks", "GET"),
        ("GET", "/api/v1/services/aigc/video-generation/video-synthesis", "POST"),
        ("POST", "/api/v1/uploads", "GET"),
    ]
    async with standing() as stand:
        token = await stand.token()
        for method, path, allowed in rows:
            answer = await stand.ask(method, path, token)
            assert (answer.status, answer.json()["code"]) == (405, "MethodNotAllowed")
            assert answer.headers["allow"] == allowed
        assert stand.sandbox.requests == []


# -- upstream's own errors -----------------------------------------------------------------------

THEIRS: dict[int, tuple[str, Mapping[str, str], str]] = {
    401: ("InvalidApiKey", {}, "AuthenticationError"),
    403: ("AccessDenied.Unpurchased", {}, "PermissionDeniedError"),
    429: ("Throttling.RateQuota", {"Retry-After": "7"}, "RateLimitError"),
    500: ("InternalError.Algo", {}, "InternalServerError"),
    503: ("ModelServingError", {}, "ServiceUnavailableError"),
}


@pytest.mark.parametrize("status", THEIRS)
async def test_upstreams_own_errors_cross_untouched(status: int, point: Point) -> None:
    """Bytes, status, `Retry-After`; the clients see what upstream says.

    Only where it does not say that no task was made they are told not to send it again.
    """
    code, headers, raised = THEIRS[status]
    body = '{"message" : "因为",  "code":"%s", "request_id":"their-own"}' % code  # noqa: UP031 - braces
    fault = Fault(status=status, body=body, headers=headers, times=None)

    async with standing() as stand:
        stand.sandbox.faults.add(fault)
        token = await stand.token()
        answer = await stand.ask("POST", SUBMITS[0], token, TEXT2VIDEO)
        assert (answer.status, answer.body.decode()) == (status, body)
        assert answer.headers.get("x-should-retry") == ("false" if status >= 500 else None)
        assert answer.headers.get("retry-after") == headers.get("Retry-After")

        def submit(url: str, key: str) -> list[Any]:
            with Client(api_key=key, base_url=url, max_retries=0) as client:
                try:
                    new = client.videos.jobs.create(**VIDEO)
                except DashScopeError as error:
                    new = error
            return [VideoSynthesis.async_call(**VIDEO), new]

        told = []
        for url, key in (
            (f"{stand.sandbox.url}/api/v1", UPSTREAM_KEY),
            (f"{stand.url}/api/v1", token),
        ):
            point(url, key)
            asked = len(stand.sandbox.requests)
            told.append(plain(await asyncio.to_thread(submit, url, key)))
            assert len(stand.sandbox.requests) - asked == 2
    direct, proxied = told
    assert proxied == direct
    assert gist(proxied) == f"{status} {code}, {raised} {status} {code}"


# -- streams that have begun ---------------------------------------------------------------------


def stream_1x(prompt: str) -> list[Any]:
    return list(Generation.call("qwen-plus", prompt=prompt, stream=True))


def stream_1x_aio(prompt: str) -> list[Any]:
    async def run() -> list[Any]:
        try:
            parts = await AioGeneration.call("qwen-plus", prompt=prompt, stream=True)
            return [part async for part in parts]
        finally:
            await close_shared_aio_session()

    return asyncio.run(run())


def stream_v2(prompt: str) -> list[Any]:
    parts: list[Any] = []
    with Client(api_key=dashscope.api_key, base_url=dashscope.base_http_api_url) as client:
        stream = client.chat.completions.create(model="qwen-plus", messages=prompt, stream=True)
        try:
            parts.extend(stream)
        except APIStatusError as error:
            parts.append(error)
    return parts


BROKEN = {
    "1.x": requests.exceptions.ChunkedEncodingError,
    "1.x asyncio": aiohttp.ClientError,
    "v2": httpx.TransportError,
}
STREAMS: dict[str, tuple[Callable[[str], list[Any]], str]] = {
    "1.x": (stream_1x, "3 parts to 400 GatewayTimeout"),
    "1.x asyncio": (stream_1x_aio, "3 parts to 400 GatewayTimeout"),
    "v2": (stream_v2, "3 parts to GatewayTimeoutError 200 GatewayTimeout"),
}


@pytest.mark.parametrize("client", STREAMS)
async def test_a_stream_that_stops(client: str, point: Point) -> None:
    """Two frames and silence: what came stays, and an error frame that every client reads."""
    read, expected = STREAMS[client]
    async with standing({"PROXY_READ_TIMEOUT": "0.5"}) as stand:
        stand.sandbox.faults.add(Fault(hold=asyncio.Event(), hold_after=2))
        point(f"{stand.url}/alibailian/api/v1", await stand.token())
        told = plain(await asyncio.to_thread(read, "hello"))
        assert (len(stand.requests), len(stand.sandbox.requests)) == (1, 1)
        assert stand.requests[0]["code"] == "GatewayTimeout"
    assert gist([told]) == expected


@pytest.mark.parametrize("client", STREAMS)
async def test_a_stream_cut_within_a_frame(
    client: str, point: Point, caplog: pytest.LogCaptureFixture
) -> None:
    """Half a frame cannot be mended: the connection breaks off, and no client takes it for done.

    It is upstream's failure, and no error of ours for asyncio to report.
    """
    read, _ = STREAMS[client]
    async with standing() as stand:
        stand.sandbox.faults.add(Fault(reset="body", chunk_bytes=37))
        point(f"{stand.url}/alibailian/api/v1", await stand.token())
        with pytest.raises(BROKEN[client]):
            await asyncio.to_thread(read, "five frames, so half is amid one")
        assert len(stand.sandbox.requests) == 1
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


# -- a bug of ours -------------------------------------------------------------------------------


class BuggyStore(MemoryStore):
    """A store with a bug that quotes what it was given, as bugs do."""

    async def grant(self, digest: str) -> Grant | None:
        raise LookupError(f"no page for {digest}")


@asynccontextmanager
async def buggy() -> AsyncIterator[tuple[str, io.StringIO, Sandbox]]:
    """A public port whose store fails in a way nobody foresaw."""
    log = io.StringIO()
    telemetry = StructuredTelemetry(Metrics(), console=False, stream=log)
    upstream = WireUpstream(connect_timeout=1)
    settings = load_settings({"DASHSCOPE_API_KEY": UPSTREAM_KEY, "PROXY_STORE": "memory:"})
    limits = Limits(2**20, 2**20, body_timeout=5, read_timeout=5, write_timeout=5)
    store = BuggyStore()
    gateway = Gateway(
        settings.routing.table,
        settings.accounts,
        store,
        upstream,
        telemetry,
        limits,
        AccountHealth(["default"]),
        meter=Meter(store, settings.routing.prices, telemetry),
    )
    public = PublicServer(gateway.handle, telemetry)
    async with Sandbox(keys=[UPSTREAM_KEY]) as sandbox:
        with socket.create_server(("127.0.0.1", 0)) as bound:
            await upstream.open()
            await public.start([bound], backlog=100)
            try:
                yield f"http://127.0.0.1:{bound.getsockname()[1]}", log, sandbox
            finally:
                await public.stop()
                await upstream.close()
                EVIDENCE.written.append(log.getvalue().encode())


async def test_a_bug_of_ours(point: Point) -> None:
    """It is 500 in every client's words, sent once, and told in the log and nowhere else."""
    async with buggy() as (url, log, sandbox):
        point(f"{url}/api/v1", "sk-anything")

        def submit() -> list[Any]:
            old = VideoSynthesis.async_call(**VIDEO)
            return [old, v2(lambda client: client.videos.jobs.create(**VIDEO))]

        told = plain(await asyncio.to_thread(submit))
        assert sandbox.requests == []
        lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert gist(told) == "500 InternalError, InternalServerError 500 InternalError"
    assert [line["event"] for line in lines] == ["bug", "request"] * 2
    assert {line["error"] for line in lines[::2]} == {"LookupError"}
    assert "no page" not in json.dumps(told)
