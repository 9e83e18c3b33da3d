"""When failures in a row are one outage: told at its begin and at its end, not each time."""

import math

CALM = 5.0
"""Seconds without a failure until a success ends an outage: it may fail now and then only."""


class Outage:
    """Whether something is failing. Times are seconds on a monotonic clock."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._failed = -math.inf

    def failed(self, now: float) -> bool:
        """Note a failure; True when an outage begins with it."""
        begins = self._began is None
        if begins:
            self._began = now
        self._failed = now
        return begins

    def succeeded(self, now: float) -> float | None:
        """Note a success; how long the outage was that it ends, in seconds, if it ends one."""
        if self._began is None or now - self._failed < CALM:
            return None
        lasted = now - self._began
        self._began = None
        return lasted
