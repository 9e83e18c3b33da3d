"""Connections that end without ending a message: at once, and visibly."""

import asyncio

import pytest
from edge.ends import drain, fill, pair
from edge.rig import PATIENCE, eventually

from proxy.edge.endings import abort_if_closing, close_within, reset


async def test_a_reset_is_no_end() -> None:
    """The peer is told of a break, not of an end, and at once, whatever waits to go out."""
    async with pair() as (end, peer):
        fill(end)
        reset(end.ours)
        await eventually(lambda: end.is_lost)
        with pytest.raises(ConnectionResetError):
            drain(peer)


async def test_closing_lets_out_what_was_written() -> None:
    """A peer that reads gets all of it, then the end."""
    async with pair() as (end, peer):
        fill(end)
        close_within(end.ours, PATIENCE)
        assert await asyncio.to_thread(drain, peer) == 2**25


async def test_closing_waits_so_long_only() -> None:
    """A peer that takes nothing keeps no connection beyond its time."""
    async with pair() as (end, _):
        fill(end)
        close_within(end.ours, 0.05)
        assert not end.is_lost
        await eventually(lambda: end.is_lost)


async def test_what_is_not_closing_is_left_alone() -> None:
    """A connection that goes on is not cut for being slow."""
    async with pair() as (end, peer):
        fill(end)
        abort_if_closing(end.ours, 0)
        size = 0
        while size < 2**25:
            size += len(await asyncio.to_thread(peer.recv, 2**20))
        assert not end.is_lost
