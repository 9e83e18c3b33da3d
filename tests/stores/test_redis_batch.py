"""Batches of commands on one connection: one round trip, errors one by one, one second try."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis_server import RedisServer
from stores.relay import Relay

from proxy.stores.redis_batch import Courier


def courier_to(url: str) -> Courier:
    return Courier(ConnectionPool.from_url(url, protocol=3))


@pytest.fixture
async def courier(redis: RedisServer) -> AsyncIterator[Courier]:
    courier = courier_to(redis.url)
    yield courier
    await courier.close()


async def test_answers_in_order(courier: Courier) -> None:
    """Each command has its own answer, also beside one that fails."""
    told = await courier.send(
        [("SET", "a", "ä"), ("LPUSH", "a", "x"), ("GET", "a"), ("GET", "b"), ("ECHO", "")]
    )
    assert told[0] == b"OK"
    assert isinstance(told[1], ResponseError)
    assert told[2:] == ["ä".encode(), None, b""]


async def test_one_round_trip(redis: RedisServer) -> None:
    """All commands have left before the first answer comes."""
    async with Relay(redis.port) as relay:
        courier = courier_to(relay.url)
        relay.cut(b"LAST", 1.0, times=2)  # all of it crosses, no answer comes back
        with pytest.raises(RedisConnectionError):
            await courier.send([("SET", "FIRST", "1"), ("SET", "LAST", "1")])
        assert redis.cli("EXISTS", "FIRST", "LAST") == "2"
        await courier.close()


async def test_a_closed_connection(courier: Courier, redis: RedisServer) -> None:
    """A connection that the server closed meanwhile costs nobody an error."""
    assert await courier.send([("SET", "a", "1")]) == [b"OK"]
    redis.cli("CLIENT", "KILL", "TYPE", "NORMAL")
    assert await courier.send([("GET", "a")]) == [b"1"]


async def test_no_server(courier: Courier, redis: RedisServer) -> None:
    """Without a server it is redis-py's own error, and it heals when there is one again."""
    redis.kill()
    with pytest.raises(RedisConnectionError):
        await courier.send([("GET", "a")])
    redis.restart()
    assert await courier.send([("GET", "a")]) == [None]
