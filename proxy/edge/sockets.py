"""WebSockets: the handshake with the client, the one with upstream, and what is open now.

The caller is judged before anything is upgraded, so that a refusal is a plain HTTP answer. Where
it is known already which account will serve, upstream is asked first too, and its refusal is
the client's answer; otherwise the first task of an account opens the way to it.
"""

import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.log import ws_logger

from proxy.core.accounts import Account, choose
from proxy.core.errors import ProxyError, Situation
from proxy.core.headers import inbound, outbound, value_of, values_of
from proxy.core.policy import Grant
from proxy.core.routes import Route, Websocket
from proxy.edge.asked import Asked
from proxy.edge.conversations import TaskRelay
from proxy.edge.health import AccountHealth
from proxy.edge.legs import Legs
from proxy.edge.listener import SERVER
from proxy.edge.peers import SocketPeer
from proxy.edge.relay import STOPPING, Relay
from proxy.edge.rules import Regrant, Rules
from proxy.edge.sessions import SessionRelay
from proxy.edge.socket_tickets import SocketTickets, Start, Till
from proxy.ports import Call, Channel, HandshakeRefusedError, Headers, Telemetry, Terms, Upstream

_FRAMING = frozenset({"content-length", "content-type", "content-encoding"})
"""Of an answer that has no body: aiohttp would take them for its own."""


_KEY_WORD = "openai-insecure-api-key."


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """What a socket may take: `max_message` is bytes, the rest is seconds.

    `handshake` is for upstream's answer to one, `idle` without a message either way, `patience`
    for an end to accept a message, `heartbeat` of silence until it is asked if it is there.
    `per_token` is how many sockets a token may have open: aiohttp gathers a message before
    anybody else sees it, so this times `max_message` is what a token can make it hold.
    """

    max_message: int = 16 * 1024 * 1024
    idle: float = 300.0
    handshake: float = 10.0
    patience: float = 300.0
    heartbeat: float = 30.0
    per_token: int = 256

    def terms(self, subprotocols: Sequence[str] = ()) -> Terms:
        """What is agreed with either end."""
        return Terms(self.max_message, self.patience, self.heartbeat, subprotocols)


@dataclass(frozen=True, slots=True)
class _Opening:
    """A handshake of which the caller is known. `told` is for the header of its answer."""

    asked: Asked
    grant: Grant
    model: str | None
    rules: Rules
    wanted: Sequence[str]
    tickets: SocketTickets
    told: Headers


class Sockets:
    """All open sockets of this process."""

    def __init__(
        self,
        upstream: Upstream,
        accounts: Sequence[Account],
        telemetry: Telemetry,
        limits: SocketLimits,
        health: AccountHealth,
        till: Till,
    ) -> None:
        self._till = till
        self._upstream = upstream
        self._accounts = accounts
        self._telemetry = telemetry
        self._limits = limits
        self._health = health
        self._open: set[Relay] = set()
        self._held: Counter[str] = Counter()
        # It tells what a client offered, its key maybe among it, where upstream took nothing.
        ws_logger.setLevel(logging.CRITICAL)
        self._stopping = False

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    def drain(self) -> None:
        """End what is idle, let what runs come to its end, begin nothing new."""
        self._stopping = True
        for relay in list(self._open):
            relay.drain()

    def end(self) -> None:
        """End them all, with a word to both sides."""
        for relay in list(self._open):
            relay.end(STOPPING)

    async def serve(
        self, asked: Asked, grant: Grant, model: str | None, regrant: Regrant
    ) -> web.StreamResponse:
        """One socket from its handshake to its end; `model` is what the address names.

        Raises `ProxyError` before the handshake is done, and never after it.
        """
        wanted = _wanted_subprotocols(asked)
        if self._stopping:
            raise ProxyError(Situation.STOPPING, "The proxy is being stopped; connect again.")
        rules = Rules(asked.match.route, regrant)
        with self._place(grant.id), closing(SocketTickets(self._till, asked.visit)) as tickets:
            told = await tickets.open(grant, model)
            opening = _Opening(asked, grant, model, rules, wanted, tickets, told)
            return await self._served(opening)

    @contextmanager
    def _place(self, token: str) -> Iterator[None]:
        """One of a token's sockets. Raises `ProxyError` (`RATE_LIMITED`)."""
        if self._held[token] >= self._limits.per_token:
            raise ProxyError(
                Situation.RATE_LIMITED,
                f"At most {self._limits.per_token} WebSockets may be open for one token.",
            )
        self._held[token] += 1
        try:
            yield
        finally:
            self._held[token] -= 1
            if not self._held[token]:
                del self._held[token]

    async def _served(self, opening: _Opening) -> web.StreamResponse:
        asked, model = opening.asked, opening.model
        is_settled = self._is_settled(opening.rules.route)
        connect = partial(self._connect, asked, opening.wanted if is_settled else ())
        async with Legs(self._choose, connect) as legs:
            leg, channel = None, None
            try:
                if is_settled:
                    asked.visit.model = model or ""
                    asked.visit.account, leg = legs.of(model, opening.grant)
                    channel = await leg.open()
            except HandshakeRefusedError as refused:
                return await _refused(asked, refused)
            response = await self._upgrade(opening, channel)
            relay = self._relay(opening, response, legs)
            if leg is not None:
                relay.attend(leg)
            await self._run(relay)
            return response

    def _is_settled(self, route: Route) -> bool:
        """Whether the account is known before any frame: a session's, or the only one."""
        usable = [account for account in self._accounts if account.weight > 0]
        return route.websocket is Websocket.SESSION or len(usable) <= 1

    def _relay(self, opening: _Opening, response: web.WebSocketResponse[Any], legs: Legs) -> Relay:
        visit, rules, tickets = opening.asked.visit, opening.rules, opening.tickets
        client, idle = SocketPeer(response, self._limits.terms()), self._limits.idle
        if rules.route.websocket is Websocket.SESSION:
            start = Start(opening.grant, visit.account, opening.model or "")
            return SessionRelay(client, visit, self._telemetry, idle, rules, tickets, start)
        return TaskRelay(client, visit, self._telemetry, idle, rules, legs, tickets)

    async def _run(self, relay: Relay) -> None:
        self._open.add(relay)
        if self._stopping:
            relay.drain()
        try:
            await relay.run()
        finally:
            self._open.discard(relay)

    async def _upgrade(
        self, opening: _Opening, channel: Channel | None
    ) -> web.WebSocketResponse[Any]:
        """Answer the client's handshake: from here on, there is no HTTP on this connection."""
        asked = opening.asked
        upstreams = channel.headers if channel else ()
        fields = inbound(upstreams, asked.visit.request_id, opening.told)
        chosen = channel.subprotocol if channel else None
        response: web.WebSocketResponse[Any] = web.WebSocketResponse(
            protocols=(chosen,) if chosen else (),
            autoclose=False,
            autoping=False,
            compress=False,
            max_msg_size=self._limits.max_message + 1,  # it refuses what is as long as its limit
            decode_text=False,
        )
        response.headers.extend(_writable(fields))
        response.headers.setdefault("Server", SERVER)
        await response.prepare(asked.request)
        asked.replier.has_begun = True
        asked.visit.status = HTTPStatus.SWITCHING_PROTOCOLS
        asked.visit.first_byte = time.perf_counter() - asked.visit.started
        return response

    def _choose(self, model: str | None, grant: Grant, also: Collection[str] = ()) -> Account:
        return choose(self._accounts, model, grant.tenant, self._health.unhealthy(), also)

    @asynccontextmanager
    async def _connect(
        self, asked: Asked, wanted: Sequence[str], account: Account
    ) -> AsyncIterator[Channel]:
        call = Call(
            method="GET",
            account=account,
            target=asked.match.upstream_target(None),
            headers=outbound(asked.fields, account, force_async=False, claims=False),
            body=None,
            read_timeout=self._limits.handshake,
        )
        async with self._upstream.connect(call, self._limits.terms(wanted)) as channel:
            asked.visit.upstream_status = HTTPStatus.SWITCHING_PROTOCOLS
            asked.visit.upstream_request_id = value_of(channel.headers, "x-request-id") or ""
            yield channel


def _wanted_subprotocols(asked: Asked) -> list[str]:
    """What the client offers. Raises `ProxyError` where it asks for no WebSocket at all."""
    if (value_of(asked.header.fields, "upgrade") or "").strip().lower() != "websocket":
        raise ProxyError(
            Situation.UPGRADE_REQUIRED,
            "This path is a WebSocket; connect to it with a wss:// or ws:// URL.",
            headers=(("Upgrade", "websocket"), ("Connection", "Upgrade")),
        )
    offers = values_of(asked.header.fields, "sec-websocket-protocol")
    words = [word.strip() for offer in offers for word in offer.split(",") if word.strip()]
    trial: web.WebSocketResponse[Any] = web.WebSocketResponse(protocols=words, compress=False)
    if asked.request.version < (1, 1) or not trial.can_prepare(asked.request):
        raise ProxyError(
            Situation.ILLEGAL_INPUT,
            "Sec-WebSocket-Key and Sec-WebSocket-Version: send a key of 16 bytes and version 13.",
        )
    return [word for word in words if not _tells_a_secret(word, asked.token)]


def _tells_a_secret(word: str, token: str) -> bool:
    """Whether a subprotocol is none: browsers send their key so, for want of a header field."""
    return word.lower().startswith(_KEY_WORD) or bool(token and token in word)


async def _refused(asked: Asked, refused: HandshakeRefusedError) -> web.StreamResponse:
    """Upstream's own answer to a handshake. Raises `ProxyError` for one that is no answer."""
    asked.visit.upstream_status = refused.status
    asked.visit.upstream_request_id = value_of(refused.headers, "x-request-id") or ""
    if refused.status < HTTPStatus.OK:
        raise ProxyError(
            Situation.BAD_GATEWAY, f"Upstream answered the handshake with status {refused.status}."
        )
    return await asked.replier.relay(refused.status, refused.reason, refused.headers, refused.body)


def _writable(fields: Headers) -> Headers:
    """What aiohttp can write: text in UTF-8, and nothing about a body there is not."""
    return [
        (name, value)
        for name, value in fields
        if name.lower() not in _FRAMING and value.isprintable()
    ]
