"""A peer that leaves while nobody reads: told once, by the kernel or by a look."""

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from edge.rig import PATIENCE

from proxy.edge.hangups import EpollHangups, Hangups, PolledHangups, hangups


@dataclass
class Couple:
    """A connection: `ours` is watched, `peer` does what a test says."""

    ours: socket.socket
    peer: socket.socket

    @property
    def descriptor(self) -> int:
        return self.ours.fileno()


@pytest.fixture
def couples() -> Iterator[list[Couple]]:
    """Ten connections."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        made = []
        for _ in range(10):
            peer = stack.enter_context(socket.create_connection(server.getsockname()))
            made.append(Couple(stack.enter_context(server.accept()[0]), peer))
        yield made


@pytest.fixture(params=[EpollHangups, PolledHangups])
async def watching(request: pytest.FixtureRequest) -> AsyncIterator[Hangups]:
    made: Hangups = request.param()
    yield made
    made.close()


def reset(peer: socket.socket) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


WAYS: dict[str, Callable[[socket.socket], None]] = {
    "close": socket.socket.close,
    "half close": lambda peer: peer.shutdown(socket.SHUT_WR),
    "reset": reset,
}


async def next_of(told: asyncio.Queue[int]) -> int:
    async with asyncio.timeout(PATIENCE):
        return await told.get()


def watch(watching: Hangups, couples: list[Couple], *numbers: int) -> asyncio.Queue[int]:
    """Watch these; the queue gets the number of each that is told of."""
    told: asyncio.Queue[int] = asyncio.Queue()
    for number in numbers:
        watching.watch(couples[number].descriptor, lambda number=number: told.put_nowait(number))  # type: ignore[misc]  # bound now
    return told


@pytest.mark.parametrize("leave", WAYS.values(), ids=WAYS)
async def test_a_peer_that_left_is_told_while_nobody_reads(
    watching: Hangups, couples: list[Couple], leave: Callable[[socket.socket], None]
) -> None:
    """An end behind bytes nobody reads is told; a peer that only waits has not hung up."""
    told = watch(watching, couples, 0, 1)
    couples[0].peer.send(b"some bytes")
    couples[1].peer.send(b"some bytes")
    leave(couples[1].peer)
    assert await next_of(told) == 1
    leave(couples[0].peer)
    assert await next_of(told) == 0


async def test_who_has_left_already_is_told(watching: Hangups, couples: list[Couple]) -> None:
    """Between a client's leaving and the pause nobody is lost."""
    couples[0].peer.close()
    assert await next_of(watch(watching, couples, 0)) == 0


async def test_all_at_once_and_each_once(watching: Hangups, couples: list[Couple]) -> None:
    """Each of those who leave together is told of, and none again."""
    numbers = range(9)
    told = watch(watching, couples, *numbers)
    for number in numbers:
        couples[number].peer.close()
    assert {await next_of(told) for _ in numbers} == set(numbers)
    last = watch(watching, couples, 9)
    couples[9].peer.close()
    assert await next_of(last) == 9
    assert told.empty()


async def test_whoever_is_forgotten_is_not_told(watching: Hangups, couples: list[Couple]) -> None:
    """A connection that is read again hears of its end by reading; it may be watched again."""
    told = watch(watching, couples, 0, 1)
    watching.forget(couples[0].descriptor)
    watching.forget(couples[0].descriptor)
    couples[0].peer.close()
    couples[1].peer.close()
    assert await next_of(told) == 1
    assert told.empty()
    assert await next_of(watch(watching, couples, 0)) == 0


async def test_one_that_is_told_may_take_another_along(
    watching: Hangups, couples: list[Couple]
) -> None:
    """Who was forgotten by the first is not told as the second."""
    told: list[int] = []
    done = asyncio.Event()

    def tell(number: int) -> None:
        told.append(number)
        watching.forget(couples[1 - number].descriptor)
        done.set()

    watching.watch(couples[0].descriptor, lambda: tell(0))
    watching.watch(couples[1].descriptor, lambda: tell(1))
    couples[0].peer.close()
    couples[1].peer.close()
    async with asyncio.timeout(PATIENCE):
        await done.wait()
    later = watch(watching, couples, 2)
    couples[2].peer.close()
    assert await next_of(later) == 2
    assert len(told) == 1


async def test_watched_twice_is_watched_once(watching: Hangups, couples: list[Couple]) -> None:
    """Aiohttp pauses what is paused: the last to ask is told."""
    first = watch(watching, couples, 0)
    told = watch(watching, couples, 0)
    couples[0].peer.close()
    assert await next_of(told) == 0
    assert first.empty()


async def test_a_number_that_is_used_again_is_another_connection(
    watching: Hangups, couples: list[Couple]
) -> None:
    """Descriptors are handed out again at once: the next one's end is its own."""
    former = watch(watching, couples, 0)
    watching.forget(couples[0].descriptor)
    os.dup2(couples[1].descriptor, couples[0].descriptor)
    told = watch(watching, couples, 0)
    couples[1].peer.close()
    assert await next_of(told) == 0
    assert former.empty()


async def test_closing_lets_go(watching: Hangups, couples: list[Couple]) -> None:
    """After it nobody is watched, and nobody who comes too late is an error."""
    told = watch(watching, couples, 0)
    watching.close()
    watching.close()
    watching.forget(couples[0].descriptor)
    watch(watching, couples, 1)
    couples[0].peer.close()
    other = hangups()
    assert await next_of(watch(other, couples, 0)) == 0
    other.close()
    assert told.empty()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_many_cost_one_descriptor(couples: list[Couple]) -> None:
    """One poller serves all connections, and goes when it is closed."""
    before = descriptors()
    made = hangups()
    watch(made, couples, *range(10))
    assert descriptors() == before + 1
    made.close()
    assert descriptors() == before
