"""Usage records as flat text, what they add to the sums, and how long sums are kept.

The text fields are a public interface: one entry of the Redis stream has them, see README.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from proxy.core.beijing import TOTAL, day_of
from proxy.core.money import nanos_of, text_of
from proxy.core.settlement import Basis, Kind, Settlement, UsageRecord, charged
from proxy.core.usage import Used
from proxy.ports.ledger import Total

DAY = 24 * 60 * 60
DAYS_KEPT, MONTHS_KEPT = 40 * DAY, 400 * DAY
"""Seconds that what was spent on a day, and in a month, is remembered from its last change."""

TOTALS_KEPT = 400
"""Days that sums are kept for people."""

RECORDS_KEPT = 1_000_000
"""Records that are kept, about: who bills reads them before so many newer ones are there."""

SETTLEMENTS_KEPT = 7 * DAY
"""Seconds that a settlement is known by its sender and number: an outage over a weekend."""

_COUNTS = ("images", "input_tokens", "output_tokens", "characters")


class Line(NamedTuple):
    """What records are summed up by."""

    day: str
    tenant: str
    token: str
    model: str
    currency: str


class Sums(NamedTuple):
    """What is summed up. `amount` is billionths of a currency's unit, `seconds` of a second."""

    records: int = 0
    amount: int = 0
    seconds: int = 0
    images: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    characters: int = 0


def line_of(record: UsageRecord) -> Line:
    """The sums that a record belongs to."""
    return Line(day_of(record.created), record.tenant, record.token, record.model, record.currency)


def sums_of(record: UsageRecord) -> Sums:
    """What a record adds to them."""
    used = record.used
    return Sums(
        1,
        record.amount,
        nanos_of(used.seconds) if used.seconds else 0,
        used.images or 0,
        used.input_tokens or 0,
        used.output_tokens or 0,
        used.characters or 0,
    )


class Added(NamedTuple):
    """What records add: to which sums, and to what who spent in which period."""

    sums: dict[Line, Sums]
    spent: dict[tuple[str, str], int]


def added_up(records: Iterable[UsageRecord]) -> Added:
    """What all of them add together: a hundred calls with one token move each sum once."""
    grouped: defaultdict[Line, list[UsageRecord]] = defaultdict(list)
    for record in records:
        grouped[line_of(record)].append(record)
    sums: dict[Line, Sums] = {}
    spent: defaultdict[tuple[str, str], int] = defaultdict(int)
    for line, alike in grouped.items():
        total = sums[line] = Sums(*map(sum, zip(*map(sums_of, alike), strict=True)))
        for place in charged(alike[0]) if total.amount else ():
            spent[place] += total.amount
    return Added(sums, spent)


def total_of(line: Line, sums: Sums) -> Total:
    """The sums as people get them."""
    return Total(**{**line._asdict(), **sums._asdict(), "seconds": text_of(sums.seconds)})


def kept_for(period: str) -> int | None:
    """Seconds that what was spent in a period is remembered; None is for ever."""
    if period == TOTAL:
        return None
    return DAYS_KEPT if period.count("-") > 1 else MONTHS_KEPT


def usage_to_fields(record: UsageRecord) -> dict[str, str]:
    """The record as flat text: money in currency units, nothing for what is not known."""
    told = {
        "id": record.id,
        "kind": record.kind,
        "tenant": record.tenant,
        "token": record.token,
        "account": record.account,
        "model": record.model,
        "status": record.status,
        "created": repr(record.created),
        "ended": repr(record.ended),
        "amount": text_of(record.amount),
        "currency": record.currency,
        "basis": record.basis,
        "request_id": record.request_id,
        "hold": record.hold,
    }
    for name, value in zip(Used._fields, record.used, strict=True):
        if value is not None:
            told[name] = str(value)
    return told


def usage_from_fields(told: Mapping[str, str]) -> UsageRecord | None:
    """Inverse of `usage_to_fields`; None when a field is missing or makes no sense."""
    try:
        return UsageRecord(
            id=told["id"],
            kind=Kind(told["kind"]),
            tenant=told["tenant"],
            token=told["token"],
            account=told["account"],
            model=told["model"],
            status=told["status"],
            created=float(told["created"]),
            ended=float(told["ended"]),
            used=_used(told),
            amount=nanos_of(Decimal(told["amount"])),
            currency=told["currency"],
            basis=Basis(told["basis"]),
            request_id=told["request_id"],
            hold=told["hold"],
        )
    except (KeyError, ValueError, InvalidOperation):
        return None


def _used(told: Mapping[str, str]) -> Used:
    counts = {name: int(told[name]) for name in ("lines", *_COUNTS) if name in told}
    return Used(Decimal(told["seconds"]) if "seconds" in told else None, **counts)


def settlement_to_text(settlement: Settlement) -> str:
    """A settlement as one JSON object. See `settlement_from_text`."""
    told = {
        "sender": settlement.sender,
        "number": settlement.number,
        "records": [usage_to_fields(record) for record in settlement.records],
        "released": settlement.released,
    }
    return json.dumps(told)


def settlement_from_text(text: str) -> Settlement:
    """Inverse of `settlement_to_text`."""
    told = json.loads(text)
    records = map(usage_from_fields, told["records"])
    return Settlement(
        sender=told["sender"],
        number=told["number"],
        records=tuple(record for record in records if record is not None),
        released=tuple(told["released"]),
    )


def released_by(settlement: Settlement, written: Iterable[UsageRecord]) -> Iterator[str]:
    """The holds that end with a settlement of which these records were written."""
    yield from (record.hold for record in written if record.hold)
    yield from settlement.released
