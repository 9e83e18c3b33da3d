"""Which path takes which method, mode, model and slash; and that no input breaks it."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.sandbox.answers import Answer, RefusalError
from proxy.sandbox.api import Api, services
from proxy.sandbox.ask import Ask
from proxy.sandbox.customization import SHELVES, Customization
from proxy.sandbox.ledger import Ledger
from proxy.sandbox.quota import QueryQuota
from proxy.sandbox.record import ReceivedRequest
from proxy.sandbox.resources import Resources
from proxy.sandbox.tasks import TaskDesk
from proxy.sandbox.uploads import Uploads

Call: TypeAlias = Callable[..., Awaitable[Any]]

ASYNC = {"X-DashScope-Async": "enable"}
SERVICES = "/api/v1/services/"
V = "aigc/video-generation/video-synthesis"
I = "aigc/image2video/video-synthesis"  # noqa: E741 - the protocol file's name for this path
TEXT = "aigc/text-generation/generation"
BODY: dict[str, Any] = {"model": "m", "input": {"prompt": "a"}}


@pytest.mark.parametrize(
    "path", [V, I, "audio/asr/transcription", "aigc/text2image/image-synthesis"]
)
async def test_async_only(call: Call, path: str) -> None:
    """Without the async header a path that only makes tasks is 403."""
    reply = await call("POST", SERVICES + path, json=BODY)
    assert (reply.status, reply.json()["code"]) == (403, "AccessDenied")
    assert reply.json()["message"] == "current user api does not support synchronous calls."


@pytest.mark.parametrize("path", [TEXT, "aigc/multimodal-generation/generation"])
async def test_sync_only(call: Call, path: str) -> None:
    """With the async header a path that makes none is 403."""
    reply = await call("POST", SERVICES + path, json=BODY, headers=ASYNC)
    assert (reply.status, reply.json()["code"]) == (403, "AccessDenied")
    assert "does not support asynchronous calls" in reply.json()["message"]


HOMES = [
    ("wan2.2-kf2v-flash", V, 400),
    ("wan2.2-kf2v-flash", I, 200),
    ("wan2.2-kf2v-flash", f"{I}/", 200),
    ("wanx2.1-kf2v-plus", V, 400),
    ("wan2.2-animate-mix", V, 400),
    ("wan2.7-i2v", I, 400),
    ("pixverse/pixverse-v6-kf2v", V, 200),
    ("never-heard-of", I, 200),
]


@pytest.mark.parametrize(("model", "path", "status"), HOMES)
async def test_path_and_model_agree(call: Call, model: str, path: str, status: int) -> None:
    """A family sent to the other video path gets the classic url error."""
    reply = await call("POST", SERVICES + path, json=BODY | {"model": model}, headers=ASYNC)
    assert reply.status == status
    if status == 400:
        answer = reply.json()
        assert (answer["code"], answer["message"][:9]) == ("InvalidParameter", "url error")


SLASHES = [
    ("aigc/background-generation/generation/", 200),
    ("aigc/background-generation/generation", 404),
    ("aigc/image2video/aa-template-generation/", 200),
    ("aigc/virtualmodel/generation/", 200),
    (f"{V}/", 404),
]


@pytest.mark.parametrize(("path", "status"), SLASHES)
async def test_slashes_count(call: Call, path: str, status: int) -> None:
    """A slash at the end is demanded, allowed or refused, and never redirected."""
    reply = await call("POST", SERVICES + path, json=BODY, headers=ASYNC)
    assert reply.status == status


REFUSED: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("GET", "/api/v1/nowhere", {}, 404, "NotFound"),
    ("GET", "/api/v2/apps/agent/x", {}, 404, "NotFound"),
    ("GET", SERVICES + TEXT, {}, 400, "InvalidParameter"),
    ("DELETE", "/api/v1/tasks/x", {}, 400, "InvalidParameter"),
    ("POST", SERVICES + TEXT, {"data": b"{"}, 400, "BadRequest.IllegalInput"),
    ("POST", SERVICES + TEXT, {"data": b'{"model":"m"} // why'}, 400, "BadRequest.IllegalInput"),
    ("POST", SERVICES + TEXT, {"data": b'{"model":"m","x":NaN}'}, 400, "BadRequest.IllegalInput"),
    ("POST", SERVICES + TEXT, {"data": b"[]"}, 400, "BadRequest.IllegalInput"),
    ("POST", SERVICES + TEXT, {"data": b"\xff\xfe"}, 400, "BadRequest.IllegalInput"),
    ("POST", SERVICES + TEXT, {"json": {"input": {}}}, 400, "BadRequest.EmptyModel"),
    ("POST", SERVICES + TEXT, {"json": {"model": ""}}, 400, "BadRequest.EmptyModel"),
    ("POST", SERVICES + TEXT, {}, 400, "BadRequest.EmptyModel"),
    ("POST", SERVICES + TEXT, {"json": {"model": "m"}}, 400, "BadRequest.EmptyInput"),
]


@pytest.mark.parametrize(("method", "path", "options", "status", "code"), REFUSED)
async def test_refusals_are_native(
    call: Call, method: str, path: str, options: dict[str, Any], status: int, code: str
) -> None:
    """Every refusal is three non-empty strings in JSON, the id also in a header."""
    reply = await call(method, path, **options)
    assert (reply.status, reply.json()["code"]) == (status, code)
    assert reply.headers["content-type"] == "application/json"
    assert all(isinstance(value, str) and value for value in reply.json().values())
    assert reply.json()["request_id"] == reply.headers["x-request-id"]


async def test_unknown_fields_are_tolerated(call: Call) -> None:
    """SDKs add fields of their own; nobody minds."""
    body = BODY | {"resources": [], "what": {"is": "this"}}
    assert (await call("POST", SERVICES + TEXT, json=body)).status == 200


def _api() -> Api:
    def clock() -> float:
        return 1_000_000.0

    ledger = Ledger(0, clock)
    uploads = Uploads(lambda: "http://localhost/oss/", clock)
    desk = TaskDesk(ledger, str, clock, QueryQuota(None, clock))
    return Api(desk, uploads, Customization(clock), Resources(clock), str)


PATHS = [path.replace("[/]", "") for path in services(Customization(float))]
WORDS = """
    prompt messages content text texts contents documents query action n top_n dimension size
    duration resolution page_size page_index file_urls file_url image voice_id prefix target_model
"""
NAMES = st.sampled_from(WORDS.split())
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("create")
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4)
)
MODELS = st.sampled_from([*SHELVES, "qwen-image", "qwen3-tts-flash", "wan2.7-t2v", "wan2.6-t2v"])


@given(
    path=st.sampled_from(PATHS),
    model=MODELS,
    body=st.fixed_dictionaries({"input": VALUES, "parameters": VALUES}),
    headers=st.lists(
        st.sampled_from([("X-DashScope-Async", "enable"), ("X-DashScope-SSE", "enable")]),
        max_size=2,
    ),
)
def test_no_input_breaks_an_endpoint(
    path: str, model: str, body: dict[str, Any], headers: list[tuple[str, str]]
) -> None:
    """Whatever the JSON, the outcome is an answer or a refusal, also when its task is polled."""
    api = _api()

    def ask(method: str, where: str, sent: dict[str, Any]) -> Answer | None:
        received = ReceivedRequest(method, f"/api/v1/{where}", tuple(headers))
        try:
            return api.answer(Ask("sk", "id", 0.0, method, where, {}, received, sent))
        except RefusalError:
            return None

    answer = ask("POST", path, {"model": model} | body)
    if answer is not None and b'"task_id":"' in answer.pieces[0]:
        task_id = answer.pieces[0].split(b'"task_id":"')[1][:36].decode()
        for _ in range(2):
            assert ask("GET", f"tasks/{task_id}", {}) is not None
