"""What is written down at the end of a task or a call, and what it costs.

| what ended | costs | rests on |
|---|---|---|
| a task that SUCCEEDED, a call that was answered, with its usage | the price of that | `usage` |
| the same, and its usage cannot be read | the dearest it could have been | `request` |
| a stream that told some numbers, and not the last of them | the dearest of those | `request` |
| a task that ended otherwise; anything without a price | nothing | `nothing` |
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import NamedTuple, Self

from proxy.core.asking import input_of
from proxy.core.freshness import KEPT, LIFE
from proxy.core.outcomes import UNBOUNDED, dearest_outcome
from proxy.core.policy import Grant
from proxy.core.prices import Price, PriceList
from proxy.core.quantities import whole_of
from proxy.core.settlement import Basis, Kind, UsageRecord
from proxy.core.tasks import TaskRecord
from proxy.core.usage import NOTHING_USED, Used, read_usage

SUCCEEDED = "SUCCEEDED"
UNKNOWN = "UNKNOWN"

BODY = "body_bytes"
"""A task's input that no client names: the size of its request's body, where that was known."""


class Charge(NamedTuple):
    """What something costs, in billionths, and why."""

    used: Used
    amount: int
    basis: Basis


FREE = Charge(NOTHING_USED, 0, Basis.NOTHING)


class Fare(NamedTuple):
    """What a call is about, as far as its price goes. `at` is Unix seconds: whose day counts.

    `inputs` are price inputs as JSON text, `size` the body's bytes where they are known.
    """

    model: str
    at: float
    inputs: Mapping[str, str]
    price: Price | None
    size: int | None = None

    @property
    def dearest(self) -> int:
        """The most it can cost, in billionths."""
        if self.price is None:
            return 0
        return self.price.dearest(self.model, self.inputs, self.size)

    def within(self, seconds: int, characters: int) -> Self:
        """The same fare of what cannot have used more than that."""
        if self.price is None:
            return self
        known = self.price.bounds
        closer = replace(
            known,
            seconds=min(seconds, seconds if known.seconds is None else known.seconds),
            characters=min(
                characters, characters if known.characters is None else known.characters
            ),
        )
        return self._replace(price=replace(self.price, bounds=closer))

    def charge(self, answer: object, unfinished: Collection[str] = ()) -> Charge:
        """What it costs by a successful answer, None being one that nobody could read.

        Of `unfinished` numbers nobody knows the last word: what was reserved for them counts
        where it is more.
        """
        used = read_usage(answer, self.inputs, self.model)
        if self.price is None:
            return Charge(used or NOTHING_USED, 0, Basis.NOTHING)
        if used is None or not self.price.is_told(used):
            return Charge(used or NOTHING_USED, self.dearest, Basis.REQUEST)
        told = most = self.price.cost(used)
        if unfinished:
            most = self.price.cost(self._most(used, unfinished))
        return Charge(used, most, Basis.USAGE if most == told else Basis.REQUEST)

    def _most(self, used: Used, unfinished: Collection[str]) -> Used:
        """The same, with what the request reserved in place of what is not the last word."""
        bounds = self.price.bounds if self.price else UNBOUNDED
        most = dearest_outcome(self.model, self.inputs, self.size, bounds, unfinished)
        numbers = {name: max(getattr(used, name) or 0, getattr(most, name)) for name in unfinished}
        return used._replace(**numbers)

    def remembered(self, inputs: Mapping[str, str]) -> dict[str, str]:
        """The inputs of a task that comes of this, so that its end is charged by all of it."""
        return {**inputs} if self.size is None else {**inputs, BODY: str(self.size)}


def task_fare(task: TaskRecord, prices: PriceList) -> Fare:
    """What a task is charged by, as it was when it was made."""
    size = whole_of(input_of(task.inputs, BODY))
    price = prices.find(task.model, task.created)
    return Fare(task.model, task.created, task.inputs, price, size)


def is_over(status: str, age: float) -> bool:
    """Whether a task that is `age` seconds old has come to its end in this state.

    UNKNOWN is what upstream says of a task of another account, too, and of one it has forgotten.
    """
    return status in KEPT or (status == UNKNOWN and age >= LIFE)


def task_record(
    task: TaskRecord, status: str, answer: object, prices: PriceList, ended: float
) -> UsageRecord:
    """The record of a task that came to its end at `ended` (Unix seconds) with this answer."""
    fare = task_fare(task, prices)
    charge = fare.charge(answer) if status == SUCCEEDED else FREE
    return UsageRecord(
        id=task.task_id,
        kind=Kind.TASK,
        tenant=task.tenant,
        token=task.token,
        account=task.account,
        model=task.model,
        status=status,
        created=task.created,
        ended=ended,
        used=charge.used,
        amount=charge.amount,
        currency=prices.currency if fare.price else "",
        basis=charge.basis,
        request_id=task.request_id,
        hold=task.hold,
    )


def call_record(  # noqa: PLR0913 - a record has many columns, and they come from four places
    request_id: str,
    grant: Grant,
    fare: Fare,
    charge: Charge,
    *,
    account: str,
    currency: str,
    ended: float,
    upstream_id: str,
    hold: str,
) -> UsageRecord:
    """The record of a call that was answered, by the proxy's id of the request."""
    return UsageRecord(
        id=request_id,
        kind=Kind.CALL,
        tenant=grant.tenant,
        token=grant.id,
        account=account,
        model=fare.model,
        status=SUCCEEDED,
        created=fare.at,
        ended=ended,
        used=charge.used,
        amount=charge.amount,
        currency=currency if fare.price else "",
        basis=charge.basis,
        request_id=upstream_id,
        hold=hold,
    )
