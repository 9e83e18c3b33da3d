"""Pieces between a connection that fills and a client that empties."""

import asyncio
from collections.abc import Sequence

import pytest
from edge.rig import PATIENCE, eventually

from proxy.edge.transport.answers import LARGE, READ_BUFFER, Answer


class Tap:
    """A flow that notes what it is told."""

    def __init__(self) -> None:
        self.told = ["on"]

    def is_open(self) -> bool:
        return self.told[-1] == "on"

    def hold_back(self) -> None:
        assert self.is_open()
        self.told.append("back")

    def go_on(self) -> None:
        assert not self.is_open()
        self.told.append("on")


def read(answer: Answer, *chunks: bytes) -> None:
    """One read of the connection brings these, each whole."""
    for chunk in chunks:
        answer.add(chunk)
        answer.end_chunk()
    answer.end_read()


def made(tap: Tap | None = None, rest: float = PATIENCE) -> Answer:
    return Answer(200, "OK", [], tap or Tap(), rest)


async def test_pieces_come_in_order_and_then_the_end() -> None:
    """Each by itself."""
    answer = made()
    for piece in (b"a", b"bc"):
        read(answer, piece)
    answer.end()
    assert [piece async for piece in answer.chunks()] == [b"a", b"bc"]


async def test_parts_of_a_chunk_leave_as_one() -> None:
    """However many reads it took, and never with the next chunk."""
    answer = made()
    for part in (b"he", b"l", b"lo"):
        answer.add(part)
    answer.end_chunk()
    answer.add(b"you")
    answer.end_chunk()
    answer.end()
    assert [piece async for piece in answer.chunks()] == [b"hello", b"you"]


async def test_the_rest_is_told_when_it_is_one_piece() -> None:
    """A whole small body, or the last piece of one; never two pieces joined."""
    answer = made()
    answer.add(b"a")
    answer.end_chunk()
    assert answer.rest() is None  # more may come
    read(answer, b"b")
    answer.end()
    assert answer.rest() is None
    assert await anext(answer.chunks()) == b"a"
    assert answer.rest() == b"b"
    assert answer.rest() == b""
    assert [piece async for piece in answer.chunks()] == []


async def test_a_break_is_no_end() -> None:
    """What broke is never told as whole."""
    answer = made()
    answer.add(b"a")
    answer.fail(RuntimeError("broken"))
    assert answer.rest() is None


async def test_who_waits_is_woken() -> None:
    """By a piece, and by the end."""
    answer = made()
    waiting = asyncio.ensure_future(anext(answer.chunks()))
    await asyncio.sleep(0)
    read(answer, b"a")
    assert await waiting == b"a"
    waiting = asyncio.ensure_future(anext(answer.chunks(), b"over"))
    await asyncio.sleep(0)
    answer.end()
    assert await waiting == b"over"


@pytest.mark.parametrize("is_early", [True, False])
async def test_the_beginning_of_a_chunk_does_not_wait_for_ever(*, is_early: bool) -> None:
    """What has come leaves after `rest` seconds, whether it came before it was asked for or not."""
    answer = made(rest=0.001)
    if is_early:
        answer.add(b"half")
    waiting = asyncio.ensure_future(anext(answer.chunks()))
    await asyncio.sleep(0)
    if not is_early:
        answer.add(b"half")
        answer.end_read()
    assert await waiting == b"half"
    answer.add(b"rest")
    answer.end_chunk()
    assert await anext(answer.chunks()) == b"rest"


async def test_what_nobody_asks_for_is_not_cut() -> None:
    """A client that is slow itself does not make chunks of its own."""
    answer = made(rest=0)
    answer.add(b"half")
    await asyncio.sleep(0.01)  # the rule is about time: nothing else can show it
    answer.add(b"half")
    answer.end_chunk()
    assert await anext(answer.chunks()) == b"halfhalf"


async def test_a_large_chunk_comes_in_parts() -> None:
    """Nobody holds a chunk of any size."""
    answer = made()
    answer.add(bytes(LARGE - 1))
    answer.add(b"x")
    answer.add(b"x")
    answer.end_chunk()
    answer.end()
    assert [len(piece) async for piece in answer.chunks()] == [LARGE, 1]


async def test_who_does_not_take_holds_back() -> None:
    """Beyond the buffer nothing more may come, until half of it is free again."""
    tap = Tap()
    answer = made(tap)
    for _ in range(READ_BUFFER // 1000):
        assert tap.is_open()
        read(answer, bytes(1000))
    assert not tap.is_open()
    taken = 0
    while not tap.is_open():
        taken += len(await anext(answer.chunks()))
    assert READ_BUFFER // 3 < taken < 2 * READ_BUFFER // 3
    assert tap.told == ["on", "back", "on"]


async def test_tiny_pieces_count_for_what_they_take() -> None:
    """A body of single bytes is sixty times as large in memory."""
    tap = Tap()
    answer = made(tap)
    read(answer, *[b"x"] * 2000)
    assert not tap.is_open()


async def test_a_chunk_that_waits_for_its_end_lets_it_come() -> None:
    """With nothing left to take, the flow is open, or the chunk would never end."""
    tap = Tap()
    answer = made(tap)
    read(answer, bytes(READ_BUFFER))
    answer.add(b"ha")
    answer.end_read()
    assert len(await anext(answer.chunks())) == READ_BUFFER
    waiting = asyncio.ensure_future(anext(answer.chunks()))
    await asyncio.sleep(0)
    assert tap.is_open()
    answer.add(b"lf")
    answer.end_chunk()
    assert await waiting == b"half"


async def test_the_end_opens_the_flow() -> None:
    """What comes then is another answer's, and no matter of this one's client."""
    tap = Tap()
    answer = made(tap)
    read(answer, bytes(READ_BUFFER))
    assert not tap.is_open()
    answer.end()
    assert tap.is_open()
    assert len([piece async for piece in answer.chunks()]) == 1


async def test_a_failure_comes_behind_what_came_before_it() -> None:
    """All pieces, also the beginning of a chunk, and then the error."""
    answer = made()
    read(answer, b"a")
    answer.add(b"half")
    answer.fail(LookupError("the end"))
    chunks = answer.chunks()
    assert [await anext(chunks), await anext(chunks)] == [b"a", b"half"]
    for _ in range(2):
        with pytest.raises(LookupError, match="the end"):
            await anext(chunks)


async def test_a_whole_answer_cannot_fail() -> None:
    """What happens to the connection afterwards is no matter of its."""
    answer = made()
    answer.add(b"a")
    answer.end()
    answer.fail(LookupError())
    assert [piece async for piece in answer.chunks()] == [b"a"]


async def test_whoever_is_cancelled_loses_nothing() -> None:
    """Who asks again gets what came in the meantime."""
    answer = made()
    answer.add(b"half")
    waiting = asyncio.ensure_future(anext(answer.chunks()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    answer.add(b"half")
    answer.end_chunk()
    assert await anext(answer.chunks()) == b"halfhalf"


# -- poured --------------------------------------------------------------------------------------


class Basin:
    """Takes what is poured, until it has `room` for no more chunks."""

    def __init__(self, room: int = 1000) -> None:
        self.taken: list[list[bytes]] = []
        self.room = room

    def take(self, chunks: Sequence[bytes]) -> bool:
        self.taken.append(list(chunks))
        self.room -= len(chunks)
        return self.room <= 0


async def pouring(answer: Answer, basin: Basin) -> asyncio.Future[bool]:
    """Somebody who waits for what comes."""
    poured = asyncio.ensure_future(answer.pour(basin.take))
    await asyncio.sleep(0)
    return poured


async def test_what_one_read_brings_is_given_at_once_and_together() -> None:
    """Within the turn in which it came, each chunk by itself; then the end."""
    answer, basin = made(), Basin()
    read(answer, b"early")
    poured = await pouring(answer, basin)
    assert basin.taken == [[b"early"]]
    read(answer, b"a", b"b")
    assert basin.taken == [[b"early"], [b"a", b"b"]]
    answer.add(b"last")
    answer.end()
    assert await poured
    assert basin.taken[2:] == [[b"last"]]
    assert await answer.pour(basin.take)


async def test_who_has_enough_gets_no_more_until_asked_again() -> None:
    """What comes then waits, and holds back; nothing is lost or given twice."""
    tap = Tap()
    answer, basin = made(tap), Basin(room=1)
    poured = await pouring(answer, basin)
    for piece in (b"a", b"b"):
        read(answer, piece)
    assert not await poured
    assert basin.taken == [[b"a"]]
    read(answer, bytes(READ_BUFFER))
    assert not tap.is_open()
    basin.room = 1000
    answer.end()
    assert await answer.pour(basin.take)
    assert basin.taken == [[b"a"], [b"b", bytes(READ_BUFFER)]]


async def test_a_flow_that_is_poured_goes_on() -> None:
    """One read that brings more than the buffer takes holds nothing back: all of it is given."""
    tap = Tap()
    answer, basin = made(tap), Basin()
    poured = await pouring(answer, basin)
    read(answer, bytes(READ_BUFFER))
    assert tap.told == ["on"]
    answer.end()
    assert await poured


async def test_a_failure_is_poured_last() -> None:
    """All pieces, also the beginning of a chunk, and then the error, each time."""
    answer, basin = made(), Basin()
    poured = await pouring(answer, basin)
    answer.add(b"a")
    answer.end_chunk()
    answer.add(b"half")
    answer.fail(LookupError("the end"))
    with pytest.raises(LookupError, match="the end"):
        await poured
    assert basin.taken == [[b"a", b"half"]]
    with pytest.raises(LookupError, match="the end"):
        await answer.pour(basin.take)


async def test_what_the_taker_raises_comes_to_who_poured() -> None:
    """And not to the connection, which has other things to do."""

    def take(_: Sequence[bytes]) -> bool:
        raise LookupError("taken badly")

    answer = made()
    poured = asyncio.ensure_future(answer.pour(take))
    await asyncio.sleep(0)
    read(answer, b"a")
    with pytest.raises(LookupError, match="taken badly"):
        await poured


async def test_a_chunk_is_poured_in_parts_only_when_it_takes_long() -> None:
    """The wait for its rest begins anew with each chunk, and ends with it."""
    answer, basin = made(rest=0.001), Basin()
    poured = await pouring(answer, basin)
    answer.add(b"sl")
    answer.end_read()
    answer.add(b"ow")
    answer.end_read()
    await eventually(lambda: bool(basin.taken))
    assert basin.taken == [[b"slow"]]
    read(answer, b"ly")
    answer.add(b"again")
    answer.end_read()
    await eventually(lambda: len(basin.taken) == 3)
    assert basin.taken == [[b"slow"], [b"ly"], [b"again"]]
    answer.end()
    assert await poured


async def test_whoever_stops_pouring_is_given_nothing() -> None:
    """A client that left: what came is there for who asks next, and its taker is not called."""
    answer, basin = made(), Basin()
    poured = await pouring(answer, basin)
    poured.cancel()
    read(answer, b"a")
    with pytest.raises(asyncio.CancelledError):
        await poured
    assert not basin.taken
    assert await anext(answer.chunks()) == b"a"
