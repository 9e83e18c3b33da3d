"""How many task queries an account may send a second: the real service counts them all together."""

from collections import defaultdict, deque
from collections.abc import Callable

from proxy.sandbox.answers import RefusalError

SECOND = 1.0


class QueryQuota:
    """Counts queries by account over the last second; `most` None counts nothing.

    A query that is refused does not count. `clock` is in seconds.
    """

    def __init__(self, most: int | None, clock: Callable[[], float]) -> None:
        self.refused = 0
        self._most = most
        self._clock = clock
        self._taken: defaultdict[str, deque[float]] = defaultdict(deque)

    def take(self, account: str) -> None:
        """Count a query. Raises `RefusalError` (429, protocol section 4) for one too many."""
        if self._most is None:
            return
        now, taken = self._clock(), self._taken[account]
        while taken and taken[0] <= now - SECOND:
            taken.popleft()
        if len(taken) >= self._most:
            self.refused += 1
            raise RefusalError(
                429,
                "Throttling.RateQuota",
                "Requests rate limit exceeded, please try again later.",
            )
        taken.append(now)
