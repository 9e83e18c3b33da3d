"""The `Telemetry` port: one line per finished request, counters for the rest."""

import asyncio
import logging
import sys
import traceback
from asyncio import AbstractEventLoop
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

from proxy.core.settlement import UsageRecord
from proxy.ports import Visit
from proxy.telemetry.forms import console_form, json_form
from proxy.telemetry.lines import Lines
from proxy.telemetry.metrics import Metrics

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

_NAMES = {level: logging.getLevelName(level).lower() for level in (20, 30, 40)}


class StructuredTelemetry:
    """The `Telemetry` port on orjson, structlog and prometheus_client.

    Within a running loop the lines of finished requests go out together, once in each of its
    turns: a process that is killed takes those of its last turn with it. They are no bill; what is
    charged is in the ledger. Everything else is written at once.
    """

    def __init__(
        self, metrics: Metrics, *, console: bool, stream: TextIO | None = sys.stdout
    ) -> None:
        self._metrics = metrics
        self._lines = Lines(stream, metrics)
        self._form = console_form(colors=self._lines.has_colors) if console else json_form
        self._is_turn_noted = False

    def started(self) -> None:
        """See `proxy.ports.Telemetry.started`."""
        self._metrics.tallies.running += 1
        if self._metrics.is_shared:
            self._note_turn()

    def finished(self, visit: Visit) -> None:
        """See `proxy.ports.Telemetry.finished`."""
        self._metrics.tallies.finished(visit)
        self._put("request", logging.INFO, _facts(visit))
        self._note_turn()

    def limited(self, limit: str) -> None:
        """See `proxy.ports.Telemetry.limited`."""
        self._metrics.limited(limit).inc()

    def settled(self, record: UsageRecord) -> None:
        """See `proxy.ports.Telemetry.settled`."""
        self._metrics.tallies.settled(record)
        if self._metrics.is_shared:
            self._note_turn()

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
        self._metrics.events(name).inc()
        self._put(name, level, dict(facts))
        self._lines.flush()

    def _put(self, name: str, level: int, facts: dict[str, object]) -> None:
        facts["event"], facts["level"] = name, _NAMES[level]
        facts["timestamp"] = datetime.now(UTC)
        self._lines.put(self._form(facts))

    def _note_turn(self) -> None:
        """Let what this turn of the loop brings go out when it is over."""
        if self._is_turn_noted:
            return
        try:
            asyncio.get_running_loop().call_soon(self._turn_over)
        except RuntimeError:  # no loop: whoever tells waits for it
            self._turn_over()
        else:
            self._is_turn_noted = True

    def _turn_over(self) -> None:
        self._is_turn_noted = False
        if self._metrics.is_shared:  # else whoever asks for the page counts up
            self._metrics.count_up()
        self._lines.flush()


class _Bridge(logging.Handler):
    """Turns a standard log record into an event."""

    def __init__(self, telemetry: StructuredTelemetry) -> None:
        super().__init__(logging.WARNING)
        self._telemetry = telemetry

    def emit(self, record: logging.LogRecord) -> None:
        self._telemetry.library_log(record)


def _facts(visit: Visit) -> dict[str, object]:
    """What is known of a visit, zeros too; times to the microsecond."""
    facts = {name: fact for name, fact in vars(visit).items() if fact or fact == 0}
    del facts["started"]
    facts["total"] = round(visit.total, 6)
    if visit.first_byte is not None:
        facts["first_byte"] = round(visit.first_byte, 6)
    return facts


def _frames(error: BaseException | None) -> str:
    return "".join(traceback.format_tb(error.__traceback__)) if error else ""
