"""Submits that carry an `Idempotency-Key`: sent once, answered as often as they come.

    reserve → say that it is being sent → exchange → say what came of it

Who is first reserves the key. The exchange concludes it by itself, so that a client that lost its
connection gets the answer by sending the same call again: at once, and then it waits for the first
one's end, or later. A call that is sent prolongs its hold while it runs, so that a process that
died is noticed soon. What frees a key stands in `proxy.core.idempotency`.
"""

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

from proxy.core.answers import Held
from proxy.core.errors import ProxyError, Situation, StoreUnavailableError, UnreachableError
from proxy.core.headers import inbound
from proxy.core.idempotency import (
    Fingerprint,
    Lost,
    Outcome,
    Submission,
    place_of,
    still_running,
)
from proxy.edge.submits import Order, Submits
from proxy.ports import Submissions, Telemetry

LOOK_EVERY = 0.5
"""Seconds between two looks at a first call that runs in another process."""

KEY_HOLD = 30.0
"""Seconds that a key is held by a call of which nothing is heard. It prolongs them three times as
often: a store may be away for a while, and the clocks of two hosts may differ a little."""

INSISTING = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds between attempts to tell the store what it would not hear; the last for ever."""


@dataclass(eq=False, slots=True)
class _Turn:
    """One call with a key. `ended` is set when it has ended."""

    place: str
    order: Order
    fingerprint: Fingerprint
    mine: Submission
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Once:
    """Runs submits, those with a key once per key.

    `patience` is seconds that a repeat waits for the first one's end, `hold` as `KEY_HOLD`.
    """

    def __init__(
        self,
        submits: Submits,
        submissions: Submissions,
        telemetry: Telemetry,
        *,
        patience: float,
        hold: float = KEY_HOLD,
    ) -> None:
        self._submits = submits
        self._submissions = submissions
        self._telemetry = telemetry
        self._patience = patience
        self._hold = hold
        self._here: dict[str, _Turn] = {}
        self._insisting: set[asyncio.Task[None]] = set()

    async def run(self, order: Order, key: str | None) -> Held:
        """Send the order, or answer it as the first one with its key.

        Raises `ProxyError`, also what the first one ended with.
        """
        if key is None:
            return await self._submits.run(order)
        turn = _turn(order, place_of(order.grant.tenant, order.grant.id, key))
        known = await self._enter(turn)
        if known is not None:
            return await _repeat(turn, known)
        self._here[turn.place] = turn
        try:
            return await self._submits.run(order, self._exchange(turn))
        except asyncio.CancelledError:
            if order.abandon():
                self._leave(turn)
                await self._release(turn)
            raise

    async def _enter(self, turn: _Turn) -> Submission | None:
        """Reserve the key; or wait for the end of the call that holds it, and say how it ended."""
        try:
            async with asyncio.timeout(self._patience):
                while (known := await self._reserve(turn)) and self._is_running(turn.place, known):
                    await self._pause(turn.place)
                return known
        except TimeoutError:
            raise still_running() from None

    async def _reserve(self, turn: _Turn) -> Submission | None:
        """See `proxy.ports.Submissions.reserve`. Who leaves or fails in it reserves nothing."""
        now = time.time()
        turn.mine = replace(turn.mine, created=now, due=now + self._hold)
        asked = asyncio.create_task(self._submissions.reserve(turn.place, turn.mine))
        try:
            return await asyncio.shield(asked)
        except (asyncio.CancelledError, StoreUnavailableError) as error:
            await asyncio.wait([asked])
            with suppress(StoreUnavailableError):  # it is free at `due`, unless it is now
                await self._submissions.release(turn.place, turn.mine.holder)
            if isinstance(error, StoreUnavailableError):
                raise _nothing_sent() from error
            raise

    def _is_running(self, place: str, known: Submission) -> bool:
        """Whether the first call runs: surely when it does so here, however little is heard."""
        here = place in self._here and known.outcome is None
        return here or known.is_running(time.time())

    async def _pause(self, place: str) -> None:
        """Until the first call has ended here, or may have elsewhere."""
        first = self._here.get(place)
        if first is None:
            await asyncio.sleep(LOOK_EVERY)
        else:
            await first.ended.wait()

    def _leave(self, turn: _Turn) -> None:
        """Wake those who wait for this call, which has ended."""
        turn.ended.set()
        if self._here.get(turn.place) is turn:
            del self._here[turn.place]

    async def _exchange(self, turn: _Turn) -> Held:
        """The exchange; what it came to is noted before anybody hears of it."""
        try:
            await self._begin(turn)
            prolonging = asyncio.create_task(self._prolong(turn))
            try:
                held = await self._submits.exchange(turn.order)
                await self._answered(turn, held)
            except Exception as error:
                await self._failed(turn, error)
                raise
            finally:
                prolonging.cancel()
        finally:
            self._leave(turn)
        return held

    async def _begin(self, turn: _Turn) -> None:
        """Say that it is being sent, before it is. Raises `ProxyError`, and nothing is sent."""
        turn.mine = replace(turn.mine, is_sending=True, due=time.time() + self._hold)
        try:
            is_mine = await self._submissions.advance(turn.place, turn.mine)
        except StoreUnavailableError as error:
            await self._release(turn)
            raise _nothing_sent() from error
        if not is_mine:
            raise still_running()

    async def _prolong(self, turn: _Turn) -> None:
        """Let nobody take it for dead while it runs."""
        while True:
            await asyncio.sleep(self._hold / 3)
            with suppress(StoreUnavailableError):
                due = time.time() + self._hold
                await self._submissions.prolong(turn.place, turn.mine.holder, due)

    async def _answered(self, turn: _Turn, held: Held) -> None:
        """Keep an answer, unless upstream says in it that it did not take the call on."""
        if held.is_refusal:
            await self._release(turn)
        else:
            headers = tuple(inbound(held.headers, turn.order.visit.request_id))
            await self._conclude(turn, replace(held, headers=headers))

    async def _failed(self, turn: _Turn, error: Exception) -> None:
        """Keep that there may be a task, unless there is certainly none."""
        if isinstance(error, UnreachableError) or not turn.order.may_be_done:
            await self._release(turn)
            return
        if not isinstance(error, ProxyError):
            error = ProxyError(Situation.INTERNAL_ERROR, "The proxy failed; do not re-send.")
        await self._conclude(turn, Lost(error.situation.name, error.message))

    async def _conclude(self, turn: _Turn, outcome: Outcome) -> None:
        """Until the store hears it, repeats are told of a call that still runs or was cut off."""
        sent = str(turn.fingerprint) if turn.order.passage.all_sent else ""
        ended = replace(turn.mine, fingerprint=sent, outcome=outcome)
        if not await self._told(partial(self._submissions.advance, turn.place, ended)):
            self._telemetry.event("submit_not_remembered", request_id=ended.holder)

    async def _release(self, turn: _Turn) -> None:
        """Free the key. Until the store hears it, it is taken: better so than two tasks."""
        await self._told(partial(self._submissions.release, turn.place, turn.mine.holder))

    async def _told(self, tell: Callable[[], Awaitable[object]]) -> bool:
        """Tell the store; False when it does not hear, and then it is told in the background."""
        try:
            await tell()
        except StoreUnavailableError:
            insisting = asyncio.create_task(_insist(tell))
            self._insisting.add(insisting)
            insisting.add_done_callback(self._insisting.discard)
            return False
        return True


def _turn(order: Order, place: str) -> _Turn:
    """The turn of an order, whose body is measured on the way out from now on."""
    fingerprint = Fingerprint(order.call.target)
    body = order.call.body
    if isinstance(body, bytes):
        fingerprint.feed(body)
    elif body is not None:
        order.call = order.call._replace(body=_measured(body, fingerprint))
    mine = Submission(order.visit.request_id, 0.0, 0.0, fingerprint.target)
    return _Turn(place, order, fingerprint, mine)


async def _insist(tell: Callable[[], Awaitable[object]]) -> None:
    attempt = 0
    while True:
        await asyncio.sleep(INSISTING[min(attempt, len(INSISTING) - 1)])
        with suppress(StoreUnavailableError):
            await tell()
            return
        attempt += 1


async def _repeat(turn: _Turn, known: Submission) -> Held:
    """The first call's answer, when this is that call again, judged anew to its last byte."""
    order = turn.order
    if isinstance(order.call.body, AsyncIterable):
        async for _ in order.call.body:
            pass
    known.demand_same(turn.fingerprint)
    order.visit.replayed, order.visit.account = True, ""
    return known.answer()


def _nothing_sent() -> StoreUnavailableError:
    return StoreUnavailableError(
        "The proxy's store is unavailable, so nothing was sent; "
        "send it again later with the same Idempotency-Key."
    )


async def _measured(body: AsyncIterable[bytes], fingerprint: Fingerprint) -> AsyncIterator[bytes]:
    async for part in body:
        yield fingerprint.feed(part)
