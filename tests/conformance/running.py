"""One operation by one client, against the sandbox or through the proxy, with relays on the way."""

import asyncio
import inspect
import random
import uuid
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from conformance.clients import CLIENTS, upstream_base
from conformance.operations import Answers, Operation, Place, Run
from conformance.relay import Exchange, Relay
from dashscope.api_entities.aio_session import close_shared_aio_session
from harness import UPSTREAM_KEY, Stand, standing
from sdk.conftest import Point
from sdk.views import plain

from proxy.sandbox import Sandbox

NOON = 1_790_000_000.0
"""Unix seconds at which every sandbox stands still."""


@dataclass(frozen=True)
class Side:
    """What one run showed.

    `front` is what the client said and heard, `back` what upstream heard and said; talking to
    upstream directly they are the same. `values` is what the client's caller got, `routes` the
    names of the proxy's routes that were taken, and led to an answer below 400.
    """

    front: list[Exchange]
    back: list[Exchange]
    values: list[Any]
    names: dict[str, str]
    routes: frozenset[str] = frozenset()

    def named(self, text: str) -> str:
        """A text with the addresses and keys of this run replaced by what they are."""
        for said, name in self.names.items():
            text = text.replace(said, name)
        return text


def sandbox() -> Sandbox:
    """A sandbox that gives the same answers to the same questions, byte for byte."""
    ids = random.Random(1)  # noqa: S311 - it is to repeat itself
    return Sandbox(
        keys=[UPSTREAM_KEY],
        task_seconds=0,
        clock=lambda: NOON,
        ids=lambda: uuid.UUID(int=ids.getrandbits(128), version=4),
    )


async def directly(operation: Operation, client: str, point: Point, photo: Path) -> Side:
    """Client → sandbox."""
    async with sandbox() as upstream, Relay(lambda: upstream.url) as relay:
        _prepare(upstream, operation, relay)
        at = Place(relay.url, upstream_base(client), UPSTREAM_KEY, photo, alias=False)
        values = await _values(operation.clients[client], at, point, upstream.url)
        await relay.sockets_closed()
        names = {
            _netloc(relay): "<proxy>",
            _netloc(upstream): "<sandbox>",
            UPSTREAM_KEY: "<key>",
        }
        exchanges = relay.exchanges()
        return Side(exchanges, exchanges, values, names)


async def through_the_proxy(operation: Operation, client: str, point: Point, photo: Path) -> Side:
    """Client → proxy → sandbox."""
    async with _proxied(operation) as (upstream, stand, front, back, token):
        at = Place(front.url, CLIENTS[client], token, photo, alias=True)
        values = await _values(operation.clients[client], at, point, upstream.url)
        await front.sockets_closed()
        await back.sockets_closed()
        names = {
            _netloc(front): "<proxy>",
            _netloc(back): "<upstream>",
            _netloc(upstream): "<sandbox>",
            UPSTREAM_KEY: "<key>",
            token: "<token>",
        }
    # Only now has every request its line in the log.
    routes = frozenset(
        str(line.get("route", ""))
        for line in stand.requests
        if int(str(line["status"])) < HTTPStatus.BAD_REQUEST
    )
    return Side(front.exchanges(), back.exchanges(), values, names, routes)


@asynccontextmanager
async def _proxied(operation: Operation) -> AsyncIterator[tuple[Sandbox, Stand, Relay, Relay, str]]:
    upstream = sandbox()
    async with (
        Relay(lambda: upstream.url) as back,
        standing(
            {"PROXY_UPSTREAM": back.url, "PROXY_STORE": "memory:", **operation.env}, upstream
        ) as stand,
        Relay(lambda: stand.url) as front,
    ):
        _prepare(upstream, operation, front)
        token = await stand.token(
            *operation.models, scopes=operation.scopes, limits=operation.limits
        )
        yield upstream, stand, front, back, token


def _prepare(upstream: Sandbox, operation: Operation, client_side: Relay) -> None:
    """Put the faults in force, and let every answer wait until the client has got each piece."""
    for fault in (*operation.faults, {"times": None}):
        upstream.faults.add(**{"pace": client_side.answered, **fault})


async def _values(run: Run, at: Place, point: Point, sandbox_url: str) -> list[Any]:
    point(at.url, at.key)
    # In a thread: the SDK's plain calls block, and its asyncio ones while they upload a file.
    return [plain(answer, sandbox_url) for answer in await asyncio.to_thread(_run, run, at)]


def _run(run: Run, at: Place) -> list[object]:
    answers = run(at)
    return list(asyncio.run(_awaited(answers)) if inspect.isawaitable(answers) else answers)


async def _awaited(answers: Awaitable[Answers]) -> Answers:
    try:
        return await answers
    finally:
        await close_shared_aio_session()


def _netloc(server: Relay | Sandbox) -> str:
    return urlsplit(server.url).netloc
