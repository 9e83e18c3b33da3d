"""The `Upstream` port on our own connections: one call, from its head to a clean end or a break."""

from contextlib import AbstractAsyncContextManager
from types import TracebackType

from proxy.core.errors import ProxyError
from proxy.core.headers import value_of
from proxy.core.routes import SAFE
from proxy.edge.channels import Channels
from proxy.edge.transport.answers import Answer
from proxy.edge.transport.connection import Connection
from proxy.edge.transport.dialling import Dialler
from proxy.edge.transport.origins import head_of, origin_of
from proxy.edge.transport.pool import Pool
from proxy.edge.transport.seats import Seat, Seats
from proxy.ports import Call, Channel, Terms


class WireUpstream:
    """The `Upstream` port for all accounts. `connect_timeout` is seconds."""

    def __init__(self, connect_timeout: float, dialler: Dialler | None = None) -> None:
        self._dialler = dialler or Dialler(connect_timeout)
        self._pool = Pool()
        self._seats = Seats(connect_timeout)
        self._channels = Channels(connect_timeout)

    async def open(self) -> None:
        """Be ready, within the running loop."""
        await self._channels.open()

    async def close(self) -> None:
        """Close all connections that no call is on."""
        self._pool.close()
        await self._channels.close()

    def send(self, call: Call) -> AbstractAsyncContextManager[Answer]:
        """See `proxy.ports.Upstream.send`."""
        return _Exchange(call, self._pool, self._dialler, self._seats)

    def connect(self, call: Call, terms: Terms) -> AbstractAsyncContextManager[Channel]:
        """See `proxy.ports.Upstream.connect`."""
        return self._channels.connect(call, terms)


class _Exchange:
    """One call and its answer: the context that `send` returns."""

    __slots__ = ("_call", "_connection", "_dialler", "_origin", "_pool", "_seat", "_seats")

    _connection: Connection | None

    def __init__(self, call: Call, pool: Pool, dialler: Dialler, seats: Seats) -> None:
        self._call = call
        self._pool = pool
        self._dialler = dialler
        self._origin = origin_of(call.account.url)
        self._connection = None
        self._seats = seats
        self._seat: Seat | None = None

    async def __aenter__(self) -> Answer:
        if self._call.account.connections is not None:
            self._seat = await self._seats.take(self._call.account)
        try:
            return await self._send()
        except BaseException:
            await self._abandon()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        connection = self._connection
        if connection is not None and connection.leave():
            self._pool.put(self._origin, connection)
            self._stand_up()
        else:
            await self._abandon()

    async def _send(self) -> Answer:
        """Send on a connection that waits or on a new one, and wait for the head."""
        call = self._call
        told = value_of(call.headers, "content-length")
        length = None if told is None else int(told)
        assert call.body is not None or not length, "a length without a body"  # noqa: S101 - upstream would wait for it, and take the next call for it
        chunked = call.body is not None and length is None
        head = head_of(call, self._origin, chunked=chunked)
        self._connection = used = self._pool.take(self._origin)
        if used is not None:
            try:
                return await used.ask(call, head, length)
            except ProxyError:
                if not (used.died_unheard and self._may_be_sent_again()):
                    raise
                used.leave()
        self._connection = fresh = await self._dialler.dial(self._origin)
        return await fresh.ask(call, head, length)

    async def _abandon(self) -> None:
        """Give up what there is, even where its answer came to an end just now."""
        try:
            connection = self._connection
            if connection is not None:
                connection.give_up()
                connection.leave()
                await connection.ended()
        finally:
            self._stand_up()

    def _stand_up(self) -> None:
        if self._seat is not None:
            self._seat.release()
            self._seat = None

    def _may_be_sent_again(self) -> bool:
        """Whether that does nothing twice, and the body, if any, is here still."""
        body = self._call.body
        return self._call.method in SAFE and (body is None or isinstance(body, bytes))
