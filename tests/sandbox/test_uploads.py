"""Temporary uploads: the policy, the object POST, and who may use what came."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import aiohttp
import pytest
from dashscope import Client

from proxy.sandbox import Sandbox

Call: TypeAlias = Callable[..., Awaitable[Any]]

KEY, OTHER_KEY = "sk-one", "sk-two"
MODEL = "wan2.6-i2v"
VIDEO = "/api/v1/services/aigc/video-generation/video-synthesis"
RESOLVE = {"X-DashScope-Async": "enable", "X-DashScope-OssResourceResolve": "enable"}


async def _policy(call: Call, model: str = MODEL) -> dict[str, Any]:
    reply = await call("GET", f"/api/v1/uploads?action=getPolicy&model={model}")
    policy: dict[str, Any] = reply.json()["data"]
    return policy


def _form(
    policy: dict[str, Any], changes: dict[str, str | None] | None = None, file: bytes = b"x"
) -> aiohttp.FormData:
    """The fields a client posts, in order, the file last; a change to None leaves one out."""
    fields: dict[str, str | None] = {
        "OSSAccessKeyId": policy["oss_access_key_id"],
        "Signature": policy["signature"],
        "policy": policy["policy"],
        "key": f"{policy['upload_dir']}/cat.png",
        "x-oss-object-acl": policy["x_oss_object_acl"],
        "x-oss-forbid-overwrite": policy["x_oss_forbid_overwrite"],
        "success_action_status": "200",
    } | (changes or {})
    form = aiohttp.FormData()
    for name, value in fields.items():
        if value is not None:
            form.add_field(name, value)
    form.add_field("file", io.BytesIO(file), filename="cat.png")
    return form


async def _stored(call: Call, model: str = MODEL) -> str:
    policy = await _policy(call, model)
    reply = await call("POST", policy["upload_host"], key=None, data=_form(policy))
    assert (reply.status, reply.body) == (200, b"")
    return f"oss://{policy['upload_dir']}/cat.png"


async def test_the_policy_is_wrapped_in_data(call: Call, sandbox: Sandbox) -> None:
    """GetPolicy answers under `data`, and its host is the sandbox itself."""
    policy = await _policy(call)
    assert policy["upload_host"].startswith(sandbox.url)
    assert policy["expire_in_seconds"] == 300
    assert (await call("GET", "/api/v1/uploads?action=getPolicy")).status == 400


async def test_an_upload_can_be_used(call: Call) -> None:
    """An object posted under a policy resolves for its account and model."""
    body = {"model": MODEL, "input": {"img_url": await _stored(call)}}
    assert (await call("POST", VIDEO, json=body, headers=RESOLVE)).status == 200


MISUSES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("without the resolve header", {"headers": {"X-DashScope-Async": "enable"}}, {}),
    ("by another account", {"key": OTHER_KEY}, {}),
    ("for another model", {}, {"model": "wan2.5-i2v-preview"}),
    ("under another name", {}, {"input": {"img_url": "oss://dashscope-instant/no/such"}}),
]


@pytest.mark.parametrize(
    ("options", "changes"), [m[1:] for m in MISUSES], ids=[m[0] for m in MISUSES]
)
async def test_an_upload_cannot_be_used(
    call: Call, options: dict[str, Any], changes: dict[str, Any]
) -> None:
    """`oss://` is bound to header, account, model and name; else 400 InvalidParameter."""
    body = {"model": MODEL, "input": {"img_url": await _stored(call)}} | changes
    reply = await call("POST", VIDEO, json=body, **({"headers": RESOLVE} | options))
    assert (reply.status, reply.json()["code"]) == (400, "InvalidParameter")


BAD_FORMS = [
    ({"Signature": "wrong"}, 403, b"SignatureDoesNotMatch"),
    ({"key": "elsewhere/cat.png"}, 403, b"AccessDenied"),
    ({"policy": None}, 400, b"policy"),
]


@pytest.mark.parametrize(("changes", "status", "word"), BAD_FORMS)
async def test_the_object_store_checks_the_form(
    call: Call, changes: dict[str, str | None], status: int, word: bytes
) -> None:
    """A form that does not fit its policy is refused in XML."""
    policy = await _policy(call)
    form = _form(policy, changes)
    reply = await call("POST", policy["upload_host"], key=None, data=form)
    assert reply.status == status
    assert reply.body.startswith(b"<?xml")
    assert word in reply.body


async def test_objects_are_not_overwritten(call: Call) -> None:
    """The second POST of a key is 409."""
    policy = await _policy(call)
    statuses = [
        (await call("POST", policy["upload_host"], key=None, data=_form(policy))).status
        for _ in range(2)
    ]
    assert statuses == [200, 409]


async def test_policies_and_objects_expire() -> None:
    """A policy is good for 300 seconds, an object for 48 hours."""
    now = [1_000_000.0]
    async with (
        Sandbox(keys=(KEY,), clock=lambda: now[0]) as sandbox,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session,
    ):

        async def call(method: str, path: str, **more: Any) -> int:  # noqa: ANN401 - aiohttp's own options
            async with session.request(method, path, **more) as reply:
                return reply.status

        url = f"{sandbox.url}/api/v1/uploads?action=getPolicy&model={MODEL}"
        async with session.get(url) as reply:
            policy = (await reply.json())["data"]
        now[0] += 299
        assert await call("POST", policy["upload_host"], data=_form(policy)) == 200
        late = _form(policy, {"key": f"{policy['upload_dir']}/late.png"})
        now[0] += 2
        assert await call("POST", policy["upload_host"], data=late) == 403
        video = {
            "json": {"model": MODEL, "input": {"img_url": f"oss://{policy['upload_dir']}/cat.png"}},
            "headers": RESOLVE,
        }
        assert await call("POST", sandbox.url + VIDEO, **video) == 200
        now[0] += 48 * 3600
        assert await call("POST", sandbox.url + VIDEO, **video) == 400


async def test_a_large_file_is_taken_without_being_held(call: Call, sandbox: Sandbox) -> None:
    """Only the head of a large file is held; the size counts all of it."""
    policy = await _policy(call)
    form = _form(policy, file=b"\0" * (12 * 1024 * 1024))
    assert (await call("POST", policy["upload_host"], key=None, data=form)).status == 200
    (stored,) = sandbox.uploads.objects.values()
    assert stored.size > 12 * 1024 * 1024
    assert sandbox.requests[-1].kept <= 1024 * 1024


def _talk_about(sdk: ModuleType, picture: Path) -> Any:  # noqa: ANN401 - the SDK ships no types
    content = [{"image": picture.as_uri()}, {"text": "what is this?"}]
    return sdk.MultiModalConversation.call(
        "qwen-vl-plus", messages=[{"role": "user", "content": content}]
    )


async def test_a_local_file_through_the_sdk(
    sdk: ModuleType, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The SDK fetches a policy, posts the file and sends `oss://` with the resolve header."""
    picture = tmp_path / "cat.png"
    picture.write_bytes(b"\x89PNG")
    answer = await asyncio.to_thread(_talk_about, sdk, picture)
    words = answer.output.choices[0].message.content
    assert words == [{"text": "The sandbox heard: what is this?"}]
    policy, posted, asked = sandbox.requests
    assert policy.target.endswith("/uploads?action=getPolicy&model=qwen-vl-plus")
    assert posted.header("Authorization") is None
    assert asked.header("X-DashScope-OssResourceResolve") == "enable"


def _film(url: str, picture: Path) -> str:
    with Client(api_key=KEY, base_url=f"{url}/api/v1") as client:
        job = client.videos.jobs.create(model=MODEL, prompt="move", image_url=str(picture))
        return str(job.status)


async def test_a_local_file_through_the_v2_client(sandbox: Sandbox, tmp_path: Path) -> None:
    """The v2 client takes a plain path and does the same."""
    picture = tmp_path / "cat.png"
    picture.write_bytes(b"\x89PNG")
    assert await asyncio.to_thread(_film, sandbox.url, picture) == "PENDING"
