"""The `Telemetry` port: one line per finished request, counters for the rest."""

import logging
import sys
import traceback
from asyncio import AbstractEventLoop
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TextIO

from proxy.core.money import NANOS
from proxy.core.settlement import UsageRecord
from proxy.ports import Visit
from proxy.telemetry.lines import Lines, logger_of
from proxy.telemetry.metrics import Metrics

_TOLD = tuple(field.name for field in fields(Visit) if field.name != "started")
_LEVELS = {
    "store_down": logging.WARNING,
    "outbox_down": logging.WARNING,
    "claim_deferred": logging.WARNING,
    "worker_ended": logging.WARNING,
    "grant_unreadable": logging.WARNING,
    "submit_answer_unreadable": logging.WARNING,
    "submit_not_remembered": logging.WARNING,
    "polls_failing": logging.WARNING,
    "models_failing": logging.WARNING,
    "poll_not_understood": logging.WARNING,
    "task_unsettled": logging.WARNING,
    "task_without_owner": logging.ERROR,
    "usage_record_lost": logging.ERROR,
    "bug": logging.ERROR,
}
"""Of events; those that are not here are information."""


class StructuredTelemetry:
    """The `Telemetry` port on structlog and prometheus_client."""

    def __init__(
        self, metrics: Metrics, *, console: bool, stream: TextIO | None = sys.stdout
    ) -> None:
        self._metrics = metrics
        self._log = logger_of(Lines(stream, metrics), console=console)

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
        if visit.poll:
            metrics.polls.labels(visit.poll).inc()
        metrics.bytes.labels("in").inc(visit.bytes_in)
        metrics.bytes.labels("out").inc(visit.bytes_out)
        self._log.info("request", **_facts(visit))

    def limited(self, limit: str) -> None:
        """See `proxy.ports.Telemetry.limited`."""
        self._metrics.limited.labels(limit).inc()

    def settled(self, record: UsageRecord) -> None:
        """See `proxy.ports.Telemetry.settled`."""
        self._metrics.records.labels(record.kind, record.basis).inc()
        if record.currency:
            self._metrics.amount.labels(record.currency).inc(record.amount / NANOS)

    def metered(self, *, held: int, unsettled: int) -> None:
        """See `proxy.ports.Telemetry.metered`."""
        self._metrics.holds.set(held)
        self._metrics.unsettled.set(unsettled)

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
