"""A session on a WebSocket: one model, JSON events, and responses that each have their price.

A response is let through when what it could cost is left of the caller's budgets: the one that
the client asks for before it is asked for, the one that upstream gives by itself (it hears that
a speaker has come to an end) as soon as it begins. Refused, the former is not passed up and the
latter cancelled; the client hears an `error` event, and the session goes on.
"""

from dataclasses import replace

from proxy.core.errors import ProxyError
from proxy.core.events import (
    CREATED,
    ResponseEvent,
    is_error,
    response_event,
    tells_of_response,
)
from proxy.core.frames import FrameReader, cancel_response, error_event
from proxy.edge.legs import Leg
from proxy.edge.relay import Relay
from proxy.edge.rules import Rules, read_frame
from proxy.edge.socket_tickets import SocketTickets, Start
from proxy.ports import Message, Peer, Telemetry, Visit

ASKED_FOR = ""
"""Stands for the response that the client asked for last, until upstream has an id for it."""


class SessionRelay(Relay):
    """A session about one model: an event that names another one is answered with an error."""

    def __init__(
        self,
        client: Peer,
        visit: Visit,
        telemetry: Telemetry,
        idle: float,
        rules: Rules,
        tickets: SocketTickets,
        start: Start,
    ) -> None:
        super().__init__(client, visit, telemetry, idle)
        self._rules = rules
        self._tickets = tickets
        self._start = start

    async def heard(self, message: Message) -> None:
        """See `Relay.heard`. The protocol is JSON: bytes are read as upstream might read them."""
        reader = FrameReader(self._rules.route)
        try:
            frame = await read_frame(reader, message)
            grant, _ = await self._rules.judge(frame)
            self._start = replace(self._start, grant=grant)
            if reader.asks_for_response and ASKED_FOR not in self._tickets:
                await self._tickets.begin(ASKED_FOR, self._start)
        except ProxyError as error:
            await self._down(Message(error_event(error, reader.event_id), is_text=True))
            return
        for leg in list(self._legs):
            await self._up(leg, Message(frame.text, message.is_text))

    async def told(self, leg: Leg, message: Message) -> None:
        """See `Relay.told`."""
        event = response_event(message.data)
        refused = await self._note(event) if event else None
        if ASKED_FOR in self._tickets and is_error(message.data):
            self._tickets.fail(ASKED_FOR)  # if it comes all the same, it is held for then
        await super().told(leg, message)
        if tells_of_response(message.data):
            self._tickets.relayed(name for name in self._tickets if name != ASKED_FOR)
        if event and refused:
            await self._up(leg, Message(cancel_response(event.response_id), is_text=True))
            await self._down(Message(error_event(refused, ""), is_text=True))

    async def _note(self, event: ResponseEvent) -> ProxyError | None:
        """Take note that a response begins or ends; why it may not go on, if it may not."""
        tickets, name = self._tickets, event.response_id
        if event.name == CREATED:
            return await self._begun(name)
        if name not in tickets:
            tickets.note(name, self._start)
        tickets.tell(name, event.response)
        if event.is_cut_short:
            tickets.leave(name)
        end = tickets.finish if event.is_answer else tickets.fail
        end(name)
        return None

    async def _begun(self, name: str) -> ProxyError | None:
        if ASKED_FOR in self._tickets:
            self._tickets.rename(ASKED_FOR, name)
            return None
        try:
            await self._tickets.begin(name, self._start)
        except ProxyError as error:
            self._tickets.note(name, self._start)
            return error
        return None
