"""Upstream's clock."""

from datetime import datetime

from proxy.core.beijing import BEIJING, local_time


def test_local_time() -> None:
    """To the millisecond, eight hours before UTC, without its zone."""
    assert local_time(1767294245.678) == "2026-01-02 03:04:05.678"
    assert local_time(1767294250.0) == "2026-01-02 03:04:10.000"
    assert datetime.fromtimestamp(0, BEIJING).hour == 8
