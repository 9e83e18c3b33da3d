"""A body on its way up: its framing, its end, its failure, and being told to stop."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from edge.rig import eventually

from proxy.edge.transport.uploads import Upload


class Outlet:
    """Where a body goes out, as wide as the test says."""

    def __init__(self) -> None:
        self.wire = b""
        self.ended: list[Exception | None] = []
        self.is_open = True
        self.wide = asyncio.Event()
        self.wide.set()

    def write(self, data: bytes) -> None:
        self.wire += data

    async def room(self) -> bool:
        await self.wide.wait()
        return self.is_open

    def body_ended(self, failure: Exception | None) -> None:
        self.ended.append(failure)


async def parts(*given: bytes) -> AsyncIterator[bytes]:
    for part in given:
        yield part


async def sent(body: AsyncIterator[bytes], length: int | None) -> Outlet:
    outlet = Outlet()
    Upload(outlet, body, length)
    await eventually(lambda: outlet.ended)
    return outlet


async def test_without_a_length_it_goes_in_chunks() -> None:
    """An empty part is no chunk: that would be the end."""
    outlet = await sent(parts(b"abc", b"", b"d" * 16), None)
    assert outlet.wire == b"3\r\nabc\r\n10\r\n" + b"d" * 16 + b"\r\n0\r\n\r\n"
    assert outlet.ended == [None]


async def test_with_a_length_it_goes_as_it_is() -> None:
    """No framing of ours."""
    outlet = await sent(parts(b"abc", b"", b"def"), 6)
    assert (outlet.wire, outlet.ended) == (b"abcdef", [None])


@pytest.mark.parametrize("given", [(b"abc",), (b"abc", b"defg"), ()])
async def test_a_length_that_is_wrong(given: tuple[bytes, ...]) -> None:
    """Nothing goes beyond it, and a body that falls short of it fails: it would never end."""
    outlet = await sent(parts(*given), 6)
    assert len(outlet.wire) < 6
    assert isinstance(outlet.ended[0], ValueError)


async def test_a_failure_is_told_and_ends_nothing() -> None:
    """The last chunk is not sent."""
    mistake = LookupError()

    async def body() -> AsyncIterator[bytes]:
        yield b"abc"
        raise mistake

    outlet = await sent(body(), None)
    assert (outlet.wire, outlet.ended) == (b"3\r\nabc\r\n", [mistake])


async def test_the_body_waits_for_room() -> None:
    """A part is not asked for before the one before has gone out."""
    asked = []

    async def body() -> AsyncIterator[bytes]:
        for number in range(3):
            asked.append(number)
            yield b"x"

    outlet = Outlet()
    outlet.wide.clear()
    Upload(outlet, body(), 3)
    await eventually(lambda: asked)
    await asyncio.sleep(0)
    assert asked == [0]
    outlet.wide.set()
    await eventually(lambda: outlet.ended)
    assert outlet.wire == b"xxx"


async def test_it_ends_with_its_outlet() -> None:
    """Where nothing goes out any more, nothing is asked for, and nobody is told twice."""
    outlet = Outlet()
    outlet.is_open = False
    upload = Upload(outlet, parts(b"a", b"b"), 2)
    await eventually(lambda: outlet.wire)
    await upload.stop()
    assert (outlet.wire, outlet.ended) == (b"a", [])


async def test_stopped_it_lets_the_body_clean_up() -> None:
    """When `stop` returns, the body has let go of what it held."""
    left = []

    async def body() -> AsyncIterator[bytes]:
        try:
            yield b"a"
            await asyncio.Event().wait()
        finally:
            left.append(True)

    outlet = Outlet()
    upload = Upload(outlet, body(), None)
    await eventually(lambda: outlet.wire)
    await upload.stop()
    assert (left, outlet.ended) == ([True], [])
    await upload.stop()
