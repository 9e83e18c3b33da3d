"""How first calls with a key lie in Redis."""

from collections.abc import AsyncIterator

import pytest
from redis_server import RedisServer
from stores.harness import PLACE, Clock, first

from proxy.core.answers import Held
from proxy.core.idempotency import RETENTION, Submission
from proxy.stores.records import submission_to_fields
from proxy.stores.redis import RedisStore

KEY = f"dsp:replay:{PLACE}"


@pytest.fixture
async def store(redis: RedisServer) -> AsyncIterator[RedisStore]:
    store = RedisStore(redis.url, now=Clock())
    await store.open()
    yield store
    await store.close()


def fields_of(redis: RedisServer) -> dict[str, str]:
    """The hash, read name by name: some values are empty."""
    names = redis.cli("HKEYS", KEY).splitlines()
    return {name: redis.cli("HGET", KEY, name) for name in names}


async def test_layout(store: RedisStore, redis: RedisServer) -> None:
    """One hash under the documented key, which expires a day after it was reserved."""
    await store.reserve(PLACE, first())
    assert fields_of(redis) == submission_to_fields(first())
    assert RETENTION - 60 < int(redis.cli("TTL", KEY)) <= RETENTION
    assert redis.cli("KEYS", "*") == KEY


async def test_concluding_does_not_prolong(store: RedisStore, redis: RedisServer) -> None:
    """The day begins with the first call and not with its end."""
    await store.reserve(PLACE, first())
    redis.cli("EXPIRE", KEY, "100")
    done = first(is_sending=True, outcome=Held(200, "OK", (), b"{}"))
    await store.advance(PLACE, done)
    await store.prolong(PLACE, "req-1", done.due)
    assert fields_of(redis) == submission_to_fields(done)
    assert 90 < int(redis.cli("TTL", KEY)) <= 100


@pytest.mark.parametrize("fields", [("created", "noon"), ("sending", "no"), ("what", "ever")])
async def test_what_nobody_understands(
    store: RedisStore, redis: RedisServer, fields: tuple[str, str]
) -> None:
    """Something that is no submission is no free place: what it was, may have made a task.

    Without even a time at which it was made, it is nothing.
    """
    redis.cli("HSET", KEY, "holder", "req-9", *fields)
    found = await store.reserve(PLACE, first())
    assert found == (
        Submission("", float("inf"), 0.0, is_sending=True) if fields[0] == "created" else None
    )
