"""Façades: a unified request on its way in, upstream's answer on its way out.

Between the two it is any native call: `enter` puts a native body into the passage and a native
header and target into what was asked, so that hold, submit, claim and `Idempotency-Key` know of
nothing else; `answer_submit` and `answer_poll` tell what came of it in the façade's words.
"""

import time
from collections.abc import Iterable
from dataclasses import replace
from http import HTTPStatus
from typing import TypeAlias

from aiohttp import web

from proxy.core.answers import Held
from proxy.core.envelope import CONTENT_TYPE
from proxy.core.errors import ProxyError
from proxy.core.facades import Native, translate
from proxy.core.families import Family
from proxy.core.headers import DIGESTS, SHOULD_RETRY, Fields, instead, value_of
from proxy.core.judging import Named, body_gate
from proxy.core.policy import Grant
from proxy.core.request_header import Field, RequestHeader
from proxy.core.retelling import FACADES, Heard, Retold, polled, submitted
from proxy.core.routes import Route
from proxy.core.tasks import TaskRecord
from proxy.edge.asked import Asked
from proxy.edge.intake import Passage
from proxy.edge.polls import Told
from proxy.edge.spool import SpoolBudget
from proxy.ports import Headers

LARGEST = 32 * 1024 * 1024
"""Bytes of one body: a picture of 20 MB as base64, which is the most that wan models take."""

ROOM = 2 * LARGEST
"""Bytes of all bodies that are being translated. It takes about twice as much memory.

And time: about 0.1 s for a body of 32 MiB, in which no other call is served.
"""

_ADVICE = "Too many large unified requests are here; send media as URLs, or try again."

_TRANSLATED = DIGESTS | {"content-length"}
"""What a header says of a body, which is another one now."""

_RETOLD = _TRANSLATED | {"content-type", "content-encoding", "etag", "last-modified"}


Said: TypeAlias = Held | Told
"""An answer that is all here: to a call that makes tasks, or to a poll."""


class Facades:
    """Lets unified requests in, `room` bytes of them at a time: they are whole in memory."""

    def __init__(self, families: Iterable[Family], room: int) -> None:
        self._families = tuple(families)
        self._room = SpoolBudget(room, _ADVICE)

    async def enter(self, asked: Asked, passage: Passage, grant: Grant, inside: Named) -> Asked:
        """The native call that a judged unified one stands for, `passage` holding its body.

        Raises `ProxyError`, also for the translated body.
        """
        route = asked.match.route
        native: list[Native] = []

        def rewrite(raw: bytes) -> bytes:
            native.append(translate(raw, self._families))
            return native[0].body

        try:
            size = await passage.rewrite(rewrite, body_gate(route, grant, inside), self._room)
        except ProxyError as error:
            raise (native[0].blamed(error) if native else error) from None
        target = replace(asked.match.target, query=None, slash=False)
        route = replace(route, target=native[0].target or route.target)
        header, length = _native_header(asked.header, native[0].headers, size)
        match = replace(asked.match, route=route, target=target)
        return asked._replace(match=match, header=header, length=length)


def is_unified(asked: Asked) -> bool:
    """Whether a call has a façade, so that it stands for a native one."""
    return asked.creates_tasks and asked.match.route.envelope in FACADES


def most_of(route: Route, limit: int) -> int:
    """Bytes of a body on this route, where any other may have `limit`."""
    return min(limit, LARGEST) if route.envelope in FACADES else limit


def _native_header(header: RequestHeader, added: Fields, size: int) -> tuple[RequestHeader, Field]:
    kept = [pair for pair in header.fields if pair[0].lower() not in _TRANSLATED]
    fields = instead(kept, [*added, ("Content-Type", CONTENT_TYPE)])
    return RequestHeader(fields, len(fields)), ("Content-Length", str(size))


async def answer_submit(asked: Asked, held: Held, added: Headers) -> web.StreamResponse:
    """Answer with upstream's answer, in the words of the façade where there is one."""
    facade = asked.match.route.envelope
    if facade not in FACADES:
        return await asked.replier.relay(held.status, held.reason, held.headers, held.body, added)
    retold = submitted(_heard(asked, held), held.tasks, facade, time.time())
    if retold.status not in {held.status, HTTPStatus.OK}:
        added = instead(added, [(SHOULD_RETRY, "false")])
    return await _retell(asked, held, retold, added)


async def answer_poll(asked: Asked, told: Told, record: TaskRecord) -> web.StreamResponse:
    """Answer with the state of a task, in the words of the façade where there is one."""
    facade = asked.match.route.envelope
    if facade not in FACADES:
        return await asked.replier.tell(told.status, told.reason, told.headers, told.body)
    return await _retell(asked, told, polled(_heard(asked, told), record, facade, time.time()))


def _heard(asked: Asked, said: Said) -> Heard:
    coding = value_of(said.headers, "content-encoding")
    return Heard(said.status, said.body, coding, asked.visit.request_id)


async def _retell(
    asked: Asked, said: Said, retold: Retold, added: Headers = ()
) -> web.StreamResponse:
    headers = [pair for pair in said.headers if pair[0].lower() not in _RETOLD]
    headers += [("Content-Type", CONTENT_TYPE), ("Content-Length", str(len(retold.body)))]
    reason = HTTPStatus(retold.status).phrase if retold.status != said.status else said.reason
    return await asked.replier.relay(retold.status, reason, headers, retold.body, added)
