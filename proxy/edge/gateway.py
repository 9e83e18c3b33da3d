"""The handler: one request's journey, as a straight line.

    match → grant → own? → gate → choose account → outbound → hold → send → claim → relay → settle

`_serve` is that line and has no `try`. `handle` turns a `ProxyError` into an envelope, a client
that left into nothing, and anything unexpected into `InternalError`: one place for all three.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus

from aiohttp import web

from proxy.core.accounts import Account, choose
from proxy.core.addresses import NOBODY, TrustedProxies
from proxy.core.envelope import unknown_task
from proxy.core.errors import ProxyError, Situation
from proxy.core.idempotency import read_key
from proxy.core.judging import Named, body_gate, demand_scope, judge_address
from proxy.core.listing import parse_wanted, render_listing
from proxy.core.policy import Grant, is_active, may_use, selling
from proxy.core.routes import Answer, Async, Match, Route, RouteTable
from proxy.core.tasks import TaskRecord
from proxy.core.tickets import needs_whole
from proxy.edge.asked import Asked
from proxy.edge.facades import ROOM, Facades, answer_poll, answer_submit, is_unified, most_of
from proxy.edge.forwarding import Forwarding, note_upstream
from proxy.edge.health import AccountHealth
from proxy.edge.idempotency import KEY_HOLD, Once
from proxy.edge.intake import ClientGoneError, Intake, Passage
from proxy.edge.metering import Meter
from proxy.edge.models import HOLD, Catalogue
from proxy.edge.polls import Polls, unhurried
from proxy.edge.queries import Queries
from proxy.edge.replies import CLIENT_GONE, Replier
from proxy.edge.request_ids import RequestIds
from proxy.edge.sockets import SocketLimits, Sockets
from proxy.edge.spool import Spool, SpoolBudget
from proxy.edge.submits import Order, Submits
from proxy.ports import Call, Store, Telemetry, Upstream, Visit


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may take. Sizes are bytes, times seconds; `trusted` may name a client."""

    max_body: int
    spool: int
    body_timeout: float
    read_timeout: float
    write_timeout: float
    poll_hold: float = 1.0
    models_hold: float = HOLD
    key_hold: float = KEY_HOLD
    unified: int = ROOM
    sockets: SocketLimits = field(default_factory=SocketLimits)
    trusted: TrustedProxies = NOBODY


class Gateway:
    """Serves requests. `closing` makes every answer the last one on its connection."""

    def __init__(  # noqa: PLR0913 - the parts of a process, put together in one place
        self,
        routes: RouteTable,
        accounts: Sequence[Account],
        store: Store,
        upstream: Upstream,
        telemetry: Telemetry,
        limits: Limits,
        health: AccountHealth,
        *,
        meter: Meter,
    ) -> None:
        self.closing = False
        self._meter = meter
        self._routes = routes
        self._accounts = accounts
        self._store = store
        self._upstream = upstream
        self._telemetry = telemetry
        self._limits = limits
        self._health = health
        self._spool = SpoolBudget(limits.spool)
        self._facades = Facades(routes.families, limits.unified)
        self._catalogue = Catalogue(
            upstream, accounts, telemetry, limits.read_timeout, limits.models_hold
        )
        self._polls = Polls(
            store,
            accounts,
            upstream,
            telemetry,
            hold=limits.poll_hold,
            patience=limits.read_timeout,
            seen=meter.task_seen,
        )
        self._forwarding = Forwarding(upstream)
        self._submits = Submits(upstream, store, telemetry)
        self._once = Once(
            self._submits,
            store,
            telemetry,
            patience=limits.read_timeout,
            hold=limits.key_hold,
        )
        self.sockets = Sockets(upstream, accounts, telemetry, limits.sockets, health, meter)
        self._is_last = lambda: self.closing
        self._ids = RequestIds()
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def queries(self) -> Queries:
        """Asks accounts about tasks, at their pace."""
        return self._polls.queries

    async def drained(self) -> None:
        """Return when nothing runs any more, submits without a client included; all is settled."""
        await self._idle.wait()
        await self._submits.drain()
        await self._meter.drained()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one request and record it, whatever happens."""
        visit = Visit(self._ids.next(), time.perf_counter(), request.method)
        self._telemetry.started()
        if not self._running:
            self._idle.clear()
        self._running += 1
        try:
            return await self._answer(request, visit)
        except asyncio.CancelledError:
            if visit.status != HTTPStatus.SWITCHING_PROTOCOLS:
                visit.status = CLIENT_GONE
            raise
        finally:
            visit.total = time.perf_counter() - visit.started
            self._telemetry.finished(visit)
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def _answer(self, request: web.BaseRequest, visit: Visit) -> web.StreamResponse:
        replier = Replier(request, visit, self._limits.write_timeout, self._is_last)
        match = None
        try:
            match = self._routes.meet(request.method, request.raw_path)
            replier.envelope = match.route.envelope
            return await self._serve(request, match, visit, replier)
        except ProxyError as error:
            is_unknown = error.situation is Situation.TASK_NOT_EXIST
            if match and match.route.unknown_task_is_native and is_unknown:
                task_id = match.captures[match.route.task or ""]
                return await replier.send_json(200, unknown_task(task_id, visit.request_id))
            if match is None:
                replier.envelope = self._routes.envelope(request.raw_path)
            is_poll = match is not None and match.is_poll
            return await replier.refuse(await unhurried(error) if is_poll else error)
        except ClientGoneError:
            return replier.gone()
        except Exception as error:  # noqa: BLE001 - our own bug, told as one row of the table
            self._telemetry.bug(error, visit.request_id)
            bug = ProxyError(Situation.INTERNAL_ERROR, "The proxy failed; its log says why.")
            return await replier.refuse(bug)

    async def _serve(
        self, request: web.BaseRequest, match: Match, visit: Visit, replier: Replier
    ) -> web.StreamResponse:
        asked = Asked.read(request, match, visit, replier)
        visit.route, visit.alias = match.route.name, match.route.alias
        grant = await self._caller(asked)
        demand_scope(match.route, grant)
        task = await self._polls.own_task(match, grant) if match.route.task else None
        named = judge_address(match, grant)
        asked.refuse_unjudgeable()
        if match.route.websocket is not None:
            return await self.sockets.serve(asked, grant, named, partial(self._caller, asked))
        if match.route.answer is not Answer.UPSTREAM:
            return await self._own_answer(asked, grant)
        if task and match.is_poll:
            return await self._poll(asked, task)
        inside = Named()
        intake = self._intake(asked)
        if "expect" in asked.header.names:
            await intake.invite()
        gate = body_gate(match.route, grant, inside)
        with Passage(intake, gate, Spool(self._spool, grant.tenant)) as passage:
            await passage.judge(whole=needs_whole(grant))
            if is_unified(asked):
                asked = await self._facades.enter(asked, passage, grant, inside)
            model = _model(match.route, inside, named, task)
            account = self._polls.account_of(task) if task else self._choose(model, grant, inside)
            inside.account = account
            _note(visit, model, account.name, task)
            call = self._call(asked, account, model, passage)
            if task:
                forget = partial(self._polls.forget, task)
                return await self._forwarding.meddle(asked, call, forget)
            ticket = self._meter.ticket(asked, grant, call, model, passage)
            if asked.creates_tasks:
                order = Order(call, passage, asked.match.route.claims, ticket)
                return await self._submit(asked, order)
            return await self._forwarding.forward(asked, call, ticket)

    async def _caller(self, asked: Asked) -> Grant:
        """Who calls, for what is sold now.

        Raises `ProxyError`: `INVALID_TOKEN`, `WRONG_ADDRESS`, or the store's outage.
        """
        now = time.time()
        grant = await self._store.grant(asked.digest)
        if grant is None or not is_active(grant, now):
            raise ProxyError(
                Situation.INVALID_TOKEN, "Authorization: unknown, expired or revoked token."
            )
        visit = asked.visit
        visit.token, visit.token_name, visit.tenant = grant.id, grant.name, grant.tenant
        asked.demand_address(grant, self._limits.trusted)
        sold = self._meter.prices.sold(now)
        return grant if sold is None else selling(grant, sold)

    async def _own_answer(self, asked: Asked, grant: Grant) -> web.StreamResponse:
        """Answers the proxy gives itself: the caller's tasks, the caller's models."""
        match, visit = asked.match, asked.visit
        if match.route.answer is Answer.OWN_TASKS:
            wanted = parse_wanted(match.target.query, time.time())
            records = await self._store.tasks_of(grant.tenant, wanted.since, wanted.until)
            body = render_listing(records, wanted, visit.request_id)
        else:
            body = await self._catalogue.page(match, asked.fields, partial(may_use, grant))
        return await asked.replier.send_json(200, body)

    def _intake(self, asked: Asked) -> Intake:
        """The body that may begin, now that the caller is known; a header may refuse it."""
        limits = self._limits
        most = most_of(asked.match.route, limits.max_body)
        intake = Intake(asked.request, asked.visit, most, limits.body_timeout)
        intake.refuse_at_once()
        return intake

    def _choose(self, model: str | None, grant: Grant, inside: Named) -> Account:
        sick, also = self._health.unhealthy(), inside.models.values()
        return choose(self._accounts, model, grant.tenant, sick, also)

    def _call(self, asked: Asked, account: Account, model: str | None, passage: Passage) -> Call:
        headers = asked.header.outbound(
            asked.length,
            account,
            force_async=asked.match.route.asynchronous is Async.ALWAYS,
            claims=asked.creates_tasks or asked.match.runs_model,
            as_json=asked.match.route.is_judged,
        )
        return Call(
            method=asked.request.method,
            account=account,
            target=asked.match.upstream_target(model),
            headers=headers,
            body=passage.body(),
            read_timeout=self._limits.read_timeout + asked.header.patience,
        )

    async def _submit(self, asked: Asked, order: Order) -> web.StreamResponse:
        """Send what creates a task, once; its answer leaves when the task has an owner."""
        visit = asked.visit
        held = await self._once.run(order, read_key(asked.header.fields))
        visit.task_id = ",".join(held.tasks)
        if not held.replayed:
            note_upstream(visit, held.status, held.headers)
            visit.upstream_request_id = held.request_id or visit.upstream_request_id
        return await answer_submit(asked, held, (*order.ticket.told, *held.marks))

    async def _poll(self, asked: Asked, task: TaskRecord) -> web.StreamResponse:
        """Tell the state of the caller's task: upstream's, or the last one known."""
        visit = asked.visit
        _note(visit, task.model, task.account, task)
        told = await self._polls.told(task, asked)
        visit.poll = told.outcome
        if told.outcome.is_new:
            note_upstream(visit, told.status, told.headers)
        return await answer_poll(asked, told, task)


def _model(route: Route, inside: Named, named: str | None, task: TaskRecord | None) -> str | None:
    """The model this call is about: the body's first place, the address's, or the task's."""
    if route.models:
        return inside.models[route.models[0]]
    return named or (task.model if task else None)


def _note(visit: Visit, model: str | None, account: str, task: TaskRecord | None) -> None:
    visit.model, visit.account = model or "", account
    visit.task_id = task.task_id if task else ""
