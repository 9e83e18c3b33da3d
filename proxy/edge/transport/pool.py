"""Connections that wait for the next call, and those that calls are on."""

import asyncio
from collections import defaultdict, deque

from proxy.edge.transport.connection import Connection
from proxy.edge.transport.origins import Origin

KEEP_ALIVE = 15.0
"""Seconds an idle connection is kept: well below upstream's own limit, because a request sent
on a connection that is being closed may or may not have arrived, and a submit costs money."""


class Pool:
    """Idle connections by origin. The warmest leaves first, so that the others grow old."""

    def __init__(self, keep_alive: float = KEEP_ALIVE) -> None:
        self._keep_alive = keep_alive
        self._idle: defaultdict[Origin, deque[tuple[float, Connection]]] = defaultdict(deque)
        self._sweeping: asyncio.TimerHandle | None = None
        self._is_closed = False

    def take(self, origin: Origin) -> Connection | None:
        """One that is alive still, or None."""
        idle = self._idle[origin]
        while idle:
            until, connection = idle.pop()
            # A loop that was held up sweeps late, and what is too old may be closing already.
            if until > asyncio.get_running_loop().time() and connection.is_alive:
                return connection
            connection.give_up()
        return None

    def put(self, origin: Origin, connection: Connection) -> None:
        """Keep one for the next call, for a while."""
        if self._is_closed:
            connection.give_up()
            return
        loop = asyncio.get_running_loop()
        self._idle[origin].append((loop.time() + self._keep_alive, connection))
        if self._sweeping is None:
            self._sweeping = loop.call_later(self._keep_alive, self._sweep)

    def close(self) -> None:
        """Close all that are idle, and those that still come."""
        self._is_closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        for idle in self._idle.values():
            while idle:
                idle.pop()[1].give_up()

    def _sweep(self) -> None:
        """Close those that nobody has asked for, and look again when the next one is due."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for idle in self._idle.values():
            while idle and idle[0][0] <= now:
                idle.popleft()[1].give_up()
        due = min((idle[0][0] for idle in self._idle.values() if idle), default=None)
        self._sweeping = None if due is None else loop.call_at(due, self._sweep)
