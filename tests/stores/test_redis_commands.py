"""How things lie in Redis: the layout that a control plane may rely on."""

from collections.abc import AsyncIterator

import pytest
from redis_server import RedisServer
from stores.harness import GRANT, NOW, TOKEN, Clock, fields_of, record

from proxy.core.limits import NO_LIMITS, Limits, limits_to_fields
from proxy.core.policy import grant_to_fields
from proxy.stores.records import LIST_LIMIT
from proxy.stores.redis import RedisStore


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(redis: RedisServer, clock: Clock) -> AsyncIterator[RedisStore]:
    store = RedisStore(redis.url, now=clock)
    await store.open()
    yield store
    await store.close()


async def test_grant_layout(store: RedisStore, redis: RedisServer) -> None:
    """A grant is the hash `dsp:token:<digest>` with the documented fields, and never expires."""
    await store.save_grant(TOKEN, GRANT)
    assert fields_of(redis, f"dsp:token:{TOKEN}") == grant_to_fields(GRANT)
    assert redis.cli("TTL", f"dsp:token:{TOKEN}") == "-1"


async def test_layout_of_a_tenants_limits(store: RedisStore, redis: RedisServer) -> None:
    """They are the hash `dsp:tenant:<tenant>` with the fields that a grant has for its own."""
    limits = Limits(submits_per_minute=3, budget_month=12_500_000_000)
    await store.limit_tenant("ada", limits)
    assert fields_of(redis, "dsp:tenant:ada") == limits_to_fields(limits)
    await store.limit_tenant("ada", NO_LIMITS)
    assert redis.cli("EXISTS", "dsp:tenant:ada") == "0"


async def test_save_ends_a_time_to_live(store: RedisStore, redis: RedisServer) -> None:
    """A grant saved over one that was running out stays."""
    redis.cli("HSET", f"dsp:token:{TOKEN}", "models", "*")
    redis.cli("EXPIRE", f"dsp:token:{TOKEN}", "60")
    await store.save_grant(TOKEN, GRANT)
    assert redis.cli("TTL", f"dsp:token:{TOKEN}") == "-1"


async def test_ping_leaves_nothing(store: RedisStore, redis: RedisServer) -> None:
    """What proves that writing works is gone in seconds."""
    await store.ping()
    assert redis.cli("KEYS", "*") == "dsp:ping"
    assert 0 < int(redis.cli("PTTL", "dsp:ping")) <= 10_000


async def test_observe_does_not_resurrect(store: RedisStore, redis: RedisServer) -> None:
    """A task that is gone from Redis stays gone when somebody polls it."""
    await store.claim(record())
    redis.cli("DEL", "dsp:task:task-1")
    await store.observe("task-1", "RUNNING", NOW)
    assert redis.cli("EXISTS", "dsp:task:task-1") == "0"


async def test_terminal_in_redis_wins(redis: RedisServer) -> None:
    """A process that has not seen the end of a task cannot undo it."""
    here, there = RedisStore(redis.url, now=Clock()), RedisStore(redis.url, now=Clock())
    await here.open()
    await there.open()
    await here.claim(record())
    assert await there.owner("task-1", "ada") == record()
    await here.observe("task-1", "SUCCEEDED", NOW + 1)
    await there.observe("task-1", "RUNNING", NOW + 2)
    assert fields_of(redis, "dsp:task:task-1")["status"] == "SUCCEEDED"
    await here.close()
    await there.close()


async def test_index_may_lie(store: RedisStore, redis: RedisServer) -> None:
    """The record decides whose a task is: an index that names another's task shows nothing."""
    await store.claim(record(tenant="ada"))
    redis.cli("ZADD", "dsp:tasks:{eve}", str(NOW), "task-1", str(NOW), "no-such-task")
    redis.cli("SET", "dsp:task:rubbish", "1")
    redis.cli("ZADD", "dsp:tasks:{eve}", str(NOW), "rubbish")
    assert await store.tasks_of("eve", NOW, NOW) == []


async def test_unreadable_task(store: RedisStore, redis: RedisServer) -> None:
    """A task whose record makes no sense has no owner."""
    redis.cli("HSET", "dsp:task:task-1", "tenant", "ada")
    assert await store.owner("task-1", "ada") is None


async def test_list_limit(store: RedisStore, redis: RedisServer) -> None:
    """However many tasks a tenant has, a list has at most the 10,000 newest."""
    await store.claim(record("task-0", created=NOW))
    plant = """
    local fields = redis.call('HGETALL', 'dsp:task:task-0')
    for n = 1, tonumber(ARGV[1]) do
      redis.call('HSET', 'dsp:task:task-' .. n, unpack(fields))
      redis.call('HSET', 'dsp:task:task-' .. n, 'created', tostring(tonumber(ARGV[2]) - n))
      redis.call('ZADD', 'dsp:tasks:{ada}', tonumber(ARGV[2]) - n, 'task-' .. n)
    end
    """
    redis.cli("EVAL", plant, "0", str(LIST_LIMIT + 5), str(int(NOW)))
    found = await store.tasks_of("ada", 0, NOW)
    assert [task.task_id for task in found] == [f"task-{n}" for n in range(LIST_LIMIT)]
