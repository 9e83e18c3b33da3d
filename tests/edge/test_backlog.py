"""What a peer has not taken, wherever on our side of the wire it waits."""

import asyncio

from edge.ends import fill, pair
from edge.rig import eventually

from proxy.edge.backlog import not_taken


async def test_what_waits_in_the_kernel_counts() -> None:
    """A peer's progress shows while our own buffer stays as full as it was."""
    async with pair() as (end, peer):
        fill(end)
        before, buffered = not_taken(end.ours), end.ours.get_write_buffer_size()
        assert before > buffered
        while not_taken(end.ours) == before:
            await asyncio.to_thread(peer.recv, 2**16)
        assert not_taken(end.ours) < before


async def test_a_lost_connection_has_none() -> None:
    """Where the socket is gone there is nothing to wait for."""
    async with pair() as (end, _):
        fill(end)
        end.ours.abort()
        await eventually(lambda: end.is_lost)
        assert not_taken(end.ours) == 0
