"""A client that leaves takes its upstream call with it, in every phase, and leaves nothing behind.

Each phase is reached and left a hundred times. What is measured is the time from the client's
close until upstream's kernel knows; what is counted afterwards is tasks, descriptors, requests.
"""

import asyncio
import dataclasses
import select
import socket
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeAlias

import pytest
from edge.rig import (
    BODY,
    BOTH,
    LIMITS,
    PATIENCE,
    PLAIN,
    SUBMIT,
    TENANT,
    UNJUDGED,
    Client,
    Conversation,
    Rig,
    answering,
    eventually,
    head_of,
    ok,
    request,
    rig,
    scripted,
    settled,
    task_answer,
)

from proxy.core.tasks import TaskRecord
from proxy.edge.spool import IN_MEMORY

TIMES = 100
AT_ONCE = 10
SOON = 0.1
"""Seconds in which upstream knows: the median of all tries."""

AT_WORST = 2.0
"""Seconds for the slowest try, on a machine that does other things as well."""

SMALL = 8 * 1024
"""Bytes asked for as a kernel buffer, so that little fills it."""

LATE = b'{"input":{"prompt":"' + b"x" * (2 * IN_MEMORY)
"""A body that has not named its model yet and is too long for memory."""


class Line:
    """Upstream's end of one connection, as the kernel has it: seen even while nobody reads."""

    def __init__(self, peer: socket.socket) -> None:
        self._peer = peer
        self._loop = asyncio.get_running_loop()
        self._look = select.poll()
        self._look.register(peer.fileno(), select.POLLRDHUP)
        self.sent = 0

    @property
    def is_gone(self) -> bool:
        return bool(self._look.poll(0))

    async def heard(self, *ends: bytes) -> None:
        """Read until all of these have come, in this order."""
        taken = b""
        async with asyncio.timeout(PATIENCE):
            for end in ends:
                while end not in taken:
                    taken += await self._loop.sock_recv(self._peer, 65536)
                taken = taken.partition(end)[2]

    async def say(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._peer, data)

    async def flood(self) -> None:
        """Say as much as anybody takes."""
        piece = b"10000\r\n" + bytes(65536) + b"\r\n"
        await self.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        pouring = asyncio.create_task(self._pour(piece))
        await settled(lambda: self.sent, looks=15)
        pouring.cancel()

    async def _pour(self, piece: bytes) -> None:
        while True:
            await self.say(piece)
            self.sent += len(piece)


class Upstream:
    """Accepts; nobody reads or answers but the test."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        self._server.setblocking(False)  # noqa: FBT003 - its only form
        self._peers: list[socket.socket] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.getsockname()[1]}"

    async def line(self) -> Line:
        """The next connection."""
        async with asyncio.timeout(PATIENCE):
            peer, _ = await asyncio.get_running_loop().sock_accept(self._server)
        self._peers.append(peer)
        return Line(peer)

    def hang_up(self) -> None:
        for peer in self._peers:
            peer.close()
        self._peers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        self._server.close()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    """A client whose kernel takes little ahead of it."""
    host, _, port = url.removeprefix("http://").partition(":")
    end = socket.socket()
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    end.setblocking(False)  # noqa: FBT003 - its only form
    await asyncio.get_running_loop().sock_connect(end, (host, int(port)))
    client = Client(*await asyncio.open_connection(sock=end))
    try:
        yield client
    finally:
        await client.close()


Way: TypeAlias = Callable[[Client, Upstream], Awaitable[Line]]
"""How a phase is reached; the connection to upstream that it is about."""


def leave(client: Client) -> None:
    client.writer.transport.abort()


def leave_with_a_reset(client: Client) -> None:
    client.reset()


def shut(client: Client) -> None:
    """Close the sending side only."""
    client.writer.write_eof()


@dataclass(frozen=True)
class Phase:
    reach: Way
    leave: Callable[[Client], None] = leave


def whole(data: bytes, said: bytes = b"") -> Way:
    """The request goes up whole; upstream says this much of an answer."""

    async def reach(client: Client, upstream: Upstream) -> Line:
        await client.send(data)
        line = await upstream.line()
        await line.heard(b"\r\n\r\n", *filter(None, [data.partition(b"\r\n\r\n")[2]]))
        if said:
            await line.say(said)
            await client.until(said[-4:])
        return line

    return reach


def uploading(path: str, framing: bytes, piece: bytes) -> Way:
    """A first piece of the body is with upstream, the rest is to come."""

    async def reach(client: Client, upstream: Upstream) -> Line:
        await client.send(head_of("POST", path, framing), piece)
        line = await upstream.line()
        await line.heard(b"\r\n\r\n", b'"wan2.6-t2v"')
        return line

    return reach


async def stuck_upload(client: Client, upstream: Upstream) -> Line:
    """Upstream takes nothing of a large body, and all buffers on the way are full."""
    client.writer.write(head_of("POST", PLAIN, b"Content-Length: %d" % 2**25) + BODY[:-2])
    line = await upstream.line()
    transport = client.writer.transport
    for _ in range(2**7):
        client.writer.write(b" " * 2**17)
    await settled(transport.get_write_buffer_size, looks=15)
    assert transport.get_write_buffer_size()
    return line


async def full_buffer(client: Client, upstream: Upstream) -> Line:
    """The client takes nothing of a large answer, and all buffers on the way are full."""
    client.reader._transport.pause_reading()  # type: ignore[attr-defined]  # noqa: SLF001 - a client asleep
    await client.send(request("POST", PLAIN, BODY))
    line = await upstream.line()
    await line.heard(b"\r\n\r\n", BODY)
    await line.flood()
    return line


async def kept_alive(client: Client, upstream: Upstream) -> Line:
    """The second request of a connection, held, after a first that was answered whole."""
    line = await whole(request("POST", PLAIN, BODY), ok(b"{}    "))(client, upstream)
    await client.send(request("POST", PLAIN, BODY))
    await line.heard(b"\r\n\r\n", BODY)
    return line


CHUNKED = b"Transfer-Encoding: chunked"
SIZED = b"Content-Length: 100000"
FIRST = b"%x\r\n%b\r\n" % (len(BODY[:-2]), BODY[:-2])
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + CHUNKED + b"\r\n\r\n"
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 500
CALL = request("POST", PLAIN, BODY)
POLL = request("GET", "/task/task-1", None)

PHASES = {
    "nothing answered": Phase(whole(CALL)),
    "nothing answered, half closed": Phase(whole(CALL), shut),
    "nothing answered, reset": Phase(whole(CALL), leave_with_a_reset),
    "second request": Phase(kept_alive),
    "second request, half closed": Phase(kept_alive, shut),
    "in a stream, before a frame": Phase(whole(CALL, STREAM)),
    "in a stream": Phase(whole(CALL, STREAM + b"8\r\ndata:1\n\n\r\n")),
    "in a stream, half closed": Phase(whole(CALL, STREAM + b"8\r\ndata:1\n\n\r\n"), shut),
    "half an answer": Phase(whole(CALL, HALF)),
    "poll": Phase(whole(POLL)),
    "upload, judged, length": Phase(uploading(PLAIN, SIZED, BODY[:-2])),
    "upload, judged, chunks": Phase(uploading(PLAIN, CHUNKED, FIRST)),
    "upload, unjudged, length": Phase(uploading(UNJUDGED, SIZED, BODY[:-2])),
    "upload, unjudged, chunks": Phase(uploading(UNJUDGED, CHUNKED, FIRST)),
    "upload, half closed": Phase(uploading(PLAIN, SIZED, BODY[:-2]), shut),
    "upload of a submit": Phase(uploading(SUBMIT, SIZED, BODY[:-2])),
    "stuck upload": Phase(stuck_upload, leave_with_a_reset),
    "full buffer": Phase(full_buffer),
    "full buffer, half closed": Phase(full_buffer, shut),
}


@dataclass(frozen=True)
class Place:
    """A proxy with an upstream of its own, so that several clients can leave at a time."""

    upstream: Upstream
    made: Rig

    async def once(self, phase: Phase) -> float:
        """Reach the phase and leave; the seconds until upstream knew."""
        async with connected(self.made.url) as client:
            line = await phase.reach(client, self.upstream)
            started = time.perf_counter()
            phase.leave(client)
            await eventually(lambda: line.is_gone)
            seconds = time.perf_counter() - started
        self.upstream.hang_up()
        await eventually(lambda: self.made.telemetry.running == 0)
        return seconds


def held() -> tuple[int, int]:
    """Tasks and descriptors of this process."""
    return len(asyncio.all_tasks()), len(list(Path("/proc/self/fd").iterdir()))


async def nothing_is_left(made: Rig, before: tuple[int, int]) -> None:
    await eventually(lambda: made.telemetry.running == 0)
    try:
        await eventually(lambda: held() <= before)
    except TimeoutError:
        assert held() == before, "tasks, descriptors"
    assert not made.telemetry.bugs


def assert_soon(seconds: list[float]) -> None:
    assert statistics.median(seconds) < SOON
    assert max(seconds) < AT_WORST


@pytest.mark.parametrize("name", PHASES)
async def test_whoever_leaves_takes_the_call_along(name: str) -> None:
    """Upstream's connection is gone within 100 ms of the client's leaving, and all else with it."""
    phase = PHASES[name]
    limits = dataclasses.replace(LIMITS, max_body=2**26)
    task = TaskRecord("task-1", TENANT, "g1", "main", "wan2.6-t2v", time.time(), "up", {})

    async with AsyncExitStack() as stack:
        places = []
        for _ in range(AT_ONCE):
            upstream = stack.enter_context(Upstream())
            made = rig(upstream.url, limits=limits, scopes=BOTH)
            places.append(Place(upstream, await stack.enter_async_context(made)))
            await places[-1].made.store.claim(task)
        await asyncio.gather(*(place.once(phase) for place in places))
        before = held()
        seconds: list[float] = []
        for _ in range(TIMES // AT_ONCE):
            seconds += await asyncio.gather(*(place.once(phase) for place in places))
        assert_soon(seconds)
        for place in places:
            await nothing_is_left(place.made, before)
            assert {visit.status for visit in place.made.telemetry.visits} <= {200, 499}


async def test_a_body_that_waits_for_its_model_is_let_go() -> None:
    """A spooled body goes with its client: the space for one serves one after the other."""
    limits = dataclasses.replace(LIMITS, spool=3 * len(LATE))
    seconds = []
    async with (
        scripted(answering(ok())) as upstream,
        rig(upstream.url, limits=limits) as made,
    ):
        before = held()
        for number in range(1, TIMES + 1):
            async with connected(made.url) as client:
                await client.send(head_of("POST", PLAIN, b"Content-Length: 2000000"), LATE)
                await eventually(lambda: made.telemetry.running == 1)
                await eventually(lambda: held()[1] > before[1] + 2)  # both ends, and the file
                started = time.perf_counter()
                leave(client)
                await made.finished(number)
                seconds.append(time.perf_counter() - started)
            # A thread that was writing when the client left gives the space back when it is done.
            await eventually(lambda: held() <= before)
        assert_soon(seconds)
        assert not upstream.connections
        assert {(visit.status, visit.code) for visit in made.telemetry.visits} == {(499, "")}
        await nothing_is_left(made, before)


async def test_a_submit_that_was_sent_whole_is_not_given_up() -> None:
    """Whoever leaves after all of a submit went up keeps the task: as many owned as were made."""
    gone = asyncio.Event()
    made_upstream = 0

    async def script(told: Conversation) -> None:
        nonlocal made_upstream
        await told.whole()
        await gone.wait()
        made_upstream += 1
        await told.send(task_answer(f"task-{made_upstream}"))

    async with scripted(script) as upstream, rig(upstream.url) as made:
        async with AsyncExitStack() as stack:
            for number in range(1, TIMES + 1):
                client = await stack.enter_async_context(connected(made.url))
                await client.send(made.post())
                await upstream.heard(number)
            await eventually(
                lambda: all(one.request.body == BODY for one in upstream.conversations)
            )
        await made.finished(TIMES)
        gone.set()
        await made.gateway.drained()
        owned = await made.store.tasks_of(TENANT, 0, time.time() + 1)
        assert len(owned) == made_upstream == TIMES
        assert {visit.status for visit in made.telemetry.visits} == {499}
