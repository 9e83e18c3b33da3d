"""`pricing: required`: a model without a price is like one that the token may not use, anywhere."""

import json
import time
from datetime import timedelta
from decimal import Decimal

import pytest
from edge.rig import SUBMIT, Conversation, ask, calling, ok, request, rig, scripted
from edge.wsrig import INFERENCE, handshake, obeying, run_task, shaken

from proxy.core.beijing import day_of
from proxy.core.prices import Price, PriceList

SOLD, UNSOLD = "wan2.7-t2v", "wan2.6-t2v"
YESTERDAY = day_of(time.time() - timedelta(days=1).total_seconds())
PRICES = PriceList(
    "CNY",
    is_required=True,
    prices=(
        Price((SOLD,), per_call=Decimal(1)),
        Price((UNSOLD,), until=YESTERDAY, per_call=Decimal(1)),
    ),
)
CHAT = "/compatible-mode/v1/chat/completions"
MESSAGES = "/apps/anthropic/v1/messages"
UPLOADS = "/api/v1/uploads?action=getPolicy&model="


def body(model: str, **more: object) -> bytes:
    return json.dumps({"model": model, "input": {"prompt": "a cat"}, **more}).encode()


ASKED = [
    request("POST", SUBMIT, body(UNSOLD)),
    request("POST", SUBMIT, body(SOLD, parameters={"prompt_extend_model": UNSOLD})),
    request("POST", CHAT, body(UNSOLD)),
    request("POST", MESSAGES, body(UNSOLD)),
    request("GET", UPLOADS + UNSOLD, None),
    request("GET", f"/api/v1/models/{UNSOLD}", None),
    request("GET", f"/compatible-mode/v1/models/{UNSOLD}", None),
    handshake(f"/api-ws/v1/realtime?model={UNSOLD}"),
]


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.split(b" HTTP")[0].decode())
async def test_an_unpriced_model_is_not_there(asked: bytes) -> None:
    """In bodies, beside the first model, in queries and paths; upstream hears nothing of it."""
    async with scripted(obeying) as upstream, rig(upstream.url, prices=PRICES) as made:
        answer = await ask(made.url, asked)
        assert answer.status == 403
        assert b"the model does not exist or this token may not use it" in answer.body
        assert upstream.connections == 0
        assert (await made.finished()).code == "model_not_found"


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.split(b" HTTP")[0].decode())
async def test_a_price_is_asked_for_where_it_is_required(asked: bytes) -> None:
    """The same prices, optional: every one of these calls goes through."""

    async def answers(told: Conversation) -> None:
        await told.whole()
        await told.send(ok(b"{}"))

    optional = PriceList("CNY", prices=PRICES.prices)
    async with (
        scripted(answers) as upstream,
        rig(upstream.url, prices=optional) as made,
        calling(made.url) as client,
    ):
        await client.send(asked)
        await upstream.heard()


async def test_a_frame_that_names_an_unpriced_model_ends_the_conversation() -> None:
    """A WebSocket's tasks are judged one by one, by the prices of the moment."""
    async with (
        scripted(obeying) as upstream,
        rig(upstream.url, prices=PRICES) as made,
        shaken(made.url, INFERENCE) as client,
    ):
        await client.say(run_task("t1", SOLD))
        await client.say(run_task("t2", UNSOLD))
        heard = [(await client.hear()).event for _ in range(2)]
        assert ("task-failed", "t2") in heard


async def test_lists_of_models_show_what_is_sold() -> None:
    """What nobody can call need not be looked at."""
    page = {"output": {"total": 2, "page_no": 1, "models": [{"model": SOLD}, {"model": UNSOLD}]}}

    async def catalogue(told: Conversation) -> None:
        await told.whole()
        await told.send(ok(json.dumps(page).encode()))

    async with scripted(catalogue) as upstream, rig(upstream.url, prices=PRICES) as made:
        answer = await ask(made.url, request("GET", "/api/v1/models", None))
        assert SOLD.encode() in answer.body
        assert UNSOLD.encode() not in answer.body
