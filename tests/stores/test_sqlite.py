"""SqliteStore: durable, shared by processes, and never a foreign exception."""

import asyncio
import os
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from stores.harness import GRANT, OTHER, TOKEN, Clock, record

from proxy.core.errors import StoreUnavailableError
from proxy.core.policy import GrantUnreadableError
from proxy.core.tasks import RETENTION
from proxy.stores.sqlite import SqliteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "store.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, now=Clock())
    await store.open()
    yield store
    await store.close()


async def run(script: str, *words: str) -> asyncio.subprocess.Process:
    """Another process that runs `script` with an open store on the file `words[0]`."""
    whole = _PROLOGUE + "".join(f"    {line}\n" for line in script.strip().splitlines()) + _EPILOGUE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", whole, *words, stdout=asyncio.subprocess.PIPE, env=_ENVIRONMENT
    )


# The other process imports what this one does.
_ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


_PROLOGUE = """
import asyncio, os, sys, resource
from proxy.core.errors import StoreUnavailableError
from proxy.core.tasks import TaskConflictError
from proxy.stores.sqlite import SqliteStore
from stores.harness import *

async def main():
    store = SqliteStore(sys.argv[1], now=Clock())
    await store.open()
"""
_EPILOGUE = """
    await store.close()

asyncio.run(main())
"""


async def printed(process: asyncio.subprocess.Process) -> str:
    output, _ = await process.communicate()
    return output.decode().strip()


async def test_durable_settings(store: SqliteStore, path: Path) -> None:
    """What was written is still there when the process is killed right afterwards."""
    await store.close()
    script = """
await store.claim(record())
await store.save_grant(TOKEN, GRANT)
print("written", flush=True)
os.kill(os.getpid(), 9)
"""
    process = await run(script, str(path))
    assert await printed(process) == "written"
    assert process.returncode == -9
    await store.open()
    assert await store.owner("task-1", "ada") == record()
    assert await store.grant(TOKEN) == GRANT


async def test_revocation_by_another_process(store: SqliteStore, path: Path) -> None:
    """What the command line revokes is revoked for the next request."""
    await store.save_grant(TOKEN, GRANT)
    assert await store.grant(TOKEN) == GRANT
    process = await run("print(await store.remove_grant(TOKEN))", str(path))
    assert await printed(process) == "True"
    assert await store.grant(TOKEN) is None


async def test_claims_of_many_processes(path: Path) -> None:
    """Processes that start at once on no file at all agree on one owner per task."""
    script = """
won = 0
for n in range(20):
    try:
        await store.claim(record(f"task-{n}", tenant=sys.argv[2]))
        won += 1
    except TaskConflictError:
        pass
print(won)
"""
    processes = [await run(script, str(path), f"tenant-{n}") for n in range(4)]
    won = [int(await printed(process)) for process in processes]
    assert sum(won) == 20


async def test_full_disk(path: Path) -> None:
    """When no byte can be added, claims fail as unavailable and reads go on."""
    script = """
await store.save_grant(TOKEN, GRANT)
resource.setrlimit(resource.RLIMIT_FSIZE, (262144, 262144))
refused = 0
for n in range(100):
    try:
        await store.claim(record(f"task-{n}", model="m" * 4096))
    except StoreUnavailableError:
        refused += 1
assert await store.grant(TOKEN) == GRANT
assert await store.owner("task-0", "ada") is not None
assert await store.owner("task-99", "ada") is None
print(refused > 0)
"""
    assert await printed(await run(script, str(path))) == "True"


@pytest.mark.parametrize("text", ["{", "[]", '{"models":["*"]}', '{"enabled":"perhaps"}'])
async def test_unreadable_row(store: SqliteStore, path: Path, text: str) -> None:
    """A row nobody can read grants nothing, and is shown with its reason."""
    with sqlite3.connect(path) as other:
        other.execute("INSERT INTO tokens VALUES (?, ?)", (TOKEN, text))
    other.close()
    await store.save_grant(OTHER, GRANT)
    assert await store.grant(TOKEN) is None
    found = {digest: grant async for digest, grant in store.grants()}
    assert isinstance(found[TOKEN], GrantUnreadableError)
    assert found[OTHER] == GRANT


async def test_claim_purges(path: Path) -> None:
    """Rows past retention leave the file as new tasks come, so that it does not grow for ever."""
    clock = Clock()
    store = SqliteStore(path, now=clock)
    await store.open()
    for n in range(150):
        await store.claim(record(f"old-{n}"))
    clock.at += RETENTION
    await store.claim(record("new-1", created=clock.at))
    assert _count(path) == 51
    await store.claim(record("new-2", created=clock.at))
    assert _count(path) == 2
    await store.close()


async def test_unopened() -> None:
    """Before opening there is no store."""
    with pytest.raises(StoreUnavailableError):
        await SqliteStore("unused.db").grant(TOKEN)


def _count(path: Path) -> int:
    connection = sqlite3.connect(path)
    (count,) = connection.execute("SELECT count(*) FROM tasks").fetchone()
    connection.close()
    return int(count)
