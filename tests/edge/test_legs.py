"""Legs of one socket to several accounts: each is opened, lost and closed alone."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from edge.rig import PATIENCE, Conversation, Rig, account, eventually, rig, scripted
from edge.wsrig import (
    Heard,
    Obeying,
    SocketClient,
    accept,
    event,
    go_on,
    obeying,
    run_task,
    shaken,
)

from proxy.edge.legs import HELD


@asynccontextmanager
async def two_accounts(script: object, other: object) -> AsyncIterator[tuple[SocketClient, Rig]]:
    """A socket whose models `a-*` and `b-*` run at two upstreams."""
    assert callable(script)
    assert callable(other)
    async with scripted(script) as one, scripted(other) as two:
        accounts = [
            dataclasses.replace(account(one.url, "a"), models=("a-*",)),
            dataclasses.replace(account(two.url, "b"), models=("b-*",)),
        ]
        async with rig(accounts=accounts) as made, shaken(made.url) as client:
            yield client, made


async def test_a_leg_that_is_dialled_holds_back_its_own_tasks_alone() -> None:
    """The others are served meanwhile; what was held back follows, in order."""
    dialled, granted = asyncio.Event(), asyncio.Event()
    heard: list[Heard] = []

    async def late(told: Conversation) -> None:
        dialled.set()
        await granted.wait()
        end = await accept(told)
        heard.extend([await end.hear() for _ in range(4)])
        await end.say(event("task-finished", "tb"))
        await told.gone()

    async with two_accounts(obeying, late) as (client, _):
        await client.say(run_task("ta", "a-1"))
        assert (await client.hear()).event == ("task-started", "ta")
        await client.say(run_task("tb", "b-1"))
        await dialled.wait()
        await client.say(b"audio of tb")
        await client.say(go_on("tb", input={"text": "more"}))
        await client.say(go_on("tb", "finish-task", input={}))
        await client.say(go_on("ta", "finish-task", input={}))
        assert (await client.hear()).event == ("task-finished", "ta")
        granted.set()
        assert (await client.hear()).event == ("task-finished", "tb")
        assert heard[1].data == b"audio of tb"
        actions = [heard[at].json()["header"]["action"] for at in (0, 2, 3)]
        assert actions == ["run-task", "continue-task", "finish-task"]


async def test_what_is_held_back_is_bounded() -> None:
    """Who says more than that while a leg is dialled waits for it, and nothing is lost."""
    granted = asyncio.Event()
    sizes: list[int] = []

    async def late(told: Conversation) -> None:
        await granted.wait()
        end = await accept(told)
        await end.hear()
        while sum(sizes) < 3 * HELD:
            sizes.append(len((await end.hear()).data))
        await end.say(event("task-finished", "tb"))
        await told.gone()

    async with two_accounts(obeying, late) as (client, made):
        await client.say(run_task("tb", "b-1"))
        flood = asyncio.ensure_future(_said(client, bytes(HELD // 4), 12))
        await eventually(lambda: len(made.gateway.sockets) == 1)
        granted.set()
        await flood
        assert (await client.hear()).event == ("task-finished", "tb")
        assert sizes == [HELD // 4] * 12


async def _said(client: SocketClient, piece: bytes, times: int) -> None:
    for _ in range(times):
        await client.say(piece)


async def test_a_lost_leg_is_answered_and_closed_at_once() -> None:
    """Not when the client leaves: it may go on for days with its other legs."""
    answers: asyncio.Queue[int] = asyncio.Queue()

    async def closing(told: Conversation) -> None:
        end = await accept(told)
        begun = (await end.hear()).json()["header"]["task_id"]
        await end.say(event("task-finished", str(begun)))
        await end.close(1000, "bye")
        heard = await end.hear()
        assert heard.code == 1000
        answers.put_nowait(heard.code)
        await told.gone()

    async with two_accounts(obeying, closing) as (client, _):
        await client.say(run_task("ta", "a-1"))
        await client.hear()
        for number in range(1, 6):
            await client.say(run_task(f"tb{number}", "b-1"))
            assert (await client.hear()).event == ("task-finished", f"tb{number}")
            async with asyncio.timeout(PATIENCE):
                await answers.get()
        await client.say(go_on("ta", "finish-task", input={}))
        assert (await client.hear()).event == ("task-finished", "ta")


async def test_a_drain_ends_when_the_leg_of_the_last_task_is_lost() -> None:
    """What ran there runs no more; the idle leg beside it keeps nobody."""

    async def dying(told: Conversation) -> None:
        end = await accept(told)
        await end.hear()
        await end.say(event("task-started", "tb"))
        await end.hear()
        told.reset()

    async with two_accounts(obeying, dying) as (client, made):
        for task_id, action in (("ta", "task-started"), ("ta", "task-finished")):
            frame = (
                run_task("ta", "a-1") if action == "task-started" else go_on("ta", "finish-task")
            )
            await client.say(frame)
            assert (await client.hear()).event == (action, task_id)
        await client.say(run_task("tb", "b-1"))
        await client.hear()
        made.gateway.sockets.drain()
        await client.say(go_on("tb"))
        assert (await client.hear()).event == ("task-failed", "tb")
        assert made.telemetry.named("socket_task_lost")
        assert (await client.hear()).code == 1001
        await client.close(1001)
        await made.gateway.drained()


async def test_a_client_that_leaves_ends_a_dial() -> None:
    """The handshake that is under way does not outlive it."""
    dialled = asyncio.Event()
    gone = asyncio.Event()

    async def silent(told: Conversation) -> None:
        dialled.set()
        await told.gone()
        gone.set()

    async with two_accounts(Obeying(), silent) as (client, _):
        await client.say(run_task("tb", "b-1"))
        await dialled.wait()
        await client.close(1000)
        assert (await client.hear()).code == 1000
        async with asyncio.timeout(PATIENCE):
            await gone.wait()
