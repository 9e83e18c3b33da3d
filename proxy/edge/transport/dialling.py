"""From an origin to an open connection: its name's addresses, one of them that answers, TLS."""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import aiohappyeyeballs

from proxy.edge.failures import out_of_reach, refused
from proxy.edge.transport.connection import Connection
from proxy.edge.transport.origins import Origin

NAMES_LAST = 10.0
"""Seconds that a name keeps its addresses: upstream moves its traffic by changing them."""

NEXT_ADDRESS = 0.25
"""Seconds until the next address is tried beside one that has not answered (RFC 8305)."""

Address: TypeAlias = aiohappyeyeballs.AddrInfoType
Lookup: TypeAlias = Callable[[str, int], Awaitable[list[Address]]]
"""Finds the addresses of a name and a port. Raises `OSError`."""


async def system_lookup(host: str, port: int) -> list[Address]:
    """What the system's resolver says."""
    loop = asyncio.get_running_loop()
    return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)  # type: ignore[return-value]  # its sockaddr is any tuple


class Names:
    """Addresses by name, for `kept` seconds. Each use begins with another one of them."""

    def __init__(self, lookup: Lookup = system_lookup, kept: float = NAMES_LAST) -> None:
        self._lookup = lookup
        self._kept = kept
        self._found: dict[tuple[str, int], asyncio.Task[deque[Address]]] = {}

    async def addresses(self, host: str, port: int) -> list[Address]:
        """All of them, in the order to try. Who asks at the same time waits for the same answer."""
        name = (host, port)
        found = self._found.get(name)
        if found is None:
            found = asyncio.get_running_loop().create_task(self._ask(host, port))
            self._found[name] = found
            found.add_done_callback(lambda task: self._asked(name, task))
        addresses = await asyncio.shield(found)
        addresses.rotate(-1)
        return list(addresses)

    def forget(self, host: str, port: int) -> None:
        """Ask anew next time: none of what was found is of use."""
        self._found.pop((host, port), None)

    async def _ask(self, host: str, port: int) -> deque[Address]:
        found = deque(await self._lookup(host, port))
        if not found:
            raise OSError("a name without an address")
        return found

    def _asked(self, name: tuple[str, int], task: asyncio.Task[deque[Address]]) -> None:
        """Keep what was found for a while; a failure is kept for nobody."""
        if task.cancelled() or task.exception() is not None:
            self._expire(name, task)
        else:
            asyncio.get_running_loop().call_later(self._kept, self._expire, name, task)

    def _expire(self, name: tuple[str, int], task: asyncio.Task[deque[Address]]) -> None:
        """Forget what this one found; who was asked since keeps its own time."""
        if self._found.get(name) is task:
            del self._found[name]


class Dialler:
    """Opens connections, each within `timeout` seconds, by whatever its name asks for.

    `trust` makes the TLS context, once and when it is needed: the system's authorities, unless
    somebody says otherwise.
    """

    def __init__(
        self,
        timeout: float,
        names: Names | None = None,
        trust: Callable[[], ssl.SSLContext] = ssl.create_default_context,
    ) -> None:
        self._timeout = timeout
        self._names = names or Names()
        self._trust = trust
        self._context: ssl.SSLContext | None = None

    async def dial(self, origin: Origin) -> Connection:
        """A new connection to an origin. Raises `UnreachableError`."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._connect(origin)
        except TimeoutError as error:
            raise out_of_reach() from error
        except (OSError, UnicodeError) as error:  # those of TLS, and of a name that can be none
            self._names.forget(origin.host, origin.port)
            raise refused() from error

    async def _connect(self, origin: Origin) -> Connection:
        addresses = await self._names.addresses(origin.host, origin.port)
        reached = await aiohappyeyeballs.start_connection(
            addresses, happy_eyeballs_delay=NEXT_ADDRESS
        )
        try:
            reached.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _, connection = await asyncio.get_running_loop().create_connection(
                Connection,
                sock=reached,
                ssl=self._tls() if origin.is_tls else None,
                server_hostname=origin.host if origin.is_tls else None,
            )
        except BaseException:
            reached.close()
            raise
        return connection

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = self._trust()
            self._context.set_alpn_protocols(["http/1.1"])
        return self._context
