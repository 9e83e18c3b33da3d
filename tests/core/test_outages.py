"""Failures become outages with one begin and one end."""

from proxy.core.outages import CALM, Outage


def test_one_begin_and_one_end() -> None:
    """However many failures there are in between."""
    outage = Outage()
    assert outage.succeeded(0) is None
    assert [outage.failed(now) for now in (1, 2, 3)] == [True, False, False]
    assert outage.succeeded(3 + CALM) == 2 + CALM
    assert outage.succeeded(4 + CALM) is None
    assert outage.failed(20) is True


def test_now_and_then_is_one_outage() -> None:
    """Success between failures ends nothing, or each of them would be told."""
    outage = Outage()
    assert outage.failed(0) is True
    for now in range(1, 100, 2):
        assert outage.succeeded(now) is None
        assert outage.failed(now + 1) is False
    assert outage.succeeded(100 + CALM) == 100 + CALM
