"""The tasks of every account and where they stand.

A task walks PENDING, RUNNING, then SUCCEEDED or FAILED. With `seconds` it walks by the clock,
a third of the time pending; with 0 seconds each poll moves it on by one state.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from proxy.sandbox.answers import Payload, RefusalError

TASK_LIFE = 24 * 3600
"""Seconds a task is remembered (protocol section 5); afterwards its id reads UNKNOWN."""


class Kind(StrEnum):
    """What a task makes; decides the shape of its answer."""

    VIDEO = "video"
    IMAGES = "images"
    IMAGE_CHOICES = "image choices"
    TRANSCRIPTION = "transcription"
    EMBEDDINGS = "embeddings"
    TEMPLATE = "template"
    MODEL_3D = "3d model"


class Status(StrEnum):
    """Where a task stands, in the service's words."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    UNKNOWN = "UNKNOWN"


@dataclass(slots=True)
class Task:
    """One task. Times are Unix seconds; `doom` is how it will fail, if it will.

    Of the input only the prompt, the names of files and the numbers of images and of videos are
    kept: inputs may carry megabytes.
    """

    id: str
    account: str
    request_id: str
    model: str
    service: str
    kind: Kind
    submitted: float
    prompt: str = field(repr=False)
    files: object = field(repr=False)
    parameters: Payload = field(repr=False)
    doom: RefusalError | None = None
    images: int = 0
    videos: int = 0
    polls: int = 0
    canceled: bool = False


class Ledger:
    """All tasks, by account. `created` counts submits by (account, model) and never forgets."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self.seconds = seconds
        self.created: Counter[tuple[str, str]] = Counter()
        self._clock = clock
        self._tasks: dict[str, Task] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[Task]:
        return iter(self._tasks.values())

    def submit(self, task: Task) -> Task:
        """Take a new task on; it is PENDING."""
        self._forget_old()
        self._tasks[task.id] = task
        self.created[task.account, task.model] += 1
        return task

    def find(self, account: str, task_id: str) -> Task | None:
        """The account's task, or None: ids of other accounts do not exist here."""
        self._forget_old()
        task = self._tasks.get(task_id)
        return task if task is not None and task.account == account else None

    def poll(self, account: str, task_id: str) -> Task | None:
        """Find a task and, with 0 seconds, move it on by one state."""
        task = self.find(account, task_id)
        if task is not None:
            task.polls += 1
        return task

    def of(self, account: str) -> list[Task]:
        """Every task of the account, newest first, whoever asks."""
        self._forget_old()
        return [task for task in reversed(self._tasks.values()) if task.account == account]

    def cancel(self, account: str, task_id: str) -> bool:
        """Cancel a PENDING task; False when there is none."""
        task = self.find(account, task_id)
        if task is None or self.status(task) is not Status.PENDING:
            return False
        task.canceled = True
        return True

    def status(self, task: Task) -> Status:
        """Where the task stands now."""
        if task.canceled:
            return Status.CANCELED
        progress = self._progress(task)
        if progress < 1 / 3:
            return Status.PENDING
        if progress < 1:
            return Status.RUNNING
        return Status.SUCCEEDED if task.doom is None else Status.FAILED

    def scheduled_at(self, task: Task) -> float:
        """When it left PENDING, or will."""
        return task.submitted + self.seconds / 3

    def ended_at(self, task: Task) -> float:
        """When it came to its end, or will."""
        return task.submitted + self.seconds

    def _progress(self, task: Task) -> float:
        if self.seconds == 0:
            return task.polls / 2
        return (self._clock() - task.submitted) / self.seconds

    def _forget_old(self) -> None:
        """Tasks stand in order of submission, so only the front can be old."""
        horizon = self._clock() - TASK_LIFE
        while self._tasks and next(iter(self)).submitted < horizon:
            del self._tasks[next(iter(self._tasks))]
