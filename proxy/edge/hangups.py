"""Clients that hang up while nobody reads from them.

A transport whose reading is paused is told nothing of its peer's end. Here the kernel is asked
for that end alone, whatever unread bytes lie before it: one poller for all connections of an
event loop, so that those on which nothing moves cost nothing.
"""

import asyncio
import select
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress

LOOK_EVERY = 0.05
"""Seconds between two looks where the kernel cannot tell by itself."""


class Hangups(ABC):
    """Tells once of each watched peer that closes its sending side, or resets the connection.

    Made within the running loop. After `close` nothing is watched any more, and nobody told.
    """

    def __init__(self) -> None:
        self._told: dict[int, Callable[[], None]] = {}
        self._loop = asyncio.get_running_loop()

    @abstractmethod
    def watch(self, descriptor: int, tell: Callable[[], None]) -> None:
        """Call `tell`, soon, when this socket's peer hangs up, or if it has done so already."""

    @abstractmethod
    def forget(self, descriptor: int) -> None:
        """Watch no longer; to be said before the descriptor is closed. Unknown ones are ignored."""

    @abstractmethod
    def close(self) -> None:
        """Let go of all. Safe to call twice."""

    def _tell(self, descriptors: list[int]) -> None:
        for descriptor in descriptors:
            tell = self._told.get(descriptor)
            if tell is not None:
                self.forget(descriptor)
                tell()


class EpollHangups(Hangups):
    """The kernel tells: an epoll's own descriptor is readable when somebody has hung up."""

    def __init__(self) -> None:
        super().__init__()
        self._epoll = select.epoll()
        self._loop.add_reader(self._epoll.fileno(), self._ready)

    def watch(self, descriptor: int, tell: Callable[[], None]) -> None:
        """See `Hangups.watch`."""
        if self._epoll.closed:
            return
        self._told[descriptor] = tell
        with suppress(FileExistsError):  # paused twice
            self._epoll.register(descriptor, select.EPOLLRDHUP)

    def forget(self, descriptor: int) -> None:
        """See `Hangups.forget`."""
        if self._told.pop(descriptor, None) is not None:
            with suppress(OSError):  # closed all the same, and so no longer in there
                self._epoll.unregister(descriptor)

    def close(self) -> None:
        """See `Hangups.close`."""
        self._told.clear()
        if not self._epoll.closed:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()

    def _ready(self) -> None:
        self._tell([descriptor for descriptor, _ in self._epoll.poll(0)])


class PolledHangups(Hangups):
    """We look, at all of them at once, and only while there is anybody to look at."""

    _ENDS = getattr(select, "POLLRDHUP", select.POLLHUP)  # the first is Linux's own

    def __init__(self) -> None:
        super().__init__()
        self._poll = select.poll()
        self._next: asyncio.TimerHandle | None = None
        self._closed = False

    def watch(self, descriptor: int, tell: Callable[[], None]) -> None:
        """See `Hangups.watch`."""
        if self._closed:
            return
        self._told[descriptor] = tell
        self._poll.register(descriptor, self._ENDS)
        self._look_later()

    def forget(self, descriptor: int) -> None:
        """See `Hangups.forget`."""
        if self._told.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def close(self) -> None:
        """See `Hangups.close`."""
        self._closed = True
        self._told.clear()
        if self._next is not None:
            self._next.cancel()

    def _look_later(self) -> None:
        if self._next is None and self._told:
            self._next = self._loop.call_later(LOOK_EVERY, self._look)

    def _look(self) -> None:
        self._next = None
        self._tell([descriptor for descriptor, _ in self._poll.poll(0)])
        self._look_later()


def hangups() -> Hangups:
    """The better of the two that this system has."""
    return EpollHangups() if hasattr(select, "epoll") else PolledHangups()
