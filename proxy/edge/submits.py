"""Calls that create tasks: the answer is held until every task in it has an owner.

Once the whole request has gone up, or an answer has begun, upstream may have created the task
whatever the client does. From then on the exchange runs to its end by itself: a client that
hangs up loses its answer, never its task.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from functools import partial

from proxy.core.answers import (
    MAX_READ,
    AnswerUnreadableError,
    Held,
    error_code,
    read_json,
    request_id,
    task_ids,
)
from proxy.core.errors import ProxyError, Situation, StoreUnavailableError, UnreachableError
from proxy.core.headers import value_of
from proxy.core.jsonscan import Path
from proxy.core.policy import Grant
from proxy.core.tasks import TaskConflictError, TaskRecord
from proxy.edge.bodies import gather
from proxy.edge.intake import ClientGoneError, Passage
from proxy.edge.tickets import Ticket
from proxy.ports import Call, Tasks, Telemetry, Upstream, Visit

CLAIM_RETRIES = (0.1, 0.3, 0.6, 1.0, 2.0)
"""Seconds between attempts to write an owner: a task costs money, a client can wait for 4 s."""


@dataclass(slots=True)
class Order:
    """One submit: what goes up, where its answer names tasks, and whose they will be."""

    call: Call
    passage: Passage
    places: tuple[Path, ...]
    ticket: Ticket
    answered: bool = False

    @property
    def grant(self) -> Grant:
        """Who sends it."""
        return self.ticket.grant

    @property
    def visit(self) -> Visit:
        """Its story."""
        return self.ticket.visit

    def record(self, task_id: str, upstream_id: str) -> TaskRecord:
        """Who owns a task that came of it; `upstream_id` is upstream's own of the request."""
        return TaskRecord(
            task_id=task_id,
            tenant=self.grant.tenant,
            token=self.grant.id,
            account=self.call.account.name,
            model=self.visit.model,
            created=self.ticket.created,
            request_id=upstream_id,
            inputs=dict(self.ticket.inputs),
            hold=self.ticket.hold_id,
        )

    @property
    def may_be_done(self) -> bool:
        """Whether upstream had what it needs to create the task, unless nothing ever left."""
        return self.ticket.is_admitted and (self.answered or self.passage.all_sent)

    def abandon(self) -> bool:
        """Make sure that no task comes of it; False when one may have. Asked again: the same."""
        return not self.answered and self.passage.abandon()


class Submits:
    """Runs submits to their end. `drain` waits for those whose client is gone."""

    def __init__(self, upstream: Upstream, tasks: Tasks, telemetry: Telemetry) -> None:
        self._upstream = upstream
        self._tasks = tasks
        self._telemetry = telemetry
        self._running: set[asyncio.Task[Held]] = set()

    async def run(self, order: Order, exchange: Coroutine[None, None, Held] | None = None) -> Held:
        """Send and claim. Raises `ProxyError`; cancelled, it goes on unless it can be abandoned.

        How it ended alone is told as an event with the visit's id: the request's own line,
        written when the client left, does not know. `exchange` is what to run instead of
        `self.exchange` alone.
        """
        running = asyncio.create_task(exchange or self.exchange(order))
        self._running.add(running)
        running.add_done_callback(self._finished)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            if order.abandon():
                running.cancel()
                await asyncio.wait([running])
            else:
                running.add_done_callback(partial(self._ended_alone, order.visit.request_id))
            raise

    async def drain(self) -> None:
        """Wait for the exchanges that still run."""
        if self._running:
            await asyncio.wait(self._running)

    def _finished(self, exchange: asyncio.Task[Held]) -> None:
        self._running.discard(exchange)
        if not exchange.cancelled():
            exchange.exception()  # looked at, so that nobody warns when the client is gone

    def _ended_alone(self, visit_id: str, exchange: asyncio.Task[Held]) -> None:
        """Note how an exchange ended whose client had left."""
        if exchange.cancelled():
            self._telemetry.event("submit_cut_off", request_id=visit_id)
            return
        error = exchange.exception()
        if error is None:
            held = exchange.result()
            self._telemetry.event(
                "submit_ended_alone",
                request_id=visit_id,
                task_id=",".join(held.tasks),
                upstream_status=held.status,
                upstream_request_id=held.request_id,
            )
        elif isinstance(error, ProxyError):
            self._telemetry.event(
                "submit_ended_alone", request_id=visit_id, code=error.situation.code
            )
        else:
            self._telemetry.bug(error, visit_id)

    async def exchange(self, order: Order) -> Held:
        """Send within the limits, hear the answer out, and write the owner of each task in it."""
        async with order.ticket:
            held = await self._answer(order)
            return await self._claimed(order, held) if held.is_success else held

    async def _claimed(self, order: Order, held: Held) -> Held:
        """The answer, when each task in it has an owner."""
        try:
            answer = read_json(held.body, value_of(held.headers, "content-encoding"))
            ids = tuple(task_ids(answer, order.places))
        except AnswerUnreadableError as error:
            self._unreadable(order, str(error))
            raise _uncertain(_no_answer()) from error
        if ids:
            order.ticket.for_tasks()
        upstream_id = request_id(answer)
        for task_id in ids:
            await self._claim(order.record(task_id, upstream_id))
            order.ticket.claimed()
        refused = not ids and bool(error_code(answer))
        return replace(held, tasks=ids, request_id=upstream_id, has_code=refused)

    async def _answer(self, order: Order) -> Held:
        """Upstream's whole answer. Raises `ProxyError`, which says so if there may be a task."""
        try:
            async with self._upstream.send(order.call) as reply:
                order.answered = True
                chunks = order.ticket.chunks(reply, has_begun=True)
                body = await gather(chunks, MAX_READ, _no_answer)
                return Held(reply.status, reply.reason, tuple(reply.headers), body)
        except UnreachableError:
            raise
        except ClientGoneError as error:
            if order.answered:
                raise _uncertain(_no_answer()) from error
            raise
        except ProxyError as error:
            if order.answered:
                self._unreadable(order, error.message)
            if order.may_be_done:
                raise _uncertain(error) from error
            raise

    async def _claim(self, record: TaskRecord) -> None:
        """Write the owner; whatever prevents it, what an operator needs is told."""
        why = "cut off; its owner may not have been written"
        try:
            await self._claim_with_patience(record)
            why = ""
        except StoreUnavailableError as error:
            why = "the store is unavailable"
            raise _unowned() from error
        except TaskConflictError as error:
            why = "another tenant owns this id"
            raise ProxyError(
                Situation.INTERNAL_ERROR, "The task's id is already taken; do not re-send."
            ) from error
        finally:
            if why:
                self._orphaned(record, why)

    async def _claim_with_patience(self, record: TaskRecord) -> None:
        for delay in CLAIM_RETRIES:
            try:
                return await self._tasks.claim(record)
            except StoreUnavailableError:
                await asyncio.sleep(delay)
        return await self._tasks.claim(record)

    def _unreadable(self, order: Order, problem: str) -> None:
        """Note an answer that may hold a task nobody will own."""
        self._telemetry.event(
            "submit_answer_unreadable",
            problem=problem,
            request_id=order.visit.request_id,
            account=order.call.account.name,
        )

    def _orphaned(self, record: TaskRecord, why: str) -> None:
        """Leave what an operator needs to give the task to its owner by hand."""
        self._telemetry.event(
            "task_without_owner",
            why=why,
            task_id=record.task_id,
            tenant=record.tenant,
            token=record.token,
            account=record.account,
            model=record.model,
        )


def _no_answer() -> ProxyError:
    return ProxyError(Situation.BAD_GATEWAY, "Upstream's answer cannot be read.")


def _uncertain(error: ProxyError) -> ProxyError:
    """The same, to a client that must not try again."""
    return ProxyError(
        error.situation, f"{error.message} The task may have been created, do not re-send."
    )


def _unowned() -> ProxyError:
    return ProxyError(
        Situation.STORE_UNAVAILABLE,
        "The task was created, but its owner could not be written; do not re-send.",
    )
