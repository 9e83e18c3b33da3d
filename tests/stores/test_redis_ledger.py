"""The ledger in Redis as other processes see it: limits are pushed, lost tasks are closed."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from redis_server import RedisServer
from stores.harness import (
    GRANT,
    NOW,
    OTHER,
    PLACE,
    TOKEN,
    Clock,
    eventually,
    first,
    held,
    money,
    plant,
    record,
    usage,
)

from proxy.core.holds import Rate
from proxy.core.limits import Limits, LimitUnreadableError
from proxy.core.settlement import FIRST_LOOK, Kind, Settlement
from proxy.stores import redis_commands
from proxy.stores.redis import RedisStore

LIMITS = Limits(concurrent_tasks=3)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(redis: RedisServer, clock: Clock) -> AsyncIterator[RedisStore]:
    store = RedisStore(redis.url, now=clock, server_now=clock)
    await store.open()
    yield store
    await store.close()


async def test_limits_are_pushed(store: RedisStore, redis: RedisServer) -> None:
    """Whoever writes a tenant's limits: every process has them within a second, for each token."""
    await store.save_grant(TOKEN, GRANT)
    await store.save_grant(OTHER, replace(GRANT, id="tok_2"))
    assert await store.grant(TOKEN) == GRANT
    assert (await store.grant(OTHER)) is not None
    redis.cli("HSET", "dsp:tenant:ada", "concurrent_tasks", "3")
    took = await eventually(lambda: _limited(store, TOKEN, LIMITS))
    assert took < 1.0
    assert await _limited(store, OTHER, LIMITS)
    redis.cli("DEL", "dsp:tenant:ada")
    await eventually(lambda: _limited(store, TOKEN, Limits()))


async def test_limits_cost_nothing_afterwards(redis: RedisServer) -> None:
    """A token seen before costs no round trip, its tenant's limits included."""
    plant(redis.cli)
    redis.cli("HSET", "dsp:tenant:ada", "concurrent_tasks", "3")
    store = RedisStore(redis.url)
    await store.open()
    assert await _limited(store, TOKEN, LIMITS)
    with redis.monitor() as lines:
        for _ in range(50):
            assert await _limited(store, TOKEN, LIMITS)
    assert not any("HGETALL" in line for line in lines)
    await store.close()


@pytest.mark.parametrize(
    "words",
    [("SET", "dsp:tenant:ada", "x"), ("HSET", "dsp:tenant:ada", "budget_day", "plenty")],
)
async def test_unreadable_limits_end_a_known_grant(
    store: RedisStore, redis: RedisServer, words: tuple[str, ...]
) -> None:
    """A tenant whose limits nobody can read has no grants, those in use included."""
    await store.save_grant(TOKEN, GRANT)
    assert await store.grant(TOKEN) == GRANT
    redis.cli(*words)
    await eventually(lambda: _is_gone(store))
    with pytest.raises(LimitUnreadableError):
        await store.tenant_limits("ada")
    redis.cli("DEL", "dsp:tenant:ada")
    await eventually(lambda: _limited(store, TOKEN, Limits()))


async def test_swapped_limits(redis: RedisServer) -> None:
    """`SWAPDB` pushes nothing; the next round of the audit finds out, for limits alone as well."""
    plant(redis.cli)
    redis.cli("COPY", f"dsp:token:{TOKEN}", f"dsp:token:{TOKEN}", "DB", "1")
    redis.cli("-n", "1", "HSET", "dsp:tenant:ada", "concurrent_tasks", "3")
    store = RedisStore(redis.url, audit_every=0.3)
    await store.open()
    assert await store.grant(TOKEN) == GRANT
    redis.cli("SWAPDB", "0", "1")
    await eventually(lambda: _limited(store, TOKEN, LIMITS))
    await store.close()


async def test_names_of_tenants(store: RedisStore, redis: RedisServer) -> None:
    """Anything may stand in a name; what is no UTF-8 is shown as well as it can be."""
    redis.cli("EVAL", "redis.call('HSET', 'dsp:tenant:a\\255', 'budget_day', '1')", "0")
    await store.limit_tenant("租户\n*", LIMITS)
    assert await store.limited_tenants() == ["a\ufffd", "租户\n*"]


async def test_an_open_task_without_owner(
    store: RedisStore, redis: RedisServer, clock: Clock
) -> None:
    """Nobody could settle it: it is closed, and no more in the others' way."""
    await store.claim(record("task-1"))
    await store.claim(record("task-2"))
    redis.cli("DEL", "dsp:task:task-1")
    clock.at = NOW + FIRST_LOOK
    assert await store.due_tasks(10) == [record("task-2")]
    assert redis.cli("ZRANGE", "dsp:{ledger}:open", "0", "-1") == "task-2"


async def test_what_a_user_of_redis_needs(redis: RedisServer, clock: Clock) -> None:
    """The documented rights are enough for everything a ledger does."""
    text = " ".join((redis_commands.__doc__ or "").split())
    rights = [word.strip("`.,") for word in text.split() if word.lstrip("`").startswith("+")]
    redis.cli("ACL", "SETUSER", "narrow", "on", ">pw", "~dsp:*", "&*", "-@all", *rights)
    store = RedisStore(redis.url.replace("//", "//narrow:pw@"), now=clock, server_now=clock)
    await store.open()
    await use_all(store)
    await store.close()
    redis.cli("ACL", "DELUSER", "narrow")


async def use_all(store: RedisStore) -> None:
    """Everything a store can be asked to do, once."""
    await store.ping()
    await store.save_grant(TOKEN, GRANT)
    await store.limit_tenant("ada", LIMITS)
    assert await store.limited_tenants() == ["ada"]
    assert await store.tenant_limits("ada") == LIMITS
    assert await _limited(store, TOKEN, LIMITS)
    assert [digest async for digest, _ in store.grants()] == [TOKEN]
    for hold in ("h1", "h2"):
        bounds = (money(5), Rate("token:tok_1", "requests", 5))
        assert (await store.hold(held(hold, *bounds, lease=1.0))).refused is None
    await store.renew(["h1"], 60)
    await store.claim(record(hold="h1"))
    assert await store.due_tasks(1) == []
    await store.look_later("task-1", NOW)
    assert await store.due_tasks(1) == [record(hold="h1")]
    await store.observe("task-1", "SUCCEEDED", NOW)
    assert await store.owner("task-1", "ada") is not None
    assert len(await store.tasks_of("ada", NOW, NOW)) == 1
    call = usage("c", kind=Kind.CALL)
    await store.settle(Settlement("s", 1, (usage(hold="h1"), call), ("h2",)))
    assert await store.standings([("tenant:ada", "money", "2027-01")])
    assert len(await store.records("", 10)) == 2
    assert len(await store.totals("2027-01-15", "2027-01-15")) == 1
    assert await store.lead("p", 1)
    assert await store.reserve(PLACE, first()) is None
    assert await store.advance(PLACE, first())
    await store.prolong(PLACE, "req-1", NOW)
    await store.release(PLACE, "req-1")
    await store.limit_tenant("ada", Limits())
    assert await store.remove_grant(TOKEN)


async def _limited(store: RedisStore, digest: str, limits: Limits) -> bool:
    grant = await store.grant(digest)
    return grant is not None and grant.tenant_limits == limits


async def _is_gone(store: RedisStore) -> bool:
    return await store.grant(TOKEN) is None
