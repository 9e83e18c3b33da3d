"""What is known about tasks, in bounded memory: least recently used out first, by bytes."""

from typing import NamedTuple

from proxy.core.freshness import NOTHING, Known

CAPACITY = 32 * 1024 * 1024
"""Bytes of all answers together: between six and thirty thousand tasks."""

LARGEST = 256 * 1024
"""Bytes of one answer that is worth its place: a hundred times the usual."""

_OVERHEAD = 1024
"""Bytes that an entry takes besides its text; a field of a header takes some 150."""
_FIELD = 150


class Key(NamedTuple):
    """What was asked: of which account, about which task, and the request line's target."""

    account: str
    task_id: str
    target: str


class Shelf:
    """What is known, by what was asked."""

    def __init__(self, capacity: int = CAPACITY, largest: int = LARGEST) -> None:
        self.size = 0
        self._capacity = capacity
        self._largest = largest
        self._known: dict[Key, Known] = {}

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: Key) -> Known:
        """What is known, which becomes the youngest."""
        known = self._known.pop(key, None)
        if known is None:
            return NOTHING
        self._known[key] = known
        return known

    def put(self, key: Key, known: Known) -> None:
        """Remember as the youngest, in place of what was known; nothing, when it is too large."""
        self._take_out(key)
        if known.sighting and len(known.sighting.body) > self._largest:
            return
        self._known[key] = known
        self.size += _size(key, known)
        while self.size > self._capacity:
            self._take_out(next(iter(self._known)))

    def drop(self, task_id: str) -> None:
        """Forget a task. Looks at every key: only a cancel asks for it."""
        for key in [key for key in self._known if key.task_id == task_id]:
            self._take_out(key)

    def _take_out(self, key: Key) -> None:
        known = self._known.pop(key, None)
        if known is not None:
            self.size -= _size(key, known)


def _size(key: Key, known: Known) -> int:
    size = _OVERHEAD + sum(map(len, key))
    if known.sighting:
        fields = known.sighting.headers
        size += len(known.sighting.body) + sum(_FIELD + len(n) + len(v) for n, v in fields)
    return size
