"""What nobody expected, told where everybody can hear it: to the event loop's handler."""

import asyncio
from typing import TypeVar

T = TypeVar("T")


def alarm(message: str, error: BaseException) -> None:
    """Tell of an error that nobody will raise."""
    context = {"message": message, "exception": error}
    asyncio.get_running_loop().call_exception_handler(context)


def must_not_die(message: str, task: asyncio.Task[None]) -> None:
    """Tell when a task has ended with a bug: it will not come back, so at least it must be seen."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        alarm(message, error)


def heard(task: asyncio.Task[T]) -> None:
    """Take note of how it ended, so that asyncio does not ask for somebody who does."""
    if not task.cancelled():
        task.exception()
