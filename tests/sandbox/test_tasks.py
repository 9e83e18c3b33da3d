"""The task desk, spoken to over HTTP and through the real SDK."""

import asyncio
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any, TypeAlias

import pytest
from dashscope.aigc.video_synthesis import AioVideoSynthesis

from proxy.sandbox import Sandbox

Call: TypeAlias = Callable[..., Awaitable[Any]]
Submit: TypeAlias = Callable[..., Awaitable[str]]

KEY, OTHER_KEY = "sk-one", "sk-two"


async def test_a_task_walks_from_pending_to_succeeded(call: Call, submit: Submit) -> None:
    """With zero task seconds every poll moves a task on by one state, to a result and a bill."""
    task_id = await submit()
    running = (await call("GET", f"/api/v1/tasks/{task_id}")).json()
    assert running["output"]["task_status"] == "RUNNING"
    assert "usage" not in running
    ended = (await call("GET", f"/api/v1/tasks/{task_id}/")).json()
    assert ended["output"]["task_status"] == "SUCCEEDED"
    assert ended["usage"]["duration"] == 5
    result = await call("GET", ended["output"]["video_url"], key=None)
    assert (result.status, result.headers["content-type"]) == (200, "video/mp4")


async def test_unknown_is_an_answer_not_an_error(call: Call, submit: Submit) -> None:
    """An id never given and another account's id read UNKNOWN with 200, echoing the id."""
    foreign = await submit(key=OTHER_KEY)
    for task_id in (foreign, "never-given"):
        reply = await call("GET", f"/api/v1/tasks/{task_id}")
        assert reply.status == 200
        assert reply.json()["output"] == {"task_id": task_id, "task_status": "UNKNOWN"}


async def test_only_a_pending_task_can_be_cancelled(call: Call, submit: Submit) -> None:
    """Cancel answers a bare request id while PENDING, then 400 UnsupportedOperation."""
    task_id = await submit()
    assert list((await call("POST", f"/api/v1/tasks/{task_id}/cancel")).json()) == ["request_id"]
    polled = (await call("GET", f"/api/v1/tasks/{task_id}")).json()
    assert polled["output"]["task_status"] == "CANCELED"
    running = await submit()
    await call("GET", f"/api/v1/tasks/{running}")
    for late in (running, task_id, "never-given"):
        reply = await call("POST", f"/api/v1/tasks/{late}/cancel/", json={"model": "", "input": ""})
        assert (reply.status, reply.json()["code"]) == (400, "UnsupportedOperation")


async def test_a_foreign_task_cannot_be_cancelled(
    call: Call, submit: Submit, sandbox: Sandbox
) -> None:
    """Another account's cancel is refused and changes nothing."""
    task_id = await submit(key=OTHER_KEY)
    assert (await call("POST", f"/api/v1/tasks/{task_id}/cancel")).status == 400
    assert [sandbox.tasks.status(task) for task in sandbox.tasks] == ["PENDING"]


async def test_the_list_shows_the_whole_account(call: Call, submit: Submit) -> None:
    """The bare list gives every task of the account with its account ids, newest first."""
    first, second = await submit(), await submit(model="wan2.6-i2v")
    await submit(key=OTHER_KEY)
    page = (await call("GET", "/api/v1/tasks/")).json()
    assert [row["task_id"] for row in page["data"]] == [second, first]
    assert page["data"][0]["caller_uid"]
    assert page["data"][0]["user_api_unique_key"].endswith(":video-synthesis:wan2.6-i2v")
    filtered = (await call("GET", "/api/v1/tasks?model_name=wan2.6-t2v&page_size=1")).json()
    assert [row["task_id"] for row in filtered["data"]] == [first]
    assert (filtered["total"], filtered["total_page"]) == (1, 1)


async def test_the_ledger_counts_what_was_created(submit: Submit, sandbox: Sandbox) -> None:
    """`created` counts submits by account and model, for comparison with the proxy's records."""
    await submit()
    await submit()
    await submit(key=OTHER_KEY, model="wan2.6-i2v")
    assert dict(sandbox.tasks.created) == {
        (KEY, "wan2.6-t2v"): 2,
        (OTHER_KEY, "wan2.6-i2v"): 1,
    }


async def test_a_prompt_can_ask_for_failure(call: Call, submit: Submit) -> None:
    """`sandbox:fail` and `sandbox:inspect` end FAILED with HTTP 200 and without usage."""
    for word, code in (
        ("sandbox:fail", "InternalError.Algo"),
        ("sandbox:inspect", "DataInspectionFailed"),
    ):
        task_id = await submit(input={"prompt": f"please {word} now"})
        await call("GET", f"/api/v1/tasks/{task_id}")
        reply = await call("GET", f"/api/v1/tasks/{task_id}")
        assert reply.status == 200
        assert reply.json()["output"]["task_status"] == "FAILED"
        assert reply.json()["output"]["code"] == code
        assert "usage" not in reply.json()


def _video(sdk: ModuleType) -> dict[str, Any]:
    job = sdk.VideoSynthesis.async_call(model="wan2.6-t2v", prompt="a cat")
    listed = sdk.VideoSynthesis.list(model_name="wan2.6-t2v")
    done = sdk.VideoSynthesis.wait(job)
    late = sdk.VideoSynthesis.cancel(job)
    fresh = sdk.VideoSynthesis.async_call(model="wan2.2-kf2v-flash", prompt="a cat")
    cancelled = sdk.VideoSynthesis.cancel(fresh)
    return {
        "submitted": job.output.task_status,
        "listed": [row["task_id"] for row in listed.output["data"]] == [job.output.task_id],
        "done": (done.output.task_status, done.usage.video_count, bool(done.output.video_url)),
        "late": (late.status_code, late.code),
        "cancelled": (cancelled.status_code, sdk.VideoSynthesis.fetch(fresh).output.task_status),
    }


async def test_video_synthesis_of_the_sdk(sdk: ModuleType) -> None:
    """The SDK submits, lists, waits and cancels; its kf2v goes to the other path by itself."""
    assert await asyncio.to_thread(_video, sdk) == {
        "submitted": "PENDING",
        "listed": True,
        "done": ("SUCCEEDED", 1, True),
        "late": (400, "UnsupportedOperation"),
        "cancelled": (200, "CANCELED"),
    }


async def test_video_call_waits_for_the_result(sdk: ModuleType) -> None:
    """`VideoSynthesis.call` submits and polls until the video is there."""
    done = await asyncio.to_thread(
        sdk.VideoSynthesis.call, model="wan2.7-i2v", prompt="a cat", size="1280*720"
    )
    assert (done.output.task_status, done.usage["SR"]) == ("SUCCEEDED", 720)


@pytest.mark.usefixtures("sdk")
async def test_the_asyncio_classes_add_a_slash(sandbox: Sandbox) -> None:
    """Polls and cancels of the SDK's asyncio classes end in a slash and work."""
    job = await AioVideoSynthesis.async_call(model="wan2.6-t2v", prompt="a cat")
    assert (await AioVideoSynthesis.fetch(job)).output.task_status == "RUNNING"
    await AioVideoSynthesis.cancel(job)
    assert [entry.path.endswith("/") for entry in sandbox.requests] == [False, True, True]
