"""What crosses between the two ends of a socket, and how it ends, byte for byte."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from edge.rig import LIMITS, Conversation, Rig, calling, eventually, rig, scripted, settled
from edge.wsrig import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    REALTIME,
    TEXT,
    End,
    SocketClient,
    accept,
    frame,
    go_on,
    obeying,
    run_task,
    shake,
    shaken,
)

from proxy.edge.gateway import Limits
from proxy.edge.relay import GOODBYE
from proxy.edge.sockets import SocketLimits

MIB = 1024 * 1024


def limits(max_message: int = 16 * MIB, idle: float = 300.0, heartbeat: float = 30.0) -> Limits:
    sockets = SocketLimits(max_message=max_message, idle=idle, heartbeat=heartbeat)
    return dataclasses.replace(LIMITS, sockets=sockets)


class Upstream:
    """An upstream whose ends the test holds in its hand."""

    def __init__(self) -> None:
        self.ends: asyncio.Queue[End] = asyncio.Queue()
        self.over = asyncio.Event()

    async def __call__(self, told: Conversation) -> None:
        self.ends.put_nowait(await accept(told))
        await self.over.wait()


@asynccontextmanager
async def relayed(given: Limits = LIMITS) -> AsyncIterator[tuple[SocketClient, End, Rig]]:
    """A session through the proxy: its two ends, and the proxy."""
    held = Upstream()
    async with (
        scripted(held) as upstream,
        rig(upstream.url, limits=given) as made,
        shaken(made.url, REALTIME) as client,
    ):
        yield client, await held.ends.get(), made


def event_of_size(size: int) -> bytes:
    """An event that a session lets pass, of so many bytes."""
    return b'{"audio":"' + b"A" * (size - 12) + b'"}'


async def test_messages_cross_untouched() -> None:
    """Text and bytes, empty ones too, in order; an event's text to the byte."""
    text = '{ "type":"x",\t"n":1.50,"ü":"\\u00fc" }'
    async with relayed() as (client, end, _):
        await client.say(text)
        await client.say(b"{}")
        assert [(one := await end.hear()).kind, one.data] == [TEXT, text.encode()]
        assert [(one := await end.hear()).kind, one.data] == [BINARY, b"{}"]
        await end.say(b"")
        assert (await client.hear()).data == b""
        await end.say("not even JSON")
        await end.say(b"\0" * 70_000)
        heard = [await client.hear() for _ in range(2)]
        assert [one.kind for one in heard] == [TEXT, BINARY]
        assert [one.data for one in heard] == [b"not even JSON", b"\0" * 70_000]


async def test_a_message_in_fragments_is_one_message() -> None:
    """It is judged as a whole, and goes on as a whole; a ping may stand between its pieces."""
    async with relayed() as (client, end, _):
        pieces = [b'{"type":"response.create","mo', b'del":"qwen-omni"', b"}"]
        await client.wire.send(frame(TEXT, pieces[0], is_last=False))
        await client.wire.send(frame(PING, b"now"))
        assert (await client.hear()).kind == PONG
        await client.wire.send(frame(0, pieces[1], is_last=False), frame(0, pieces[2]))
        heard = await end.hear()
        assert (heard.kind, heard.data, heard.is_last) == (TEXT, b"".join(pieces), True)


async def test_pings_are_answered_on_each_side() -> None:
    """A ping is its hop's own: it is answered here, with its bytes, and does not cross."""
    async with relayed() as (client, end, _):
        for one in (client, end):
            await one.say(b"are you there", PING)
            heard = await one.hear()
            assert (heard.kind, heard.data) == (PONG, b"are you there")


CODES = [(1000, 1000), (1001, 1001), (1011, 1011), (1013, 1013), (3000, 3000), (4999, 4999)]


@pytest.mark.parametrize(("given", "told"), [*CODES, (None, 1000)])
async def test_the_clients_goodbye_crosses(given: int | None, told: int) -> None:
    """Upstream hears the client's code and reason; the client's own come back to it."""
    async with relayed() as (client, end, made):
        await client.close(given, "" if given is None else "thanks")
        heard, answer = await end.hear(), await client.hear()
        assert (heard.code, answer.code) == (told, told)
        assert heard.reason == ("" if given is None else "thanks")
        await end.close(told)
        await client.wire.gone()
        visit = await made.finished()
        assert (visit.status, visit.close_code) == (101, given or 1005)


@pytest.mark.parametrize(("given", "told"), [*CODES, (None, 1000)])
async def test_upstreams_goodbye_crosses(given: int | None, told: int) -> None:
    """And the other way round."""
    async with relayed() as (client, end, made):
        await end.close(given, "" if given is None else "busy")
        heard, answer = await client.hear(), await end.hear()
        assert (heard.code, answer.code) == (told, told)
        assert heard.reason == ("" if given is None else "busy")
        await client.close(told)
        await end.wire.gone()
        assert (await made.finished()).close_code == told


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_an_upstream_that_vanishes_is_told(how: str) -> None:
    """Without a goodbye the client gets 1014, for 1006 cannot be said."""
    async with relayed() as (client, end, _):
        if how == "close":
            end.wire.writer.close()
        else:
            end.wire.reset()
        assert (await client.hear()).code == 1014


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_client_that_vanishes_takes_its_leg_along(how: str) -> None:
    """Upstream hears of it within 100 ms, while a task runs too; the line says 1006."""
    held = Upstream()
    async with scripted(held) as upstream, rig(upstream.url) as made:
        async with calling(made.url) as wire:
            client = await shake(wire)
            end = await held.ends.get()
            await client.say(run_task("t", "m"))
            await end.hear()
            if how == "close":
                wire.writer.close()
            else:
                wire.reset()
            async with asyncio.timeout(0.1):
                assert (await end.hear()).code == 1001
        await end.wire.gone()
        visit = await made.finished()
        assert (visit.status, visit.close_code) == (101, 1006)


async def test_a_client_that_leaves_while_it_is_held_back_is_noticed() -> None:
    """Nobody reads from it then: its leaving is looked for, and ends the stuck leg at once."""
    held = Upstream()
    async with scripted(held) as upstream, rig(upstream.url) as made:
        async with calling(made.url) as wire:
            client = await shake(wire, REALTIME)
            end = await held.ends.get()
            done: list[int] = []
            flood = asyncio.ensure_future(flooding(client, event_of_size(64 * 1024), done))
            await settled(lambda: len(done))
            flood.cancel()
            await asyncio.gather(flood, return_exceptions=True)
            wire.reset()
        async with asyncio.timeout(1):  # far less than any timer that would end it anyway
            assert (await made.finished()).close_code == 1006
        await end.wire.gone()


@pytest.mark.parametrize("size", [1000, 1001, 5 * MIB])
async def test_a_message_has_a_limit(size: int) -> None:
    """What is as long as the limit crosses; what is longer ends the socket with 1009, both ways."""
    for side in range(2):
        async with relayed(limits(1000)) as (client, end, _):
            giving, taking = (client, end) if side else (end, client)
            writing = asyncio.ensure_future(giving.say(event_of_size(size)))
            heard = await taking.hear()
            if size > 1000:
                assert heard.code == 1009
                assert (await giving.hear()).code == 1009
            else:
                assert len(heard.data) == size
            await asyncio.gather(writing, return_exceptions=True)
            giving.wire.writer.close()  # or the rest of what it sends would be waited for


async def test_a_message_that_is_too_long_may_come_slowly() -> None:
    """Its rest is heard out for longer than a goodbye takes: a reset would swallow the 1009."""
    async with relayed(limits(1000)) as (client, _, __):
        pieces = 30
        whole = frame(TEXT, bytes(pieces * 1000))
        for at in range(0, len(whole), 1000):
            await client.wire.send(whole[at : at + 1000])
            await asyncio.sleep(2 * GOODBYE / pieces)
        assert (await client.hear()).code == 1009


async def test_fragments_count_together() -> None:
    """The limit is the message's, however it is cut."""
    async with relayed(limits(1000)) as (client, end, _):
        for kind in (BINARY, 0):
            await client.wire.send(frame(kind, bytes(600), is_last=False))
        assert (await client.hear()).code == 1009
        assert (await end.hear()).code == 1009


async def test_silence_on_both_sides_ends_it() -> None:
    """After the idle time, counted from the last message either way; pings do not count."""
    async with relayed(limits(idle=0.7)) as (client, end, _):
        for giving, taking in [(client, end)] * 5 + [(end, client)] * 5:
            await asyncio.sleep(0.16)  # together longer than the idle time
            await giving.say("{}")
            assert (await taking.hear()).data == b"{}"
        await client.say(b"", PING)
        assert (await client.hear()).kind == PONG
        assert (await client.hear()).code == (await end.hear()).code == 1001


@pytest.mark.parametrize("dead", ["client", "upstream"])
async def test_the_dead_are_noticed(dead: str) -> None:
    """Who says nothing is asked, and without an answer given up; the other side is told."""
    async with relayed(limits(heartbeat=0.1)) as (client, end, _):
        quiet, lively = (client, end) if dead == "client" else (end, client)
        while (heard := await lively.hear()).kind == PING:
            await lively.say(heard.data, PONG)
        assert heard.code == (1001 if dead == "client" else 1014)
        assert (await quiet.hear()).kind == PING


async def flooding(end: End, piece: bytes, done: list[int]) -> None:
    while True:
        await end.say(piece)
        done.append(len(piece))


@pytest.mark.parametrize("slow", ["client", "upstream"])
async def test_the_slow_slow_the_other_end_down(slow: str) -> None:
    """What is sent to an end that does not read stays with its sender; nothing of it is lost.

    Beyond what the kernel holds for two connections the proxy takes a bounded amount in.
    """
    piece = event_of_size(64 * 1024)
    async with relayed() as (client, end, _):
        giving, taking = (end, client) if slow == "client" else (client, end)
        done: list[int] = []
        flood = asyncio.ensure_future(flooding(giving, piece, done))
        sent = await settled(lambda: len(done))
        assert 0 < sent < 600, "the sender was not held back"  # 600 are 37 MiB
        for _ in range(sent + 200):
            assert (await taking.hear()).data == piece
        assert len(done) >= sent + 200
        flood.cancel()
        await asyncio.gather(flood, return_exceptions=True)
        taking.wire.writer.close()  # or the proxy would wait for it to take the rest


async def living(end: End, signs: list[None]) -> None:
    while True:
        await end.say("{}")
        signs.append(None)
        await asyncio.sleep(0.02)


async def test_a_stalled_reader_is_not_taken_for_dead() -> None:
    """While the client takes nothing, upstream is not read: that is no silence of its own."""
    async with relayed(limits(heartbeat=0.5)) as (client, end, _):
        done: list[int] = []
        signs: list[None] = []
        tasks = [asyncio.ensure_future(flooding(end, bytes(64 * 1024), done))]
        tasks.append(asyncio.ensure_future(living(client, signs)))
        sent = await settled(lambda: len(done))
        await eventually(lambda: len(signs) > 60)  # more than two heartbeats
        for _ in range(sent + 50):
            assert (await client.hear()).kind == BINARY
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def descriptors() -> int:
    """How many this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_two_hundred_sockets_leave_nothing() -> None:
    """Opened, used and dropped, politely or not: no task, no descriptor is left."""
    async with scripted(obeying) as upstream, rig(upstream.url) as made:
        before = len(asyncio.all_tasks())
        open_before = descriptors()

        async def one(number: int) -> None:
            async with calling(made.url) as wire:
                client = await shake(wire)
                await client.say(run_task("t", "m"))
                await client.hear()
                if number % 3 == 0:
                    await client.say(go_on("t", "finish-task"))
                    await client.close(1000)
                    await wire.gone()
                elif number % 3 == 1:
                    wire.reset()

        for start in range(0, 200, 50):
            await asyncio.gather(*map(one, range(start, start + 50)))
        await made.finished(200)
        await eventually(lambda: not upstream.running)
        await eventually(lambda: len(asyncio.all_tasks()) <= before)
        await eventually(lambda: descriptors() <= open_before)
        assert upstream.connections == 200
        assert made.telemetry.running == 0
        assert len(made.gateway.sockets) == 0


async def test_a_line_tells_of_the_whole_socket() -> None:
    """One per socket, at its end: bytes of messages, how it ended, and whom it was about."""
    async with scripted(obeying) as upstream, rig(upstream.url) as made:
        async with shaken(made.url) as client:
            first = run_task("t", "m")
            await client.say(first)
            told = await client.hear()
            await client.say(b"12345")
            assert (await client.hear()).data == b"12345"
            await client.close(4000)
            assert (await client.hear()).kind == CLOSE
        visit = await made.finished()
        assert (visit.route, visit.status, visit.close_code) == ("socket-inference", 101, 4000)
        assert (visit.token, visit.account, visit.model) == ("g1", "main", "m")
        assert visit.upstream_status == 101
        assert visit.bytes_out == len(told.data) + 5
        assert made.telemetry.bugs == []
