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

    __slots__ = ("_at", "_loop", "_now", "_passed", "_seconds", "_since", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, passed: Callable[[], None]) -> None:
        self._loop = loop
        self._passed = passed
        self._now = loop.time
        self._since = 0.0
        self._seconds = self._at = _NEVER
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: float) -> None:
        """Let it be due so many seconds from now."""
        self._seconds = seconds
        self._since = since = self._now()
        if since + seconds < self._at:
            self._arm(since + seconds)

    def put_off(self) -> None:
        """Let as many seconds pass from now, if it is set at all."""
        self._since = self._now()

    def clear(self) -> None:
        """Let it be due never."""
        self._seconds = _NEVER

    def stop(self) -> None:
        """The same, and let go of the timer: there is nothing left to wait for."""
        self._seconds = self._at = _NEVER
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
        due = self._since + self._seconds
        if due == _NEVER:
            return
        if due > self._now():
            self._arm(due)
        else:
            self._seconds = _NEVER
            self._passed()
