"""When failures in a row are one outage: told at its begin and at its end, not each time."""

import math

QUIET = 5.0
"""Seconds after an outage in which failures begin no other: one may fail now and then."""


class Outage:
    """Whether something is failing. Times are seconds on a monotonic clock."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._ended = -math.inf

    def failed(self, now: float) -> bool:
        """Note a failure; True when an outage begins with it."""
        if self._began is not None or now - self._ended < QUIET:
            return False
        self._began = now
        return True

    def succeeded(self, now: float) -> float | None:
        """Note a success; how long the outage was that it ends, in seconds, if it ends one."""
        if self._began is None:
            return None
        lasted = now - self._began
        self._began, self._ended = None, now
        return lasted
