"""The counters: of one process, or of all workers together.

What is counted for each request is tallied first, see `tallies`, and counted up for the page.
"""

import os
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from proxy.core.money import NANOS
from proxy.telemetry.tallies import SECONDS, Durations, Tallies

_SPACE = "dashscope_proxy"

Metric = TypeVar("Metric", bound=MetricWrapperBase)


class Metrics:
    """The counters of one process, or with `shared` of all workers (prometheus_client's files).

    Whoever shares them has to `count_up` what is tallied: another worker may make the page.
    """

    def __init__(self, *, shared: bool = False) -> None:
        self.is_shared = shared
        self.tallies = Tallies()
        self._registry = CollectorRegistry()
        of = self._registry
        counter = partial(Counter, namespace=_SPACE, registry=of)
        gauge = partial(Gauge, namespace=_SPACE, registry=of)
        timed = partial(
            _Histogram, labelnames=["route"], namespace=_SPACE, registry=of, buckets=SECONDS
        )
        self.requests = _by_labels(
            counter("requests", "Finished requests", ["route", "status", "code"])
        )
        self.seconds = _by_labels(timed("request_seconds", "From request to the end of its answer"))
        self.first_byte = _by_labels(
            timed("first_byte_seconds", "From request to the answer's first byte")
        )
        self.bytes = _by_labels(
            counter("body_bytes", "Body bytes from and to clients", ["direction"])
        )
        self.running = gauge(
            "running_requests", "Requests being served", multiprocess_mode="livesum"
        )
        self.store_up = gauge("store_up", "1 while the store answers", multiprocess_mode="livemin")
        self.store_up.set(1)
        self.events = _by_labels(counter("events", "What happened besides requests", ["event"]))
        self.polls = _by_labels(counter("polls", "Polls by how they were answered", ["outcome"]))
        self.limited = _by_labels(counter("limited", "Calls that met a limit", ["limit"]))
        self.records = _by_labels(counter("usage_records", "Records of usage", ["kind", "basis"]))
        self.amount = _by_labels(
            counter("usage_amount", "What they cost, in currency units", ["currency"])
        )
        self.holds = gauge("holds", "Calls that hold a limit", multiprocess_mode="livesum")
        self.unsettled = gauge(
            "unsettled", "What the ledger has not taken yet", multiprocess_mode="livesum"
        )
        self.lost_lines = counter("lost_log_lines", "Log lines nobody took in time")

    def page(self) -> tuple[bytes, str]:
        """The page for a scraper and its content type."""
        self.count_up()
        source = _OfAllWorkers() if self.is_shared else self._registry
        return generate_latest(source), CONTENT_TYPE_LATEST

    def count_up(self) -> None:
        """Let the counters take over what was tallied."""
        self.running.set(self.tallies.running)
        for (route, status, code), tally in self.tallies.take():
            name = route or "none"
            self.requests(name, status, code).inc(tally.requests)
            self.seconds(name).observe_all(tally.seconds)
            if any(tally.first_byte.counts):
                self.first_byte(name).observe_all(tally.first_byte)
            self.bytes("in").inc(tally.bytes_in)
            self.bytes("out").inc(tally.bytes_out)
            for outcome, count in tally.polls.items():
                self.polls(outcome).inc(count)
        records, amounts = self.tallies.take_settled()
        for (kind, basis), count in records.items():
            self.records(kind, basis).inc(count)
        for currency, nanos in amounts.items():
            self.amount(currency).inc(nanos / NANOS)


def _by_labels(metric: Metric) -> Callable[..., Metric]:
    """A metric's series by its labels, each looked up once: a metric does it under a lock."""
    return lru_cache(maxsize=4096)(metric.labels)


class _Histogram(Histogram):
    """A histogram that takes in many observations at once, which `observe` cannot.

    `_sum` and `_buckets` are prometheus_client's own (0.x, all of them): the public way is one call
    for each observation, and there is one for each request. The tests read the page that is made.
    """

    def observe_all(self, measured: Durations) -> None:
        """Take in all that was measured."""
        self._sum.inc(measured.total)
        for bucket, count in zip(self._buckets, measured.counts, strict=True):
            if count:
                bucket.inc(count)


class _OfAllWorkers(Collector):
    """Adds up the workers' files, without those that are just being made.

    prometheus_client's own collector fails on an empty one, and a worker that is killed at that
    moment leaves it for good.
    """

    def collect(self) -> Iterable[Family]:
        """See `prometheus_client.registry.Collector`."""
        files = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).glob("*.db")
        made = [str(file) for file in files if _size(file)]
        merged: Iterable[Family] = multiprocess.MultiProcessCollector.merge(made)  # type: ignore[no-untyped-call]
        return merged


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # its worker has ended
        return 0
