"""What runs on one WebSocket and has its price: a task, a response, from its hold to its record.

| how it ended | what is written |
|---|---|
| as it should, and it told what it used | a record of that |
| as it should, and nothing was told | a record by the request |
| it failed | nothing, the hold is released |
| its socket, or upstream, went away | a record of what was told last; if nothing was, by the \
request when the client had a piece of the answer, else nothing |

Usage on a socket counts from the beginning of what it is about, so that the last word is all of it.

By the request is what the hold reserved. A task's can be told closer: it has heard no more seconds
than it lived, and read no more characters than were sent.
"""

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from proxy.core.charging import Charge, Fare, call_record
from proxy.core.headers import Fields
from proxy.core.holds import Hold, Ruling
from proxy.core.money import text_of
from proxy.core.policy import Grant
from proxy.core.prices import PriceList
from proxy.core.settlement import Kind, UsageRecord
from proxy.core.tasks import is_task_id
from proxy.core.tickets import Wish, hold_for, told_of
from proxy.ports import Visit

REMEMBERED = 1024
"""Names of one socket that are known to be new; later ones are told apart by number."""

Told = Mapping[str, object]
"""What has a `usage` in it: a task's payload, a response."""


class Till(Protocol):
    """Where holds are taken and records are left: the process's `Meter`."""

    prices: PriceList
    lease: float

    async def admit(self, hold: Hold) -> Ruling:
        """Take a hold. Raises `ProxyError`, and takes nothing."""
        ...

    def settle(self, record: UsageRecord) -> None:
        """Write a record down, and end its hold."""
        ...

    def release(self, hold: str) -> None:
        """Give a hold back: it came to nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Start:
    """What begins: by whose grant, on which account, about which model, saying what of its price.

    `inputs` and `size` are as in `Fare`.
    """

    grant: Grant
    account: str
    model: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    size: int | None = None


@dataclass(slots=True)
class _Running:
    """One task or response; `hold` is empty where no limit concerns it."""

    start: Start
    fare: Fare
    hold: str = ""
    told: Told | None = None
    sent: int | None = None
    is_relayed: bool = False

    def charge(self) -> Charge:
        """What it costs now that it is over."""
        fare = self.fare
        if self.sent is not None:
            fare = fare.within(max(math.ceil(time.time() - fare.at), 0), self.sent)
        return fare.charge(self.told)


class SocketTickets:
    """All that runs on one socket, by the names that upstream has for it.

    A client may begin something by the name of what runs: then both run, whatever upstream makes
    of it, and what is heard of the name is heard of the older.
    """

    def __init__(self, till: Till, visit: Visit) -> None:
        self._till = till
        self._visit = visit
        self._is_session = False
        self._place = ""
        self._running: dict[str, list[_Running]] = {}
        self._names: set[str] = set()
        self._asked = 0
        self._ended = 0
        self._amount = 0

    def __contains__(self, name: str) -> bool:
        """Whether something runs by this name."""
        return name in self._running

    def __iter__(self) -> Iterator[str]:
        """The names by which something runs."""
        return iter(list(self._running))

    async def open(self, grant: Grant, model: str | None) -> Fields:
        """Take a place among the caller's streams; what to tell of limits in the handshake.

        A session, whose model is known, is a call itself, and needs a budget that is not spent
        yet; where there are tasks, each of them is one. Raises `ProxyError`, and nothing is open.
        """
        self._is_session = model is not None
        price = self._fare(Start(grant, "", model)).price if model is not None else None
        wish = Wish(is_stream=True, dearest=0 if price is None else 1)
        ruling = await self._take(self._visit.request_id, grant, wish, is_call=self._is_session)
        self._place = self._visit.request_id if ruling else ""
        return told_of(ruling.left) if ruling else ()

    async def begin(self, name: str, start: Start) -> None:
        """Take what one more needs of its limits. Raises `ProxyError`, and nothing has begun."""
        fare = self._fare(start)
        self._asked += 1
        at = f"{self._visit.request_id}:{self._asked}"
        wish = Wish(dearest=fare.dearest)
        ruling = await self._take(at, start.grant, wish, is_call=not self._is_session)
        self._put(name, _Running(start, fare, at if ruling else ""))

    def note(self, name: str, start: Start) -> None:
        """Note what runs already, whatever the limits say: it will be paid for all the same."""
        self._put(name, _Running(start, self._fare(start)))

    def go_to(self, name: str, account: str) -> None:
        """It runs on this account."""
        running = self._running[name][-1]
        running.start = replace(running.start, account=account)

    def rename(self, name: str, known_as: str) -> None:
        """Upstream has a name for what runs, and its record goes by that."""
        running = self._pop(name)
        if running is not None:
            self._put(known_as, running)

    def sent(self, name: str, characters: int) -> None:
        """Note that a task was sent so many more, at most."""
        if name not in self._running:
            return
        running = self._running[name][-1]
        running.sent = (running.sent or 0) + characters

    def relayed(self, names: Iterable[str]) -> None:
        """Note that the client had a piece of an answer, which may be any of theirs."""
        for name in names:
            for running in self._running.get(name, ()):
                running.is_relayed = True

    def tell(self, name: str, told: Told) -> None:
        """Note what was used so far."""
        if name in self._running and isinstance(told.get("usage"), dict):
            self._running[name][0].told = told

    def finish(self, name: str) -> None:
        """It came to its end as it should."""
        running = self._pop(name)
        if running is not None:
            self._settle(name, running)

    def fail(self, name: str) -> None:
        """It failed: it costs nothing. Of several it is the last: a name that runs is refused."""
        running = self._pop(name, -1)
        if running is not None:
            self._release(running)

    def leave(self, name: str) -> None:
        """Nobody will hear the end of what runs by this name."""
        for running in self._running.pop(name, []):
            if running.told is not None or running.is_relayed:
                self._settle(name, running)
            else:
                self._release(running)

    def close(self) -> None:
        """The socket is closed: nobody will hear any end."""
        for name in list(self._running):
            self.leave(name)
        if self._place:
            self._till.release(self._place)

    async def _take(self, at: str, grant: Grant, wish: Wish, *, is_call: bool) -> Ruling | None:
        """Take a hold; None where no limit concerns it. Only calls count against rates."""
        hold = hold_for(at, grant, wish, time.time(), self._till.lease)
        if hold is not None and not is_call:
            hold = replace(hold, rates=())
        if hold is None or not (hold.rates or hold.levels):
            return None
        return await self._till.admit(hold)

    def _fare(self, start: Start) -> Fare:
        now, prices = time.time(), self._till.prices
        return Fare(start.model, now, start.inputs, prices.find(start.model, now), start.size)

    def _put(self, name: str, running: _Running) -> None:
        self._running.setdefault(name, []).append(running)

    def _pop(self, name: str, place: int = 0) -> _Running | None:
        several = self._running.get(name, [])
        running = several.pop(place) if several else None
        if not several:
            self._running.pop(name, None)
        return running

    def _id(self, name: str) -> str:
        """An id for a record: never one that was given before.

        A client may use a name again, and choose one that looks like another's id.
        """
        self._ended += 1
        is_new = name not in self._names and len(self._names) < REMEMBERED
        if is_new and is_task_id(name):
            self._names.add(name)
            return f"{self._visit.request_id}:{name}"
        return f"{self._visit.request_id}:{self._ended}:{name}"

    def _release(self, running: _Running) -> None:
        if running.hold:
            self._till.release(running.hold)

    def _settle(self, name: str, running: _Running) -> None:
        fare, charge = running.fare, running.charge()
        record = call_record(
            self._id(name),
            running.start.grant,
            fare,
            charge,
            account=running.start.account,
            currency=self._till.prices.currency,
            ended=time.time(),
            upstream_id=self._visit.upstream_request_id,
            hold=running.hold,
        )
        self._till.settle(record._replace(kind=Kind.SOCKET))
        self._amount += charge.amount
        if fare.price is not None:
            self._visit.amount, self._visit.currency = (
                text_of(self._amount),
                self._till.prices.currency,
            )
