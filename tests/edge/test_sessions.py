"""A session: each event judged, and each response with its price."""

import asyncio
from decimal import Decimal

from edge.rig import PATIENCE, Conversation, ask, rig, scripted
from edge.test_conversations import MODELS, limit, records, withdraw
from edge.wsrig import CLOSE, REALTIME, Obeying, accept, handshake, obeying, shaken

from proxy.core.limits import Limits
from proxy.core.money import NANOS
from proxy.core.outcomes import Bounds
from proxy.core.prices import Price, PriceList


async def test_an_event_that_names_another_model_is_answered() -> None:
    """With an error event that names the event and the field; the session goes on."""
    heard = Obeying()
    async with (
        scripted(heard) as upstream,
        rig(upstream.url, models=MODELS) as made,
        shaken(made.url, REALTIME) as client,
    ):
        transcription = {"input_audio_transcription": {"model": "bad-1"}}
        update: dict[str, object] = {"type": "session.update", "event_id": "e1"}
        update["session"] = transcription
        await client.say(update)
        told = await client.hear()
        assert b'"type":"error"' in told.data
        assert b'"event_id":"e1"' in told.data
        assert told.json()["error"]["code"] == "model_not_found"
        await client.say('{"type":"response.create","event_id":"e2","response":{"model":""}}')
        assert (await client.hear()).json()["error"]["param"] == "response.model"
        await client.say("not JSON")
        assert (await client.hear()).json()["error"]["code"] == "BadRequest.IllegalInput"
        await withdraw(made)
        await client.say('{"type":"response.create"}')
        assert (await client.hear()).json()["error"]["code"] == "InvalidApiKey"
        await client.say(b'{"type":"response.create"}')
        assert (await client.hear()).json()["error"]["code"] == "InvalidApiKey"
        assert not heard.was_told("response.create")
        assert not heard.was_told("session.update")


async def test_bytes_in_a_session_are_judged_like_text() -> None:
    """The protocol is JSON, and upstream may read it in bytes: those are no way around."""
    heard = Obeying()
    async with (
        scripted(heard) as upstream,
        rig(upstream.url, models=MODELS) as made,
        shaken(made.url, REALTIME) as client,
    ):
        for said in (b'{"session":{"model":"bad-1"}}', b'{"session":{"model":"good-1"}} {', b"\0"):
            await client.say(said)
            assert b'"type":"error"' in (await client.hear()).data
        await client.say(b'{"session":{"model":"good-1"}}')
        assert (await client.hear()).data == b'{"session":{"model":"good-1"}}'
        assert not heard.was_told("bad-1")
        assert len(heard.heard) == 1


async def test_a_session_lasts_until_the_drain_is_over() -> None:
    """A session is one long task: it goes on, and is told when time is up."""
    async with (
        scripted(obeying) as upstream,
        rig(upstream.url) as made,
        shaken(made.url, REALTIME) as client,
    ):
        made.gateway.sockets.drain()
        await client.say(b'{"type":"still here"}')
        assert (await client.hear()).data == b'{"type":"still here"}'
        made.gateway.sockets.end()
        assert (await client.hear()).kind == CLOSE
        await client.close(1001)
        await made.gateway.drained()
        assert (await made.finished()).close_code == 1001


# -- limits and prices -----------------------------------------------------------------------------

OMNI = Price(("qwen-omni",), per_1k_output_tokens=Decimal(1000), bounds=Bounds(output_tokens=10))
"""A token costs 1, and a response 10 at most."""

PRICES = PriceList("CNY", prices=(OMNI,))
ASKS: dict[str, object] = {"type": "response.create", "event_id": "e1"}


def response(kind: str, name: str, **more: object) -> dict[str, object]:
    return {"type": f"response.{kind}", "response": {"id": name, **more}}


def used(tokens: int) -> dict[str, object]:
    return {"status": "completed", "usage": {"input_tokens": 0, "output_tokens": tokens}}


async def test_each_response_is_a_record() -> None:
    """By its own usage: one that was asked for, one that upstream gave by itself, one cut short."""

    async def speaking(conversation: Conversation) -> None:
        end = await accept(conversation)
        await end.hear()
        await end.say(response("created", "r1"))
        await end.say(response("done", "r1", **used(3)))
        await end.say(response("created", "r2"))
        await end.say(response("done", "r2", **used(4)))
        await end.say(response("created", "r3"))
        await end.say(response("done", "r3", status="cancelled", usage={"output_tokens": 1}))
        await end.say(response("created", "r4"))
        await end.say(response("done", "r4", status="failed"))
        await end.say(response("done", "r5", **used(5)))
        await end.say(response("created", "r6"))
        await conversation.gone()

    async with scripted(speaking) as upstream, rig(upstream.url, prices=PRICES) as made:
        await limit(made, Limits(budget_total=100 * NANOS))
        async with shaken(made.url, REALTIME) as client:
            await client.say(ASKS)
            for _ in range(10):
                await client.hear()
        visit = await made.finished()
        assert await records(made) == [
            *(("r1", 3, "usage"), ("r2", 4, "usage"), ("r3", 1, "usage"), ("r5", 5, "usage")),
        ]
        assert visit.amount == "13"


async def test_a_response_that_the_budget_does_not_cover_is_not_asked_for() -> None:
    """It is answered with an error event that names it; the session goes on."""
    heard = Obeying()
    async with scripted(heard) as upstream, rig(upstream.url, prices=PRICES) as made:
        await limit(made, Limits(budget_total=9 * NANOS))
        async with shaken(made.url, REALTIME) as client:
            await client.say(ASKS)
            told = await client.hear()
            assert told.json()["error"]["code"] == "Throttling.AllocationQuota"
            assert b'"event_id":"e1"' in told.data
            await client.say(b'{"type":"session.update"}')
            assert (await client.hear()).data == b'{"type":"session.update"}'
            assert not heard.was_told("response.create")
        await made.finished()
        assert await records(made) == []


async def test_a_response_that_was_asked_for_is_held_for_once() -> None:
    """When upstream has a name for it, it is the same response: a budget for one covers it."""

    async def speaking(conversation: Conversation) -> None:
        end = await accept(conversation)
        await end.hear()
        await end.say(response("created", "r1"))
        await end.say(response("done", "r1", **used(3)))
        await conversation.gone()

    async with scripted(speaking) as upstream, rig(upstream.url, prices=PRICES) as made:
        await limit(made, Limits(budget_total=19 * NANOS))
        async with shaken(made.url, REALTIME) as client:
            await client.say(ASKS)
            assert b"response.created" in (await client.hear()).data
            assert b"response.done" in (await client.hear()).data
        await made.finished()
        assert await records(made) == [("r1", 3, "usage")]


async def test_who_leaves_before_a_response_is_done() -> None:
    """Pays what was held for it, when a piece of it came; so does who cuts it short."""

    async def speaking(conversation: Conversation) -> None:
        end = await accept(conversation)
        await end.hear()
        for name in ("r1", "r2", "r3"):
            await end.say(response("created", name))
            await end.say({"type": "response.audio.delta", "response_id": name, "delta": "A"})
            if name == "r1":
                await end.say(response("done", name, status="cancelled"))
            if name == "r2":
                await end.say(response("done", name, status="failed"))
        await end.say(response("created", "r4"))
        await conversation.gone()

    async with scripted(speaking) as upstream, rig(upstream.url, prices=PRICES) as made:
        await limit(made, Limits(budget_total=100 * NANOS))
        async with shaken(made.url, REALTIME) as client:
            await client.say(ASKS)
            for _ in range(9):
                await client.hear()
        await made.finished()
        assert await records(made) == [("r1", 10, "request"), ("r3", 10, "request")]


async def test_a_response_that_upstream_refuses() -> None:
    """It holds nothing any more; should it come all the same, it is held for then."""
    is_told = asyncio.Event()

    async def speaking(conversation: Conversation) -> None:
        end = await accept(conversation)
        await end.hear()
        await end.say({"type": "error", "error": {"code": "conversation_already_has_one"}})
        await is_told.wait()
        await end.say(response("created", "r1"))
        await end.say(response("done", "r1", **used(3)))
        await conversation.gone()

    async with scripted(speaking) as upstream, rig(upstream.url, prices=PRICES) as made:
        await limit(made, Limits(budget_total=19 * NANOS))
        async with shaken(made.url, REALTIME) as client:
            await client.say(ASKS)
            assert b"already_has_one" in (await client.hear()).data
            budget = ("token:g1", "money", "total")
            async with asyncio.timeout(PATIENCE):
                while (await made.store.standings([budget]))[0].held > 1:  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.005)
            is_told.set()
            for _ in range(2):
                await client.hear()
        await made.finished()
        assert await records(made) == [("r1", 3, "usage")]


async def test_a_response_of_upstreams_own_that_is_not_covered_is_cancelled() -> None:
    """Nobody asked, so nobody could be refused before; what it used until then is charged."""
    cancelled: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    async def speaking(conversation: Conversation) -> None:
        end = await accept(conversation)
        await end.say(response("created", "r1"))
        cancelled.set_result((await end.hear()).json())
        await end.say(response("done", "r1", status="cancelled", usage={"output_tokens": 2}))
        await conversation.gone()

    async with scripted(speaking) as upstream, rig(upstream.url, prices=PRICES) as made:
        await limit(made, Limits(budget_total=9 * NANOS))
        async with shaken(made.url, REALTIME) as client:
            assert b"response.created" in (await client.hear()).data
            assert (await client.hear()).json()["error"]["code"] == "Throttling.AllocationQuota"
            assert b"response.done" in (await client.hear()).data
        assert await cancelled == {"type": "response.cancel", "response_id": "r1"}
        await made.finished()
        assert await records(made) == [("r1", 2, "usage")]


async def test_a_spent_budget_opens_no_session() -> None:
    """The handshake is refused as a plain answer, and no response of an open one costs a place."""
    async with scripted(obeying) as upstream, rig(upstream.url, prices=PRICES) as made:
        await limit(made, Limits(budget_total=0))
        answer = await ask(made.url, handshake(REALTIME))
        assert (answer.status, answer.json()["code"]) == (429, "Throttling.AllocationQuota")


async def test_a_session_is_one_request_and_one_stream() -> None:
    """Its responses are no more; how much is left stands in the handshake's answer."""
    async with scripted(obeying) as upstream, rig(upstream.url) as made:
        await limit(made, Limits(requests_per_minute=2, concurrent_streams=1))
        async with shaken(made.url, REALTIME) as client:
            assert client.answer.value("x-ratelimit-remaining-requests") == b"1"
            for _ in range(3):
                await client.say(ASKS)
            answer = await ask(made.url, handshake(REALTIME))
            assert (answer.status, answer.json()["code"]) == (429, "Throttling.RateQuota")
            assert answer.value("retry-after") is not None
        await made.finished(2)
        await made.gateway.drained()
        async with shaken(made.url, REALTIME):
            pass
