"""What is told to the operator: in which form, and what an outbox has to tell."""

import sys

from proxy.config.settings import Settings
from proxy.core.tasks import TaskRecord
from proxy.ports import Telemetry
from proxy.stores.notices import OutboxNotices
from proxy.telemetry import Metrics, StructuredTelemetry


def telemetry_of(settings: Settings, metrics: Metrics | None = None) -> StructuredTelemetry:
    """What tells on standard output, in the form that was asked for."""
    form = settings.env.log_format
    on_terminal = sys.stdout is not None and sys.stdout.isatty()
    console = form == "console" or (form == "auto" and on_terminal)
    return StructuredTelemetry(metrics or Metrics(), console=console)


def told_to(telemetry: Telemetry) -> OutboxNotices:
    """What becomes of late claims, as events."""

    def changed(is_up: bool, why: str) -> None:  # noqa: FBT001 - the stores' own form
        telemetry.event("outbox_up" if is_up else "outbox_down", **({} if is_up else {"why": why}))

    def deferred(record: TaskRecord) -> None:
        telemetry.event(
            "claim_deferred",
            task_id=record.task_id,
            tenant=record.tenant,
            account=record.account,
            model=record.model,
        )

    def lost(record: TaskRecord, why: str) -> None:
        telemetry.event(
            "task_without_owner",
            why=why,
            task_id=record.task_id,
            tenant=record.tenant,
            token=record.token,
            account=record.account,
            model=record.model,
        )

    return OutboxNotices(
        deferred=deferred,
        replayed=lambda count: telemetry.event("claims_replayed", count=count),
        lost=lost,
        changed=changed,
    )
