"""One connection and a peer that does only what a test says, byte by byte."""

import asyncio
import select
import socket
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from edge.ends import drain
from edge.rig import PATIENCE, account, eventually

from proxy.core.errors import ProxyError, Situation, UnreachableError
from proxy.edge.transport.connection import Connection
from proxy.edge.transport.origins import head_of, origin_of
from proxy.ports import Call

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
URL = "http://up.test"
SILENCE = 0.3
"""The read timeout of tests that are about it: short, because they wait for it."""


def call(body: AsyncIterator[bytes] | bytes | None = None, read_timeout: float = PATIENCE) -> Call:
    return Call("POST", account(URL), "/x", (), body, read_timeout)


async def asked(connection: Connection, made: Call, length: int | None = None) -> bytes:
    """The whole body of the answer; the connection is left."""
    head = head_of(made, origin_of(URL), chunked=made.body is not None and length is None)
    try:
        answer = await connection.ask(made, head, length)
        return b"".join([chunk async for chunk in answer.chunks()])
    finally:
        connection.leave()
        await connection.ended()


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Connection, socket.socket]]:
    """A connection, and its peer as a plain socket."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
        peer, _ = server.accept()
    with peer:
        peer.settimeout(PATIENCE)
        yield connection, peer
        connection.give_up()


async def read(peer: socket.socket, end: bytes) -> bytes:
    """What the peer is told, up to and with `end`."""
    peer.setblocking(False)  # noqa: FBT003 - its only form
    told = b""
    async with asyncio.timeout(PATIENCE):
        while not told.endswith(end):
            told += await asyncio.get_running_loop().sock_recv(peer, 65536)
    peer.settimeout(PATIENCE)
    return told


async def test_head_and_small_body_leave_together() -> None:
    """One write, so that upstream does not wake up twice."""
    async with connected() as (connection, peer):
        asking = asyncio.ensure_future(asked(connection, call(b"{}"), 2))
        await eventually(lambda: select.select([peer], [], [], 0)[0])
        assert peer.recv(65536) == b"POST /x HTTP/1.1\r\nHost: up.test\r\n\r\n{}"
        peer.sendall(OK)
        assert await asking == b"{}"
        assert connection.is_reusable


async def test_one_call_after_the_other() -> None:
    """A connection that is left clean serves again."""
    async with connected() as (connection, peer):
        for _ in range(3):
            asking = asyncio.ensure_future(asked(connection, call()))
            await read(peer, b"\r\n\r\n")
            peer.sendall(OK)
            assert await asking == b"{}"
            assert connection.is_reusable
            assert connection.is_alive


@pytest.mark.parametrize("ending", ["close", "reset", "bytes"])
async def test_the_kernel_knows_before_the_loop_does(ending: str) -> None:
    """A connection that ended a moment ago is not alive, though nobody has been told so yet."""
    async with connected() as (connection, peer):
        asking = asyncio.ensure_future(asked(connection, call()))
        await read(peer, b"\r\n\r\n")
        peer.sendall(OK)
        await asking
        assert connection.is_alive
        if ending == "bytes":
            peer.sendall(b"HTTP/1.1 200 OK\r\n")
        elif ending == "close":
            peer.close()
        else:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            peer.close()
        assert connection.is_reusable  # the loop has not had its turn
        assert not connection.is_alive


async def test_bytes_that_nobody_asked_for_end_it() -> None:
    """Whatever they are, they answer no call."""
    async with connected() as (connection, peer):
        peer.sendall(OK)
        await eventually(lambda: not connection.is_reusable)
        assert peer.recv(1) == b""


async def test_bytes_behind_an_answer_end_it() -> None:
    """Those that come later, while the answer is not left yet; the answer itself is good."""
    async with connected() as (connection, peer):
        asking = asyncio.ensure_future(connection.ask(call(), b"GET / HTTP/1.1\r\n\r\n", None))
        await read(peer, b"\r\n\r\n")
        peer.sendall(OK)
        answer = await asking
        peer.sendall(b"x")
        await eventually(lambda: not connection.is_reusable)
        assert [chunk async for chunk in answer.chunks()] == [b"{}"]
        connection.leave()
        await connection.ended()
        assert not connection.is_reusable


async def test_what_ended_before_is_not_asked() -> None:
    """A new connection on which something came unasked, as it may with TLS: nothing leaves."""
    async with connected() as (connection, peer):
        peer.sendall(OK)
        await eventually(lambda: not connection.is_reusable)
        with pytest.raises(UnreachableError):
            await connection.ask(call(), b"GET / HTTP/1.1\r\n\r\n", None)
        assert await asyncio.to_thread(peer.recv, 1) == b""


@pytest.mark.parametrize("body", [b"{", b"{}GET / HTTP/1.1\r\n\r\n"])
async def test_a_body_is_as_long_as_was_told(body: bytes) -> None:
    """More of it would be the next request, and less would take the next one for its rest."""
    async with connected() as (connection, peer):
        with pytest.raises(ValueError, match="Content-Length"):
            await asked(connection, call(body), 2)
        assert not select.select([peer], [], [], 0)[0]


async def test_an_answer_given_without_listening_ends_it() -> None:
    """The next request would wait behind what of this one has not gone out."""
    size = 2**25
    async with connected() as (connection, peer):
        asking = asyncio.ensure_future(asked(connection, call(bytes(size)), size))
        await eventually(lambda: select.select([peer], [], [], 0)[0])
        peer.sendall(OK)
        assert await asking == b"{}"
        assert not connection.is_reusable


async def test_a_peer_that_takes_a_little_is_not_silent() -> None:
    """Each byte it takes begins its time anew, also where the body is all here."""
    size, patience = 2**25, 1.5
    async with connected() as (connection, peer):
        asking = asyncio.ensure_future(asked(connection, call(bytes(size), patience), size))
        loop = asyncio.get_running_loop()
        peer.setblocking(False)  # noqa: FBT003 - its only form
        for _ in range(4):  # as much at a time as makes the kernel ask for more
            await asyncio.sleep(patience / 3)  # the rule is about time: nothing else can show it
            await asyncio.wait_for(loop.sock_recv(peer, 2**22), PATIENCE)
        assert not asking.done()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


async def test_a_peer_that_says_a_little_is_not_silent() -> None:
    """Each byte of its answer begins its time anew."""
    patience = 0.9
    async with connected() as (connection, peer):
        asking = asyncio.ensure_future(asked(connection, call(read_timeout=patience)))
        await read(peer, b"\r\n\r\n")
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
        for at in range(4):
            await asyncio.sleep(patience / 3)  # the rule is about time: nothing else can show it
            peer.sendall(b"slow"[at : at + 1])
        assert await asking == b"slow"


async def test_an_early_answer_that_stops_is_silent() -> None:
    """Once it has begun it is the peer's turn, also while a body is still to come."""

    async def body() -> AsyncIterator[bytes]:
        yield b"a"
        await asyncio.Event().wait()

    async with connected() as (connection, peer):
        asking = asyncio.ensure_future(asked(connection, call(body(), SILENCE), 2))
        await read(peer, b"a")
        peer.sendall(OK[:-1])
        with pytest.raises(ProxyError) as caught:
            await asyncio.wait_for(asking, PATIENCE)
        assert caught.value.situation is Situation.GATEWAY_TIMEOUT


@pytest.mark.parametrize("size", [0, 2**25], ids=["answer", "body"])
async def test_a_peer_that_does_nothing_is_silent(size: int) -> None:
    """It takes nothing, or says nothing: upstream did not answer in time, and is cut off."""
    async with connected() as (connection, peer):
        body = bytes(size) or None
        with pytest.raises(ProxyError) as caught:
            await asked(connection, call(body, SILENCE), size or None)
        assert caught.value.situation is Situation.GATEWAY_TIMEOUT
        assert not connection.is_reusable
        assert await asyncio.to_thread(was_reset, peer) is bool(size)


async def test_a_whole_answer_is_silent_no_more() -> None:
    """However long its client takes over it, the connection serves again."""
    async with connected() as (connection, peer):
        made = call(read_timeout=SILENCE)
        asking = asyncio.ensure_future(connection.ask(made, b"GET / HTTP/1.1\r\n\r\n", None))
        await read(peer, b"\r\n\r\n")
        peer.sendall(OK)
        await asking
        await asyncio.sleep(2 * SILENCE)  # the rule is about time: nothing else can show it
        assert connection.leave()


def was_reset(peer: socket.socket) -> bool:
    """Whether the connection ends with a reset."""
    peer.settimeout(PATIENCE)
    try:
        drain(peer)
    except ConnectionResetError:
        return True
    return False


async def test_leaving_early_gives_it_up() -> None:
    """In the middle of an answer; whoever still walks its chunks hears of a break."""
    async with connected() as (connection, peer):
        asking = asyncio.ensure_future(connection.ask(call(), b"GET / HTTP/1.1\r\n\r\n", None))
        await read(peer, b"\r\n\r\n")
        peer.sendall(OK[:-1])
        answer = await asking
        connection.leave()
        await connection.ended()
        assert not connection.is_reusable
        chunks = answer.chunks()
        assert await anext(chunks) == b"{"
        with pytest.raises(ProxyError):
            await anext(chunks)


async def test_an_upload_that_is_given_up_is_reset() -> None:
    """What lies in our buffer does not go out first, however slowly that would be."""

    async def body() -> AsyncIterator[bytes]:
        while True:
            yield bytes(2**20)

    async with connected() as (connection, peer):
        asking = asyncio.ensure_future(asked(connection, call(body())))
        await eventually(lambda: select.select([peer], [], [], 0)[0])
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await asyncio.to_thread(was_reset, peer)


async def test_a_peer_that_goes_frees_the_upload() -> None:
    """A body that waits for room is asked for no more, and the call fails."""

    async def body() -> AsyncIterator[bytes]:
        while True:
            yield bytes(2**20)

    async with connected() as (connection, peer):
        asking = asyncio.ensure_future(asked(connection, call(body())))
        await eventually(lambda: select.select([peer], [], [], 0)[0])
        peer.close()
        with pytest.raises(ProxyError) as caught:
            await asking
        assert caught.value.situation is Situation.BAD_GATEWAY


async def test_it_died_unheard_only_if_nothing_came() -> None:
    """The one case in which a request may be sent again."""
    for said in (b"", b"H"):
        async with connected() as (connection, peer):
            asking = asyncio.ensure_future(asked(connection, call()))
            await read(peer, b"\r\n\r\n")
            peer.sendall(said)
            await eventually(lambda: True)
            peer.close()
            with pytest.raises(ProxyError):
                await asking
            await eventually(lambda: not connection.is_alive)
            assert connection.died_unheard is (said == b"")
    async with connected() as (connection, _):  # it is ours to give up the one that is silent
        with pytest.raises(ProxyError):
            await asked(connection, call(read_timeout=SILENCE))
        await asyncio.sleep(0)
        assert not connection.died_unheard


STREAMS = 200
EACH = 32 * 1024
"""Bytes that an open stream may take, quiet or slow."""


async def test_a_quiet_stream_takes_little() -> None:
    """Two hundred answers that have begun, and said one thing that was taken."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(connected())  # what is loaded once is loaded
        kept = []
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(STREAMS):
            connection, peer = await stack.enter_async_context(connected())
            asking = asyncio.ensure_future(connection.ask(call(), b"GET / HTTP/1.1\r\n\r\n", None))
            await read(peer, b"\r\n\r\n")
            peer.sendall(head + b"5\r\nhello\r\n")
            answer = await asking
            kept.append(answer)
            assert await anext(answer.chunks()) == b"hello"
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
    assert grown < STREAMS * EACH
