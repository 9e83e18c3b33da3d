"""How many calls may be under way to one account, where it says so."""

import asyncio
from typing import TypeAlias

from proxy.core.accounts import Account
from proxy.edge.failures import crowded

Seat: TypeAlias = asyncio.Semaphore
"""What to `release` when the call is over."""


class Seats:
    """Seats by account, taken in the order of asking. `patience` is seconds to wait for one."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._rows: dict[str, Seat] = {}

    async def take(self, account: Account) -> Seat | None:
        """A seat; None where they are not counted.

        Raises `UnreachableError` when all stay taken: nothing has left.
        """
        if account.connections is None:
            return None
        row = self._rows.setdefault(account.name, asyncio.Semaphore(account.connections))
        try:
            async with asyncio.timeout(self._patience):
                await row.acquire()
        except TimeoutError:
            raise crowded() from None
        return row
