"""Failures become outages with one begin and one end."""

from proxy.core.outages import QUIET, Outage


def test_one_begin_and_one_end() -> None:
    """However many failures there are in between; the first success ends it."""
    outage = Outage()
    assert outage.succeeded(0) is None
    assert [outage.failed(now) for now in (1, 2, 3)] == [True, False, False]
    assert outage.succeeded(4) == 3
    assert outage.succeeded(5) is None
    assert outage.failed(4 + QUIET) is True


def test_now_and_then_is_not_told_each_time() -> None:
    """Failures right after an end begin nothing; those that go on do."""
    outage = Outage()
    told = 0
    for now in range(100):
        told += outage.failed(now)
        outage.succeeded(now + 0.5)
    assert told <= 100 / QUIET
    last = 100 + QUIET
    assert [outage.failed(now) for now in (last, last + 1)] == [True, False]
