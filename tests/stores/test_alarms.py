"""`stores.alarms`: a bug in the background is heard."""

import asyncio
from functools import partial
from typing import Any

from proxy.stores.alarms import must_not_die


async def test_a_task_that_dies_is_heard() -> None:
    """With what went wrong; one that was cancelled, or ended well, is none."""
    heard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))

    async def fails() -> None:
        raise LookupError("why")

    async def ends() -> None:
        return

    async def lasts() -> None:
        await asyncio.Event().wait()

    tasks = [asyncio.create_task(work()) for work in (fails, ends, lasts)]
    for task in tasks:
        task.add_done_callback(partial(must_not_die, "it died"))
    await asyncio.sleep(0)
    tasks[2].cancel()
    await asyncio.wait(tasks)
    await asyncio.sleep(0)
    assert [(one["message"], str(one["exception"])) for one in heard] == [("it died", "why")]
