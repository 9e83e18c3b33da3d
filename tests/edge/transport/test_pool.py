"""Connections that wait: which one comes next, and how long one waits."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from edge.rig import ScriptedUpstream, answering, eventually, ok, scripted

from proxy.edge.transport.connection import Connection
from proxy.edge.transport.dialling import Dialler
from proxy.edge.transport.origins import Origin, origin_of
from proxy.edge.transport.pool import Pool


@pytest.fixture
async def server() -> AsyncIterator[ScriptedUpstream]:
    async with scripted(answering(ok())) as server:
        yield server


async def dialled(server: ScriptedUpstream) -> tuple[Origin, Connection]:
    origin = origin_of(server.url)
    return origin, await Dialler(10).dial(origin)


async def test_an_empty_pool_has_none(server: ScriptedUpstream) -> None:
    """Nor has it one for another origin."""
    pool = Pool()
    origin, connection = await dialled(server)
    pool.put(origin, connection)
    assert pool.take(origin_of("http://other.test")) is None
    assert pool.take(origin) is connection
    assert pool.take(origin) is None
    connection.give_up()
    pool.close()


async def test_the_warmest_comes_first(server: ScriptedUpstream) -> None:
    """A short crowd leaves no connections that are kept busy for nothing."""
    pool = Pool()
    origin, cold = await dialled(server)
    _, warm = await dialled(server)
    pool.put(origin, cold)
    pool.put(origin, warm)
    assert pool.take(origin) is warm
    warm.give_up()
    pool.close()


async def test_idle_ones_are_closed_in_time(server: ScriptedUpstream) -> None:
    """Each after `keep_alive` seconds of its own, without anybody asking."""
    pool = Pool(keep_alive=0.05)
    for _ in range(2):
        pool.put(*await dialled(server))
        await asyncio.sleep(0.02)  # the rule is about time: nothing else can show it
    await eventually(lambda: server.connections == 2 and not server.running)
    assert pool.take(origin_of(server.url)) is None


async def test_a_loop_that_was_held_up_passes_the_old_ones_over(server: ScriptedUpstream) -> None:
    """One that is too old is not used, though nobody had the time to close it."""
    pool = Pool(keep_alive=0.05)
    origin, connection = await dialled(server)
    pool.put(origin, connection)
    time.sleep(0.06)  # noqa: ASYNC251 - the loop is to be held up
    assert pool.take(origin) is None
    assert not connection.is_alive
    pool.close()


async def test_what_died_is_passed_over(server: ScriptedUpstream) -> None:
    """Closed, or with bytes nobody asked for: the next one is taken, as if it was never there."""
    pool = Pool()
    origin, good = await dialled(server)
    _, dead = await dialled(server)
    pool.put(origin, good)
    pool.put(origin, dead)
    dead.give_up()
    assert pool.take(origin) is good
    good.give_up()
    assert pool.take(origin) is None
    pool.close()


async def test_closing_closes_them(server: ScriptedUpstream) -> None:
    """All of them, at once, and what comes back later; no timer is left."""
    pool = Pool()
    late = await dialled(server)
    for _ in range(2):
        pool.put(*await dialled(server))
    pool.close()
    pool.put(*late)
    await eventually(lambda: server.connections == 3 and not server.running)
    pool.close()
