"""One call's ticket: what it takes of its limits before it is sent, and what it leaves behind.

    admitted → sent → its answer passes by → settled, released, or handed to a task's claim

However a call ends, its ticket ends exactly once:

| how it ended | what is written |
|---|---|
| no answer, or one that is no success | nothing, the hold is released |
| a success that tells its usage, whole or broken off | a record of that; by the request, what is \
not the last word |
| a success that names an error instead | nothing, the hold is released |
| any other success of which a byte came, or that came to its end | a record by the request |
| a submit whose task was claimed | nothing: the hold is the task's from then on |
| a submit whose success names neither a task nor an error, or cannot be read | as any other call, \
by its head already |

Only calls that run a model are recorded; all others take part in the limits alone.
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Protocol, Self, TypeAlias

from proxy.core.charging import Charge, Fare, call_record
from proxy.core.headers import Fields
from proxy.core.holds import Hold, Ruling
from proxy.core.money import text_of
from proxy.core.policy import Grant
from proxy.core.settlement import UsageRecord
from proxy.core.tickets import told_of
from proxy.core.usagescan import Heard, UsageReader
from proxy.core.usagesniff import BLIND, reader_for
from proxy.edge.replies import deaf
from proxy.ports import Reply, Visit

Hear: TypeAlias = Callable[[bytes], None]
"""Hears each chunk of an answer as it passes, and an empty one when it has come to its end."""

_SUCCESSES = range(HTTPStatus.OK, HTTPStatus.MULTIPLE_CHOICES)


class Body(Protocol):
    """What a call sends."""

    @property
    def noted(self) -> Mapping[str, str]:
        """The price inputs that it named so far: half of them may come while it is sent."""
        ...


class Desk(Protocol):
    """Where tickets are taken and given back: the process's `Meter`."""

    currency: str

    async def admit(self, hold: Hold) -> Ruling:
        """Take a hold. Raises `ProxyError`, and takes nothing."""
        ...

    def settle(self, record: UsageRecord) -> None:
        """Write a record down, and end its hold."""
        ...

    def release(self, hold: str) -> None:
        """Give a hold back: it came to nothing."""
        ...

    def hand_over(self, hold: str) -> None:
        """Let somebody else answer for a hold."""
        ...


@dataclass(slots=True)
class Ticket:
    """An async context around one call. Entering it raises `ProxyError` when a limit is met.

    `hold` is None where no limit concerns the call, `fare` None where it runs no model; of its
    inputs `body` has the last word. `told` are fields for the answer's header.
    """

    desk: Desk
    visit: Visit
    grant: Grant
    account: str
    hold: Hold | None
    fare: Fare | None
    body: Body
    told: Fields = ()
    is_admitted: bool = False
    _is_ended: bool = False
    _reader: UsageReader = BLIND
    _has_begun: bool = False

    @property
    def hold_id(self) -> str:
        """The hold's id while this ticket answers for it; else empty."""
        return self.hold.id if self.hold and not self._is_ended else ""

    @property
    def created(self) -> float:
        """When what comes of it was created, as far as budgets go (Unix seconds)."""
        return self.fare.at if self.fare else time.time()

    @property
    def inputs(self) -> Mapping[str, str]:
        """What a task that comes of it is charged by, see `TaskRecord`."""
        return self.fare.remembered(self.body.noted) if self.fare else self.body.noted

    async def __aenter__(self) -> Self:
        """Take the hold."""
        if self.hold is not None:
            self.told = told_of((await self.desk.admit(self.hold)).left)
        self.is_admitted = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        """End, whatever happened; the client may be gone, and nothing here waits for anybody."""
        if self._is_ended:
            return
        heard = self._reader.finish()
        if heard.told or (self._has_begun and not heard.is_error):
            self._settle(heard)
        else:
            self._release()

    def listen(self, reply: Reply, *, has_begun: bool = False) -> Hear:
        """Who has to hear the answer, which may tell what was used, while it passes.

        `has_begun` says that a success costs something even if no byte of it comes.
        """
        if self.fare is None or reply.status not in _SUCCESSES:
            return deaf
        self._has_begun = has_begun
        self._reader = reader_for(reply.headers)
        return self._hear

    async def chunks(self, reply: Reply, *, has_begun: bool = False) -> AsyncIterator[bytes]:
        """The answer's body, for who takes it in: heard, see `listen`."""
        hear = self.listen(reply, has_begun=has_begun)
        async for chunk in reply.chunks():
            hear(chunk)
            yield chunk
        hear(b"")

    def _hear(self, chunk: bytes) -> None:
        self._has_begun = True
        if chunk:
            self._reader.feed(chunk)

    def _release(self) -> None:
        self._is_ended = True
        if self.hold is not None:
            self.desk.release(self.hold.id)

    def _settle(self, heard: Heard) -> None:
        """Charge a successful answer by all that the request said, to its end."""
        assert self.fare is not None, "nobody reads along"  # noqa: S101 - a bug of this class
        model, at, _, price, size = self.fare
        fare = Fare(model, at, self.body.noted, price, size)
        charge = fare.charge(heard.told, heard.unfinished)
        hold = self.hold_id
        self._is_ended = True
        self._note(charge)
        self.desk.settle(
            call_record(
                self.visit.request_id,
                self.grant,
                fare,
                charge,
                account=self.account,
                currency=self.desk.currency,
                ended=time.time(),
                upstream_id=self.visit.upstream_request_id,
                hold=hold,
            )
        )

    def for_tasks(self) -> None:
        """Tasks come of it, which are charged themselves: the call never is, claimed or not."""
        self._reader, self._has_begun = BLIND, False

    def claimed(self) -> None:
        """A task was claimed with the hold: whoever sees its end ends both."""
        if self.hold is not None and not self._is_ended:
            self.desk.hand_over(self.hold.id)
        self._is_ended = True

    def _note(self, charge: Charge) -> None:
        """On the request's line."""
        self.visit.basis = charge.basis
        if self.fare is not None and self.fare.price is not None:
            self.visit.amount, self.visit.currency = text_of(charge.amount), self.desk.currency
