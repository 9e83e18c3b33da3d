"""What an outbox has to tell, told to the operator."""

from proxy.core.tasks import TaskRecord
from proxy.ports import Telemetry
from proxy.stores.notices import OutboxNotices


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
