"""The handler: one request's journey, as a straight line.

    match → grant → own? → gate → choose account → outbound → send → claim → relay → record

`_serve` is that line and has no `try`. `handle` turns a `ProxyError` into an envelope, a client
that left into nothing, and anything unexpected into `InternalError`: one place for all three.
"""

import asyncio
import re
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPMethod

from aiohttp import web

from proxy.core.accounts import Account, choose
from proxy.core.answers import MAX_READ, AnswerUnreadableError, read_json, task_status
from proxy.core.envelope import unknown_task
from proxy.core.errors import ProxyError, Situation, StoreUnavailableError
from proxy.core.gate import Gate, Judge
from proxy.core.headers import Fields, asks_async, outbound, value_of, values_of
from proxy.core.jsonscan import Path
from proxy.core.judging import body_demands, demand_scope, judge_address
from proxy.core.listing import parse_wanted, render_listing
from proxy.core.policy import Grant, digest_of, is_active, may_see, may_use
from proxy.core.routes import Answer, Async, Envelope, Match, Route, RouteTable
from proxy.core.target import parse_target
from proxy.core.tasks import TERMINAL, TaskRecord, is_task_id
from proxy.edge.health import AccountHealth
from proxy.edge.intake import ClientGoneError, Intake, Passage
from proxy.edge.models import Catalogue
from proxy.edge.replies import CLIENT_GONE, Replier
from proxy.edge.spool import SpoolBudget
from proxy.edge.submits import Submits
from proxy.ports import Call, Reply, Store, Telemetry, Upstream, Visit

_BEARER = re.compile(r"bearer +([\x21-\x7e]+) *", re.IGNORECASE)
_WAIT_TIMEOUT = "x-dashscope-wait-timeout"
_MAX_WAIT = 120


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may take. Sizes are bytes, times seconds."""

    max_body: int
    spool: int
    body_timeout: float
    read_timeout: float
    write_timeout: float


class Gateway:
    """Serves requests. `closing` makes every answer the last one on its connection."""

    def __init__(
        self,
        routes: RouteTable,
        accounts: Sequence[Account],
        store: Store,
        upstream: Upstream,
        telemetry: Telemetry,
        limits: Limits,
        health: AccountHealth,
    ) -> None:
        self.closing = False
        self._routes = routes
        self._accounts = accounts
        self._store = store
        self._upstream = upstream
        self._telemetry = telemetry
        self._limits = limits
        self._health = health
        self._spool = SpoolBudget(limits.spool)
        self._catalogue = Catalogue(upstream, accounts, limits.read_timeout)
        self._submits = Submits(upstream, store, telemetry)
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def drained(self) -> None:
        """Return when nothing runs any more, submits without a client included."""
        await self._idle.wait()
        await self._submits.drain()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one request and record it, whatever happens."""
        visit = Visit(uuid.uuid4().hex, time.perf_counter(), request.method)
        self._telemetry.started()
        self._running += 1
        self._idle.clear()
        try:
            return await self._answer(request, visit)
        except asyncio.CancelledError:
            visit.status = CLIENT_GONE
            raise
        finally:
            visit.total = time.perf_counter() - visit.started
            self._telemetry.finished(visit)
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def _answer(self, request: web.BaseRequest, visit: Visit) -> web.StreamResponse:
        replier = Replier(request, visit, self._limits.write_timeout, lambda: self.closing)
        match = None
        try:
            match = self._routes.match(request.method, parse_target(request.raw_path))
            return await self._serve(request, match, visit, replier)
        except ProxyError as error:
            if match and match.route.unknown_task_is_native and _is_unknown_task(error):
                task_id = match.captures[match.route.task or ""]
                return await replier.send_json(200, unknown_task(task_id, visit.request_id))
            return await replier.refuse(error, match.route.envelope if match else Envelope.NATIVE)
        except (ClientGoneError, ConnectionError, TimeoutError):
            return replier.gone()
        except Exception as error:  # noqa: BLE001 - our own bug, told as one row of the table
            self._telemetry.bug(error, visit.request_id)
            bug = ProxyError(Situation.INTERNAL_ERROR, "The proxy failed; its log says why.")
            return await replier.refuse(bug, Envelope.NATIVE)

    async def _serve(
        self, request: web.BaseRequest, match: Match, visit: Visit, replier: Replier
    ) -> web.StreamResponse:
        asked = Asked(request, match, _fields(request), visit, replier)
        visit.route, visit.alias = match.route.name, match.route.alias
        grant = await self._caller(asked)
        demand_scope(match.route, grant)
        record = await self._own_task(asked, grant)
        named = judge_address(match, grant)
        if match.route.answer is not Answer.UPSTREAM:
            return await self._own_answer(asked, grant)
        heard: dict[Path, str] = {}
        with closing(await self._admit(asked, body_demands(match.route, grant, heard))) as passage:
            await passage.judge()
            model = _model(match.route, heard, named, record)
            account = self._account(record, model, grant)
            visit.model, visit.account = model or "", account.name
            call = await self._call(asked, account, model, passage)
            if _creates_tasks(match.route, asked.fields):
                return await self._submit(asked, grant, call, passage)
            return await self._forward(asked, call, record)

    async def _caller(self, asked: "Asked") -> Grant:
        """Who calls. Raises `ProxyError`: `INVALID_TOKEN`, or the store's outage."""
        credentials = values_of(asked.fields, "authorization")
        bearer = _BEARER.fullmatch(credentials[0]) if len(credentials) == 1 else None
        if bearer is None:
            raise ProxyError(
                Situation.INVALID_TOKEN, "Authorization: send one `Bearer <token>` of this proxy."
            )
        grant = await self._store.grant(digest_of(bearer[1]))
        if grant is None or not is_active(grant, time.time()):
            raise ProxyError(
                Situation.INVALID_TOKEN, "Authorization: unknown, expired or revoked token."
            )
        visit = asked.visit
        visit.token, visit.token_name, visit.tenant = grant.id, grant.name, grant.tenant
        return grant

    async def _own_task(self, asked: "Asked", grant: Grant) -> TaskRecord | None:
        """The task in the path, where the route has one: the caller's, or as good as unknown."""
        if asked.match.route.task is None:
            return None
        task_id = asked.match.captures[asked.match.route.task]
        record = await self._store.owner(task_id, grant.tenant) if is_task_id(task_id) else None
        if record is None or not may_see(grant, record.tenant):
            raise ProxyError(Situation.TASK_NOT_EXIST, "task_not_exist")
        asked.visit.task_id = task_id
        return record

    async def _own_answer(self, asked: "Asked", grant: Grant) -> web.StreamResponse:
        """Answers the proxy gives itself: the caller's tasks, the caller's models."""
        match, visit = asked.match, asked.visit
        query = match.target.query
        if match.route.answer is Answer.OWN_TASKS:
            wanted = parse_wanted(query, time.time())
            records = await self._store.tasks_of(grant.tenant, wanted.since, wanted.until)
            body = render_listing(records, wanted, visit.request_id)
        else:
            body = await self._catalogue.page(
                match.route.target, query, asked.fields, partial(may_use, grant)
            )
        return await asked.replier.send_json(200, body)

    async def _admit(self, asked: "Asked", demands: Mapping[Path, Judge]) -> Passage:
        """Let the body begin, now that the caller is known: refuse what need not be read."""
        codings = values_of(asked.fields, "content-encoding")
        if demands and any(coding.lower() != "identity" for coding in codings):
            raise ProxyError(
                Situation.COMPRESSED_BODY, "Content-Encoding: send the body uncompressed."
            )
        limits = self._limits
        intake = Intake(asked.request, asked.visit, limits.max_body, limits.body_timeout)
        intake.refuse_at_once()
        await intake.invite()
        return Passage(intake, Gate(demands) if demands else None, self._spool)

    def _account(self, record: TaskRecord | None, model: str | None, grant: Grant) -> Account:
        """The account that made the task, or the one chosen for the model."""
        if record is None:
            return choose(self._accounts, model, grant.tenant, self._health.unhealthy())
        for account in self._accounts:
            if account.name == record.account:
                return account
        raise ProxyError(Situation.BAD_GATEWAY, "The upstream account that made this task is gone.")

    async def _call(
        self, asked: "Asked", account: Account, model: str | None, passage: Passage
    ) -> Call:
        route = asked.match.route
        return Call(
            method=asked.request.method,
            account=account,
            target=asked.match.upstream_target(model),
            headers=outbound(
                asked.fields,
                account,
                force_async=route.asynchronous is Async.ALWAYS,
                claims=_creates_tasks(route, asked.fields),
            ),
            body=await passage.body(),
            read_timeout=self._limits.read_timeout + _wait(asked.fields),
        )

    async def _submit(
        self, asked: "Asked", grant: Grant, call: Call, passage: Passage
    ) -> web.StreamResponse:
        """Send what creates a task; its answer leaves when the task has an owner."""
        visit = asked.visit

        def record(task_id: str, upstream_id: str) -> TaskRecord:
            return TaskRecord(
                task_id=task_id,
                tenant=grant.tenant,
                token=grant.id,
                account=call.account.name,
                model=visit.model,
                created=time.time(),
                request_id=upstream_id,
                inputs=dict(passage.noted),
            )

        claims = asked.match.route.claims
        held = await self._submits.run(call, passage, claims, record, visit.request_id)
        visit.task_id = ",".join(held.tasks)
        _note_upstream(visit, held.status, held.headers)
        visit.upstream_request_id = held.request_id or visit.upstream_request_id
        return await asked.replier.relay(held.status, held.reason, held.headers, held.chunks())

    async def _forward(
        self, asked: "Asked", call: Call, record: TaskRecord | None
    ) -> web.StreamResponse:
        """Send and relay; of a poll's answer the state is remembered."""
        async with self._upstream.send(call) as reply:
            _note_upstream(asked.visit, reply.status, reply.headers)
            polled = record is not None and call.method == HTTPMethod.GET
            chunks = self._observed(reply, record) if polled and record else reply.chunks()
            return await asked.replier.relay(reply.status, reply.reason, reply.headers, chunks)

    async def _observed(self, reply: Reply, record: TaskRecord) -> AsyncIterator[bytes]:
        """A poll's answer as it comes; its last chunk leaves when the state was noted."""
        held = b""
        seen = bytearray()
        async for chunk in reply.chunks():
            if held:
                yield held
            held = chunk
            seen += chunk[: MAX_READ - len(seen)]
        await self._observe(record, bytes(seen), value_of(reply.headers, "content-encoding"))
        yield held

    async def _observe(self, record: TaskRecord, body: bytes, coding: str | None) -> None:
        """Remember a new state, softly: a poll is not refused because of our own notes."""
        with suppress(AnswerUnreadableError, StoreUnavailableError):
            status = task_status(read_json(body, coding))
            if status and status != record.status and record.status not in TERMINAL:
                await self._store.observe(record.task_id, status, time.time())


@dataclass(frozen=True, slots=True)
class Asked:
    """One request whose route is known: what came, and where its story and its answer go."""

    request: web.BaseRequest
    match: Match
    fields: Fields
    visit: Visit
    replier: Replier


def _fields(request: web.BaseRequest) -> Fields:
    """The request's header as text. Raises `ProxyError` for a value that is not UTF-8."""
    try:
        return [(name.decode("ascii"), value.decode()) for name, value in request.raw_headers]
    except UnicodeDecodeError:
        raise ProxyError(Situation.ILLEGAL_INPUT, "A header field is not UTF-8.") from None


def _model(
    route: Route, heard: Mapping[Path, str], named: str | None, record: TaskRecord | None
) -> str | None:
    """The model this call is about: the body's first place, the address's, or the task's."""
    if route.models:
        return heard[route.models[0]]
    return named or (record.model if record else None)


def _creates_tasks(route: Route, fields: Fields) -> bool:
    return bool(route.claims) and (route.asynchronous is Async.ALWAYS or asks_async(fields))


def _wait(fields: Fields) -> float:
    """Seconds the caller lets upstream queue the call (protocol section 3)."""
    text = value_of(fields, _WAIT_TIMEOUT) or ""
    return min(float(text), _MAX_WAIT) if re.fullmatch(r"\d{1,6}", text) else 0.0


def _note_upstream(visit: Visit, status: int, fields: Fields) -> None:
    visit.upstream_status = status
    visit.upstream_request_id = value_of(fields, "x-request-id") or ""


def _is_unknown_task(error: ProxyError) -> bool:
    return error.situation is Situation.TASK_NOT_EXIST
