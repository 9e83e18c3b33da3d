"""TELLS. One line per finished request, counters for the rest, and no secret in either.

A line says who (token, tenant), what (route, model, task), how it went (status, code, bytes,
times) and where it went (account, upstream's status and request id). It never holds a body,
a credential or a signed URL: nothing of the kind is in a `Visit`.
"""

import logging
import sys
import traceback
from dataclasses import asdict
from typing import TextIO

import orjson
import structlog
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

from proxy.ports import Visit

_ROUNDED = ("first_byte", "total")
_WARNINGS = frozenset({"store_down", "grant_unreadable", "submit_answer_unreadable"})
_ERRORS = frozenset({"task_without_owner", "bug"})
_SPACE = "dashscope_proxy"
_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """The counters of one process, or with `shared` of all workers (prometheus_client's files)."""

    def __init__(self, *, shared: bool = False) -> None:
        self._registry = CollectorRegistry()
        self._shared = shared
        of = self._registry
        self.requests = Counter(
            "requests", "Finished requests", ["route", "status", "code"], _SPACE, registry=of
        )
        self.seconds = Histogram(
            "request_seconds",
            "From request to the end of its answer",
            ["route"],
            _SPACE,
            registry=of,
            buckets=_SECONDS,
        )
        self.first_byte = Histogram(
            "first_byte_seconds",
            "From request to the answer's first byte",
            ["route"],
            _SPACE,
            registry=of,
            buckets=_SECONDS,
        )
        self.bytes = Counter(
            "body_bytes", "Body bytes from and to clients", ["direction"], _SPACE, registry=of
        )
        self.running = Gauge(
            "running_requests",
            "Requests being served",
            namespace=_SPACE,
            registry=of,
            multiprocess_mode="livesum",
        )
        self.store_up = Gauge(
            "store_up",
            "1 while the store answers",
            namespace=_SPACE,
            registry=of,
            multiprocess_mode="livemin",
        )
        self.store_up.set(1)
        self.events = Counter(
            "events", "What happened besides requests", ["event"], _SPACE, registry=of
        )

    def page(self) -> tuple[bytes, str]:
        """The page for a scraper and its content type."""
        registry = self._registry
        if self._shared:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry), CONTENT_TYPE_LATEST


class StructuredTelemetry:
    """The `Telemetry` port on structlog and prometheus_client."""

    def __init__(self, metrics: Metrics, *, console: bool, stream: TextIO = sys.stdout) -> None:
        self._metrics = metrics
        self._log = _logger(stream, console=console)

    def started(self) -> None:
        """See `proxy.ports.Telemetry.started`."""
        self._metrics.running.inc()

    def finished(self, visit: Visit) -> None:
        """See `proxy.ports.Telemetry.finished`."""
        metrics, route = self._metrics, visit.route or "none"
        metrics.running.dec()
        metrics.requests.labels(route, visit.status, visit.code).inc()
        metrics.seconds.labels(route).observe(visit.total)
        if visit.first_byte is not None:
            metrics.first_byte.labels(route).observe(visit.first_byte)
        metrics.bytes.labels("in").inc(visit.bytes_in)
        metrics.bytes.labels("out").inc(visit.bytes_out)
        self._log.info("request", **_facts(visit))

    def event(self, name: str, **facts: object) -> None:
        """See `proxy.ports.Telemetry.event`."""
        self._metrics.events.labels(name).inc()
        write = self._log.info
        if name in _WARNINGS:
            write = self._log.warning
        elif name in _ERRORS:
            write = self._log.error
        write(name, **facts)

    def bug(self, error: BaseException, request_id: str) -> None:
        """See `proxy.ports.Telemetry.bug`. The frames are told; the text may quote the caller."""
        frames = traceback.format_list(traceback.extract_tb(error.__traceback__))
        self.event("bug", error=type(error).__name__, request_id=request_id, frames="".join(frames))

    def store_changed(self, *, is_up: bool) -> None:
        """Note an outage of the store or its end: one line each."""
        self._metrics.store_up.set(is_up)
        self.event("store_up" if is_up else "store_down")

    def adopt_logging(self) -> None:
        """Let what libraries log by the standard way come out as lines like ours."""
        logging.basicConfig(level=logging.WARNING, handlers=[_Bridge(self)], force=True)


class _Bridge(logging.Handler):
    """Turns a standard log record into an event, without its arguments' values."""

    def __init__(self, telemetry: StructuredTelemetry) -> None:
        super().__init__(logging.WARNING)
        self._telemetry = telemetry

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._telemetry.event(
            "library_log",
            logger=record.name,
            level=record.levelname.lower(),
            text=str(record.msg),
            error=type(error).__name__ if error else None,
        )


def _facts(visit: Visit) -> dict[str, object]:
    facts = {name: value for name, value in asdict(visit).items() if value not in ("", None)}
    del facts["started"]
    for name in _ROUNDED:
        if name in facts:
            facts[name] = round(facts[name], 6)
    return facts


def _logger(stream: TextIO, *, console: bool) -> structlog.typing.FilteringBoundLogger:
    """A logger of our own: no global configuration that a test or a library could change."""
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if console:
        last: structlog.typing.Processor = structlog.dev.ConsoleRenderer()
    else:
        last = structlog.processors.JSONRenderer(serializer=_json_text)
    wrapped: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        structlog.WriteLogger(stream),
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    return wrapped


def _json_text(value: object, **_: object) -> str:
    return orjson.dumps(value, default=str).decode()
