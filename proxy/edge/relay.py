"""What goes between a client's WebSocket and those to upstream, until one of them ends.

One message at a time in each direction: the next is read when the last was taken, so that
whoever is slow slows the other end down. Whatever ends it, both ends are told why.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass

from proxy.core.closing import GOING_AWAY, INTERNAL, VANISHED, speakable
from proxy.edge.legs import Leg
from proxy.ports import Closed, Message, Peer, PeerGoneError, Telemetry, Visit

GOODBYE = 1.0
"""Seconds the other end has for its part of a goodbye."""

AT_ONCE = 0.05
"""The same, when the client is gone already and nobody profits from waiting."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a relay ended: what each end is told, and the code for the log."""

    to_client: Closed
    to_upstream: Closed
    noted: int
    patience: float = GOODBYE


def both(code: int, reason: str) -> Ending:
    """An ending that the proxy decided on."""
    return Ending(Closed(code, reason), Closed(code, reason), code)


def client_ended(closed: Closed) -> Ending:
    """The client said goodbye, or just left."""
    if closed.code == VANISHED:
        return CLIENT_GONE
    told = _speakable(closed)
    return Ending(told, told, closed.code)


def upstream_ended(closed: Closed) -> Ending:
    """Upstream said goodbye, or just left."""
    told = _speakable(closed)
    return Ending(told, told, told.code)


_GONE = Closed(GOING_AWAY, "the client is gone")
CLIENT_GONE = Ending(_GONE, _GONE, VANISHED, AT_ONCE)
IDLE = both(GOING_AWAY, "nothing was said for too long")
STOPPING = both(GOING_AWAY, "the proxy is being stopped")
BUG = both(INTERNAL, "the proxy failed")


def _speakable(closed: Closed) -> Closed:
    return Closed(speakable(closed.code), closed.reason)


class Relay(ABC):
    """One client and its legs to upstream. What is let through, subclasses decide.

    `idle` is seconds without a message in either direction.
    """

    def __init__(self, client: Peer, visit: Visit, telemetry: Telemetry, idle: float) -> None:
        self._client = client
        self._visit = visit
        self._telemetry = telemetry
        self._idle = idle
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[Ending] = self._loop.create_future()
        self._legs: dict[Leg, asyncio.Task[None]] = {}
        self._farewells: set[asyncio.Task[None]] = set()
        self._last = self._loop.time()
        self._stopping = False

    @property
    def is_busy(self) -> bool:
        """Whether something runs that ending now would break off."""
        return True

    def drain(self) -> None:
        """Begin nothing new, and end as soon as nothing runs."""
        self._stopping = True
        if not self.is_busy:
            self.end(STOPPING)

    def end(self, ending: Ending) -> None:
        """End, unless it has ended already."""
        if not self._ended.done():
            self._ended.set_result(ending)

    def attend(self, leg: Leg) -> None:
        """Pass on what upstream says on this leg from now on."""
        self._legs[leg] = self._loop.create_task(self._guarded(self._attend(leg)))

    def drop(self, leg: Leg, closed: Closed) -> None:
        """Answer the goodbye of a leg that is lost, and let it go; others need not wait for it."""
        listening = self._legs.pop(leg)
        leaving = self._loop.create_task(self._guarded(leg.close(_speakable(closed), GOODBYE)))
        for task in (listening, leaving):
            self._farewells.add(task)
            task.add_done_callback(self._farewells.discard)

    async def run(self) -> None:
        """Relay until one side ends, then take leave of both. Cancelled, the client is gone.

        That comes, too, when the client's connection closes because we said goodbye, and must
        not cut off the goodbye to upstream: hence a task of its own.
        """
        relaying = self._loop.create_task(self._relay())
        try:
            await asyncio.shield(relaying)
        except asyncio.CancelledError:
            self.end(CLIENT_GONE)
            await relaying
            raise

    async def _relay(self) -> None:
        pumps = [self._listen(), self._watch()]
        listening = [self._loop.create_task(self._guarded(pump)) for pump in pumps]
        ending = CLIENT_GONE
        try:
            ending = await self._ended
        finally:
            self._visit.close_code = ending.noted
            await _cancelled(listening)
            # While the legs are listened to: aiohttp hears upstream's goodbye only then.
            leaving = [leg.close(ending.to_upstream, ending.patience) for leg in self._legs]
            await asyncio.gather(self._client.close(ending.to_client, ending.patience), *leaving)
            if self._farewells:
                await asyncio.wait(self._farewells, timeout=ending.patience)
            await _cancelled([*self._legs.values(), *self._farewells])

    @abstractmethod
    async def heard(self, message: Message) -> None:
        """Take a message from the client. Raises `PeerGoneError` when the client is gone."""

    async def told(self, leg: Leg, message: Message) -> None:
        """Take a message from upstream. Raises `PeerGoneError` when the client is gone."""
        del leg
        await self._down(message)

    async def lost(self, leg: Leg, closed: Closed) -> Ending | None:
        """Do without this leg, or end."""
        del leg
        return upstream_ended(closed)

    async def _listen(self) -> Ending | None:
        while True:
            came = await self._client.next()
            if isinstance(came, Closed):
                return client_ended(came)
            self._last = self._loop.time()
            self._visit.bytes_in += len(came.data)
            await self.heard(came)

    async def _attend(self, leg: Leg) -> Ending | None:
        while True:
            came = await leg.next()
            if isinstance(came, Closed):
                return await self._without(leg, came)
            self._last = self._loop.time()
            await self.told(leg, came)

    async def _watch(self) -> Ending | None:
        while (left := self._last + self._idle - self._loop.time()) > 0:  # noqa: ASYNC110 - an event per message costs more
            await asyncio.sleep(left)
        return IDLE

    async def _guarded(self, pump: Coroutine[None, None, Ending | None]) -> None:
        """Whatever happens to a pump ends the relay, never only the pump."""
        try:
            ending = await pump
        except PeerGoneError:
            ending = CLIENT_GONE
        except Exception as error:  # noqa: BLE001 - our own bug, told as one row of the table
            self._telemetry.bug(error, self._visit.request_id)
            ending = BUG
        if ending is not None:
            self.end(ending)

    async def _down(self, message: Message) -> None:
        """To the client."""
        await self._client.send(message)
        self._visit.bytes_out += len(message.data)

    async def _up(self, leg: Leg, message: Message) -> None:
        """To upstream; one that takes nothing any more is lost like one that left."""
        try:
            await leg.send(message)
        except PeerGoneError:
            ending = await self._without(leg, Closed(VANISHED))
            if ending is not None:
                self.end(ending)

    async def _without(self, leg: Leg, closed: Closed) -> Ending | None:
        if self._ended.done():
            return None
        return await self.lost(leg, closed)


async def _cancelled(tasks: Iterable[asyncio.Task[None]]) -> None:
    listed = list(tasks)
    for task in listed:
        task.cancel()
    await asyncio.gather(*listed, return_exceptions=True)
