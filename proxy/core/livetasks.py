"""The tasks of one socket: which run, where, and which the client was refused.

Not the tasks of DESIGN section 7: these live and die with their socket, and nobody polls them.
"""

from typing import Generic, TypeVar

from proxy.core.errors import ProxyError, Situation

REMEMBERED = 1024
"""Tasks of one socket that are known, running or not: nobody runs this many at a time."""

Leg = TypeVar("Leg")


class LiveTasks(Generic[Leg]):
    """What is known of the tasks of one socket. A `Leg` is where a task runs.

    A task that the client was told has failed may still run upstream, until it ends there.
    """

    def __init__(self) -> None:
        self._legs: dict[str, Leg | None] = {}  # of each task, in order of their beginnings
        self._live: dict[str, Leg] = {}
        self._outliving: dict[str, Leg] = {}
        self._nobodys = False  # whose bytes come now, if that is a task that failed

    def __len__(self) -> int:
        """How many run, the failed ones with them that upstream has not ended yet."""
        return len(self._live) + len(self._outliving)

    def demand_free(self, task_id: str) -> None:
        """Raise `ProxyError` unless a task may begin: `RATE_LIMITED`, `ILLEGAL_INPUT`.

        A name is not free while upstream may still speak of another task by it.
        """
        if task_id in self._outliving:
            raise ProxyError(
                Situation.ILLEGAL_INPUT,
                "header.task_id: a task that failed by this name has not ended upstream yet; "
                "name the new one otherwise.",
            )
        if task_id not in self._live and len(self) >= REMEMBERED:
            raise ProxyError(
                Situation.RATE_LIMITED, f"At most {REMEMBERED} tasks may run on one socket."
            )

    def begin(self, task_id: str, leg: Leg) -> None:
        """Note that a task is sent to `leg`. Raises as `demand_free` does."""
        self.demand_free(task_id)
        self._live.pop(task_id, None)
        self._live[task_id] = leg
        self._nobodys = False
        self._know(task_id, leg)

    def end(self, task_id: str) -> None:
        """Note that a task has finished or failed; one that does not run is left alone."""
        self._live.pop(task_id, None)
        self._outliving.pop(task_id, None)

    def refuse_start(self) -> None:
        """Note that a task did not begin: the bytes that follow are meant for it, so nobody's."""
        self._nobodys = True

    def refuse(self, task_id: str) -> Leg | None:
        """Note that the client was told that this task failed; return where it must be ended.

        What still comes for it is lost.
        """
        self._nobodys |= task_id == self.latest()
        leg = self._live.pop(task_id, None)
        if leg is not None:
            self._outliving[task_id] = leg
        self._know(task_id, None)
        return leg

    def is_known(self, task_id: str) -> bool:
        """Whether the client began this task here, refused or not."""
        return task_id in self._legs

    def is_refused(self, task_id: str) -> bool:
        """Whether the client was told that this task failed."""
        return self.is_known(task_id) and self.leg_of(task_id) is None

    def leg_of(self, task_id: str) -> Leg | None:
        """Where the frames of a task go; None is nowhere."""
        return self._legs.get(task_id)

    def latest(self) -> str | None:
        """Whose binary frames are: of those that run, the task that began last.

        Nobody's, when a later one failed: they may be meant for that, until another begins.
        """
        return None if self._nobodys else next(reversed(self._live), None)

    def at(self, leg: Leg) -> list[str]:
        """The tasks that run at `leg`: bytes from there are one's of them."""
        return [task_id for task_id, at in self._live.items() if at is leg]

    def is_heard(self, leg: Leg) -> bool:
        """Whether bytes from `leg` are for the client, not a task's that failed."""
        return leg in self._live.values() or leg not in self._outliving.values()

    def lose(self, leg: Leg) -> list[str]:
        """Forget everything at `leg`; returns what ran for the client, oldest first."""
        lost = self.at(leg)
        self._nobodys |= self.latest() in lost
        self._live = {one: at for one, at in self._live.items() if at is not leg}
        self._outliving = {one: at for one, at in self._outliving.items() if at is not leg}
        self._legs = {one: None if at is leg else at for one, at in self._legs.items()}
        return lost

    def _know(self, task_id: str, leg: Leg | None) -> None:
        self._legs.pop(task_id, None)
        self._legs[task_id] = leg
        if len(self._legs) > REMEMBERED:
            running = {*self._live, *self._outliving}
            del self._legs[next(one for one in self._legs if one not in running)]
