"""The request samples of public pages work as pasted: only host and token are changed."""

import json
from pathlib import Path

import pytest
from harness import UPSTREAM_KEY, standing
from reference.pages import OWN, PUBLIC, TRANSLATED, Sample, meaning, pages, samples_of
from reference.pages import without_comments as uncommented

from proxy.sandbox import Sandbox

ALL = [sample for page in pages() for sample in samples_of(page)]
UNIFIED = [sample for sample in ALL if sample.page in TRANSLATED]
FOUND = [sample for sample in ALL if sample.page not in TRANSLATED]
RUN = [sample for sample in FOUND if sample.shell_reads_it]

TWINS = ["curl", "fetch", "requests"]
ON_PAGES = {
    OWN: {
        "image2video.txt": TWINS,
        "text2video.txt": TWINS,
        "unified-video.txt": ["curl", "curl"],
        "video-synthesis.txt": ["json", "curl"],
    },
    PUBLIC: {
        "51kik-unified-video-bailian.txt": ["curl", "curl"],
        "crazyrouter-ali-bailian.txt": [],  # shows paths and fields, and no request to run
        "gpt.ge-image2video.txt": TWINS,
        "gpt.ge-text2video.txt": TWINS,
        "kkiai-video-synthesis.txt": ["json", "curl"],
    },
}
BROKEN = {"image2video.txt", "gpt.ge-image2video.txt"}


@pytest.mark.parametrize("folder", [f for f in ON_PAGES if f.exists()], ids=lambda f: f.name)
def test_no_sample_is_overlooked(folder: Path) -> None:
    """Every page of a folder is known, with the samples it shows."""
    found = {
        page.name: [sample.language for sample in samples_of(page)] for page in folder.glob("*.txt")
    }
    assert found == ON_PAGES[folder]


def test_a_sample_no_shell_can_read_has_twins() -> None:
    """Where a page's shell quoting is broken, its JavaScript and Python twins are run."""
    broken = {sample.page for sample in FOUND if not sample.shell_reads_it}
    assert broken == BROKEN & {page.name for page in pages()}
    for page in broken:
        assert [sample.language for sample in RUN if sample.page == page] == ["fetch", "requests"]


@pytest.mark.parametrize("sample", RUN, ids=str)
async def test_a_sample_works_as_pasted(sample: Sample, tmp_path: Path) -> None:
    """It reaches upstream as JSON of the same meaning and length, and makes a task.

    What it sends is seen by running it once without the proxy. No sample asks for a task
    (`X-DashScope-Async`): the proxy does.
    """
    async with Sandbox(keys=[UPSTREAM_KEY]) as recorder:
        await sample.run(recorder.url, UPSTREAM_KEY, tmp_path)
        (sent,) = recorder.requests
    assert (sent.method, sent.path) == ("POST", sample.path)
    assert sent.header("X-DashScope-Async") is None

    async with standing() as stand:
        token = await stand.token()
        status, printed = await sample.run(stand.url, token, tmp_path)
        (received,) = stand.sandbox.requests
        (task,) = stand.sandbox.tasks
        polled = await stand.ask("GET", f"/task/{task.id}", token)

    assert (status, received.header("X-DashScope-Async")) == (0, "enable"), printed
    assert received.path == "/api/v1/services/aigc/video-generation/video-synthesis"
    assert meaning(received.body) == meaning(uncommented(sent.body))
    assert received.header("Content-Length") == sent.header("Content-Length") == str(received.size)
    assert task.id in printed
    assert "PENDING" in printed
    assert (polled.status, json.loads(polled.body)["output"]["task_id"]) == (200, task.id)


@pytest.mark.parametrize("sample", [s for s in RUN if s.language == "requests"], ids=str)
async def test_the_twins_say_the_same(sample: Sample, tmp_path: Path) -> None:
    """A page's JavaScript and Python samples mean the same request."""
    (twin,) = [s for s in RUN if (s.page, s.language) == (sample.page, "fetch")]
    async with Sandbox(keys=[UPSTREAM_KEY]) as recorder:
        await sample.run(recorder.url, UPSTREAM_KEY, tmp_path)
        await twin.run(recorder.url, UPSTREAM_KEY, tmp_path)
        first, second = (meaning(request.body) for request in recorder.requests)
    assert first == second


NATIVE: dict[str, dict[str, object]] = {
    "wan2.1-t2v-turbo": {
        "parameters": {"duration": 5, "watermark": False, "size": "1280*720"},
    },
    "kling-v2-1-turbo": {
        "input": {"media": [{"type": "reference_image", "url": "https://example.com/source.jpg"}]},
        "parameters": {"duration": 5, "resolution": "720P"},
    },
}
"""What upstream must receive of the two samples, beside their model and their prompt."""


@pytest.mark.parametrize("sample", UNIFIED, ids=str)
async def test_a_unified_sample_works_as_pasted(sample: Sample, tmp_path: Path) -> None:
    """It makes a task of the native body it stands for, which the façade and others tell of."""
    async with standing() as stand:
        token = await stand.token()
        status, printed = await sample.run(stand.url, token, tmp_path)
        (received,) = stand.sandbox.requests
        (task,) = stand.sandbox.tasks
        told = [await stand.ask("GET", f"/video/v1/tasks/{task.id}", token) for _ in range(2)]
        native = await stand.ask("GET", f"/task/{task.id}", token)

    assert (status, json.loads(printed)) == (0, {"task_id": task.id}), printed
    assert received.path == "/api/v1/services/aigc/video-generation/video-synthesis"
    assert received.header("X-DashScope-Async") == "enable"
    body = json.loads(received.body)
    prompt = body["input"].pop("prompt")
    assert prompt
    assert json.dumps(prompt) in sample.text
    assert body == {"model": task.model, "input": {}, **NATIVE[task.model]}
    assert [one.json()["task_status"] for one in told] == ["running", "success"]
    ended = json.loads(told[-1].body)
    assert ended["data"][0]["url"] == json.loads(native.body)["output"]["video_url"]


FIELDS = {
    "model": "wan2.5-i2v-preview",
    "input": {
        "prompt": "a cat",
        "negative_prompt": "dogs",
        "img_url": "data:image/png;base64,iVBORw0KGgo=",
        "audio_url": "https://example.com/a.mp3",
        "template": "flying",
    },
    "parameters": {
        "resolution": "480P",
        "duration": 5,
        "prompt_extend": True,
        "watermark": False,
        "audio": True,
        "seed": 7,
    },
}
"""Every field that the page of crazyrouter lists; it shows no body."""


async def test_a_page_of_fields() -> None:
    """All fields of a page without samples cross; a model not allowed is no 404, as it says."""
    submit = "/alibailian/api/v1/services/aigc/video-generation/video-synthesis"
    async with standing() as stand:
        token, other = await stand.token(), await stand.token("wan2.6-*")
        made = await stand.ask("POST", submit, token, FIELDS)
        refused = await stand.ask("POST", submit, other, FIELDS)
        task_id = json.loads(made.body)["output"]["task_id"]
        polled = await stand.ask("GET", f"/alibailian/api/v1/tasks/{task_id}", token)
        assert stand.sandbox.requests[0].json() == FIELDS
        assert [request.method for request in stand.sandbox.requests] == ["POST", "GET"]
    assert (made.status, polled.status) == (200, 200)
    assert (refused.status, refused.json()["code"]) == (403, "model_not_found")
