"""Turns to ask one account, for whoever waits: the stalest knowledge first."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass

from proxy.core.pacing import Pace


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    since: float
    turn: asyncio.Future[None]


class Turns:
    """Gives out the turns of a `Pace`, `rate` a second."""

    def __init__(self, rate: float) -> None:
        self._pace = Pace(rate)
        self._waiting: list[_Waiting] = []
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    async def take(self, since: float, patience: float) -> bool:
        """Wait for a turn; False when there was none for `patience` seconds.

        `since` is when the caller last heard what it is going to ask, in seconds.
        """
        me = _Waiting(since, asyncio.get_running_loop().create_future())
        self._waiting.append(me)
        self._give()
        try:
            async with asyncio.timeout(patience):
                await me.turn
        except TimeoutError:
            return False
        finally:
            with suppress(ValueError):  # it got its turn, or was passed over as it left
                self._waiting.remove(me)
        return True

    def pause(self, seconds: float) -> None:
        """Give nobody a turn for a while."""
        self._pace.pause(time.monotonic(), seconds)

    def _give(self) -> None:
        """Give the turns there are, and come back for the next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            now = time.monotonic()
            delay = self._pace.delay(now)
            if delay:
                self._timer = asyncio.get_running_loop().call_later(delay, self._give)
                return
            stalest = min(self._waiting, key=lambda waiting: waiting.since)
            self._waiting.remove(stalest)
            if not stalest.turn.cancelled():
                self._pace.take(now)
                stalest.turn.set_result(None)
