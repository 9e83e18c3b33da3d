"""Batches of commands on one connection: each its own answers, errors one by one, a second try."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Connection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis_server import HOST, RedisServer
from stores.relay import Relay

from proxy.stores.redis_batch import Courier


def courier_to(port: int) -> Courier:
    return Courier(Connection(host=HOST, port=port, protocol=3, driver_info=None))


@pytest.fixture
async def courier(redis: RedisServer) -> AsyncIterator[Courier]:
    courier = courier_to(redis.port)
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
        courier = courier_to(relay.port)
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


async def test_those_who_share_it(courier: Courier) -> None:
    """Each batch has its own answers, however many are under way, of whatever length."""
    asked = [[("ECHO", f"{n}.{i}") for i in range(n % 4 + 1)] for n in range(100)]
    told = await asyncio.gather(*map(courier.send, asked))
    assert told == [[word.encode() for _, word in batch] for batch in asked]


async def test_a_push_is_no_answer(courier: Courier, redis: RedisServer) -> None:
    """What the server says without being asked shifts nobody's answers, and breaks nothing."""
    one = ("CLIENT", "ID")
    told = await courier.send([("CLIENT", "TRACKING", "ON", "BCAST"), one])
    redis.cli("SET", "a", "2")
    assert await courier.send([("SET", "a", "1"), ("ECHO", "x"), one]) == [b"OK", b"x", told[1]]
    assert await courier.send([("GET", "a"), one]) == [b"1", told[1]]


async def test_who_gives_up(redis: RedisServer) -> None:
    """A connection on which no answer comes is given up; who shares it, and who comes, is served.

    Nobody is handed the answer of the one who left.
    """
    async with Relay(redis.port) as relay:
        courier = courier_to(relay.port)
        relay.hold(b"first")
        first = asyncio.create_task(courier.send([("ECHO", "first")]))
        await relay.held.wait()
        second = asyncio.create_task(courier.send([("ECHO", "second")]))
        await relay.passes(b"second")
        first.cancel()
        assert await second == [b"second"]
        assert await courier.send([("ECHO", "third")]) == [b"third"]
        assert first.cancelled()
        relay.release()
        await courier.close()


async def test_an_answer_that_is_none() -> None:
    """Bytes that are no answer break the connection, and nobody waits for more of them."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(1000):
            is_hello = b"HELLO" in chunk
            writer.write(b"%0\r\n" if is_hello else b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, HOST, 0) as server:
        courier = courier_to(server.sockets[0].getsockname()[1])
        with pytest.raises(RedisConnectionError):
            await courier.send([("GET", "a")])
        await courier.close()
