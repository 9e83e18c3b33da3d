"""Whom a record charges, and how much is settled at once."""

import pytest

from proxy.core.settlement import MOST_RECORDS, Kind, Settlement, UsageRecord, charged


def test_too_much_at_once() -> None:
    """What no store could write in one short step is not handed over."""
    assert Settlement("s", 1, released=("h",) * MOST_RECORDS).released
    with pytest.raises(ValueError, match="at most 200"):
        Settlement("s", 1, released=("h",) * (MOST_RECORDS + 1))


def test_charged() -> None:
    """Token and tenant, each for the day, the month and all times, by Beijing's calendar."""
    record = UsageRecord(
        id="t1",
        kind=Kind.TASK,
        tenant="ada",
        token="tok_1",
        account="main",
        model="m",
        status="SUCCEEDED",
        created=1_798_732_800.0,  # 2026-12-31T16:00:00Z
        ended=1_798_732_900.0,
    )
    assert charged(record) == (
        ("token:tok_1", "2027-01-01"),
        ("token:tok_1", "2027-01"),
        ("token:tok_1", "total"),
        ("tenant:ada", "2027-01-01"),
        ("tenant:ada", "2027-01"),
        ("tenant:ada", "total"),
    )
