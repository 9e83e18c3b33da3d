"""`stores.cancelling`: a loop that was told to stop knows it, whoever took the word."""

import asyncio

from proxy.stores.cancelling import is_cancelled


async def test_a_lost_word_is_known() -> None:
    """A library that loses the cancellation makes no loop endless."""
    rounds = 0

    async def loop() -> None:
        nonlocal rounds
        while not is_cancelled():
            rounds += 1
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                continue

    task = asyncio.create_task(loop())
    await asyncio.sleep(0)
    task.cancel()
    async with asyncio.timeout(10):
        await task
    assert rounds == 1
    assert not is_cancelled()
