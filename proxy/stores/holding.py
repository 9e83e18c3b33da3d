"""Holds taken together: those that come while others are ruled on share the next step.

Each has a ruling of its own, in the order in which they came. One whose call has ended meanwhile
is not asked for any more: its release, which takes another way, might come first.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from proxy.core.errors import StoreUnavailableError
from proxy.core.holds import Hold, Ruling
from proxy.stores.group_commit import GroupCommit

MOST = 100
"""Holds in one step: some milliseconds of a store."""

Take: TypeAlias = Callable[[Sequence[Hold]], Awaitable[Sequence[Ruling | Exception]]]
"""Takes holds, one after the other: for each its ruling, or what went wrong with it alone."""


@dataclass(slots=True)
class _Asked:
    hold: Hold
    is_given_up: bool = False


class Holding:
    """The port's `hold`, by way of `take`, which runs once at a time."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._group: GroupCommit[_Asked, Ruling] = GroupCommit(self._commit, MOST)

    async def hold(self, hold: Hold) -> Ruling:
        """See `proxy.ports.Ledger.hold`."""
        asked = _Asked(hold)
        try:
            return await self._group.put(asked)
        except asyncio.CancelledError:
            asked.is_given_up = True
            raise

    async def _commit(self, asked: Sequence[_Asked]) -> list[Ruling | Exception]:
        gone = [one.is_given_up for one in asked]  # now: others may leave while these are taken
        wanted = [one.hold for one, has_left in zip(asked, gone, strict=True) if not has_left]
        rulings = iter(await self._take(wanted) if wanted else ())
        return [StoreUnavailableError() if has_left else next(rulings) for has_left in gone]
