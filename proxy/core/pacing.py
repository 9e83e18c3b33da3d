"""How fast one account may be asked about tasks: turns, a limited number in any stretch of time.

Upstream allows 20 task queries a second for a whole account, whoever asks (protocol section 7).
Here is only arithmetic: who is next, and how one waits, stands in `proxy.edge.turns`.
"""

import math
import re
from collections import deque

from proxy.core.headers import Fields, value_of

MARGIN = 1.05
"""How much longer than upstream's our own stretch is: on the way, calls move closer together."""

PAUSE = 1.0
"""Seconds without a turn after upstream said "too many" and not for how long."""

LONGEST_PAUSE = 5.0
"""Seconds that upstream can ask for: states must not grow old for a number in a header."""


class Pace:
    """At most `rate` turns a second. Times are seconds on any one clock, passed in.

    A whole second's turns may be taken at once; a rate that is no whole number is kept over the
    stretch in which it makes whole turns.
    """

    def __init__(self, rate: float) -> None:
        most = max(1, int(rate))
        self._stretch = most / rate * MARGIN
        self._taken: deque[float] = deque(maxlen=most)
        self._resumes = -math.inf

    def delay(self, now: float) -> float:
        """Seconds until there is a turn; 0 when there is one now."""
        due = self._resumes
        if len(self._taken) == self._taken.maxlen:
            due = max(due, self._taken[0] + self._stretch)
        return max(0.0, due - now)

    def take(self, now: float) -> None:
        """Take the turn there is."""
        self._taken.append(now)

    def pause(self, now: float, seconds: float) -> None:
        """Give no turn for a while."""
        self._resumes = max(self._resumes, now + seconds)


def pause_after(fields: Fields) -> float:
    """Seconds to ask nothing after a 429 with this header."""
    text = value_of(fields, "retry-after") or ""
    return min(float(text), LONGEST_PAUSE) if re.fullmatch(r"[0-9]{1,6}", text) else PAUSE
