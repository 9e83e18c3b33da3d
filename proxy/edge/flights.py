"""Single flight: who asks the same at the same time waits for one answer."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

Key = TypeVar("Key")
Answer = TypeVar("Answer")


@dataclass(slots=True, eq=False)
class _SharedCall(Generic[Answer]):
    task: asyncio.Task[Answer]
    passengers: int = 0


class Flights(Generic[Key, Answer]):
    """Questions under way, by key."""

    def __init__(self) -> None:
        self._under_way: dict[Key, _SharedCall[Answer]] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    async def join(
        self,
        key: Key,
        ask: Callable[[], Coroutine[Any, Any, Answer]],
        keep: Callable[[Answer], None],
    ) -> tuple[Answer, bool]:
        """The answer, and whether it was asked for others already. Raises what `ask` raises.

        `keep` gets the answer once, unless the flight was forgotten meanwhile. Whoever is
        cancelled leaves the others alone; when all have left, `ask` is cancelled.
        """
        flight = self._under_way.get(key)
        joined = flight is not None
        if flight is None:
            flight = self._under_way[key] = _SharedCall(asyncio.create_task(ask()))
            flight.task.add_done_callback(partial(self._landed, key, flight, keep))
        flight.passengers += 1
        try:
            await asyncio.wait([flight.task])
        finally:
            flight.passengers -= 1
            if not flight.passengers and not flight.task.done():
                self._remove(key, flight)
                flight.task.cancel()
                await asyncio.wait([flight.task])
        return flight.task.result(), joined

    def forget(self, key: Key) -> None:
        """Let nobody join what is under way now; who waits gets the answer, nobody keeps it."""
        self._under_way.pop(key, None)

    def _landed(
        self,
        key: Key,
        flight: _SharedCall[Answer],
        keep: Callable[[Answer], None],
        task: asyncio.Task[Answer],
    ) -> None:
        """Called before whoever waits wakes up, because it was registered before."""
        if self._remove(key, flight) and not task.cancelled() and task.exception() is None:
            keep(task.result())

    def _remove(self, key: Key, flight: _SharedCall[Answer]) -> bool:
        """Whether it was still the one to join."""
        if self._under_way.get(key) is not flight:
            return False
        del self._under_way[key]
        return True
