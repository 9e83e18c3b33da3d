"""The corpus through the real HTTP interface: from the pasted body to the bill."""

import json
from typing import Any

import pytest
from core.usage_corpus import CASES, Case
from harness import Stand, standing

from proxy.core.money import text_of
from proxy.core.usage import read_usage

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


@pytest.mark.parametrize("case", MADE, ids=str)
async def test_a_task_comes_to_the_bill_worked_out_by_hand(case: Case) -> None:
    """Usage crosses untouched, with what was remembered of the request it makes the bill.

    And that is never more than what was to be reserved for the body.
    """
    async with standing() as stand:
        task, answer = await made(stand, await stand.token(tenant="studio"), case)
        assert answer["usage"] == case.usage
        record = await stand.proxy.store.owner(task, "studio")
        assert record is not None
        used = read_usage(answer, record.inputs, record.model)
        assert used is not None
        assert text_of(case.price.cost(used)) == case.amount
        assert case.price.cost(used) <= case.price.dearest(record.model, record.inputs, None)
