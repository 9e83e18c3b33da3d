"""The tasks of one socket: which run, where, and which the client was refused.

Not the tasks of DESIGN section 7: these live and die with their socket, and nobody polls them.
"""

from typing import Generic, TypeVar

from proxy.core.errors import ProxyError, Situation

REMEMBERED = 1024
"""Tasks of one socket that are known, running or not: nobody runs this many at a time."""

Leg = TypeVar("Leg")


class LiveTasks(Generic[Leg]):
    """What is known of the tasks of one socket. A `Leg` is where a task runs."""

    def __init__(self) -> None:
        self._legs: dict[str, Leg | None] = {}  # of each task, in order of their beginnings
        self._live: dict[str, Leg] = {}

    def __len__(self) -> int:
        """How many run."""
        return len(self._live)

    def begin(self, task_id: str, leg: Leg) -> None:
        """Note that a task is sent to `leg`. Raises `ProxyError` (`RATE_LIMITED`)."""
        self._live.pop(task_id, None)
        if len(self._live) >= REMEMBERED:
            raise ProxyError(
                Situation.RATE_LIMITED, f"At most {REMEMBERED} tasks may run on one socket."
            )
        self._live[task_id] = leg
        self._know(task_id, leg)

    def end(self, task_id: str) -> None:
        """Note that a task has finished or failed; one that does not run is left alone."""
        self._live.pop(task_id, None)

    def refuse(self, task_id: str) -> None:
        """Note that the client was told that this task failed: what still comes for it is lost."""
        self._live.pop(task_id, None)
        self._know(task_id, None)

    def is_known(self, task_id: str) -> bool:
        """Whether the client began this task here, refused or not."""
        return task_id in self._legs

    def leg_of(self, task_id: str) -> Leg | None:
        """Where the frames of a task go; None is nowhere."""
        return self._legs.get(task_id)

    def latest(self) -> Leg | None:
        """Where binary frames go: to the task that began last of those that run."""
        return next(reversed(self._live.values()), None)

    def lose(self, leg: Leg) -> list[str]:
        """Forget everything that ran at `leg`; returns what was running, oldest first."""
        lost = [task_id for task_id, at in self._live.items() if at is leg]
        for task_id in lost:
            del self._live[task_id]
        self._legs = {one: None if at is leg else at for one, at in self._legs.items()}
        return lost

    def _know(self, task_id: str, leg: Leg | None) -> None:
        self._legs.pop(task_id, None)
        self._legs[task_id] = leg
        if len(self._legs) > REMEMBERED:
            del self._legs[next(one for one in self._legs if one not in self._live)]
