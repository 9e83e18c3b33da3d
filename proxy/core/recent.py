"""What was heard a moment ago and may be said again for a while, in bounded memory."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

OVERHEAD = 4096
"""Bytes that an entry takes besides its own: its key, and what holds it."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class _Kept(NamedTuple, Generic[Value]):
    value: Value
    size: int
    until: float


class Recent(Generic[Key, Value]):
    """Values by key. `capacity` bytes of all together, `largest` of one; the oldest leave first.

    Times are seconds on a monotonic clock.
    """

    def __init__(self, capacity: int, largest: int) -> None:
        self.size = 0
        self._capacity = capacity
        self._largest = largest
        self._kept: OrderedDict[Key, _Kept[Value]] = OrderedDict()  # as in `notes`

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Key, now: float) -> Value | None:
        """What is kept, unless its time is over."""
        kept = self._kept.get(key)
        if kept is None or now < kept.until:
            return kept and kept.value
        self._take_out(key)
        return None

    def put(self, key: Key, value: Value, size: int, until: float) -> None:
        """Keep a value of `size` bytes until then, in place of what was; none that is too large."""
        self._take_out(key)
        if size > self._largest:
            return
        self._kept[key] = _Kept(value, size + OVERHEAD, until)
        self.size += size + OVERHEAD
        while self.size > self._capacity:
            self._take_out(next(iter(self._kept)))

    def _take_out(self, key: Key) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self.size -= kept.size
