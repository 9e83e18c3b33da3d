"""A deadline that moves all the time, on a timer that hardly ever does."""

import asyncio
import math
from collections.abc import Callable

_NEVER = math.inf


class Deadline:
    """Calls `passed` once the time set last is over.

    Each byte that comes moves a deadline, and none is kept to: so only the time is noted, and
    the timer looks at it when it goes off. It is made anew only for a deadline before its own.
    """

    __slots__ = ("_at", "_due", "_loop", "_passed", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, passed: Callable[[], None]) -> None:
        self._loop = loop
        self._passed = passed
        self._due = self._at = _NEVER
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: float) -> None:
        """Let it be due so many seconds from now."""
        self._due = due = self._loop.time() + seconds
        if due < self._at:
            self._arm(due)

    def clear(self) -> None:
        """Let it be due never."""
        self._due = _NEVER

    def stop(self) -> None:
        """The same, and let go of the timer: there is nothing left to wait for."""
        self._due = self._at = _NEVER
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._at = at
        self._timer = self._loop.call_at(at, self._look)

    def _look(self) -> None:
        self._timer, self._at = None, _NEVER
        due = self._due
        if due == _NEVER:
            return
        if due > self._loop.time():
            self._arm(due)
        else:
            self._due = _NEVER
            self._passed()
