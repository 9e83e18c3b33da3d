"""What an SDK is told differently behind the proxy, on purpose: whatever spans the account."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import dashscope
import pytest
from dashscope import Client
from dashscope.aigc.image_synthesis import AioImageSynthesis, ImageSynthesis
from dashscope.aigc.video_synthesis import AioVideoSynthesis, VideoSynthesis
from dashscope.audio.asr import VocabularyService
from dashscope.audio.asr.vocabulary import VocabularyServiceException
from dashscope.models import Models
from dashscope.v2.errors import DashScopeError
from harness import UPSTREAM_KEY, Stand, standing
from sdk.conftest import Point

from proxy.core.policy import ACCOUNT, INFERENCE

BASES = ("/alibailian/api/v1", "/task/bailian", "/api/v1")
VIDEO = {"model": "wan2.6-t2v", "prompt": "a cat"}

LISTS: dict[str, Callable[..., Any]] = {
    "VideoSynthesis": VideoSynthesis.list,
    "ImageSynthesis": ImageSynthesis.list,
    "AioVideoSynthesis": lambda **filters: asyncio.run(AioVideoSynthesis.list(**filters)),
    "AioImageSynthesis": lambda **filters: asyncio.run(AioImageSynthesis.list(**filters)),
}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("name", LISTS)
async def test_a_list_holds_the_tenants_own_tasks(name: str, base: str, point: Point) -> None:
    """Upstream's paging and fields, for the tenant's own tasks, without the account's ids."""
    list_tasks = LISTS[name]
    async with standing() as stand:
        mine, theirs = await stand.token(), await stand.token()
        await stand.submit(theirs)
        ids = [await stand.submit(mine), await stand.submit(mine)]

        point(f"{stand.sandbox.url}/api/v1", UPSTREAM_KEY)
        account = await asyncio.to_thread(list_tasks)
        point(stand.url + base, mine)
        told = await asyncio.to_thread(list_tasks)
        filtered = await asyncio.to_thread(list_tasks, status="SUCCEEDED", page_size=1)

    assert (account.output["total"], told.output["total"]) == (3, 2)
    assert told.keys() == account.keys()
    assert told.output.keys() == account.output.keys()
    assert (told.status_code, told.code, bool(told.request_id)) == (200, None, True)
    rows = told.output["data"]
    assert [row["task_id"] for row in rows] == ids[::-1]
    named = account.output["data"][0]
    assert rows[0].items() >= {"status": "PENDING", "model_name": "wan2.6-t2v"}.items()
    assert rows[0]["request_id"] == named["request_id"]
    assert named.keys() - rows[0].keys() == {
        "caller_parent_id",
        "caller_uid",
        "region",
        "user_api_unique_key",
    }
    assert {name: type(rows[0][name]) for name in rows[0]} == {
        name: type(named[name]) for name in rows[0]
    }
    assert (filtered.output["total"], filtered.output["data"]) == (0, [])


@pytest.mark.parametrize("base", BASES)
async def test_a_list_in_the_v2_client(base: str) -> None:
    """It counts the tenant's own tasks; the rows it looks for elsewhere, upstream as here."""
    async with standing() as stand:
        mine, theirs = await stand.token(), await stand.token()
        await stand.submit(theirs)
        await stand.submit(mine)

        def totals(url: str, key: str) -> tuple[int, list[object]]:
            with Client(api_key=key, base_url=url) as client:
                page = client.videos.jobs.list()
                return page.total, page.tasks

        direct = await asyncio.to_thread(totals, f"{stand.sandbox.url}/api/v1", UPSTREAM_KEY)
        assert direct == (2, [])
        assert await asyncio.to_thread(totals, stand.url + base, mine) == (1, [])


@dataclass(frozen=True)
class Seen:
    """The catalogue as one generation shows it: what is listed, and what `get` says of names."""

    listed: list[str]
    total: int
    got: Sequence[object]


NAMES = ("wan2.6-t2v", "qwen-plus", "no-such-model")


def seen_by_1x(url: str, key: str) -> Seen:
    """The 1.x surface takes its base from the module alone."""
    assert (dashscope.base_http_api_url, dashscope.api_key) == (url, key)
    page = Models.list(page_size=100).output
    got = [Models.get(name) for name in NAMES]
    names = [entry["model"] for entry in page["models"]]
    return Seen(names, page["total"], [(rsp.status_code, rsp.output) for rsp in got])


def seen_by_v2(url: str, key: str) -> Seen:
    with Client(api_key=key, base_url=url) as client:
        page = client.models.list(page_size=100)
        got = [_v2_get(client, name) for name in NAMES]
        return Seen([model.model for model in page.models], page.total_count, got)


def _v2_get(client: Any, name: str) -> tuple[str, ...]:  # noqa: ANN401 - an SDK client
    try:
        model = client.models.get(name)
    except DashScopeError as error:
        return type(error).__name__, str(error.code)
    return model.model, model.provider


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("look", [seen_by_1x, seen_by_v2])
async def test_the_catalogue_is_narrowed(
    look: Callable[[str, str], Seen], base: str, point: Point
) -> None:
    """The allowed models as upstream describes them; any other is as good as non-existent."""
    allowed = {"wan2.6-t2v", "wan2.6-i2v", "wan2.6-i2v-flash", "wan2.6-t2i", "MiniMax/MiniMax-H3"}
    async with standing() as stand:
        ways = [
            (f"{stand.sandbox.url}/api/v1", UPSTREAM_KEY),
            (stand.url + base, await stand.token("wan2.6-*", "MiniMax/MiniMax-H3")),
        ]
        seen = []
        for url, key in ways:
            point(url, key)
            seen.append(await asyncio.to_thread(look, url, key))
    direct, told = seen
    assert told.listed == [name for name in direct.listed if name in allowed]
    assert told.total == len(allowed) < direct.total
    shown, _, nothing = direct.got
    assert told.got == [shown, nothing, nothing]


@pytest.mark.parametrize("base", BASES)
async def test_vocabularies_of_everybody_need_the_account(base: str, point: Point) -> None:
    """`VocabularyService` may make one for an allowed model; listing reaches everybody's."""
    async with standing() as stand:
        tenant = await stand.token("speech-biasing", "paraformer-v2")
        whole = await stand.token(scopes=(INFERENCE, ACCOUNT))

        def try_all() -> tuple[str, str, str]:
            service = VocabularyService()
            made = service.create_vocabulary("paraformer-v2", "mine", [{"text": "a"}])
            with pytest.raises(VocabularyServiceException) as listing:
                service.list_vocabularies()
            with pytest.raises(VocabularyServiceException) as other:
                service.create_vocabulary("fun-asr", "mine", [{"text": "a"}])
            return str(made), str(listing.value), str(other.value)

        point(stand.url + base, tenant)
        made, listing, other = await asyncio.to_thread(try_all)
        seen = _actions(stand)
        point(stand.url + base, whole)
        rows = await asyncio.to_thread(VocabularyService().list_vocabularies)
    assert seen == ["create_vocabulary"]
    assert "AccessDenied" in listing
    assert "model_not_found" in other
    assert [row["vocabulary_id"] for row in rows] == [made]


def _actions(stand: Stand) -> list[object]:
    return [request.json()["input"]["action"] for request in stand.sandbox.requests]
