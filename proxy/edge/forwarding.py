"""Calls whose answers are relayed as they come, whatever they say."""

from collections.abc import Callable

from aiohttp import web

from proxy.core.headers import Fields, value_of
from proxy.edge.asked import Asked
from proxy.edge.tickets import Ticket
from proxy.ports import Call, Reply, Upstream, Visit


class Forwarding:
    """Sends calls and relays their answers, chunk by chunk."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def forward(self, asked: Asked, call: Call, ticket: Ticket) -> web.StreamResponse:
        """A call that may have limits, and whose answer may tell what it used."""
        async with ticket, self._upstream.send(call) as reply:
            note_upstream(asked.visit, reply.status, reply.headers)
            hear = ticket.listen(reply)
            return await asked.replier.relay(
                reply.status, reply.reason, reply.headers, body_of(reply), ticket.told, hear
            )

    async def meddle(
        self, asked: Asked, call: Call, forget: Callable[[], None]
    ) -> web.StreamResponse:
        """A call that changes a task: what was heard of it before is told nobody any more."""
        async with self._upstream.send(call) as reply:
            note_upstream(asked.visit, reply.status, reply.headers)
            forget()
            return await asked.replier.relay(
                reply.status, reply.reason, reply.headers, body_of(reply)
            )


def body_of(reply: Reply) -> Reply | bytes:
    """An answer's body: all of it where it is here, to be passed on in one write."""
    rest = reply.rest()
    return reply if rest is None else rest


def note_upstream(visit: Visit, status: int, fields: Fields) -> None:
    """Note what upstream's head says on the request's line."""
    visit.upstream_status = status
    visit.upstream_request_id = value_of(fields, "x-request-id") or ""
