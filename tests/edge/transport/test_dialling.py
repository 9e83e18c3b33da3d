"""Names, addresses and TLS: which server is reached, and in what time nobody is."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from edge.rig import answering, eventually, ok, scripted
from edge.transport.tls import HOST

from proxy.core.errors import Situation, UnreachableError
from proxy.edge.transport import dialling
from proxy.edge.transport.dialling import Address, Dialler, Names, system_lookup
from proxy.edge.transport.origins import Origin


class Directory:
    """A resolver that knows one name, and counts who asks for it."""

    def __init__(self, *hosts: str) -> None:
        self.hosts: Sequence[str] = hosts
        self.asked = 0
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, host: str, port: int) -> list[Address]:
        assert host == HOST
        self.asked += 1
        await self.go.wait()
        if not self.hosts:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        stream = socket.SOCK_STREAM
        return [(socket.AF_INET, stream, socket.IPPROTO_TCP, "", (one, port)) for one in self.hosts]


def at(port: int, *, is_tls: bool = False) -> Origin:
    return Origin(HOST, port, is_tls, f"{HOST}:{port}", "")


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


async def test_each_use_begins_with_another_address() -> None:
    """Load is shared out, and the name is asked for once."""
    directory = Directory("127.0.0.1", "127.0.0.2", "127.0.0.3")
    names = Names(directory)
    first = [(await names.addresses(HOST, 80))[0][4][0] for _ in range(4)]
    assert len(set(first[:3])) == 3
    assert first[3] == first[0]
    assert directory.asked == 1


async def test_who_asks_at_the_same_time_asks_once() -> None:
    """And one that loses patience takes nothing from the others."""
    directory = Directory("127.0.0.1")
    directory.go.clear()
    names = Names(directory)
    asking = [asyncio.ensure_future(names.addresses(HOST, 80)) for _ in range(3)]
    await asyncio.sleep(0)
    asking[0].cancel()
    directory.go.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1] == found[2]
    assert directory.asked == 1


async def test_a_failure_is_not_kept() -> None:
    """A name that could not be found a moment ago may be there now."""
    directory = Directory()
    names = Names(directory)
    for _ in range(2):
        with pytest.raises(socket.gaierror):
            await names.addresses(HOST, 80)
    directory.hosts = ["127.0.0.1"]
    assert await names.addresses(HOST, 80)
    assert directory.asked == 3


async def test_addresses_are_kept_for_a_short_time() -> None:
    """Upstream moves, and within seconds so do new connections."""
    directory = Directory("127.0.0.1")
    names = Names(directory, kept=0.02)
    await names.addresses(HOST, 80)
    await asyncio.sleep(0.05)  # the rule is about time: nothing else can show it
    await names.addresses(HOST, 80)
    assert directory.asked == 2
    assert dialling.NAMES_LAST <= 30


async def test_what_is_asked_anew_is_kept_as_long() -> None:
    """The end of what was forgotten is not the end of what came in its place."""
    directory = Directory("127.0.0.1")
    names = Names(directory, kept=0.2)
    await names.addresses(HOST, 80)
    await asyncio.sleep(0.15)  # the rule is about time
    names.forget(HOST, 80)
    await names.addresses(HOST, 80)
    await asyncio.sleep(0.1)
    await names.addresses(HOST, 80)
    assert directory.asked == 2


async def test_the_systems_own_lookup() -> None:
    """Literal addresses are addresses."""
    found = await system_lookup("127.0.0.1", 8081)
    assert [one[4] for one in found] == [("127.0.0.1", 8081)]


async def test_the_next_address_is_tried() -> None:
    """Where nobody listens at the first: one that is refused costs no time worth telling."""
    async with scripted(answering(ok())) as server:
        directory = Directory("127.0.0.3", "127.0.0.2", "127.0.0.1")
        connection = await Dialler(10, Names(directory)).dial(at(port_of(server.url)))
        assert connection.is_alive
        connection.give_up()


async def test_an_address_that_is_silent_does_not_cost_all_the_time(full_backlog: str) -> None:
    """Another one is tried beside it before long."""
    port = port_of(full_backlog)
    with socket.create_server(("127.0.0.2", port)):
        directory = Directory("127.0.0.2", "127.0.0.1")  # the second comes first
        async with asyncio.timeout(5):
            connection = await Dialler(10, Names(directory)).dial(at(port))
        connection.give_up()


@pytest.mark.parametrize("hosts", [(), ("127.0.0.1",), ("127.0.0.1", "127.0.0.2")])
async def test_nobody_there(hosts: Sequence[str]) -> None:
    """No such name, or nobody at any of its addresses; and next time the name is asked for anew."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    directory = Directory(*hosts)
    dialler = Dialler(10, Names(directory))
    for _ in range(2):
        with pytest.raises(UnreachableError) as caught:
            await dialler.dial(at(port))
        assert caught.value.situation is Situation.BAD_GATEWAY
        assert HOST not in caught.value.message
    assert directory.asked == 2


async def test_a_name_without_an_address() -> None:
    """A resolver that finds nothing, and has nothing to complain of."""

    async def nothing(_: str, __: int) -> list[Address]:
        return []

    with pytest.raises(UnreachableError):
        await Dialler(10, Names(nothing)).dial(at(80))


async def test_a_name_that_can_be_none() -> None:
    """A label of seventy letters is refused before anybody is asked."""
    with pytest.raises(UnreachableError):
        await Dialler(10).dial(Origin("x" * 70 + ".test", 80, is_tls=False, authority="", path=""))


async def test_connecting_has_its_time(full_backlog: str) -> None:
    """Names, addresses, TLS: all of it within the timeout."""
    slow = Directory("127.0.0.1")
    slow.go.clear()
    for directory in (slow, Directory("127.0.0.1")):
        with pytest.raises(UnreachableError) as caught:
            await Dialler(0.05, Names(directory)).dial(at(port_of(full_backlog)))
        assert caught.value.situation is Situation.GATEWAY_TIMEOUT
    slow.go.set()


# -- TLS -----------------------------------------------------------------------------------------


class Secured:
    """A TLS server that says hello in HTTP, and notes what it was asked for by name."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.named: list[str | None] = []
        self.protocols: list[str | None] = []


@asynccontextmanager
async def secured(certificate: Path) -> AsyncIterator[Secured]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, f"{certificate}.key")
    context.set_alpn_protocols(["h2", "http/1.1"])
    made = Secured(0)

    def name(_: ssl.SSLObject, server_name: str | None, __: ssl.SSLContext) -> None:
        made.named.append(server_name)

    context.sni_callback = name

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection: ssl.SSLObject = writer.get_extra_info("ssl_object")
        made.protocols.append(connection.selected_alpn_protocol())
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()


def trusting(certificate: Path, *hosts: str) -> Dialler:
    names = Names(Directory(*hosts or ("127.0.0.1",)))
    return Dialler(10, names, lambda: ssl.create_default_context(cafile=str(certificate)))


async def test_tls_asks_for_the_name(certificate: Path) -> None:
    """SNI says which of its sites is meant, and ALPN that it is HTTP/1.1."""
    async with secured(certificate) as server:
        connection = await trusting(certificate).dial(at(server.port, is_tls=True))
        await eventually(lambda: server.protocols)
        connection.give_up()
        assert (server.named, server.protocols) == ([HOST], ["http/1.1"])


async def test_tls_believes_only_what_is_proved(certificate: Path) -> None:
    """An unknown authority, another name, no TLS at all: not a byte of a request leaves."""

    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    plain = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with secured(certificate) as server, plain:
        other = Origin("127.0.0.2", server.port, is_tls=True, authority="", path="")
        tries = [
            (Dialler(10, Names(Directory("127.0.0.1"))), at(server.port, is_tls=True)),
            (Dialler(10, trust=lambda: ssl.create_default_context(cafile=str(certificate))), other),
            (trusting(certificate), at(plain.sockets[0].getsockname()[1], is_tls=True)),
        ]
        for dialler, origin in tries:
            with pytest.raises(UnreachableError) as caught:
                await dialler.dial(origin)
            assert caught.value.situation is Situation.BAD_GATEWAY
            assert caught.value.message == "Upstream refused the connection."


async def test_tls_that_never_shakes_hands_has_its_time(certificate: Path) -> None:
    """A server that takes the connection and says nothing is out of reach."""
    context = ssl.create_default_context(cafile=str(certificate))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        dialler = Dialler(0.05, Names(Directory("127.0.0.1")), lambda: context)
        with pytest.raises(UnreachableError) as caught:
            await dialler.dial(at(silent.getsockname()[1], is_tls=True))
        assert caught.value.situation is Situation.GATEWAY_TIMEOUT
