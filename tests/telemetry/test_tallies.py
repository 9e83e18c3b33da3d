"""Counts in plain numbers, until the counters take them over."""

import random
from bisect import bisect_left

from prometheus_client import CollectorRegistry, Histogram
from telemetry.conftest import Told, sample, visit

from proxy.telemetry.tallies import SECONDS, Durations, Tallies


def test_each_request_is_taken_once() -> None:
    """What was taken over is not there any more; what runs stays."""
    tallies = Tallies()
    tallies.running = 3
    for code in ("", "", "Busy"):
        tallies.finished(visit(route="a", code=code, bytes_in=2, bytes_out=3, total=0.25))
    taken = dict(tallies.take())
    assert {key: tally.requests for key, tally in taken.items()} == {
        ("a", 200, ""): 2,
        ("a", 200, "Busy"): 1,
    }
    tally = taken["a", 200, ""]
    assert (tally.bytes_in, tally.bytes_out, tally.seconds.total) == (4, 6, 0.5)
    assert not any(tally.first_byte.counts)
    assert tallies.take() == ()
    assert tallies.running == 0


def test_durations_lie_where_a_histogram_puts_them(told: Told) -> None:
    """Bounds belong to their bucket, what is above all of them to the last: as `observe` has it."""
    chance = random.Random(1)  # noqa: S311 - a test, the same each time
    lengths = [0.0, *SECONDS, 1e9, *(chance.expovariate(1) for _ in range(200))]
    registry = CollectorRegistry()
    reference = Histogram("reference", "As it should be", buckets=SECONDS, registry=registry)
    for length in lengths:
        reference.observe(length)
        told.telemetry.started()
        told.telemetry.finished(visit(route="a", total=length))
    page = told.metrics.page()[0].decode()
    expected = {s.labels.get("le"): s.value for m in registry.collect() for s in m.samples}
    for bound in (*(str(float(second)) for second in SECONDS), "+Inf"):
        assert sample(page, "request_seconds_bucket", le=bound) == expected[bound]
    assert told.count("request_seconds_sum") == sum(lengths)


def test_nothing_is_counted_twice(told: Told) -> None:
    """A second look at the page sees the same numbers; a third request adds to them."""
    for expected in (1, 2):
        told.telemetry.started()
        told.telemetry.finished(visit(route="a", first_byte=0.01, bytes_in=1))
        for _ in range(2):
            assert told.count("requests_total") == expected
            assert told.count("first_byte_seconds_count") == expected
            assert told.count("body_bytes_total", direction="in") == expected


def test_a_place_for_every_length() -> None:
    """A duration is counted once, wherever it lies."""
    durations = Durations()
    for length in (0.0, 0.005, 0.0051, 300.0, 301.0):
        durations.add(length)
    assert sum(durations.counts) == 5
    assert durations.counts[bisect_left(SECONDS, 301.0)] == 1
    assert durations.counts[-1] == 1
