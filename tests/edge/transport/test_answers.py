"""Pieces between a connection that fills and a client that empties."""

import asyncio

import pytest
from edge.rig import PATIENCE

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


def made(tap: Tap | None = None, rest: float = PATIENCE) -> Answer:
    return Answer(200, "OK", [], tap or Tap(), rest)


async def test_pieces_come_in_order_and_then_the_end() -> None:
    """Bytes without chunks leave as they came."""
    answer = made()
    for piece in (b"a", b"bc"):
        answer.add(piece)
    answer.end()
    assert [piece async for piece in answer.chunks()] == [b"a", b"bc"]


async def test_parts_of_a_chunk_leave_as_one() -> None:
    """However many reads it took, and never with the next chunk."""
    answer = made()
    for part in (b"he", b"l", b"lo"):
        answer.add_part(part)
    answer.end_chunk()
    answer.add_part(b"you")
    answer.end_chunk()
    answer.end()
    assert [piece async for piece in answer.chunks()] == [b"hello", b"you"]


async def test_the_rest_is_told_when_it_is_one_piece() -> None:
    """A whole small body, or the last piece of one; never two pieces joined."""
    answer = made()
    answer.add_part(b"a")
    answer.end_chunk()
    assert answer.rest() is None  # more may come
    answer.add(b"b")
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
    answer.add(b"a")
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
        answer.add_part(b"half")
    waiting = asyncio.ensure_future(anext(answer.chunks()))
    await asyncio.sleep(0)
    if not is_early:
        answer.add_part(b"half")
        answer.end_read()
    assert await waiting == b"half"
    answer.add_part(b"rest")
    answer.end_chunk()
    assert await anext(answer.chunks()) == b"rest"


async def test_what_nobody_asks_for_is_not_cut() -> None:
    """A client that is slow itself does not make chunks of its own."""
    answer = made(rest=0)
    answer.add_part(b"half")
    await asyncio.sleep(0.01)  # the rule is about time: nothing else can show it
    answer.add_part(b"half")
    answer.end_chunk()
    assert await anext(answer.chunks()) == b"halfhalf"


async def test_a_large_chunk_comes_in_parts() -> None:
    """Nobody holds a chunk of any size."""
    answer = made()
    answer.add_part(bytes(LARGE - 1))
    answer.add_part(b"x")
    answer.add_part(b"x")
    answer.end_chunk()
    answer.end()
    assert [len(piece) async for piece in answer.chunks()] == [LARGE, 1]


async def test_who_does_not_take_holds_back() -> None:
    """Beyond the buffer nothing more may come, until half of it is free again."""
    tap = Tap()
    answer = made(tap)
    for _ in range(READ_BUFFER // 1000):
        answer.add(bytes(1000))
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
    for _ in range(2000):
        answer.add(b"x")
    assert not tap.is_open()


async def test_a_chunk_that_waits_for_its_end_lets_it_come() -> None:
    """With nothing left to take, the flow is open, or the chunk would never end."""
    tap = Tap()
    answer = made(tap)
    answer.add(bytes(READ_BUFFER))
    answer.add_part(b"ha")
    assert len(await anext(answer.chunks())) == READ_BUFFER
    waiting = asyncio.ensure_future(anext(answer.chunks()))
    await asyncio.sleep(0)
    assert tap.is_open()
    answer.add_part(b"lf")
    answer.end_chunk()
    assert await waiting == b"half"


async def test_the_end_opens_the_flow() -> None:
    """What comes then is another answer's, and no matter of this one's client."""
    tap = Tap()
    answer = made(tap)
    answer.add(bytes(READ_BUFFER))
    assert not tap.is_open()
    answer.end()
    assert tap.is_open()
    assert len([piece async for piece in answer.chunks()]) == 1


async def test_a_failure_comes_behind_what_came_before_it() -> None:
    """All pieces, also the beginning of a chunk, and then the error."""
    answer = made()
    answer.add(b"a")
    answer.add_part(b"half")
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
    answer.add_part(b"half")
    waiting = asyncio.ensure_future(anext(answer.chunks()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    answer.add_part(b"half")
    answer.end_chunk()
    assert await anext(answer.chunks()) == b"halfhalf"
