"""What only the fake can do: play an outage."""

import pytest
from stores.harness import GRANT, NOW, TOKEN, Clock, record

from proxy.core.errors import StoreUnavailableError
from proxy.core.tasks import RETENTION
from proxy.stores.memory import MemoryStore


async def test_played_outage() -> None:
    """While it plays dead everything is unavailable, and each change is told once."""
    changes: list[bool] = []
    store = MemoryStore(on_change=changes.append)
    await store.save_grant(TOKEN, GRANT)
    store.set_available(up=False)
    store.set_available(up=False)
    assert "outage" in store.trouble
    with pytest.raises(StoreUnavailableError):
        await store.grant(TOKEN)
    with pytest.raises(StoreUnavailableError):
        await store.claim(record())
    store.set_available(up=True)
    assert await store.grant(TOKEN) == GRANT
    assert changes == [False, True]


async def test_reopened() -> None:
    """Closing forgets nothing."""
    store = MemoryStore()
    await store.save_grant(TOKEN, GRANT)
    await store.close()
    await store.open()
    assert await store.grant(TOKEN) == GRANT


async def test_claim_purges() -> None:
    """Records past retention leave memory when the next task is claimed."""
    clock = Clock()
    store = MemoryStore(now=clock)
    await store.claim(record("old"))
    clock.at += RETENTION
    await store.claim(record("new", created=clock.at))
    clock.at = NOW  # back in time, the old one would count again if it were still there
    assert await store.owner("old", "ada") is None
