"""How a loop learns that it was told to stop, even if the word was lost on the way."""

import asyncio


def is_cancelled() -> bool:
    """Whether this task has been told to stop.

    On Python 3.11 the `wait_for` that redis-py sends with loses a cancellation that arrives in
    the wrong moment; a loop that trusted in `CancelledError` alone would then never end.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
