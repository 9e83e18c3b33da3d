"""Group commit: who comes while a batch is under way leaves with the next one."""

import asyncio
from collections.abc import Sequence

import pytest

from proxy.core.errors import StoreUnavailableError
from proxy.stores.group_commit import GroupCommit


class Work:
    """Commits batches when told to, and keeps what came in them.

    "bad" fails, "bug" fails all, "end" ends it.
    """

    def __init__(self, *, most: int = 200) -> None:
        self.batches: list[list[str]] = []
        self.go = asyncio.Event()
        self.group: GroupCommit[str, str] = GroupCommit(self.commit, most)

    async def commit(self, items: Sequence[str]) -> list[str | Exception]:
        self.batches.append(list(items))
        await self.go.wait()
        if "end" in items:
            raise asyncio.CancelledError
        if "bug" in items:
            raise RuntimeError(items)
        return [ValueError(item) if item == "bad" else item.upper() for item in items]

    def put(self, *items: str) -> list[asyncio.Task[str]]:
        return [asyncio.create_task(self.group.put(item)) for item in items]


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_alone() -> None:
    """One that comes alone leaves at once, and so does the next."""
    work = Work()
    work.go.set()
    assert [await work.group.put("a"), await work.group.put("b")] == ["A", "B"]
    assert work.batches == [["a"], ["b"]]


async def test_together() -> None:
    """Those of one turn of the loop leave together, those who come meanwhile with the next."""
    work = Work()
    first = work.put("a", "b")
    await turns()
    later = work.put("c", "d") + work.put("e")
    await turns()
    assert work.batches == [["a", "b"]]
    work.go.set()
    assert await asyncio.gather(*first, *later) == ["A", "B", "C", "D", "E"]
    assert work.batches == [["a", "b"], ["c", "d", "e"]]


async def test_nobody_waits_for_what_was_cancelled() -> None:
    """All who wait are told, those of the next batch too; who comes later is served."""
    work = Work()
    waiting = work.put("a", "end")
    await turns()
    waiting += work.put("b")
    await turns()
    work.go.set()
    told = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in told] == [StoreUnavailableError] * 3
    assert await work.group.put("c") == "C"


async def test_each_its_own() -> None:
    """What goes wrong with one is told to it alone."""
    work = Work()
    work.go.set()
    good, bad, other = await asyncio.gather(*work.put("a", "bad", "b"), return_exceptions=True)
    assert (good, other) == ("A", "B")
    assert isinstance(bad, ValueError)


async def test_as_a_whole() -> None:
    """A batch that fails fails for all in it, and for nobody behind it."""
    work = Work()
    broken = work.put("a", "bug")
    await turns()
    later = work.put("b")
    work.go.set()
    outcomes = await asyncio.gather(*broken, *later, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [RuntimeError, RuntimeError, str]


async def test_a_wrong_count() -> None:
    """An answer too few is a bug that is told, and nobody waits for ever."""

    async def commit(_: Sequence[str]) -> list[str]:
        return []

    group: GroupCommit[str, str] = GroupCommit(commit)
    for _ in range(2):
        with pytest.raises(ValueError, match="shorter"):
            await group.put("a")


async def test_cancelled() -> None:
    """Who is cancelled hurts nobody, and what it put is committed all the same."""
    work = Work()
    one, two = work.put("a", "b")
    await turns()
    three, four = work.put("c", "d")
    await turns()
    one.cancel()
    three.cancel()
    work.go.set()
    assert [await two, await four] == ["B", "D"]
    assert one.cancelled()
    assert three.cancelled()
    assert work.batches == [["a", "b"], ["c", "d"]]


async def test_no_batch_without_end() -> None:
    """A batch has its bound; what is beyond it leaves next, in its order."""
    work = Work(most=2)
    work.go.set()
    assert await asyncio.gather(*work.put("a", "b", "c", "d", "e")) == ["A", "B", "C", "D", "E"]
    assert work.batches == [["a", "b"], ["c", "d"], ["e"]]


async def test_ended() -> None:
    """It is over when all that was put is committed, also what nobody waits for any more."""
    work = Work(most=1)
    await work.group.ended()
    one, two = work.put("a", "b")
    await turns()
    two.cancel()
    ending = asyncio.create_task(work.group.ended())
    await turns()
    assert not ending.done()
    work.go.set()
    await ending
    assert work.batches == [["a"], ["b"]]
    assert await one == "A"
