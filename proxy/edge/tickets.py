"""One call's ticket: what it takes of its limits before it is sent, and what it leaves behind.

    admitted → sent → its answer passes by → settled, released, or handed to a task's claim

However a call ends, its ticket ends exactly once:

| how it ended | what is written |
|---|---|
| no answer, or one that is no success | nothing, the hold is released |
| a success that tells its usage, whole or broken off | a record of that |
| a success that names an error instead | nothing, the hold is released |
| any other success of which a byte came, or that came to its end | a record by the request |
| a submit whose task was claimed | nothing: the hold is the task's from then on |

Only calls that run a model are recorded; all others take part in the limits alone.
"""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Protocol, Self

from proxy.core.charging import Charge, Fare, call_record
from proxy.core.headers import Fields
from proxy.core.holds import Hold, Ruling
from proxy.core.money import text_of
from proxy.core.policy import Grant
from proxy.core.settlement import UsageRecord
from proxy.core.tickets import told_of
from proxy.core.usagescan import UsageReader, reader_for
from proxy.ports import Reply, Visit


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

    `hold` is None where no limit concerns the call, `fare` None where it runs no model.
    `told` are fields for the answer's header.
    """

    desk: Desk
    visit: Visit
    grant: Grant
    account: str
    hold: Hold | None
    fare: Fare | None
    told: Fields = ()
    is_admitted: bool = False
    _is_ended: bool = False
    _reader: UsageReader | None = None
    _has_begun: bool = False

    @property
    def hold_id(self) -> str:
        """The hold's id while this ticket answers for it; else empty."""
        return self.hold.id if self.hold and not self._is_ended else ""

    @property
    def created(self) -> float:
        """When what comes of it was created, as far as budgets go (Unix seconds)."""
        return self.fare.at if self.fare else time.time()

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
        if self._reader is not None:
            self._reader.finish()
            is_told = bool(self._reader.told)
            if is_told or (self._has_begun and not self._reader.is_error):
                self.answered(self._reader.told if is_told else None)
        if not self._is_ended:
            self._end()
            if self.hold is not None:
                self.desk.release(self.hold.id)

    def chunks(self, reply: Reply) -> AsyncIterator[bytes]:
        """The answer's body, read along where it tells what was used."""
        if self.fare is None or not HTTPStatus.OK <= reply.status < HTTPStatus.MULTIPLE_CHOICES:
            return reply.chunks()
        self._reader = reader_for(reply.headers)
        return self._watched(reply.chunks(), self._reader)

    async def _watched(
        self, chunks: AsyncIterator[bytes], reader: UsageReader
    ) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            self._has_begun = True
            reader.feed(chunk)
            yield chunk
        self._has_begun = True

    def answered(self, answer: object) -> None:
        """Charge a successful answer; None is one that nobody could read."""
        if self.fare is None or self._is_ended:
            return
        charge = self.fare.charge(answer)
        hold = self.hold_id
        self._end()
        self._note(charge)
        self.desk.settle(
            call_record(
                self.visit.request_id,
                self.grant,
                self.fare,
                charge,
                account=self.account,
                currency=self.desk.currency,
                ended=time.time(),
                upstream_id=self.visit.upstream_request_id,
                hold=hold,
            )
        )

    def claimed(self) -> None:
        """A task was claimed with the hold: whoever sees its end ends both."""
        if self.hold is not None and not self._is_ended:
            self.desk.hand_over(self.hold.id)
        self._end()

    def _end(self) -> None:
        self._is_ended = True

    def _note(self, charge: Charge) -> None:
        """On the request's line."""
        self.visit.basis = charge.basis
        if self.fare is not None and self.fare.price is not None:
            self.visit.amount, self.visit.currency = text_of(charge.amount), self.desk.currency
