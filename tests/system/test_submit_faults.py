"""A fault at every phase of a submit: never two submits, never a task without owner unannounced.

In each row of `submit_faults.PHASES`: upstream sees at most one submit per request of a client;
each answer with a task that arrives belongs to an owner; and where a task was made and its answer
got lost, the client is told that there may be one, and not to re-send; the latter also where
upstream answers with an error, which crosses in its own words. The table of all of it is
printed at the end of the run, counted by the sandbox's own ledger.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import dashscope
import pytest
from dashscope import Client
from dashscope.aigc.video_synthesis import VideoSynthesis
from dashscope.api_entities.http_request import close_shared_sync_session
from dashscope.v2.errors import DashScopeError
from edge.rig import Message, eventually
from redis_server import RedisServer
from system.submit_faults import (
    ALIASES,
    BRACKETS,
    FRAMINGS,
    PADDING,
    PHASES,
    Phase,
    Scene,
    asks,
    leaves_early,
    leaves_while_the_end_is_judged,
    scene_of,
)
from system.submit_report import PROPERTY, Row

Report: TypeAlias = Callable[[Row], None]

ORDER = {name: place for place, name in enumerate(PHASES)}
WORDS = "The task may have been created, do not re-send."


@dataclass(frozen=True)
class Told:
    """What a client was told, as far as it can see: `never` is None where it cannot."""

    status: int | None
    message: str = ""
    never: bool | None = None
    replayed: bool = False

    def __str__(self) -> str:
        if self.status is None:
            return "gone"
        return f"{self.status}{'*' * self.replayed}{'!' * (WORDS in self.message)}"


def told_in(answer: Message | None) -> Told:
    if answer is None:
        return Told(None)
    return Told(
        answer.status,
        str(answer.json().get("message", "")) if answer.body else "",
        answer.values("x-should-retry") == [b"false"],
        answer.values("x-proxy-replayed") == [b"true"],
    )


async def check(scene: Scene, told: Told, requests: int) -> tuple[int, ...]:
    """The rules of the module, and the numbers of the row."""
    await eventually(lambda: len(scene.lines) >= requests)
    submits, whole = scene.submits()
    numbers = (len(scene.lines), submits, whole, scene.created, await scene.owned())
    requests, submits, whole, created, owned = numbers
    assert whole <= submits <= requests
    assert created <= whole
    if told.status == 200:
        assert (created, owned) == (1, 1)
    if created > owned:
        assert told.never is not False or told.status == 307  # which nobody takes for a failure
        assert scene.by_upstream or WORDS in told.message
    return numbers


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Report:
    """Tell a row, as a plain tuple: those can travel to another process."""
    return lambda row: record_property(PROPERTY, tuple(row))


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer.started() as server:
        yield server


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("alias", ALIASES)
@pytest.mark.parametrize("name", PHASES)
async def test_one_request(
    name: str,
    alias: str,
    framing: str,
    redis: RedisServer,
    tmp_path: Path,
    report: Report,
) -> None:
    """By every alias and in either framing: one request, at most one submit and one task."""
    phase = PHASES[name]
    async with scene_of(phase, redis, tmp_path, ALIASES[alias], framing) as scene:
        told = told_in(await phase.act(scene))
        numbers = await check(scene, told, 1)
        assert max(numbers[:2]) <= 1
        assert str(told).rstrip("!") == phase.got
        report(Row(ORDER[name], name, "by hand", numbers, str(told), ""))


@pytest.mark.parametrize("name", PHASES)
async def test_the_same_again_with_a_key(
    name: str, redis: RedisServer, tmp_path: Path, report: Report
) -> None:
    """With an `Idempotency-Key` the client may ask again, whatever happened: never two tasks.

    It gets its task, or is told for good that there may be one.
    """
    phase = PHASES[name]
    async with scene_of(phase, redis, tmp_path, ALIASES["short"], key=True) as scene:
        told = told_in(await phase.act(scene))
        assert str(told).rstrip("!") == phase.got
        again = told_in(await asks(scene))
        numbers = await check(scene, again if told.status is None else told, 2)
        assert numbers[3] <= 1
        assert str(again).rstrip("!") == phase.again
        assert (WORDS in again.message) == (WORDS in told.message)
        report(Row(ORDER[name], name, "by hand, key", numbers, str(told), str(again)))


TURNS = range(24)
"""Of the loop, from the last bytes to the hanging up: from too early to too late."""


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("key", [False, True])
async def test_leaving_while_the_end_is_judged(
    redis: RedisServer, tmp_path: Path, report: Report, framing: str, *, key: bool
) -> None:
    """Whenever it leaves: upstream never gets the end, or the task that was made has its owner.

    With a key, who asks again gets that task, or makes the only one.
    """
    phase, again = Phase("gone", "200", act=leaves_early), ""
    async with scene_of(phase, redis, tmp_path, ALIASES["short"], framing, key=key) as scene:
        for scene.number in TURNS:
            made = scene.created
            await leaves_while_the_end_is_judged(scene, scene.number)
            if key:
                told = told_in(await asks(scene, BRACKETS))
                assert (told.status, scene.created) == (200, made + 1)
                again = str(told)
        await scene.all_are_owned()
        numbers = (len(scene.lines), *scene.submits(), scene.created, scene.created)
        client = "by hand, key" if key else "by hand"
        report(Row(len(ORDER), "the client leaves within the end", client, numbers, "gone", again))


# -- clients that send again by themselves -------------------------------------------------------


def submit_1x(url: str, key: str, prompt: str) -> Told:
    """The 1.x surface, which sends once more when a connection is dropped."""
    dashscope.base_http_api_url, dashscope.api_key = url, key
    answer = VideoSynthesis.async_call(model="wan2.6-t2v", prompt=prompt)
    close_shared_sync_session()  # or the proxy hears it out before it stops
    return Told(answer.status_code, answer.message or "")


def submit_v2(url: str, key: str, prompt: str) -> Told:
    """The v2 client, which sends up to twice more on 408, 409, 429 and 5xx, unless told not to."""
    with Client(api_key=key, base_url=url) as client:
        try:
            client.videos.jobs.create(model="wan2.6-t2v", prompt=prompt)
        except DashScopeError as error:
            return Told(error.status_code, error.message)
        return Told(200)


SDKS = {"SDK 1.x": submit_1x, "SDK v2": submit_v2}


@pytest.mark.usefixtures("sdk_restored")
@pytest.mark.parametrize("client", SDKS)
@pytest.mark.parametrize("name", [name for name, phase in PHASES.items() if phase.sdk])
async def test_the_sdks_own_habits(
    name: str, client: str, redis: RedisServer, tmp_path: Path, report: Report
) -> None:
    """Where there may be a task no SDK sends again; only where upstream says that there is none."""
    phase: Phase = PHASES[name]
    async with scene_of(phase, redis, tmp_path, ALIASES["native"]) as scene:
        base = f"{scene.stand.url}/api/v1"
        prompt = "a" * PADDING if phase.large else "a cat"
        told = await asyncio.to_thread(SDKS[client], base, scene.token, prompt)
        numbers = await check(scene, told, 1)
        if phase.got != "429":
            assert numbers[0] == 1
        assert numbers[3] <= 1
        report(Row(ORDER[name], name, client, numbers, str(told), ""))
