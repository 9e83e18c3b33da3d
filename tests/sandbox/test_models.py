"""The catalogue."""

import asyncio
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any, TypeAlias

Call: TypeAlias = Callable[..., Awaitable[Any]]


async def test_success_says_code_null(call: Call) -> None:
    """The control plane's success carries null code and message beside `success: true`."""
    answer = (await call("GET", "/api/v1/models?page_no=2&page_size=3")).json()
    assert (answer["success"], answer["code"], answer["message"]) == (True, None, None)
    page = answer["output"]
    assert (page["page_no"], page["page_size"], len(page["models"])) == (2, 3, 3)
    assert page["total"] > 6


async def test_filters(call: Call) -> None:
    """`model` is exact, `name` a part, `providers` repeats."""
    one = (await call("GET", "/api/v1/models?model=qwen-plus&page_no=1&page_size=1")).json()
    assert [entry["model"] for entry in one["output"]["models"]] == ["qwen-plus"]
    some = (await call("GET", "/api/v1/models?providers=kling&providers=vidu&name=3")).json()
    assert {entry["provider"] for entry in some["output"]["models"]} == {"kling", "vidu"}


async def test_one_model_by_path(call: Call) -> None:
    """A name with a slash is still one name; an unknown one is 404 with a null output."""
    found = await call("GET", "/api/v1/models/kling/kling-v3-video-generation")
    assert found.json()["output"]["provider"] == "kling"
    missing = await call("GET", "/api/v1/models/nobody/nothing")
    assert missing.status == 404
    answer = missing.json()
    assert (answer["code"], answer["success"], answer["output"]) == ("ModelNotFound", False, None)


def _models(sdk: ModuleType) -> tuple[Any, Any]:
    return sdk.Models.list(page=1, page_size=5), sdk.Models.get("qwen-plus")


async def test_models_of_the_sdk(sdk: ModuleType) -> None:
    """The SDK pages through the catalogue and looks one model up."""
    page, one = await asyncio.to_thread(_models, sdk)
    assert len(page.output["models"]) == 5
    assert one.output["model"] == "qwen-plus"
