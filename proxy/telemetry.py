"""TELLS. One line per finished request, counters for the rest, and no secret in either.

A line says who (token, tenant), what (route, model, task), how it went (status, code, bytes,
times) and where it went (account, upstream's status and request id). It never holds a body,
a credential or a signed URL: nothing of the kind is in a `Visit`.
"""

import json
import logging
import os
import select
import sys
import traceback
from asyncio import AbstractEventLoop
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, TextIO

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
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from proxy.ports import Visit

_TOLD = tuple(field.name for field in fields(Visit) if field.name != "started")
_LEVELS = {
    "store_down": logging.WARNING,
    "outbox_down": logging.WARNING,
    "claim_deferred": logging.WARNING,
    "worker_ended": logging.WARNING,
    "grant_unreadable": logging.WARNING,
    "submit_answer_unreadable": logging.WARNING,
    "submit_not_remembered": logging.WARNING,
    "task_without_owner": logging.ERROR,
    "bug": logging.ERROR,
}
"""Of events; those that are not here are information."""
_SPACE = "dashscope_proxy"
_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

_PATIENCE = 200
"""Milliseconds that a reader of the log may be busy with something else: all requests wait."""


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


class StructuredTelemetry:
    """The `Telemetry` port on structlog and prometheus_client."""

    def __init__(
        self, metrics: Metrics, *, console: bool, stream: TextIO | None = sys.stdout
    ) -> None:
        self._metrics = metrics
        self._log = _logger(_Lines(stream, metrics), console=console)

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
        self._tell(name, _LEVELS.get(name, logging.INFO), facts)

    def bug(self, error: BaseException, request_id: str) -> None:
        """See `proxy.ports.Telemetry.bug`. The frames are told; the text may quote the caller."""
        kind = type(error).__name__
        self.event("bug", error=kind, request_id=request_id, frames=_frames(error))

    def store_changed(self, *, is_up: bool, why: str = "") -> None:
        """Note an outage of the store, with the reason, or its end: one line each."""
        self._metrics.store_up.set(is_up)
        self.event("store_up" if is_up else "store_down", **({"why": why} if why else {}))

    def adopt_logging(self) -> None:
        """Let what libraries log by the standard way come out as lines like ours."""
        logging.basicConfig(level=logging.WARNING, handlers=[_Bridge(self)], force=True)

    def adopt_loop(self, loop: AbstractEventLoop) -> None:
        """Let what nobody caught in a loop come out as `bug`.

        asyncio itself would log it with the text of the exception and of whatever is around.
        """
        loop.set_exception_handler(self._uncaught)

    def library_log(self, record: logging.LogRecord) -> None:
        """Note what a library logged: the message's form, without its arguments' values."""
        error = record.exc_info[1] if record.exc_info else None
        facts = {"logger": record.name, "text": str(record.msg)}
        if error:
            facts["error"] = type(error).__name__
        self._tell("library_log", min(record.levelno, logging.ERROR) // 10 * 10, facts)

    def _uncaught(self, _: AbstractEventLoop, context: Mapping[str, Any]) -> None:
        error = context.get("exception")
        kind = type(error).__name__ if error else None
        self.event("bug", error=kind, text=context["message"], frames=_frames(error))

    def _tell(self, name: str, level: int, facts: Mapping[str, object]) -> None:
        self._metrics.events.labels(name).inc()
        self._log.log(level, name, **facts)


class _Bridge(logging.Handler):
    """Turns a standard log record into an event."""

    def __init__(self, telemetry: StructuredTelemetry) -> None:
        super().__init__(logging.WARNING)
        self._telemetry = telemetry

    def emit(self, record: logging.LogRecord) -> None:
        self._telemetry.library_log(record)


class _Lines:
    """Where the lines go: whole or not at all, and nobody fails for them.

    A reader that is gone, stuck or out of disk costs lines, which are counted. One that is only
    slow is waited for, `_PATIENCE` once and not again until it reads. Written past Python's
    buffers: what could not be written would stay there, and spoil the exit code.
    """

    def __init__(self, stream: TextIO | None, metrics: Metrics) -> None:
        self._stream = stream
        self._lost = metrics.lost_lines
        self._torn = False
        self._stuck = False
        self._poll = select.poll()
        self._descriptor: int | None = None
        try:
            self._descriptor = stream.fileno() if stream else None
        except (OSError, ValueError):  # in memory, or closed
            return
        if self._descriptor is not None:
            self._poll.register(self._descriptor, select.POLLOUT)

    @property
    def has_colors(self) -> bool:
        """Whether it is a terminal, and its owner wants colours (no-color.org)."""
        return self._descriptor is not None and os.isatty(self._descriptor)

    def write(self, line: str) -> None:
        """Write one line, its end included here."""
        try:
            if self._descriptor is not None:
                self._put(self._descriptor, f"{line}\n".encode(errors="backslashreplace"))
            elif self._stream is not None:
                self._stream.write(f"{line}\n")
        except (OSError, ValueError):
            self._lost.inc()

    # structlog calls the method that has the level's name.
    debug = info = warning = error = critical = msg = write

    def _put(self, descriptor: int, line: bytes) -> None:
        """Raises `OSError`."""
        if self._torn:
            line = b"\n" + line
        for start in range(0, len(line), select.PIPE_BUF):
            # A descriptor that polls as writable takes this much without making us wait.
            if not self._poll.poll(0 if self._stuck else _PATIENCE):
                self._stuck = True
                self._torn |= start > 0
                raise BlockingIOError
            self._stuck = False
            os.write(descriptor, line[start : start + select.PIPE_BUF])
        self._torn = False


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # its worker has ended
        return 0


def _facts(visit: Visit) -> dict[str, object]:
    """What is known of a visit; times to the microsecond."""
    known = ((name, getattr(visit, name)) for name in _TOLD)
    return {
        name: round(value, 6) if isinstance(value, float) else value
        for name, value in known
        if value not in ("", None)
    }


def _frames(error: BaseException | None) -> str:
    return "".join(traceback.format_tb(error.__traceback__)) if error else ""


def _logger(lines: _Lines, *, console: bool) -> structlog.typing.FilteringBoundLogger:
    """A logger of our own: no global configuration that a test or a library could change."""
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if console:
        shared.append(_harmless)
        last: structlog.typing.Processor = structlog.dev.ConsoleRenderer(colors=lines.has_colors)
    else:
        last = structlog.processors.JSONRenderer(serializer=_json_text)
    wrapped: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        lines,
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    return wrapped


def _harmless(_: object, __: str, facts: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Values that neither end a line nor steer a terminal. Our own frames may have lines."""
    for name, value in facts.items():
        if isinstance(value, str) and not value.isprintable() and name != "frames":
            facts[name] = repr(value)
    return facts


def _json_text(value: dict[str, object], **_: object) -> str:
    try:
        text = orjson.dumps(value, default=str).decode()
    except TypeError:  # a lone surrogate, or a number beyond 64 bits
        text = orjson.dumps({name: _plain(fact) for name, fact in value.items()}).decode()
    if text.isprintable():
        return text
    # JSON lets U+2028, U+0085 and their like stand as they are; not every reader of lines does.
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def _plain(fact: object) -> object:
    if isinstance(fact, (bool, float, type(None))) or (
        isinstance(fact, int) and fact.bit_length() < 64  # noqa: PLR2004 - what orjson takes
    ):
        return fact
    return str(fact).encode("utf-8", "replace").decode()
