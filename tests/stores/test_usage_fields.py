"""Usage records as text, and what they add up to."""

from decimal import Decimal

import pytest
from stores.harness import NOW, usage

from proxy.core.settlement import Basis, Kind, Settlement, UsageRecord
from proxy.core.usage import NOTHING_USED, Used
from proxy.ports.ledger import Total
from proxy.stores.usage_fields import (
    DAYS_KEPT,
    MONTHS_KEPT,
    Sums,
    kept_for,
    line_of,
    settlement_from_text,
    settlement_to_text,
    sums_of,
    total_of,
    usage_from_fields,
    usage_to_fields,
)

USED = Used(Decimal("5.250"), 720, 1, 2, 3, 4)


@pytest.mark.parametrize(
    "record",
    [
        usage(),
        usage(used=NOTHING_USED, amount=0, basis=Basis.NOTHING, currency=""),
        usage(used=USED, kind=Kind.SOCKET, amount=123_456_789_123, hold="r1"),
    ],
)
def test_round_trip(record: UsageRecord) -> None:
    """A record comes back as it was, to the billionth and the microsecond."""
    record = record._replace(created=NOW + 0.123456)
    assert usage_from_fields(usage_to_fields(record)) == record


def test_what_is_told() -> None:
    """Money in units of its currency, usage in one field each, nothing for what is not known."""
    told = usage_to_fields(usage(used=USED._replace(images=None), amount=12_500_000_000))
    assert told["amount"] == "12.5"
    assert told["seconds"] == "5.250"
    assert "images" not in told
    every = usage_to_fields(usage(used=USED))
    expected = {*UsageRecord._fields, *Used._fields} - {"used"}
    assert every.keys() == expected


@pytest.mark.parametrize(
    "change",
    [{"kind": "dream"}, {"amount": "much"}, {"seconds": "long"}, {"images": ""}, {"created": "x"}],
)
def test_unreadable(change: dict[str, str]) -> None:
    """What nobody here wrote is no record."""
    assert usage_from_fields({**usage_to_fields(usage()), **change}) is None
    assert usage_from_fields({}) is None


def test_settlement_round_trip() -> None:
    """A settlement that waits on a disk comes back as it was."""
    settlement = Settlement("process-1", 7, (usage(used=USED), usage("b")), ("h1", "h2"))
    assert settlement_from_text(settlement_to_text(settlement)) == settlement


def test_sums() -> None:
    """What is not known adds nothing; seconds add up exactly."""
    line = line_of(usage())
    assert line == ("2027-01-15", "ada", "tok_1", "wan2.6-t2v", "CNY")
    assert sums_of(usage(used=NOTHING_USED, amount=0)) == Sums(1)
    assert sums_of(usage(used=USED, amount=7)) == Sums(1, 7, 5_250_000_000, 1, 2, 3, 4)
    assert total_of(line, Sums(2, 14, 10_500_000_000, 2, 4, 6, 8)) == Total(
        *line, records=2, amount=14, seconds="10.5", images=2, input_tokens=4, output_tokens=6,
        characters=8,
    )  # fmt: skip


def test_how_long_sums_are_kept() -> None:
    """Days and months for longer than they last, all times for ever."""
    assert kept_for("2026-11-20") == DAYS_KEPT
    assert kept_for("2026-11") == MONTHS_KEPT
    assert kept_for("total") is None
