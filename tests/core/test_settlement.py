"""Whom a record charges."""

from proxy.core.settlement import Kind, UsageRecord, charged


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
