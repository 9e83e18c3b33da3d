"""The corpus through the real HTTP interface: from the pasted body to the bill."""

import json
from decimal import Decimal
from typing import Any

import pytest
from core.usage_corpus import CASES, FLAT, IMAGE, MODEL_3D, SPEECH, Case
from harness import Stand, standing
from stores.harness import eventually

from proxy.core.money import text_of
from proxy.core.prices import Price, PriceList
from proxy.core.settlement import Basis, Kind, UsageRecord
from proxy.core.usage import Used

SYNTHESIS = "/alibailian/api/v1/services/aigc/{}/video-synthesis"
FROM_IMAGES = ("wan2.2-kf2v", "wan2.2-animate", "wan2.2-s2v", "emo", "liveportrait", "videoretalk")
"""Beginnings of models that upstream serves on the older of the two paths."""

MADE = [case for case in CASES if case.made_by is not None]


async def made(stand: Stand, token: str, case: Case) -> tuple[str, dict[str, Any]]:
    """The id of a task made as the case says, and the answer to the poll that hears its end."""
    assert case.made_by is not None
    parameters, videos = case.made_by
    media = [{"type": "reference_video", "url": "https://example.com/a.mp4"}] * videos
    given = {"prompt": "a cat", "media": [{"type": "first_frame", "url": "x"}, *media]}
    body = {"model": case.model, "input": given, "parameters": parameters}
    kind = "image2video" if case.model.startswith(FROM_IMAGES) else "video-generation"
    submitted = await stand.ask("POST", SYNTHESIS.format(kind), token, body)
    assert submitted.status == 200, submitted.body
    task = json.loads(submitted.body)["output"]["task_id"]
    while True:
        answer = json.loads((await stand.ask("GET", f"/task/{task}", token)).body)
        if answer["output"]["task_status"] not in {"PENDING", "RUNNING"}:
            return task, answer


async def billed(stand: Stand) -> UsageRecord:
    """The one record that is written, behind the answer."""

    async def is_written() -> bool:
        return bool(await stand.proxy.store.records("", 1))

    await eventually(is_written)
    ((_, record),) = await stand.proxy.store.records("", 10)
    return record


@pytest.mark.parametrize("case", MADE, ids=str)
async def test_a_task_comes_to_the_bill_worked_out_by_hand(case: Case) -> None:
    """Usage crosses untouched, and one record says what was used, and what a person computes.

    And that is never more than what was to be reserved for the body.
    """
    async with standing(prices=PriceList("CNY", prices=(case.price,))) as stand:
        task, answer = await made(stand, await stand.token(tenant="studio"), case)
        assert answer["usage"] == case.usage
        owned = await stand.proxy.store.owner(task, "studio")
        assert owned is not None
        record = await billed(stand)
        assert (record.id, record.kind, record.tenant, record.model) == (
            *(task, Kind.TASK, "studio", case.model),
        )
        assert (record.used, record.basis, record.currency) == (case.used, Basis.USAGE, "CNY")
        assert text_of(record.amount) == case.amount
        assert record.amount <= case.price.dearest(owned.model, owned.inputs, None)


SERVICES = "/api/v1/services/"
IMAGE_TEXTS = [{"role": "user", "content": [{"text": "a"}, {"image": "x"}, {"image": "y"}]}]
OTHERS: list[tuple[str, str, dict[str, Any], Used, Price, str]] = [
    (
        "aigc/video-generation/3d-generation",
        "tripo/tripo-v3",
        {"input": {"prompt": "a"}},
        Used(images=1),
        MODEL_3D,
        "2.5",  # 1 x 2.5
    ),
    (
        "aigc/image2image/image-synthesis",
        "wanx2.1-imageedit",
        {"input": {"prompt": "sandbox:partial"}, "parameters": {"n": 4}},
        Used(images=3),
        IMAGE,
        "0.6",  # one of four failed: 3 x 0.2
    ),
    (
        "aigc/multimodal-generation/generation",
        "qwen-image-2.0-pro",
        {"input": {"messages": IMAGE_TEXTS}, "parameters": {"n": 2, "size": "1024*1024"}},
        Used(lines=768, images=2),
        IMAGE,
        "0.4",  # 2 made x 0.2, the 2 given are not billed
    ),
    (
        "audio/tts/SpeechSynthesizer",
        "cosyvoice-v3",
        {"input": {"text": "twenty-six characters here"}},
        Used(characters=26),
        SPEECH,
        "0.0208",  # 26 x 0.8 / 1000
    ),
    (
        "audio/music/generation",
        "fun-music-v1",
        {"input": {"prompt": "a"}},
        Used(seconds=Decimal(1)),
        FLAT,
        "0.1",  # 1 s x 0.1
    ),
    (
        "audio/asr/transcription",
        "paraformer-v2",
        {"input": {"file_urls": ["https://example.com/a.wav", "https://example.com/b.wav"]}},
        Used(seconds=Decimal(2)),
        FLAT,
        "0.2",  # 2 s x 0.1
    ),
    (
        "aigc/image2video/face-detect",
        "emo-detect-v1",
        {"input": {"image_url": "x"}},
        Used(images=1),
        IMAGE,
        "0.2",  # 1 x 0.2
    ),
]


@pytest.mark.parametrize(("path", "model", "more", "used", "price", "amount"), OTHERS)
async def test_what_is_no_video(
    path: str, model: str, more: dict[str, Any], used: Used, price: Price, amount: str
) -> None:
    """Models of things, images, speech, music, recordings, checks: at once or as a task."""
    async with standing(prices=PriceList("CNY", prices=(price,))) as stand:
        token = await stand.token()
        answer = await stand.ask("POST", SERVICES + path, token, {"model": model, **more})
        told = json.loads(answer.body)
        while told["output"].get("task_status", "SUCCEEDED") != "SUCCEEDED":
            task = told["output"]["task_id"]
            told = json.loads((await stand.ask("GET", f"/task/{task}", token)).body)
        record = await billed(stand)
        assert (record.model, record.used, record.basis) == (model, used, Basis.USAGE)
        assert text_of(record.amount) == amount
