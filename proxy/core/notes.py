"""A bounded memory of small facts: the entry that was noted longest ago goes first."""

from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Notes(Generic[Key, Value]):
    """What was noted of the last `most` keys."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._noted: dict[Key, Value] = {}

    def __len__(self) -> int:
        return len(self._noted)

    def __contains__(self, key: Key) -> bool:
        return key in self._noted

    def get(self, key: Key, default: Value) -> Value:
        """What was noted of the key last."""
        return self._noted.get(key, default)

    def drop(self, key: Key) -> None:
        """Forget what was noted of the key."""
        self._noted.pop(key, None)

    def note(self, key: Key, value: Value) -> None:
        """Remember in place of what was noted of the key before."""
        self._noted.pop(key, None)
        self._noted[key] = value
        if len(self._noted) > self._most:
            del self._noted[next(iter(self._noted))]
