"""A child that ends with its parent."""

import asyncio
import os

from proxy.app.leash import when_parent_ends


async def settled() -> None:
    """A few turns of the loop, each of which would notice what lies ready."""
    for _ in range(5):
        await asyncio.sleep(0.001)


async def test_the_end_of_the_other_side_is_heard_once() -> None:
    """As long as somebody holds the other end nothing happens, whatever is written there."""
    reading, writing = os.pipe()
    heard: asyncio.Queue[str] = asyncio.Queue()
    when_parent_ends(lambda: heard.put_nowait("the end"), reading)
    os.write(writing, b"not the end")
    await settled()
    assert heard.empty()
    os.close(writing)
    async with asyncio.timeout(5):
        assert await heard.get() == "the end"
    await settled()
    assert heard.empty()
    os.close(reading)
