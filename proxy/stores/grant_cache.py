"""One process's memory of grants, kept right by whoever reports changes. Pure: it does no I/O.

Rule 1: what is remembered counts as confirmed now for as long as changes are being reported
        (`connected` until `disconnected`), and `max_staleness` seconds longer after that.
Rule 2: `connected` forgets everything, because changes may have been missed.
Rule 3: a lookup under way when its digest is forgotten, or when the reports break off, is taken
        off the list: its answer may predate the change, so it is not remembered, and whoever
        asks next asks anew.
Rule 4: memory is bounded. Tokens that do not exist have their own small and brief share, so
        that a flood of invented tokens never pushes out a real one.
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from proxy.core.policy import Grant

MAX_KNOWN = 100_000
"""Grants remembered, oldest out first: about 100 MB when full, and far more tokens than any
deployment we know of has in use at once."""

MAX_ABSENT = 10_000
"""Tokens remembered as not existing, oldest out first."""

ABSENT_SECONDS = 10.0
"""How long a token counts as not existing; a push ends it earlier."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a lookup found: no such token, or its grant (None: an unreadable one).

    `lifetime` is the seconds until the store itself lets go of it.
    """

    grant: Grant | None = None
    lifetime: float = math.inf
    exists: bool = True


Flight: TypeAlias = asyncio.Future[Found]
"""A lookup under way, which everybody who asks for the same digest awaits."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered of one digest: nothing is granted when `grant` is None.

    `until` is a time of the cache's clock, infinity when only a push ends it.
    """

    grant: Grant | None
    until: float = math.inf


class GrantCache:
    """Grants by digest, see the rules above.

    `max_staleness` is seconds; 0 means that nothing counts once reports break off. `clock` is
    monotonic seconds. `max_known` and `max_absent` are counts of entries.
    """

    def __init__(
        self,
        max_staleness: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        max_known: int = MAX_KNOWN,
        max_absent: int = MAX_ABSENT,
    ) -> None:
        self._max_staleness = max_staleness
        self._clock = clock
        self._max_known = max_known
        self._max_absent = max_absent
        self._known: OrderedDict[str, Known] = OrderedDict()  # as in `core.notes`
        self._absent: OrderedDict[str, Known] = OrderedDict()
        self._flights: dict[str, Flight] = {}
        self._good_until = -math.inf

    def __repr__(self) -> str:
        return (
            f"GrantCache({len(self._known)} known, {len(self._absent)} absent, "
            f"{len(self._flights)} under way, good until {self._good_until})"
        )

    def lookup(self, digest: str) -> Known | None:
        """What is remembered and still counts. The hot path: two dict reads and the clock."""
        known = self._known.get(digest) or self._absent.get(digest)
        if known is None:
            return None
        now = self._clock()
        return known if now < known.until and now < self._good_until else None

    def digests(self) -> list[str]:
        """Of all grants that are remembered, oldest first."""
        return list(self._known)

    def flight(self, digest: str) -> Flight | None:
        """The lookup to join, if one is under way whose answer will be current."""
        return self._flights.get(digest)

    def begin(self, digest: str, flight: Flight) -> None:
        """A lookup starts, before its question leaves for the store."""
        self._flights[digest] = flight

    def settle(self, digest: str, flight: Flight, found: Found) -> None:
        """A lookup has its answer: remember it, unless it was overtaken by a change."""
        if not self._land(digest, flight):
            return
        self.forget(digest)
        now = self._clock()
        if found.exists:
            _insert(self._known, self._max_known, digest, Known(found.grant, now + found.lifetime))
        else:
            _insert(self._absent, self._max_absent, digest, Known(None, now + ABSENT_SECONDS))

    def abandon(self, digest: str, flight: Flight) -> None:
        """A lookup ended with nothing to remember."""
        self._land(digest, flight)

    def forget(self, digest: str) -> None:
        """The token changed."""
        self._known.pop(digest, None)
        self._absent.pop(digest, None)
        self._flights.pop(digest, None)

    def forget_all(self) -> None:
        """Any token may have changed."""
        self._known.clear()
        self._absent.clear()
        self._flights.clear()

    def connected(self) -> None:
        """Changes are reported from now on."""
        self.forget_all()
        self._good_until = math.inf

    def disconnected(self, confirmed: float) -> None:
        """Changes are no longer reported; those before `confirmed` (clock seconds) were."""
        self._flights.clear()
        self._good_until = confirmed + self._max_staleness

    def _land(self, digest: str, flight: Flight) -> bool:
        """Take the lookup off the list; False when it was no longer there."""
        if self._flights.get(digest) is not flight:
            return False
        del self._flights[digest]
        return True


def _insert(table: OrderedDict[str, Known], limit: int, digest: str, known: Known) -> None:
    """Insert a digest that is not there as the youngest, evicting the oldest beyond `limit`."""
    table[digest] = known
    if len(table) > limit:
        table.popitem(last=False)
