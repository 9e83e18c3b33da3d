"""The counters: of one process, or of all workers together."""

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

_SPACE = "dashscope_proxy"
_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """The counters of one process, or with `shared` of all workers (prometheus_client's files)."""

    def __init__(self, *, shared: bool = False) -> None:
        self._registry = CollectorRegistry()
        self._shared = shared
        of = self._registry
        counter = partial(Counter, namespace=_SPACE, registry=of)
        self.requests = counter("requests", "Finished requests", ["route", "status", "code"])
        timed = partial(
            Histogram, labelnames=["route"], namespace=_SPACE, registry=of, buckets=_SECONDS
        )
        self.seconds = timed("request_seconds", "From request to the end of its answer")
        self.first_byte = timed("first_byte_seconds", "From request to the answer's first byte")
        self.bytes = counter("body_bytes", "Body bytes from and to clients", ["direction"])
        gauge = partial(Gauge, namespace=_SPACE, registry=of)
        self.running = gauge(
            "running_requests", "Requests being served", multiprocess_mode="livesum"
        )
        self.store_up = gauge("store_up", "1 while the store answers", multiprocess_mode="livemin")
        self.store_up.set(1)
        self.events = counter("events", "What happened besides requests", ["event"])
        self.polls = counter("polls", "Polls by how they were answered", ["outcome"])
        self.limited = counter("limited", "Calls that met a limit", ["limit"])
        self.records = counter("usage_records", "Records of usage", ["kind", "basis"])
        self.amount = counter("usage_amount", "What they cost, in currency units", ["currency"])
        self.holds = gauge("holds", "Calls that hold a limit", multiprocess_mode="livesum")
        self.unsettled = gauge(
            "unsettled", "What the ledger has not taken yet", multiprocess_mode="livesum"
        )
        self.lost_lines = counter("lost_log_lines", "Log lines nobody took in time")

    def page(self) -> tuple[bytes, str]:
        """The page for a scraper and its content type."""
        source = _OfAllWorkers() if self._shared else self._registry
        return generate_latest(source), CONTENT_TYPE_LATEST


class _OfAllWorkers(Collector):
    """Adds up the workers' files, without those that are just being made.

    prometheus_client's own collector fails on an empty one, and a worker that is killed at that
    moment leaves it for good.
    """

    def collect(self) -> Iterable[Metric]:
        """See `prometheus_client.registry.Collector`."""
        files = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).glob("*.db")
        made = [str(file) for file in files if _size(file)]
        merged: Iterable[Metric] = multiprocess.MultiProcessCollector.merge(made)  # type: ignore[no-untyped-call]
        return merged


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # its worker has ended
        return 0
