"""What the caller's grant has to say while a socket is open."""

import asyncio
import dataclasses
from decimal import Decimal

import pytest
from edge.rig import (
    BOTH,
    TENANT,
    TOKEN,
    Conversation,
    Rig,
    account,
    ask,
    eventually,
    rig,
    scripted,
)
from edge.wsrig import (
    Obeying,
    SocketClient,
    accept,
    event,
    go_on,
    handshake,
    obeying,
    run_task,
    shaken,
)

from proxy.core.limits import Limits
from proxy.core.money import NANOS
from proxy.core.outcomes import Bounds
from proxy.core.policy import Grant, digest_of
from proxy.core.prices import Price, PriceList, Tier
from proxy.core.settlement import Kind
from proxy.edge.conversations import ASKED_EVERY, MOST_TOLD, MOST_UNREADABLE
from proxy.ports.ledger import Standing
from proxy.stores.memory import MemoryStore

MODELS = ("good-*", "qwen-omni")


async def refused(client: SocketClient) -> tuple[object, object]:
    """Task and code of the refusal that comes next."""
    header = (await client.hear()).json()["header"]
    assert header["event"] == "task-failed"
    assert header["error_message"]
    assert header["attributes"] == {}
    return header["task_id"], header["error_code"]


async def test_a_forbidden_task_fails_alone() -> None:
    """Upstream hears nothing of it, what follows for it is swallowed, the others live on."""
    heard = Obeying()
    async with (
        scripted(heard) as upstream,
        rig(upstream.url, models=MODELS) as made,
        shaken(made.url) as client,
    ):
        await client.say(run_task("first", "good-1"))
        assert (await client.hear()).event == ("task-started", "first")
        await client.say(run_task("second", "bad-1"))
        assert await refused(client) == ("second", "model_not_found")
        await client.say(go_on("second", input={"text": "secret"}))
        await client.say(go_on("second", "finish-task", input={}))
        await client.say(b"audio of the second")
        await client.say(go_on("first", "finish-task", input={}))
        assert (await client.hear()).event == ("task-finished", "first")
        await client.say(run_task("third", "good-2"))
        assert (await client.hear()).event == ("task-started", "third")
        assert heard.was_told("first")
        assert not heard.was_told("second")
        await client.say(b"audio of the third")
        assert (await client.hear()).data == b"audio of the third"
        events = made.telemetry.named("socket_task")
        assert [(one["task_id"], one["model"]) for one in events] == [
            ("first", "good-1"),
            ("third", "good-2"),
        ]
        assert [one["task_id"] for one in made.telemetry.named("socket_task_refused")] == ["second"]


async def test_a_refused_task_may_be_begun_again() -> None:
    """The same id with an allowed model is a new task."""
    async with (
        scripted(obeying) as upstream,
        rig(upstream.url, models=MODELS) as made,
        shaken(made.url) as client,
    ):
        await client.say(run_task("t", "bad-1"))
        assert await refused(client) == ("t", "model_not_found")
        await client.say(run_task("t", "good-1"))
        assert (await client.hear()).event == ("task-started", "t")


WRONG: list[tuple[dict[str, object], str]] = [
    (run_task("t", None), "BadRequest.EmptyModel"),
    (run_task("t", ""), "BadRequest.EmptyModel"),
    (go_on("t", "start-task"), "BadRequest.EmptyModel"),
    (go_on("t", "restart", model="bad-1"), "model_not_found"),
    (go_on("t", "continue-task", input={"text": "x"}), "BadRequest.IllegalInput"),
    (go_on("t", "finish-task", input={}), "BadRequest.IllegalInput"),
    ({"header": {"task_id": "t", "action": "run-task", "Action": "x"}}, "BadRequest.IllegalInput"),
    (run_task("t", "good-1", Model="bad-1"), "BadRequest.IllegalInput"),
]


@pytest.mark.parametrize(("frame", "code"), WRONG)
async def test_a_frame_that_may_not_pass_is_answered(frame: dict[str, object], code: str) -> None:
    """With the client's task id and a code that says why; the socket stays open."""
    heard = Obeying()
    async with (
        scripted(heard) as upstream,
        rig(upstream.url, models=MODELS) as made,
        shaken(made.url) as client,
    ):
        await client.say(frame)
        assert await refused(client) == ("t", code)
        await client.say(b"dropped: nothing runs")
        await client.say(run_task("u", "good-1"))
        assert (await client.hear()).event == ("task-started", "u")
        assert not heard.was_told("dropped")


@pytest.mark.parametrize("text", ["nonsense", "[]", "{}", '{"header":{"action":"run-task"}}', "{"])
async def test_a_frame_without_a_task_fails_alone(text: str) -> None:
    """Nobody can tell which task it was of: it is said so, and what runs goes on."""
    heard = Obeying()
    async with (
        scripted(heard) as upstream,
        rig(upstream.url, models=MODELS) as made,
        shaken(made.url) as client,
    ):
        await client.say(run_task("t", "good-1"))
        await client.hear()
        await client.say(text)
        assert await refused(client) == ("", "BadRequest.IllegalInput")
        await client.say(b"of what it may have begun")
        await client.say(go_on("t", "finish-task", input={}))
        assert (await client.hear()).event == ("task-finished", "t")
        assert not heard.was_told("may have begun")


async def test_too_many_frames_without_a_task_end_the_socket() -> None:
    """Who goes on like that is told 1008; the events in the log are bounded, too."""
    async with (
        scripted(obeying) as upstream,
        rig(upstream.url) as made,
        shaken(made.url) as client,
    ):
        for number in range(MOST_TOLD + 50):
            await client.say(go_on(f"t{number}", input={}))
            assert await refused(client) == (f"t{number}", "BadRequest.IllegalInput")
        for _ in range(MOST_UNREADABLE + 1):
            await client.say("nonsense")
            assert await refused(client) == ("", "BadRequest.IllegalInput")
        assert (await client.hear()).code == 1008
        await client.close(1008)
        assert (await made.finished()).close_code == 1008
        assert len(made.telemetry.named("socket_task_refused")) == MOST_TOLD


async def test_another_model_in_the_middle_of_a_task_fails_it() -> None:
    """The SDK repeats the model in each frame; what differs is judged like the first."""
    async with (
        scripted(obeying) as upstream,
        rig(upstream.url, models=MODELS) as made,
        shaken(made.url) as client,
    ):
        await client.say(run_task("t", "good-1"))
        await client.hear()
        await client.say(go_on("t", model="good-2", input={"text": "x"}))
        await client.say(go_on("t", model="bad-1", input={"text": "x"}))
        assert await refused(client) == ("t", "model_not_found")
        await client.say(b"nobody's")
        await client.say(b"", 9)
        assert (await client.hear()).kind == 10


async def test_of_a_task_that_failed_here_nothing_more_is_heard() -> None:
    """After its `task-failed` a client expects no event; upstream may not know that yet."""

    async def late(told: Conversation) -> None:
        end = await accept(told)
        await end.hear()
        await end.say(event("task-started", "t"))
        assert b'"now"' in (await end.hear()).data
        await end.say(event("result-generated", "t"))
        await end.say(event("result-generated", "other"))
        await told.gone()

    async with (
        scripted(late) as upstream,
        rig(upstream.url, models=MODELS) as made,
        shaken(made.url) as client,
    ):
        await client.say(run_task("u", "good-1"))
        assert (await client.hear()).event == ("task-started", "t")
        await client.say(run_task("t", "bad-1"))
        assert await refused(client) == ("t", "model_not_found")
        await client.say(go_on("u", input={"text": "now"}))
        assert (await client.hear()).event == ("result-generated", "other")


async def withdraw(made: Rig) -> None:
    await made.store.remove_grant(digest_of(TOKEN))


async def expire(made: Rig) -> None:
    grant = Grant("g1", "caller", TENANT, ("*",), expires=1.0)
    await made.store.save_grant(digest_of(TOKEN), grant)


async def narrow(made: Rig) -> None:
    await made.store.save_grant(digest_of(TOKEN), Grant("g1", "caller", TENANT, ("other",)))


@pytest.mark.parametrize(
    ("change", "code"),
    [(withdraw, "InvalidApiKey"), (expire, "InvalidApiKey"), (narrow, "model_not_found")],
)
async def test_the_grant_counts_when_a_task_begins(change: object, code: str) -> None:
    """A token revoked while its socket is open begins nothing more; what runs may end."""
    async with (
        scripted(obeying) as upstream,
        rig(upstream.url) as made,
        shaken(made.url) as client,
    ):
        await client.say(run_task("t1", "good-1"))
        await client.hear()
        assert callable(change)
        await change(made)
        await client.say(run_task("t2", "good-1"))
        assert await refused(client) == ("t2", code)
        await client.say(go_on("t1", "finish-task", input={}))
        assert (await client.hear()).event == ("task-finished", "t1")


@pytest.mark.parametrize("change", [withdraw, expire])
async def test_a_revoked_token_spends_nothing_more(change: object) -> None:
    """Text of a running task is asked about each time: it fails, and is finished upstream."""
    heard = Obeying()
    async with (
        scripted(heard) as upstream,
        rig(upstream.url) as made,
        shaken(made.url) as client,
    ):
        await client.say(run_task("t", "m"))
        await client.hear()
        assert callable(change)
        await change(made)
        await client.say(go_on("t", input={"text": "billed"}))
        assert await refused(client) == ("t", "InvalidApiKey")
        await eventually(lambda: heard.was_told("finish-task"))
        assert not heard.was_told("billed")


async def test_bytes_of_a_revoked_token_are_asked_about_too() -> None:
    """Not each, there may be hundreds a second; but soon the task fails and is finished."""
    heard = Obeying()
    async with (
        scripted(heard) as upstream,
        rig(upstream.url) as made,
        shaken(made.url) as client,
    ):
        await client.say(run_task("t", "m"))
        await client.hear()
        await withdraw(made)
        await asyncio.sleep(ASKED_EVERY)
        await client.say(b"billed")
        assert await refused(client) == ("t", "InvalidApiKey")
        await eventually(lambda: heard.was_told("finish-task"))
        assert not heard.was_told("billed")


async def test_a_revoked_token_may_finish_what_runs() -> None:
    """Also with the model repeated, as the SDK does; upstream then hears our words."""
    heard = Obeying()
    async with (
        scripted(heard) as upstream,
        rig(upstream.url) as made,
        shaken(made.url) as client,
    ):
        await client.say(run_task("t", "m"))
        await client.hear()
        await withdraw(made)
        await client.say(go_on("t", "finish-task", model="another", input={}))
        assert (await client.hear()).event == ("task-finished", "t")
        assert not heard.was_told("another")


async def test_a_running_task_outlives_the_stores_outage() -> None:
    """An outage revokes nothing; what names no model needs no grant."""
    store = MemoryStore()
    async with (
        scripted(obeying) as upstream,
        rig(upstream.url, store=store) as made,
        shaken(made.url) as client,
    ):
        await client.say(run_task("t", "m"))
        await client.hear()
        store.set_available(up=False)
        await client.say(go_on("t", input={"text": "x"}))
        await client.say(go_on("t", "finish-task", input={}))
        assert (await client.hear()).event == ("task-finished", "t")
        store.set_available(up=True)
        await eventually(
            lambda: [one.id.endswith(":t") for one in made.telemetry.records] == [True]
        )


async def test_a_task_that_failed_here_is_ended_upstream() -> None:
    """It gets a finish-task of ours; its last events and its sound are for nobody."""
    heard: list[object] = []

    async def speaking(told: Conversation) -> None:
        end = await accept(told)
        await end.hear()
        await end.say(event("task-started", "t"))
        heard.append((await end.hear()).json()["header"]["action"])
        await end.say(b"sound of t")
        await end.say(event("task-finished", "t"))
        await end.hear()
        await end.say(event("task-started", "u"))
        await end.say(b"sound of u")
        await told.gone()

    async with (
        scripted(speaking) as upstream,
        rig(upstream.url, models=MODELS) as made,
        shaken(made.url) as client,
    ):
        await client.say(run_task("t", "good-1"))
        await client.hear()
        await client.say(go_on("t", model="bad-1", input={"text": "x"}))
        assert await refused(client) == ("t", "model_not_found")
        await client.say(run_task("u", "good-1"))
        assert (await client.hear()).event == ("task-started", "u")
        assert (await client.hear()).data == b"sound of u"
        assert heard == ["finish-task"]


async def test_a_store_that_is_gone_begins_nothing() -> None:
    """Fail closed: the task is refused with the code of the outage, the socket waits."""
    store = MemoryStore()
    async with (
        scripted(obeying) as upstream,
        rig(upstream.url, store=store) as made,
        shaken(made.url) as client,
    ):
        store.set_available(up=False)
        await client.say(run_task("t", "m"))
        assert await refused(client) == ("t", "ServiceUnavailable")
        store.set_available(up=True)
        await client.say(run_task("t", "m"))
        assert (await client.hear()).event == ("task-started", "t")


async def test_tasks_that_run_when_upstream_vanishes_are_told() -> None:
    """Each of them fails with BadGateway before the socket closes."""

    async def leaving(told: Conversation) -> None:
        end = await accept(told)
        for task_id in ("t1", "t2"):
            await end.hear()
            await end.say(event("task-started", task_id))
        await end.hear()
        told.reset()

    async with (
        scripted(leaving) as upstream,
        rig(upstream.url) as made,
        shaken(made.url) as client,
    ):
        for task_id in ("t1", "t2"):
            await client.say(run_task(task_id, "m"))
            await client.hear()
        await client.say(b"x")
        assert [await refused(client) for _ in range(2)] == [
            ("t1", "BadGateway"),
            ("t2", "BadGateway"),
        ]
        assert (await client.hear()).code == 1014


async def test_an_unreadable_refusal_of_a_leg_gets_our_words() -> None:
    """An upstream that refuses a later handshake without JSON is told as a bad gateway."""

    async def refusing(told: Conversation) -> None:
        await told.send(b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nbusy")

    async with scripted(refusing) as upstream:
        accounts = [account(upstream.url, "one"), account(upstream.url, "two")]
        async with rig(accounts=accounts) as made, shaken(made.url) as client:
            await client.say(run_task("t", "m"))
            assert await refused(client) == ("t", "BadGateway")


async def test_an_account_that_cannot_be_reached_fails_its_task() -> None:
    """With several accounts a dial happens late, and its failure is the task's."""
    accounts = [dataclasses.replace(account("http://127.0.0.1:1", name)) for name in ("one", "two")]
    async with rig(accounts=accounts) as made, shaken(made.url) as client:
        await client.say(run_task("t", "m"))
        assert await refused(client) == ("t", "BadGateway")


async def test_an_application_of_the_account_needs_its_scope() -> None:
    """A dialogue names its application in the frame: `account` or nothing, told within the task."""
    heard = Obeying()
    async with (
        scripted(heard) as upstream,
        rig(upstream.url) as made,
        shaken(made.url) as client,
    ):
        await client.say(run_task("t", "m", input={"app_id": "llm-other"}))
        assert await refused(client) == ("t", "AccessDenied")
        assert not heard.heard
    async with (
        scripted(heard) as upstream,
        rig(upstream.url, scopes=BOTH) as made,
        shaken(made.url) as client,
    ):
        await client.say(run_task("t", "m", input={"app_id": "llm-own"}))
        assert (await client.hear()).event == ("task-started", "t")


# -- drain -----------------------------------------------------------------------------------------


async def test_an_idle_socket_is_sent_away_at_once() -> None:
    """When the proxy stops, who has nothing running is closed with 1001, and so is upstream."""
    async with (
        scripted(obeying) as upstream,
        rig(upstream.url) as made,
        shaken(made.url) as client,
    ):
        made.gateway.sockets.drain()
        assert (await client.hear()).code == 1001
        await client.close(1001)
        await eventually(lambda: not upstream.running)
        answer = await ask(made.url, handshake())
        assert (answer.status, answer.code) == (503, "ServiceUnavailable")


async def test_a_task_may_end_while_the_proxy_stops() -> None:
    """Nothing new begins; with the last task's end the socket closes."""
    async with (
        scripted(obeying) as upstream,
        rig(upstream.url) as made,
        shaken(made.url) as client,
    ):
        await client.say(run_task("t1", "m"))
        await client.hear()
        made.gateway.sockets.drain()
        waiting = asyncio.ensure_future(made.gateway.drained())
        await client.say(b"still here")
        assert (await client.hear()).data == b"still here"
        await client.say(run_task("t2", "m"))
        assert await refused(client) == ("t2", "ServiceUnavailable")
        assert not waiting.done()
        await client.say(go_on("t1", "finish-task", input={}))
        assert (await client.hear()).event == ("task-finished", "t1")
        assert (await client.hear()).code == 1001
        await client.close(1001)
        await waiting


async def test_a_drain_ends_with_a_task_that_fails_here() -> None:
    """Whichever way the last task ends, nothing is waited for any more."""
    async with (
        scripted(obeying) as upstream,
        rig(upstream.url, models=MODELS) as made,
        shaken(made.url) as client,
    ):
        await client.say(run_task("t", "good-1"))
        await client.hear()
        made.gateway.sockets.drain()
        await client.say(go_on("t", model="bad-1"))
        assert await refused(client) == ("t", "model_not_found")
        assert (await client.hear()).code == 1001
        await client.close(1001)
        await made.gateway.drained()


# -- limits and prices -----------------------------------------------------------------------------

VOICE = Price(("good-*",), per_1k_characters=Decimal(1000), bounds=Bounds(characters=10))
"""A character costs 1, and a task 10 at most."""

PRICES = PriceList("CNY", prices=(VOICE,))


async def limit(made: Rig, limits: Limits) -> None:
    grant = Grant("g1", "caller", TENANT, ("*",), limits=limits)
    await made.store.save_grant(digest_of(TOKEN), grant)


def told(kind: str, task_id: str, usage: object = None) -> dict[str, object]:
    return {"header": {"event": kind, "task_id": task_id}, "payload": {"usage": usage}}


async def records(made: Rig) -> list[tuple[str, int, str]]:
    """Task, amount in whole units, and basis of each record; nothing is held any more."""
    await made.gateway.drained()
    held = ("token:g1", "money", "total")
    assert await made.store.standings([held]) == [
        Standing(0, sum(one.amount for one in made.telemetry.records))
    ]
    assert {one.kind for one in made.telemetry.records} <= {Kind.SOCKET}
    found = made.telemetry.records
    return [(one.id.partition(":")[2], one.amount // NANOS, one.basis.value) for one in found]


async def test_each_task_is_a_record() -> None:
    """By what upstream told last of it, at its end; a failed one costs nothing."""

    async def speaking(conversation: Conversation) -> None:
        end = await accept(conversation)
        for _ in range(4):
            await end.hear()
        await end.say(told("result-generated", "a", {"characters": 3}))
        await end.say(told("task-finished", "a", {"characters": 7}))
        await end.say(told("result-generated", "b", {"characters": 2}))
        await end.say(told("task-finished", "b"))
        await end.say(told("result-generated", "c", {"characters": 2}))
        await end.say(told("task-failed", "c", {"characters": 2}))
        await end.say(told("task-finished", "d"))
        await conversation.gone()

    async with scripted(speaking) as upstream, rig(upstream.url, prices=PRICES) as made:
        await limit(made, Limits(budget_total=100 * NANOS))
        async with shaken(made.url) as client:
            for name in "abcd":
                await client.say(run_task(name, "good-1"))
            for _ in range(7):
                await client.hear()
        visit = await made.finished()
        assert await records(made) == [
            *(("a", 7, "usage"), ("b", 2, "usage")),
            ("d", 0, "request"),
        ]
        assert (visit.amount, visit.currency) == ("9", "CNY")


async def test_a_task_that_nobody_hears_the_end_of() -> None:
    """When the socket goes, what was told last is charged; where nothing was, nothing is."""

    async def speaking(conversation: Conversation) -> None:
        end = await accept(conversation)
        await end.hear()
        await end.hear()
        await end.say(told("result-generated", "a", {"characters": 3}))
        await conversation.gone()

    async with scripted(speaking) as upstream, rig(upstream.url, prices=PRICES) as made:
        await limit(made, Limits(budget_total=100 * NANOS))
        async with shaken(made.url) as client:
            await client.say(run_task("a", "good-1"))
            await client.say(run_task("b", "good-1"))
            await client.hear()
        await made.finished()
        assert await records(made) == [("a", 3, "usage")]


async def test_who_leaves_before_the_last_frame() -> None:
    """Pays for what was sent, when a piece of the sound came: bytes name no task, text does."""

    async def speaking(conversation: Conversation) -> None:
        end = await accept(conversation)
        begun = await end.hear()
        task = str(begun.json()["header"]["task_id"])
        await end.say(told("task-started", task))
        await end.hear()
        if task == "sound":
            await end.say(b"sound")
        elif task == "words":
            await end.say(told("result-generated", task))
        await conversation.gone()

    async with scripted(speaking) as upstream, rig(upstream.url, prices=PRICES) as made:
        await limit(made, Limits(budget_total=100 * NANOS))
        for number, (task, frames) in enumerate([("sound", 2), ("words", 2), ("nothing", 1)]):
            async with shaken(made.url) as client:
                await client.say(run_task(task, "good-1"))
                await client.say(go_on(task, input={"text": "\u4e2dten", "voice": 5}))
                for _ in range(frames):
                    await client.hear()
            await made.finished(number + 1)
        assert await records(made) == [("sound", 6, "request"), ("words", 6, "request")]


async def test_a_task_that_ends_without_a_word_of_its_usage() -> None:
    """Is a success: the call has its price, and what was sent."""
    price = Price(("good-*",), per_call=Decimal(1), per_1k_characters=Decimal(1000))
    prices = PriceList("CNY", prices=(price,))
    async with scripted(obeying) as upstream, rig(upstream.url, prices=prices) as made:
        async with shaken(made.url) as client:
            await client.say(run_task("a", "good-1", input={"text": "four"}))
            await client.hear()
            await client.say(go_on("a", "finish-task", input={}))
            await client.hear()
        await made.finished()
        assert await records(made) == [("a", 5, "request")]


async def test_a_task_that_tells_no_seconds_cost_those_it_lived() -> None:
    """Not the twelve hours that recognition of any file could come to."""
    tiers = (Tier(None, Decimal(1)),)
    prices = PriceList("CNY", prices=(Price(("*",), per_second=tiers),))
    async with scripted(obeying) as upstream, rig(upstream.url, prices=prices) as made:
        async with shaken(made.url) as client:
            await client.say(run_task("a", "paraformer-realtime-v2"))
            await client.hear()
            await client.say(go_on("a", "finish-task", input={}))
            await client.hear()
        await made.finished()
        ((_, amount, basis),) = await records(made)
        assert (0 < amount < 60, basis) == (True, "request")


async def test_a_name_of_what_runs_frees_nothing() -> None:
    """However often a task is begun by one name, a budget for two lets two run."""
    async with scripted(obeying) as upstream, rig(upstream.url, prices=PRICES) as made:
        await limit(made, Limits(budget_total=25 * NANOS))
        async with shaken(made.url) as client:
            for _ in range(2):
                await client.say(run_task("a", "good-1"))
                assert (await client.hear()).event == ("task-started", "a")
            await client.say(run_task("a", "good-1"))
            assert await refused(client) == ("a", "Throttling.AllocationQuota")


async def test_a_budget_lets_so_many_tasks_begin() -> None:
    """The dearest of each is held while it runs; what is refused fails alone, with its code."""
    heard = Obeying()
    async with scripted(heard) as upstream, rig(upstream.url, prices=PRICES) as made:
        await limit(made, Limits(budget_total=25 * NANOS))
        async with shaken(made.url) as client:
            for name in "ab":
                await client.say(run_task(name, "good-1"))
                assert (await client.hear()).event == ("task-started", name)
            await client.say(run_task("c", "good-1"))
            assert await refused(client) == ("c", "Throttling.AllocationQuota")
            await client.say(go_on("a", "finish-task", input={}))
            assert (await client.hear()).event == ("task-finished", "a")
            await eventually(lambda: len(made.telemetry.records) == 1)
            await client.say(run_task("c", "good-1"))
            assert (await client.hear()).event == ("task-started", "c")
        assert len([one for one in heard.heard if b"run-task" in one.data]) == 3
        assert made.telemetry.limits == ["budget-total"]


async def test_each_task_is_a_request() -> None:
    """Of so many a minute; the socket by itself is none."""
    async with scripted(obeying) as upstream, rig(upstream.url) as made:
        await limit(made, Limits(requests_per_minute=1))
        async with shaken(made.url) as client, shaken(made.url) as other:
            await client.say(run_task("a", "m"))
            assert (await client.hear()).event == ("task-started", "a")
            await other.say(run_task("b", "m"))
            assert await refused(other) == ("b", "Throttling.RateQuota")


async def test_a_name_used_again_is_another_record() -> None:
    """Whoever bills tells records apart by their ids, however a client names its tasks."""
    async with scripted(obeying) as upstream, rig(upstream.url) as made, shaken(made.url) as client:
        for name in ("t", "t", "2:t", "t"):
            await client.say(run_task(name, "m"))
            await client.hear()
            await client.say(go_on(name, "finish-task", input={}))
            await client.hear()
        await eventually(lambda: len(made.telemetry.records) == 4)
        ids = [one.id for one in made.telemetry.records]
        assert len(set(ids)) == 4
        assert ids[0].endswith(":t")
