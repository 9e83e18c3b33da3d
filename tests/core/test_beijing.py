"""Upstream's clock."""

from datetime import datetime

import pytest

from proxy.core.beijing import BEIJING, day_of, end_of, local_time, periods_of, unix_time


def test_local_time() -> None:
    """To the millisecond, eight hours before UTC, without its zone."""
    assert local_time(1767294245.678) == "2026-01-02 03:04:05.678"
    assert local_time(1767294250.0) == "2026-01-02 03:04:10.000"
    assert datetime.fromtimestamp(0, BEIJING).hour == 8


def test_a_day_begins_when_it_does_in_beijing() -> None:
    """At four in the afternoon of the day before, as London has it."""
    eight_before_midnight = 1767283200.0  # 2026-01-01 16:00 UTC
    assert day_of(eight_before_midnight) == "2026-01-02"
    assert day_of(eight_before_midnight - 0.001) == "2026-01-01"
    assert periods_of(eight_before_midnight) == ("2026-01-02", "2026-01", "total")


@pytest.mark.parametrize("period", ["2026-12-31", "2026-12"])
def test_ends(period: str) -> None:
    """A day or month ends with the first second that is no more in it."""
    assert end_of(period) == 1_798_732_800.0


def test_endless() -> None:
    """All times have no end, nor has what is only ever held."""
    assert end_of("total") is None
    assert end_of("") is None


def test_unix_time() -> None:
    """Without a zone a time is Beijing's; what is no time is none."""
    assert unix_time("2026-01-02 03:04:05.678") == 1767294245.678
    assert unix_time(local_time(1767294250.5)) == 1767294250.5
    assert unix_time("2026-01-01T19:04:10+00:00") == 1767294250.0
    assert unix_time("soon") is unix_time("") is None
