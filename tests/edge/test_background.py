"""`edge.background`: what runs in the background ends when it is told to."""

import asyncio

from proxy.edge.background import end_all


async def test_a_cancellation_that_is_lost_is_repeated() -> None:
    """Some libraries lose one; whoever waits for the end must not wait for ever."""
    lost = asyncio.Event()

    async def hard_of_hearing() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            lost.set()
        await asyncio.Event().wait()

    async def willing() -> None:
        await asyncio.Event().wait()

    tasks = [asyncio.create_task(hard_of_hearing()), asyncio.create_task(willing())]
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await end_all(tasks)
    assert lost.is_set()
    assert all(task.cancelled() for task in tasks)


async def test_nothing_to_end_is_no_wait() -> None:
    """What never began, or has ended already, is not told anything."""
    done = asyncio.create_task(asyncio.sleep(0))
    await done
    await end_all([])
    await end_all([done])
    assert not done.cancelled()
