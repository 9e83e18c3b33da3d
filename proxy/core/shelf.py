"""What is remembered about tasks, in bounded memory: least recently used out first, by bytes."""

from collections import OrderedDict
from typing import NamedTuple, Self

from proxy.core.freshness import NOTHING, Recalled
from proxy.core.hearings import Sighting
from proxy.core.tasks import TaskRecord

CAPACITY = 32 * 1024 * 1024
"""Bytes of all answers together: between six and thirty thousand tasks."""

LARGEST = 256 * 1024
"""Bytes of one answer that is worth its place: a hundred times the usual."""

_OVERHEAD = 1024
"""Bytes that an entry takes besides its text; a field of a header takes some 150."""
_FIELD = 150


class Key(NamedTuple):
    """One task, however a poll spells it: a spelling can be invented, a task cannot."""

    account: str
    task_id: str

    @classmethod
    def of(cls, record: TaskRecord) -> Self:
        """The key of a task by its record."""
        return cls(record.account, record.task_id)


class Shelf:
    """What is remembered, by task."""

    def __init__(self, capacity: int = CAPACITY, largest: int = LARGEST) -> None:
        self.size = 0
        self._capacity = capacity
        self._largest = largest
        self._recalled: OrderedDict[Key, Recalled] = OrderedDict()  # as in `notes`

    def __len__(self) -> int:
        return len(self._recalled)

    def get(self, key: Key) -> Recalled:
        """What is remembered, which becomes the youngest."""
        recalled = self._recalled.get(key)
        if recalled is None:
            return NOTHING
        self._recalled.move_to_end(key)
        return recalled

    def put(self, key: Key, recalled: Recalled) -> None:
        """Remember as the youngest, in place of what was before; nothing, when it is too large."""
        self.drop(key)
        if any(len(one.body) > self._largest for one in _sightings(recalled)):
            return
        self._recalled[key] = recalled
        self.size += _size(key, recalled)
        while self.size > self._capacity:
            self.drop(next(iter(self._recalled)))

    def drop(self, key: Key) -> None:
        """Forget a task."""
        recalled = self._recalled.pop(key, None)
        if recalled is not None:
            self.size -= _size(key, recalled)


def _sightings(recalled: Recalled) -> list[Sighting]:
    """The answers that are remembered, each once."""
    state, latest = recalled.state, recalled.latest
    found = [state] if state else []
    return [*found, latest] if isinstance(latest, Sighting) and latest is not state else found


def _size(key: Key, recalled: Recalled) -> int:
    size = _OVERHEAD + sum(map(len, key))
    for seen in _sightings(recalled):
        size += len(seen.body) + sum(_FIELD + len(n) + len(v) for n, v in seen.headers)
    return size
