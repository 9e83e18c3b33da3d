"""One end of a WebSocket, as a relay sees it."""

import asyncio
import dataclasses
from typing import Self

import pytest
from edge.rig import PATIENCE, Conversation, account, scripted
from edge.wsrig import CLOSE, PING, PONG, End, accept

from proxy.edge.transport import WireUpstream
from proxy.ports import Call, Closed, Message, PeerGoneError, Terms

TERMS = Terms(max_message=1000, patience=PATIENCE, heartbeat=PATIENCE)


class Held:
    """An upstream whose end the test holds."""

    def __init__(self) -> None:
        self.end: asyncio.Future[End] = asyncio.get_running_loop().create_future()

    async def __call__(self, told: Conversation) -> None:
        self.end.set_result(await accept(told))
        await asyncio.Event().wait()


class Pair:
    """A peer and the end it speaks with."""

    def __init__(self, terms: Terms = TERMS) -> None:
        self._terms = terms
        self._session = WireUpstream(connect_timeout=PATIENCE)

    async def __aenter__(self) -> Self:
        held = Held()
        self._upstream = scripted(held)
        await self._upstream.__aenter__()
        await self._session.open()
        call = Call("GET", account(self._upstream.url), "/", [], None, PATIENCE)
        self._opening = self._session.connect(call, self._terms)
        self.peer = await self._opening.__aenter__()
        self.end = await held.end
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._opening.__aexit__(None, None, None)
        await self._session.close()
        await self._upstream.__aexit__()


async def test_messages_come_in_order_and_then_the_end() -> None:
    """The end is told for ever after."""
    async with Pair() as pair:
        await pair.end.say("text")
        await pair.end.say(b"bytes")
        await pair.end.close(4000, "enough")
        assert await pair.peer.next() == Message(b"text", is_text=True)
        assert await pair.peer.next() == Message(b"bytes", is_text=False)
        for _ in range(7):
            assert await pair.peer.next() == Closed(4000, "enough")


async def filling(pair: Pair) -> None:
    while True:
        await pair.peer.send(Message(bytes(64 * 1024), is_text=False))


async def test_who_takes_nothing_is_gone() -> None:
    """After `patience` seconds a message that is not taken is given up, and so is its end."""
    async with Pair(dataclasses.replace(TERMS, patience=0.2)) as pair:
        filled = asyncio.ensure_future(filling(pair))
        with pytest.raises(PeerGoneError):
            await filled


async def test_a_goodbye_waits_no_longer_than_it_is_told() -> None:
    """The other end has heard it, whether it answers or not."""
    async with Pair() as pair:
        async with asyncio.timeout(PATIENCE / 2):
            await pair.peer.close(Closed(3000, "bye"), 0.05)
        heard = await pair.end.hear()
        assert (heard.code, heard.reason) == (3000, "bye")
        await pair.end.wire.gone()


async def test_a_breach_of_the_protocol_is_its_code() -> None:
    """A frame with a reserved bit, text that is no message's start: the code says what it was."""
    async with Pair() as pair:
        await pair.end.wire.send(b"\x70\x00")
        assert isinstance(ended := await pair.peer.next(), Closed)
        assert ended.code == 1002
        assert (await pair.end.hear()).code == 1002


async def test_silence_is_asked_about_once() -> None:
    """An answer, or anything else, is a sign of life; without one the end is given up."""
    async with Pair(dataclasses.replace(TERMS, heartbeat=0.2)) as pair:
        waiting = asyncio.ensure_future(pair.peer.next())
        for _ in range(2):
            heard = await pair.end.hear()
            assert heard.kind == PING
            await pair.end.say(heard.data, PONG)
        assert (await pair.end.hear()).kind == PING
        assert (await pair.end.hear()).kind == CLOSE
        await pair.end.close(1001)
        assert await waiting == Closed(1006)
