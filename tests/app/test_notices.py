"""What becomes of late claims is told as events."""

from edge.rig import Recorder

from proxy.app.notices import told_to
from proxy.core.tasks import TaskRecord

TASK = TaskRecord("t1", "a", "g1", "main", "m", 1.0)


def test_each_notice_is_an_event() -> None:
    """With what an operator needs to find the task, and without what nobody asked for."""
    telemetry = Recorder()
    notices = told_to(telemetry)
    notices.changed(False, "no space left")  # noqa: FBT003 - the stores' own form
    notices.deferred(TASK)
    notices.replayed(3)
    notices.lost(TASK, "why")
    notices.changed(True, "")  # noqa: FBT003 - the stores' own form
    assert [name for name, _ in telemetry.events] == [
        *("outbox_down", "claim_deferred", "claims_replayed", "task_without_owner", "outbox_up")
    ]
    assert telemetry.events[0][1] == {"why": "no space left"}
    assert telemetry.named("claim_deferred")[0]["task_id"] == "t1"
    assert telemetry.named("claims_replayed") == [{"count": 3}]
    assert telemetry.named("task_without_owner")[0]["token"] == "g1"
