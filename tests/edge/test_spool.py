"""Where a body waits whose `model` comes late."""

import asyncio
import os
import resource
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.core.errors import ProxyError, Situation
from proxy.edge.spool import IN_MEMORY, Spool, SpoolBudget


def open_files() -> dict[str, int]:
    """The files this process has open in the folder for temporary ones, gone names included."""
    folder = tempfile.gettempdir()
    found = {}
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue
        if target.startswith(folder):
            found[target] = int(descriptor.name)
    return found


class Folder:
    """Says where `tempfile` makes its files, as TMPDIR would for a whole process."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        self._before = tempfile.tempdir
        tempfile.tempdir = str(self._path)

    def __exit__(self, *_: object) -> None:
        tempfile.tempdir = self._before


def names() -> set[Path]:
    return set(Path(tempfile.gettempdir()).iterdir())


@pytest.fixture
async def nothing_in_sight(tmp_path: Path) -> AsyncIterator[None]:
    """Whatever is spooled: no name of it is ever in the folder, no file stays open."""
    with Folder(tmp_path):
        yield
        await asyncio.get_running_loop().shutdown_default_executor()  # in which files are closed
        assert not names()
        assert not open_files()


async def read(spool: Spool) -> bytes:
    return b"".join([part async for part in spool.drain()])


@pytest.mark.parametrize("size", [0, 1, IN_MEMORY, IN_MEMORY + 1, 10 * IN_MEMORY])
@pytest.mark.usefixtures("nothing_in_sight")
async def test_what_is_written_is_read(size: int) -> None:
    """In order and whole, from memory or from a file; then the room is free again."""
    data = os.urandom(size)
    budget = SpoolBudget(2 * size)
    spool = Spool(budget, "tenant")
    for at in range(0, size, 70_000):
        await spool.write(data[at : at + 70_000])
    assert spool.is_in_memory is (size <= IN_MEMORY)
    assert await read(spool) == data
    budget.take("tenant", size)


@pytest.mark.usefixtures("nothing_in_sight")
async def test_what_the_kernel_has_let_go_of_is_read() -> None:
    """What is on the disk alone comes back as well; nobody waits for it in the loop."""
    data = os.urandom(10 * IN_MEMORY)
    spool = Spool(SpoolBudget(2**30), "tenant")
    await spool.write(data)
    (file,) = open_files().values()
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    assert await read(spool) == data


@pytest.mark.usefixtures("nothing_in_sight")
async def test_an_end_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux 5.9 and 5.10 may say so of what they do not have in memory: nothing is cut off."""
    data = os.urandom(4 * IN_MEMORY)
    spool = Spool(SpoolBudget(2**30), "tenant")
    await spool.write(data)
    monkeypatch.setattr(os, "preadv", lambda *_: 0)
    assert await read(spool) == data


@pytest.mark.usefixtures("nothing_in_sight")
async def test_reading_back_lets_others_have_their_turn() -> None:
    """Behind each piece, whoever takes it and however fast."""
    spool, turns = Spool(SpoolBudget(2**30), "tenant"), 0

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    await spool.write(bytes(10 * IN_MEMORY))
    running = asyncio.create_task(other())
    seen = [turns async for _ in spool.drain()]
    running.cancel()
    assert len(set(seen)) == len(seen) > 1


def test_memory_is_kept_and_taken_without_waiting() -> None:
    """What fits is kept at once and taken in one piece; what does not is refused."""
    spool = Spool(SpoolBudget(0), "tenant")
    assert spool.take() == b""
    half = os.urandom(IN_MEMORY // 2)
    assert spool.keep(half)
    assert spool.keep(b"")
    assert spool.keep(half)
    assert not spool.keep(b"x")
    assert spool.size == IN_MEMORY
    assert spool.take() == half + half
    assert spool.size == 0
    assert spool.keep(half)
    assert spool.take() is half  # one piece is not copied


@pytest.mark.usefixtures("nothing_in_sight")
async def test_a_file_has_no_name() -> None:
    """A large body is in a file, but no other process could open it: it was deleted at birth."""
    spool = Spool(SpoolBudget(2**30), "tenant")
    await spool.write(bytes(IN_MEMORY + 1))
    assert not names()
    assert any("(deleted)" in name for name in open_files())
    spool.close()


@pytest.mark.parametrize("size", [100, IN_MEMORY + 1])
@pytest.mark.usefixtures("nothing_in_sight")
async def test_closing_gives_everything_back(size: int) -> None:
    """Closed once or twice, read or not: the budget is whole again, not more."""
    budget = SpoolBudget(2 * size)
    spool = Spool(budget, "tenant")
    await spool.write(bytes(size))
    spool.close()
    spool.close()
    budget.take("tenant", size)
    with pytest.raises(ProxyError):
        budget.take("tenant", 1)


@pytest.mark.usefixtures("nothing_in_sight")
async def test_small_bodies_need_no_budget() -> None:
    """What stays in memory is each request's own: a spent budget refuses only large bodies."""
    spool = Spool(SpoolBudget(0), "tenant")
    await spool.write(bytes(IN_MEMORY))
    with pytest.raises(ProxyError) as caught:
        await spool.write(b"x")
    assert caught.value.situation is Situation.BUSY
    spool.close()


@pytest.mark.usefixtures("nothing_in_sight")
async def test_the_sum_is_bounded_and_so_is_a_tenants_share() -> None:
    """All bodies stay within the budget, one tenant's within half of it."""
    large = 2 * IN_MEMORY
    budget = SpoolBudget(3 * large)
    mine, other = Spool(budget, "mine"), Spool(budget, "other")
    await mine.write(bytes(large))
    with pytest.raises(ProxyError) as caught:
        await mine.write(bytes(large))
    assert caught.value.situation is Situation.BUSY
    await other.write(bytes(large))
    mine.close()
    again = Spool(budget, "mine")
    await again.write(bytes(large))
    again.close()
    other.close()


@pytest.mark.usefixtures("nothing_in_sight")
async def test_a_writer_that_is_cancelled_leaves_nothing() -> None:
    """A thread cannot be cancelled: its file is closed and its room given back when it ends."""
    budget = SpoolBudget(8 * IN_MEMORY)
    spool = Spool(budget, "tenant")
    writing = asyncio.create_task(spool.write(bytes(4 * IN_MEMORY)))
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.wait([writing])
    spool.close()
    while spool.is_open:  # noqa: ASYNC110 - the thread tells nobody else
        await asyncio.sleep(0)
    budget.take("tenant", 4 * IN_MEMORY)


@contextmanager
def full_at(size: int) -> Iterator[None]:
    """No file takes more than so many bytes: of a write across that, it takes the beginning."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_disk_that_takes_a_part() -> None:
    """What it took of a write is not taken for all of it: busy, and nothing is missing unseen."""
    spool = Spool(SpoolBudget(2**30), "tenant")
    with full_at(2 * IN_MEMORY + 1), pytest.raises(ProxyError) as caught:
        await spool.write(bytes(3 * IN_MEMORY))
    assert caught.value.situation is Situation.BUSY
    spool.close()


async def test_the_file_is_written_much_at_a_time() -> None:
    """Behind what is in the file, too, as much as fits waits in memory, and comes back in order."""
    spool = Spool(SpoolBudget(2**30), "tenant")
    first, second = os.urandom(IN_MEMORY + 1), os.urandom(IN_MEMORY)
    await spool.write(first)
    assert spool.keep(second)
    assert not spool.keep(b"x")
    assert spool.size == len(first + second)
    assert await read(spool) == first + second


async def test_a_disk_that_takes_nothing() -> None:
    """No file can be made: busy, not a bug, and the budget comes back with `close`."""
    budget = SpoolBudget(2**30)
    spool = Spool(budget, "tenant")
    with Folder(Path("/proc/nowhere")), pytest.raises(ProxyError) as caught:
        await spool.write(bytes(IN_MEMORY + 1))
    assert caught.value.situation is Situation.BUSY
    spool.close()
    budget.take("tenant", 2**29)
