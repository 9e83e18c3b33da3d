"""Holds that come together are ruled on together, each by itself."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import pytest
from edge.rig import eventually
from stores.harness import held

from proxy.core.errors import StoreUnavailableError
from proxy.core.holds import Hold, Ruling
from proxy.stores.holding import MOST, Holding


class Book:
    """Takes holds when told to, and keeps which came together."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.go = asyncio.Event()
        self.holding = Holding(self.take)

    async def take(self, holds: Sequence[Hold]) -> list[Ruling | Exception]:
        self.batches.append([hold.id for hold in holds])
        await self.go.wait()
        return [
            StoreUnavailableError() if hold.id == "bad" else Ruling(wait=float(hold.id[1:]))
            for hold in holds
        ]


async def test_who_comes_meanwhile_goes_next_in_order() -> None:
    """The first goes alone; the others share a step, and each hears its own ruling."""
    book = Book()
    asking = [asyncio.create_task(book.holding.hold(held(f"h{n}"))) for n in range(MOST + 3)]
    await eventually(lambda: book.batches)
    book.go.set()
    rulings = await asyncio.gather(*asking)
    assert [ruling.wait for ruling in rulings] == [float(n) for n in range(MOST + 3)]
    assert max(map(len, book.batches)) <= MOST
    assert [name for batch in book.batches for name in batch] == [f"h{n}" for n in range(MOST + 3)]


async def test_one_that_fails_is_alone() -> None:
    """Whoever came with it is held all the same."""
    book = Book()
    book.go.set()
    told = await asyncio.gather(
        *(book.holding.hold(held(name)) for name in ("h1", "bad", "h2")), return_exceptions=True
    )
    assert [type(one) for one in told] == [Ruling, StoreUnavailableError, Ruling]


async def test_who_is_gone_is_not_asked_for() -> None:
    """Its release may have gone already: a hold behind it would count until it lapses."""
    book = Book()
    first = asyncio.create_task(book.holding.hold(held("h1")))
    await eventually(lambda: book.batches)
    gone, stays = (asyncio.create_task(book.holding.hold(held(name))) for name in ("h2", "h3"))
    await asyncio.sleep(0)
    gone.cancel()
    with suppress(asyncio.CancelledError):
        await gone
    book.go.set()
    assert [(await one).wait for one in (first, stays)] == [1.0, 3.0]
    assert book.batches == [["h1"], ["h3"]]
    assert gone.cancelled()


async def test_who_leaves_while_asked_for_leaves_the_others_their_rulings() -> None:
    """Nobody hears what was ruled for the one before."""
    book = Book()
    asking = [asyncio.create_task(book.holding.hold(held(f"h{n}"))) for n in range(4)]
    await eventually(lambda: book.batches)
    assert book.batches == [["h0", "h1", "h2", "h3"]]
    asking[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking[1]
    book.go.set()
    assert [(await asking[n]).wait for n in (0, 2, 3)] == [0.0, 2.0, 3.0]


async def test_all_may_be_gone() -> None:
    """Then nothing is asked for, and the next one is."""
    book = Book()
    first = asyncio.create_task(book.holding.hold(held("h1")))
    await eventually(lambda: book.batches)
    gone = asyncio.create_task(book.holding.hold(held("h2")))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    book.go.set()
    await first
    assert (await book.holding.hold(held("h3"))).wait == 3.0
    assert book.batches == [["h1"], ["h3"]]
