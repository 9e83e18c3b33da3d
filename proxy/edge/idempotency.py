"""Submits that carry an `Idempotency-Key`: sent once, answered as often as they come.

Who is first reserves the key before anything is sent. The exchange concludes it by itself, so
that a client that lost its connection gets the answer by sending the same call again: at once,
and then it waits for the first one's end, or later. What certainly made no task frees the key.
"""

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import suppress
from dataclasses import replace

from proxy.core.errors import ProxyError, Situation, StoreUnavailableError, UnreachableError
from proxy.core.headers import inbound
from proxy.core.idempotency import Fingerprint, State, Submission, place_of, still_running
from proxy.edge.submits import Held, Order, Submits
from proxy.ports import Call, Submissions, Telemetry

LOOK_EVERY = 0.5
"""Seconds between two looks at a first call that runs in another process."""

CLEARANCE = 30.0
"""Seconds for what the timeouts of client and upstream leave out: connecting, writing owners."""


class Once:
    """Runs submits, those with a key once per key.

    `patience` is seconds that a repeat waits for the first one's end, `body_timeout` those of
    silence that a client is granted while it sends.
    """

    def __init__(
        self,
        submits: Submits,
        submissions: Submissions,
        telemetry: Telemetry,
        patience: float,
        body_timeout: float,
    ) -> None:
        self._submits = submits
        self._submissions = submissions
        self._telemetry = telemetry
        self._patience = patience
        self._body_timeout = body_timeout
        self._here: dict[str, _Turn] = {}

    async def run(self, order: Order, token: str, key: str | None) -> Held:
        """Send the order, or answer it as the first one with its key. `token` is a grant's id.

        Raises `ProxyError`, also what the first one ended with.
        """
        if key is None:
            return await self._submits.run(order)
        longest = self._body_timeout + order.call.read_timeout + CLEARANCE
        turn = _Turn(place_of(token, key), order, longest, self._submissions, self._telemetry)
        known = await self._enter(turn)
        if known is not None:
            return await turn.repeat(known)
        self._here[turn.place] = turn
        try:
            return await self._submits.run(order, self._concluded(turn))
        except asyncio.CancelledError:
            if order.abandon():
                self._leave(turn)
                await turn.release()
            raise

    async def _enter(self, turn: "_Turn") -> Submission | None:
        """Reserve the key; or wait for the end of the call that holds it, and say how it ended."""
        try:
            async with asyncio.timeout(self._patience):
                while (known := await turn.reserve()) and known.is_running(time.time()):
                    await self._pause(turn.place)
                return known
        except TimeoutError:
            raise still_running() from None

    async def _pause(self, place: str) -> None:
        """Until the first call has ended here, or may have elsewhere."""
        first = self._here.get(place)
        if first is None:
            await asyncio.sleep(LOOK_EVERY)
        else:
            await first.ended.wait()

    def _leave(self, turn: "_Turn") -> None:
        """Wake those who wait for this call, which has ended."""
        turn.ended.set()
        if self._here.get(turn.place) is turn:
            del self._here[turn.place]

    async def _concluded(self, turn: "_Turn") -> Held:
        """The exchange; what it came to is noted before anybody hears of it."""
        try:
            held = await self._submits.exchange(turn.order)
            await turn.answered(held)
        except Exception as error:
            await turn.failed(error)
            raise
        finally:
            self._leave(turn)
        return held


class _Turn:
    """One call with a key, from the outset measuring what it sends.

    `longest` is seconds that it may take; `ended` is set when it has ended.
    """

    def __init__(
        self,
        place: str,
        order: Order,
        longest: float,
        submissions: Submissions,
        telemetry: Telemetry,
    ) -> None:
        self.place = place
        self.order = order
        self.ended = asyncio.Event()
        self._longest = longest
        self._submissions = submissions
        self._telemetry = telemetry
        self._fingerprint = Fingerprint(order.call.target)
        order.call = _measured(order.call, self._fingerprint)
        self._mine = self._beginning()

    async def reserve(self) -> Submission | None:
        """See `proxy.ports.Submissions.reserve`. Who leaves or fails in it reserves nothing."""
        self._mine = self._beginning()
        asked = asyncio.create_task(self._submissions.reserve(self.place, self._mine))
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            await asyncio.wait([asked])
            await self.release()
            raise
        except StoreUnavailableError as error:
            await self.release()
            raise _nothing_sent() from error

    async def repeat(self, known: Submission) -> Held:
        """The first call's answer, when this is that call again, judged anew to its last byte."""
        if isinstance(self.order.call.body, AsyncIterable):
            async for _ in self.order.call.body:
                pass
        known.demand_same(str(self._fingerprint))
        self.order.visit.replayed, self.order.visit.account = True, ""
        known.demand_answer()
        return Held(
            known.status, known.reason, known.headers, known.body, known.tasks, replayed=True
        )

    async def answered(self, held: Held) -> None:
        """Keep an answer that may hold tasks; a refusal by upstream is none."""
        if not held.is_success:
            await self.release()
            return
        done = replace(
            self._mine,
            state=State.DONE,
            fingerprint=self._sent,
            status=held.status,
            reason=held.reason,
            headers=inbound(held.headers, self.order.visit.request_id),
            body=held.body,
            tasks=held.tasks,
        )
        await self._conclude(done)

    async def failed(self, error: Exception) -> None:
        """Keep that there may be a task, unless there is certainly none."""
        if isinstance(error, UnreachableError) or not self.order.may_be_done:
            await self.release()
        elif isinstance(error, ProxyError):
            await self._conclude(self._mine.uncertain(error, self._sent))
        else:
            bug = ProxyError(Situation.INTERNAL_ERROR, "The proxy failed; do not re-send.")
            await self._conclude(self._mine.uncertain(bug, self._sent))

    async def release(self) -> None:
        """Free the key, if it is held here. A store that fails keeps it: better so than twice."""
        with suppress(StoreUnavailableError):
            await self._submissions.release(self.place, self._mine)

    async def _conclude(self, ended: Submission) -> None:
        """A store that fails keeps a call that never ended: its repeats will hear so."""
        try:
            await self._submissions.conclude(self.place, ended)
        except StoreUnavailableError:
            self._telemetry.event("submit_not_remembered", request_id=self.order.visit.request_id)

    @property
    def _sent(self) -> str:
        """What was sent; nothing to compare with when upstream answered before it was all."""
        return str(self._fingerprint) if self.order.passage.all_sent else ""

    def _beginning(self) -> Submission:
        now = time.time()
        return Submission(self.order.visit.request_id, now, now + self._longest)


def _nothing_sent() -> StoreUnavailableError:
    return StoreUnavailableError(
        "The proxy's store is unavailable, so nothing was sent; "
        "send it again later with the same Idempotency-Key."
    )


def _measured(call: Call, fingerprint: Fingerprint) -> Call:
    """The call, its body read by the fingerprint on the way out."""
    body = call.body
    if isinstance(body, bytes):
        fingerprint.feed(body)
        return call
    return call if body is None else replace(call, body=_read_by(fingerprint, body))


async def _read_by(fingerprint: Fingerprint, body: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    async for part in body:
        yield fingerprint.feed(part)
