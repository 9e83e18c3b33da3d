"""What tasks other than videos answer when they are done."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any, TypeAlias

import pytest
from dashscope.aigc.image_generation import ImageGeneration

from proxy.sandbox.outputs import beijing

Call: TypeAlias = Callable[..., Awaitable[Any]]

ASYNC = {"X-DashScope-Async": "enable"}
SERVICES = "/api/v1/services/"


async def _finished(call: Call, path: str, body: dict[str, Any]) -> dict[str, Any]:
    reply = await call("POST", SERVICES + path, json=body, headers=ASYNC)
    assert reply.status == 200, reply.body
    task = reply.json()["output"]["task_id"]
    await call("GET", f"/api/v1/tasks/{task}")
    done: dict[str, Any] = (await call("GET", f"/api/v1/tasks/{task}")).json()
    assert done["output"]["task_status"] == "SUCCEEDED"
    return done


def test_times_are_beijing_without_a_zone() -> None:
    """Times read `YYYY-MM-DD hh:mm:ss.SSS`, eight hours east of Greenwich."""
    assert beijing(0.25) == "1970-01-01 08:00:00.250"


async def test_poll_times(call: Call) -> None:
    """A finished task carries all three times."""
    body = {"model": "wan2.6-t2v", "input": {"prompt": "a"}}
    done = await _finished(call, "aigc/video-generation/video-synthesis", body)
    for name in ("submit_time", "scheduled_time", "end_time"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", done["output"][name])


IMAGE_PATHS = [
    "aigc/text2image/image-synthesis",
    "aigc/image2image/image-synthesis",
    "aigc/image2image/image-synthesis/",
    "aigc/image2image/out-painting",
    "aigc/background-generation/generation/",
    "aigc/virtualmodel/generation",
    "aigc/wordart/texture",
    "aigc/wordart/semantic",
]


@pytest.mark.parametrize("path", IMAGE_PATHS)
async def test_image_tasks(call: Call, path: str) -> None:
    """Image tasks give one result each and bill what came out."""
    body = {"model": "wanx-v1", "input": {"prompt": "a"}, "parameters": {"n": 2}}
    done = await _finished(call, path, body)
    assert len(done["output"]["results"]) == 2
    assert done["output"]["task_metrics"] == {"TOTAL": 2, "SUCCEEDED": 2, "FAILED": 0}
    assert done["usage"] == {"image_count": 2}


async def test_partial_success(call: Call) -> None:
    """`sandbox:partial` fails the last item; only the good ones are billed."""
    body = {"model": "m", "input": {"prompt": "sandbox:partial"}, "parameters": {"n": 3}}
    done = await _finished(call, "aigc/text2image/image-synthesis", body)
    assert set(done["output"]["results"][-1]) == {"code", "message"}
    assert done["usage"] == {"image_count": 2}


async def test_transcription_by_file(call: Call) -> None:
    """Each file of `file_urls` fares alone; the result link leads to a transcript."""
    urls = ["https://example.com/a.wav", "https://example.com/sandbox:inspect.wav"]
    body = {"model": "paraformer-v2", "input": {"file_urls": urls}}
    done = await _finished(call, "audio/asr/transcription", body)
    good, bad = done["output"]["results"]
    assert (good["file_url"], good["subtask_status"]) == (urls[0], "SUCCEEDED")
    assert (bad["code"], bad["subtask_status"]) == ("DataInspectionFailed", "FAILED")
    transcript = await call("GET", good["transcription_url"], key=None)
    assert json.loads(transcript.body)["transcripts"][0]["text"]
    assert done["usage"] == {"duration": 1}


OTHERS = [
    ("audio/asr/transcription", {"file_url": "https://example.com/a.wav"}, "result"),
    ("embeddings/text-embedding/text-embedding", {"url": "https://example.com/a.txt"}, "url"),
    ("aigc/image2video/aa-template-generation/", {"video_url": "v"}, "template_id"),
    ("aigc/video-generation/3d-generation", {"prompt": "a chair"}, "results"),
]


@pytest.mark.parametrize(("path", "given", "field"), OTHERS, ids=[case[0] for case in OTHERS])
async def test_other_tasks(call: Call, path: str, given: dict[str, str], field: str) -> None:
    """Every other kind has its own field for the result, and a usage."""
    done = await _finished(call, path, {"model": "m", "input": given})
    assert done["output"][field]
    assert done["usage"]


def _images(sdk: ModuleType) -> tuple[Any, Any]:
    old = sdk.ImageSynthesis.call(model="wan2.2-t2i-flash", prompt="a cat", n=2)
    message = {"role": "user", "content": [{"text": "a cat"}]}
    job = ImageGeneration.async_call(model="wan2.6-image", messages=[message], n=2)
    new = ImageGeneration.wait(job)
    return old, new


async def test_images_of_the_sdk(sdk: ModuleType) -> None:
    """`ImageSynthesis` reads results, `ImageGeneration` reads choices."""
    old, new = await asyncio.to_thread(_images, sdk)
    assert [bool(result.url) for result in old.output.results] == [True, True]
    assert old.usage.image_count == 2
    assert len(new.output.choices) == 2
    assert new.output.choices[0].message.content[0]["image"].startswith("http")


async def test_transcription_of_the_sdk(sdk: ModuleType) -> None:
    """`Transcription.call` waits until every file has its subtask status."""
    done = await asyncio.to_thread(
        sdk.audio.asr.Transcription.call,
        model="paraformer-v2",
        file_urls=["https://example.com/a.wav"],
    )
    assert done.output.results[0]["subtask_status"] == "SUCCEEDED"
