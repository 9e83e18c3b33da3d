"""An SDK behind the proxy returns what it returns against upstream itself."""

import asyncio
import inspect
from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dashscope.api_entities.aio_session import close_shared_aio_session
from harness import UPSTREAM_KEY, standing
from sdk.conftest import Point
from sdk.operations import OPERATIONS, Answers, Place, Run
from sdk.views import gist, plain, words

from proxy.sandbox import Sandbox

DIRECTLY = "directly"
BASES = (DIRECTLY, "/alibailian/api/v1", "/task/bailian", "/api/v1")


@dataclass(frozen=True)
class Told:
    """What the SDK told its user, and what upstream was asked: line, framing and size."""

    answers: list[Any]
    asked: Sequence[tuple[str, str, str, int]]


async def tell(run: Run, base: str, point: Point, photo: Path) -> Told:
    """Run an operation against a fresh sandbox, directly or through a fresh proxy."""
    async with AsyncExitStack() as running:
        if base == DIRECTLY:
            sandbox = await running.enter_async_context(
                Sandbox(keys=[UPSTREAM_KEY], task_seconds=0)
            )
            at = Place(f"{sandbox.url}/api/v1", UPSTREAM_KEY, photo)
        else:
            stand = await running.enter_async_context(standing())
            sandbox = stand.sandbox
            at = Place(stand.url + base, await stand.token(), photo)
        point(at.url, at.key)
        answers = [plain(answer, sandbox.url) for answer in await asyncio.to_thread(_run, run, at)]
        # An upload goes to the object store, past any proxy, with a policy of varying length.
        asked = [
            (r.method, words(r.target), r.framing, r.size)
            for r in sandbox.requests
            if r.path != "/oss/"
        ]
        return Told(answers, asked)


def _run(run: Run, at: Place) -> list[object]:
    """Run to the end, in a thread: even the asyncio classes block while they upload a file."""
    answers = run(at)
    return list(asyncio.run(_awaited(answers)) if inspect.isawaitable(answers) else answers)


async def _awaited(answers: Awaitable[Answers]) -> Answers:
    try:
        return await answers
    finally:
        await close_shared_aio_session()


@pytest.fixture(scope="module")
def direct() -> dict[str, Told]:
    """What was told directly, by operation: asked for once."""
    return {}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("name", OPERATIONS)
async def test_same_results(
    name: str, base: str, direct: dict[str, Told], point: Point, photo: Path
) -> None:
    """Status, code, output and usage are upstream's own, whichever base URL was set.

    And upstream is asked the same: as often, on the same paths, with bodies of the same length
    under the same framing.
    """
    run, expected = OPERATIONS[name]
    if name not in direct:
        direct[name] = await tell(run, DIRECTLY, point, photo)
    told = direct[name] if base == DIRECTLY else await tell(run, base, point, photo)
    assert gist(told.answers) == expected
    assert told.answers == direct[name].answers
    assert told.asked == direct[name].asked
