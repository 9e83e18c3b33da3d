"""Calls under way to one account, and those that wait for their turn."""

import asyncio
from dataclasses import replace

import pytest
from edge.contract import call, whole
from edge.rig import Conversation, account, answering, ok, scripted, settled

from proxy.core.errors import Situation, UnreachableError
from proxy.edge.transport import WireUpstream
from proxy.edge.transport.seats import Seats
from proxy.ports import Call

FREE = account("http://up.test")


async def test_where_nothing_is_said_nobody_waits() -> None:
    """An account takes as many as come."""
    seats = Seats(patience=0)
    assert [await seats.take(FREE) for _ in range(1000)] == [None] * 1000


async def test_each_account_has_its_own() -> None:
    """A full one keeps nobody from another, and who leaves makes room."""
    seats = Seats(patience=0.01)
    full, other = replace(FREE, connections=1), replace(FREE, name="other", connections=1)
    seat = await seats.take(full)
    assert seat is not None
    assert await seats.take(other) is not None
    with pytest.raises(UnreachableError) as caught:
        await seats.take(full)
    assert caught.value.situation is Situation.MODEL_UNAVAILABLE
    seat.release()
    assert await seats.take(full) is seat


def limited(url: str, number: int) -> Call:
    made = call(url)
    return made._replace(account=replace(made.account, connections=number))


async def test_calls_wait_for_each_other() -> None:
    """No more are under way than the account takes; all of them are answered."""
    go = asyncio.Semaphore(0)

    async def script(told: Conversation) -> None:
        await told.whole()
        await go.acquire()
        await told.send(ok())

    upstream = WireUpstream(10)
    await upstream.open()
    async with scripted(script) as server:
        calls = [asyncio.ensure_future(whole(upstream, limited(server.url, 3))) for _ in range(10)]
        assert await settled(lambda: len(server.conversations)) == 3
        for _ in calls:
            go.release()
        assert [found[0] for found in await asyncio.gather(*calls)] == [200] * 10
    await upstream.close()


async def test_every_way_out_frees_the_seat() -> None:
    """A failure, a cancelled call, an answer that is left early."""
    upstream = WireUpstream(10)
    await upstream.open()
    async with scripted(answering(b"nonsense\r\n\r\n")) as server:
        made = limited(server.url, 1)
        for _ in range(3):
            with pytest.raises(Exception, match="broke off"):
                await whole(upstream, made)
        server.script = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        for _ in range(3):
            async with upstream.send(made) as reply:
                assert reply.status == 200
        server.script = answering()
        for _ in range(3):
            asking = asyncio.ensure_future(whole(upstream, made))
            await settled(lambda: len(server.conversations), looks=3)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        server.script = answering(ok())
        assert (await whole(upstream, made))[0] == 200
    await upstream.close()
