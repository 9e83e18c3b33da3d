"""Where a body waits whose `model` comes late."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.core.errors import ProxyError, Situation
from proxy.edge.spool import IN_MEMORY, Spool, SpoolBudget


def open_files() -> set[str]:
    """The files this process has open in the folder for temporary ones, gone names included."""
    folder = tempfile.gettempdir()
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue
        if target.startswith(folder):
            found.add(target)
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
def nothing_in_sight(tmp_path: Path) -> Iterator[None]:
    """Whatever is spooled: no name of it is ever in the folder, no file stays open."""
    with Folder(tmp_path):
        yield
        assert not names()
        assert not open_files()


async def read(spool: Spool) -> bytes:
    return b"".join([part async for part in spool.drain()])


@pytest.mark.parametrize("size", [0, 1, IN_MEMORY, IN_MEMORY + 1, 10 * IN_MEMORY])
@pytest.mark.usefixtures("nothing_in_sight")
async def test_what_is_written_is_read(size: int) -> None:
    """In order and whole, from memory or from a file; then the room is free again."""
    data = os.urandom(size)
    budget = SpoolBudget(size)
    spool = Spool(budget)
    for at in range(0, size, 70_000):
        await spool.write(data[at : at + 70_000])
    assert spool.is_in_memory is (size <= IN_MEMORY)
    assert await read(spool) == data
    budget.take(size)


@pytest.mark.usefixtures("nothing_in_sight")
async def test_a_file_has_no_name() -> None:
    """A large body is in a file, but no other process could open it: it was deleted at birth."""
    spool = Spool(SpoolBudget(2**30))
    await spool.write(bytes(IN_MEMORY + 1))
    assert not names()
    assert any("(deleted)" in name for name in open_files())
    spool.close()


@pytest.mark.parametrize("size", [100, IN_MEMORY + 1])
@pytest.mark.usefixtures("nothing_in_sight")
async def test_closing_gives_everything_back(size: int) -> None:
    """Closed once or twice, read or not: the budget is whole again, not more."""
    budget = SpoolBudget(size)
    spool = Spool(budget)
    await spool.write(bytes(size))
    spool.close()
    spool.close()
    budget.take(size)
    with pytest.raises(ProxyError):
        budget.take(1)


@pytest.mark.usefixtures("nothing_in_sight")
async def test_the_sum_is_bounded() -> None:
    """All bodies together stay within the budget; who comes too late is told that we are busy."""
    budget = SpoolBudget(1000)
    first, second = Spool(budget), Spool(budget)
    await first.write(bytes(600))
    await second.write(bytes(400))
    with pytest.raises(ProxyError) as caught:
        await second.write(b"x")
    assert caught.value.situation is Situation.BUSY
    first.close()
    await second.write(bytes(600))
    second.close()


async def test_a_disk_that_takes_nothing() -> None:
    """No file can be made: busy, not a bug, and the budget comes back with `close`."""
    budget = SpoolBudget(2**30)
    spool = Spool(budget)
    with Folder(Path("/proc/nowhere")), pytest.raises(ProxyError) as caught:
        await spool.write(bytes(IN_MEMORY + 1))
    assert caught.value.situation is Situation.BUSY
    spool.close()
    budget.take(2**30)
