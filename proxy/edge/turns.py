"""Turns to ask one account, for whoever waits: tenants one after the other, stalest task first."""

import asyncio
import time

from proxy.core.fairness import FairQueue
from proxy.core.pacing import Pace


class Turns:
    """Gives out the turns of a `Pace`, `rate` a second."""

    def __init__(self, rate: float) -> None:
        self._pace = Pace(rate)
        self._waiting: FairQueue[asyncio.Future[bool]] = FairQueue()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    async def take(self, tenant: str, since: float, patience: float) -> bool:
        """Wait for a turn; False when there was none for `patience` seconds.

        `since` is when upstream was last asked what the caller is going to ask, in seconds.
        """
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        self._waiting.add(tenant, since, turn)
        end = loop.call_later(patience, self._give_up, tenant, turn)
        if self._timer is None:
            self._give()
        try:
            return await turn
        finally:
            end.cancel()
            self._waiting.discard(tenant, turn)

    def pause(self, seconds: float) -> None:
        """Give nobody a turn for a while."""
        self._pace.pause(time.monotonic(), seconds)

    def _give_up(self, tenant: str, turn: asyncio.Future[bool]) -> None:
        self._waiting.discard(tenant, turn)
        if not turn.done():
            turn.set_result(False)

    def _give(self) -> None:
        """Give the turns there are, and come back for the next."""
        self._timer = None
        while self._waiting:
            now = time.monotonic()
            delay = self._pace.delay(now)
            if delay:
                self._timer = asyncio.get_running_loop().call_later(delay, self._give)
                return
            turn = self._waiting.pop()
            if not turn.done():  # its caller may have left this very moment
                self._pace.take(now)
                turn.set_result(True)
