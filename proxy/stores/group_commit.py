"""Group commit: what is asked for while an answer is awaited leaves together, after it.

Alone it leaves at once, in the next turn of the event loop. Under load one round trip and its
overhead are shared by all who came during the last one, so that the busier it is, the less each
of them costs.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeAlias, TypeVar

from proxy.core.errors import StoreUnavailableError

MOST = 200
"""Items of one batch: what comes later need not wait for an endless one."""

Item = TypeVar("Item")
Result = TypeVar("Result")

Commit: TypeAlias = Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]]
"""Does the work of a batch: for each item, in order, what came of it."""


class GroupCommit(Generic[Item, Result]):
    """Gathers items for `commit`, which runs once at a time."""

    def __init__(self, commit: Commit[Item, Result], most: int = MOST) -> None:
        self._commit = commit
        self._most = most
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._committing: asyncio.Task[None] | None = None

    async def put(self, item: Item) -> Result:
        """What came of the item. Raises what `commit` answers for it, or raised for its batch.

        Who is cancelled does not wait any more; the item is committed all the same. When the
        committing itself is cancelled, `StoreUnavailableError` for all who wait.
        """
        result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, result))
        if self._committing is None:
            self._committing = asyncio.create_task(self._run())
        return await result

    async def ended(self) -> None:
        """Return when nothing is under way any more: before what `commit` needs is taken away."""
        if self._committing is not None:
            await asyncio.wait([self._committing])

    async def _run(self) -> None:
        batch: list[tuple[Item, asyncio.Future[Result]]] = []
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                await self._step(batch)
        except asyncio.CancelledError:  # by whoever ends the loop, or by a library that lost one
            for _, future in (*batch, *self._waiting):
                _tell(future, StoreUnavailableError())
            self._waiting = []
            raise
        finally:
            self._committing = None

    async def _step(self, batch: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        """Commit a batch, and tell each what came of it."""
        try:
            results = await self._commit([item for item, _ in batch])
            told = list(zip(batch, results, strict=True))
        except Exception as error:  # noqa: BLE001 - told to everybody who waits for it
            told = [(one, error) for one in batch]
        for (_, future), result in told:
            _tell(future, result)


def _tell(future: asyncio.Future[Result], result: Result | Exception) -> None:
    if future.done():  # whoever waited was cancelled
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
