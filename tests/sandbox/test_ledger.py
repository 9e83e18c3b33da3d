"""Where a task stands, by the clock and by polls."""

from proxy.sandbox.answers import RefusalError
from proxy.sandbox.ledger import TASK_LIFE, Kind, Ledger, Status, Task


class Clock:
    """A clock that stands still until it is told."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def _task(task_id: str = "one", doom: RefusalError | None = None) -> Task:
    return Task(task_id, "sk", "request", "m", "service", Kind.VIDEO, Clock.now, "", [], {}, doom)


def test_by_the_clock() -> None:
    """A third of the time PENDING, then RUNNING, then the end; polls change nothing."""
    clock = Clock()
    ledger = Ledger(9, clock)
    task = ledger.submit(_task())
    seen = []
    for passed in (0, 2.9, 3, 8.9, 9, 100):
        clock.now = task.submitted + passed
        ledger.poll("sk", "one")
        seen.append(str(ledger.status(task)))
    assert seen == ["PENDING", "PENDING", "RUNNING", "RUNNING", "SUCCEEDED", "SUCCEEDED"]


def test_by_polls() -> None:
    """With zero seconds the first poll finds RUNNING and the second the end, doomed or not."""
    ledger = Ledger(0, Clock())
    task = ledger.submit(_task(doom=RefusalError(500, "InternalError", "no")))
    seen = [ledger.status(task)]
    for _ in range(3):
        ledger.poll("sk", "one")
        seen.append(ledger.status(task))
    assert seen == [Status.PENDING, Status.RUNNING, Status.FAILED, Status.FAILED]


def test_a_day_later_nobody_remembers() -> None:
    """Tasks are forgotten after their life, the count of them never."""
    clock = Clock()
    ledger = Ledger(0, clock)
    ledger.submit(_task())
    clock.now += TASK_LIFE + 1
    assert ledger.find("sk", "one") is None
    assert len(ledger) == 0
    assert ledger.created["sk", "m"] == 1
