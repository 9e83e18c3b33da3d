"""Who of many is next: the tenant served longest ago, and of his the lowest rank.

However much one tenant wants, another one's turn comes after one for each tenant who waits.
A step costs the logarithm of how many wait.
"""

from collections.abc import Hashable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Generic, TypeVar

from proxy.core.notes import Notes

Item = TypeVar("Item", bound=Hashable)

TENANTS = 10_000
"""Tenants of whom is remembered when they were served; whoever is forgotten comes first."""

_FEW = 16
"""Places of those who left that are not worth a tidying up."""


class Ranked(Generic[Item]):
    """Items by rank, the lowest first, equal ones as they came. Each item is in it once."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Item]] = []
        self._places: dict[Item, int] = {}
        self._count = count()

    def __len__(self) -> int:
        return len(self._places)

    def add(self, rank: float, item: Item) -> None:
        """Add an item that is not in it."""
        self._places[item] = place = next(self._count)
        heappush(self._heap, (rank, place, item))

    def discard(self, item: Item) -> None:
        """Take an item out, if it is in."""
        self._places.pop(item, None)
        if len(self._heap) > 2 * len(self._places) + _FEW:
            self._heap = [one for one in self._heap if self._places.get(one[2]) == one[1]]
            heapify(self._heap)

    def pop(self) -> Item:
        """Take the first one out. Raises `IndexError` when there is none."""
        while True:
            _, place, item = heappop(self._heap)
            if self._places.get(item) == place:
                del self._places[item]
                return item


class FairQueue(Generic[Item]):
    """Items of tenants."""

    def __init__(self) -> None:
        self._lines: dict[str, Ranked[Item]] = {}
        self._tenants: Ranked[str] = Ranked()
        self._served: Notes[str, int] = Notes(TENANTS)
        self._count = count(1)

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def __bool__(self) -> bool:
        return bool(self._lines)

    def add(self, tenant: str, rank: float, item: Item) -> None:
        """Let an item wait that does not wait yet."""
        if tenant not in self._lines:
            self._lines[tenant] = Ranked()
            self._tenants.add(self._served.get(tenant, 0), tenant)
        self._lines[tenant].add(rank, item)

    def discard(self, tenant: str, item: Item) -> None:
        """Let an item wait no longer, if it does."""
        line = self._lines.get(tenant)
        if line is None:
            return
        line.discard(item)
        if not line:
            del self._lines[tenant]
            self._tenants.discard(tenant)

    def pop(self) -> Item:
        """Take out who is next. Raises `IndexError` when nobody waits."""
        tenant = self._tenants.pop()
        self._served.note(tenant, served := next(self._count))
        line = self._lines[tenant]
        item = line.pop()
        if line:
            self._tenants.add(served, tenant)
        else:
            del self._lines[tenant]
        return item
