"""The rules of one process's memory of grants, in the order of events, without a server."""

import asyncio

import pytest
from stores.harness import GRANT, OTHER, TOKEN, Clock

from proxy.core.policy import Grant
from proxy.stores.grant_cache import ABSENT_SECONDS, Flight, Found, GrantCache

FOUND = Found(GRANT)
ABSENT = Found(exists=False)


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def cache(clock: Clock) -> GrantCache:
    cache = GrantCache(300.0, clock, max_known=3, max_absent=2)
    cache.connected()
    return cache


def take_off(cache: GrantCache, digest: str) -> Flight:
    """A lookup that is under way."""
    flight: Flight = asyncio.get_running_loop().create_future()
    cache.begin(digest, flight)
    return flight


def learn(cache: GrantCache, digest: str, found: Found = FOUND) -> None:
    """A lookup that nothing disturbs."""
    cache.settle(digest, take_off(cache, digest), found)


def remembered(cache: GrantCache, digest: str) -> Grant | None:
    known = cache.lookup(digest)
    assert known is not None, "not remembered"
    return known.grant


async def test_settled_is_remembered(cache: GrantCache) -> None:
    """What a lookup found answers the next one; the flight is over."""
    learn(cache, TOKEN)
    assert remembered(cache, TOKEN) is GRANT
    assert cache.flight(TOKEN) is None


async def test_unreadable_is_remembered(cache: GrantCache, clock: Clock) -> None:
    """An unreadable grant is remembered like a grant, not for seconds like a missing one."""
    learn(cache, TOKEN, Found(None))
    clock.at += 10 * ABSENT_SECONDS
    assert remembered(cache, TOKEN) is None


async def test_invalidation_overtakes_the_answer(cache: GrantCache) -> None:
    """An answer from before a change, arriving after news of it, is not remembered."""
    flight = take_off(cache, TOKEN)
    cache.forget(TOKEN)
    cache.settle(TOKEN, flight, FOUND)
    assert cache.lookup(TOKEN) is None


async def test_nobody_joins_an_overtaken_lookup(cache: GrantCache) -> None:
    """Who asks after the change starts anew, and only the new answer is remembered."""
    old = take_off(cache, TOKEN)
    cache.forget(TOKEN)
    assert cache.flight(TOKEN) is None
    new = take_off(cache, TOKEN)
    cache.settle(TOKEN, old, FOUND)
    assert cache.lookup(TOKEN) is None
    assert cache.flight(TOKEN) is new
    cache.settle(TOKEN, new, Found(None))
    assert remembered(cache, TOKEN) is None


async def test_other_changes_disturb_nothing(cache: GrantCache) -> None:
    """A change of another token leaves a lookup and a memory alone."""
    flight = take_off(cache, TOKEN)
    cache.forget(OTHER)
    cache.settle(TOKEN, flight, FOUND)
    cache.forget(OTHER)
    assert remembered(cache, TOKEN) is GRANT


@pytest.mark.parametrize("event", ["forget_all", "disconnected", "reconnected"])
async def test_wide_events_overtake_too(cache: GrantCache, clock: Clock, event: str) -> None:
    """A flush, a loss and a reconnection all invalidate every lookup under way."""
    flight = take_off(cache, TOKEN)
    if event == "forget_all":
        cache.forget_all()
    else:
        cache.disconnected(clock.at)
    if event == "reconnected":
        cache.connected()
    cache.settle(TOKEN, flight, FOUND)
    assert cache.lookup(TOKEN) is None


async def test_flush_forgets(cache: GrantCache) -> None:
    """A flush forgets grants and misses alike."""
    learn(cache, TOKEN)
    learn(cache, OTHER, ABSENT)
    cache.forget_all()
    assert cache.lookup(TOKEN) is None
    assert cache.lookup(OTHER) is None


async def test_reconnection_forgets(cache: GrantCache, clock: Clock) -> None:
    """After a reconnection nothing from before counts: changes may have been missed."""
    learn(cache, TOKEN)
    cache.disconnected(clock.at)
    assert remembered(cache, TOKEN) is GRANT
    cache.connected()
    assert cache.lookup(TOKEN) is None


async def test_connected_never_ages(cache: GrantCache, clock: Clock) -> None:
    """While changes are reported, a grant is confirmed at every moment."""
    learn(cache, TOKEN)
    clock.at += 1e9
    assert remembered(cache, TOKEN) is GRANT


async def test_staleness(cache: GrantCache, clock: Clock) -> None:
    """After a loss a grant lives `max_staleness` from its last confirmation, not from the loss."""
    learn(cache, TOKEN)
    confirmed = clock.at
    clock.at += 1.0
    cache.disconnected(confirmed)
    clock.at = confirmed + 299.9
    assert remembered(cache, TOKEN) is GRANT
    clock.at = confirmed + 300.0
    assert cache.lookup(TOKEN) is None


async def test_before_the_first_connection() -> None:
    """Nothing counts before the first connection."""
    cache = GrantCache(300.0, Clock(0.0))
    learn(cache, TOKEN)
    assert cache.lookup(TOKEN) is None


async def test_absence_is_brief(cache: GrantCache, clock: Clock) -> None:
    """A missing token is asked for again after a while, even if no push came."""
    learn(cache, TOKEN, ABSENT)
    clock.at += ABSENT_SECONDS - 0.1
    assert remembered(cache, TOKEN) is None
    clock.at += 0.1
    assert cache.lookup(TOKEN) is None


async def test_lifetime(cache: GrantCache, clock: Clock) -> None:
    """A grant whose key runs out in the store runs out here at the same time."""
    learn(cache, TOKEN, Found(GRANT, lifetime=5.0))
    clock.at += 4.9
    assert remembered(cache, TOKEN) is GRANT
    clock.at += 0.1
    assert cache.lookup(TOKEN) is None


async def test_absent_are_bounded(cache: GrantCache) -> None:
    """Invented tokens push out each other, oldest first, and never a real one."""
    learn(cache, TOKEN)
    for n in range(100):
        learn(cache, f"invented-{n}", ABSENT)
    assert remembered(cache, TOKEN) is GRANT
    assert [n for n in range(100) if cache.lookup(f"invented-{n}")] == [98, 99]


async def test_known_are_bounded(cache: GrantCache) -> None:
    """Grants are bounded too, oldest out first."""
    for n in range(100):
        learn(cache, f"token-{n}")
    assert [n for n in range(100) if cache.lookup(f"token-{n}")] == [97, 98, 99]


async def test_absent_becomes_known(cache: GrantCache) -> None:
    """A token is remembered in one place only, whatever it was before."""
    learn(cache, TOKEN, ABSENT)
    learn(cache, TOKEN)
    assert remembered(cache, TOKEN) is GRANT
    learn(cache, TOKEN, ABSENT)
    assert remembered(cache, TOKEN) is None


async def test_abandoned_lookup(cache: GrantCache) -> None:
    """A lookup that failed leaves nothing behind."""
    flight = take_off(cache, TOKEN)
    cache.abandon(TOKEN, flight)
    assert cache.flight(TOKEN) is None
    assert cache.lookup(TOKEN) is None


async def test_repr(cache: GrantCache) -> None:
    """The repr tells the state."""
    learn(cache, TOKEN)
    take_off(cache, OTHER)
    assert repr(cache) == "GrantCache(1 known, 0 absent, 1 under way, good until inf)"
