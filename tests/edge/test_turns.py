"""Who waits for a turn, and who is next; the order of many is tried in `core/test_fairness.py`."""

import asyncio
import time

from edge.rig import eventually

from proxy.edge.turns import Turns


async def test_the_stalest_is_next() -> None:
    """Whatever the order they came in; who gets none in time is told so."""
    turns, served = Turns(4), []

    async def want(since: float, patience: float = 10.0) -> bool:
        got = await turns.take("a", since, patience)
        if got:
            served.append(since)
        return got

    at_once = [asyncio.create_task(want(0.0)) for _ in range(4)]
    assert all(await asyncio.gather(*at_once))
    served.clear()
    waiting = [asyncio.create_task(want(since)) for since in (30.0, 10.0, 40.0, 20.0)]
    await eventually(lambda: len(turns) == 4)
    assert await want(50.0, 0.0) is False
    assert all(await asyncio.gather(*waiting))
    assert served == [10.0, 20.0, 30.0, 40.0]
    assert len(turns) == 0


async def test_who_leaves_takes_no_turn() -> None:
    """The next one gets it."""
    turns = Turns(1)
    assert await turns.take("a", 0, 1)
    leaving = asyncio.create_task(turns.take("a", 1, 10))
    staying = asyncio.create_task(turns.take("a", 2, 10))
    await eventually(lambda: len(turns) == 2)
    leaving.cancel()
    started = time.monotonic()
    assert await staying
    assert time.monotonic() - started < 1.9  # a second turn would be due at 2.1 s
    assert len(turns) == 0


async def test_a_pause() -> None:
    """Nobody gets a turn meanwhile; afterwards everybody goes on."""
    turns = Turns(20)
    turns.pause(0.2)
    assert await turns.take("a", 0, 0.05) is False
    started = time.monotonic()
    assert await turns.take("a", 0, 10)
    assert time.monotonic() - started > 0.1


async def test_tenants_are_served_in_turn() -> None:
    """However many waits one has, and however stale: another one is not behind them all."""
    turns, served = Turns(4), []

    async def want(tenant: str, since: float) -> None:
        assert await turns.take(tenant, since, 10)
        served.append(tenant)

    await asyncio.gather(*(want("many", 0.0) for _ in range(4)))
    served.clear()
    waiting = [asyncio.create_task(want("many", 1.0)) for _ in range(6)]
    waiting += [asyncio.create_task(want("one", 1e9)) for _ in range(2)]
    await eventually(lambda: len(turns) == 8)
    await asyncio.gather(*waiting[-2:])
    for task in waiting[:-2]:
        task.cancel()
    await asyncio.wait(waiting)
    assert served[0] == "one"
    assert served.index("one", 1) == 2
    assert len(turns) == 0
