"""Work that a process does in the background, and how it is brought to its end."""

import asyncio
from collections.abc import Iterable

AGAIN = 0.5
"""Seconds until what has not ended is told so once more."""


async def end_all(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel the tasks and return when all have ended, whatever they raise.

    More than once: on Python 3.11 a `wait_for` that is cancelled just when its answer comes gives
    the answer and loses the cancellation, and libraries wait in it.
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN)
