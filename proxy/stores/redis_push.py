"""Keeps a process's grants right by hearing from every primary which tokens changed.

A change of a tenant's limits may concern any of them.

Rule 1: a link is alive when it answers PING, asked four times a second. A closed connection is
        noticed at once, a half-open or frozen one when the answer stays out.
Rule 2: all primaries or none: with one link lost, some tokens' changes go unheard, and which
        ones is not worth knowing.
Rule 3: known to be down means an error at once, for everything but what is remembered.
Rule 4: it comes back by itself, with growing pauses, and starts with an empty memory.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Concatenate, ParamSpec, TypeVar

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from proxy.core.errors import StoreUnavailableError
from proxy.stores.cancelling import is_cancelled
from proxy.stores.grant_cache import GrantCache
from proxy.stores.notices import OnChange
from proxy.stores.redis_nodes import Client, Nodes
from proxy.stores.redis_session import ASK_TIMEOUT, LOST, Session, read_any

PING_EVERY = 0.25
"""Seconds of silence between two PINGs."""

PATIENCE = 0.2
"""Seconds to wait for an answer, twice. Twice, because after this process itself was held up
the first wait ends before the answer that lies ready has been read; the second reads it."""

LOOK_AROUND = 0.5
"""Seconds between two questions who the primaries are: to Sentinel, to the cluster, or to the
one server itself."""

FIRST_PAUSE = 0.1
LAST_PAUSE = 2.0
"""Seconds before the first new attempt, doubled up to the last."""

P = ParamSpec("P")
T = TypeVar("T")


class Feed:
    """The connection to Redis through its ups and downs.

    `connect` makes the servers of a new session. Changes of keys that start with the first of
    `prefixes` are told to `cache` by the rest of the key, with the second it forgets everything.
    `clock` is the cache's clock.
    """

    def __init__(
        self,
        connect: Callable[[], Nodes],
        prefixes: tuple[str, str],
        cache: GrantCache,
        on_change: OnChange,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        self._tokens, self._tenants = prefixes
        self._cache = cache
        self._on_change = on_change
        self._clock = clock
        self._session: Session | None = None
        self._confirmed: dict[AbstractConnection, float] = {}
        self._task: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._up = True
        self.trouble = "not opened"

    def __repr__(self) -> str:
        state = "up" if self._session else f"down: {self.trouble}"
        return f"Feed({self._tokens}, {state})"

    async def open(self) -> None:
        """Start, and return when the first attempt has succeeded or failed."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())
            self._task.add_done_callback(self._ended)
        await self._tried.wait()

    async def close(self) -> None:
        """Stop for good. Raises what killed the task, if that was a bug."""
        if self._task is None:
            return
        task, self._task = self._task, None
        task.cancel()
        await asyncio.wait([task])
        self.trouble = "closed"
        if not task.cancelled():
            task.result()

    def session(self) -> Session:
        """The session, for one command. Raises `StoreUnavailableError` when down."""
        if self._session is None:
            raise StoreUnavailableError
        return self._session

    async def ask(
        self,
        command: Callable[Concatenate[Client, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run one command in the session there is. Raises `StoreUnavailableError`."""
        return await self.session().ask(command, *args, **kwargs)

    async def _run(self) -> None:
        pause = FIRST_PAUSE
        try:
            while not is_cancelled():
                was_up = await self._live()
                pause = FIRST_PAUSE if was_up else min(2 * pause, LAST_PAUSE)
                await asyncio.sleep(pause)
        finally:
            self._tried.set()

    async def _live(self) -> bool:
        """One session from the first connection to the loss; whether it ever was up."""
        session = Session(self._connect())
        try:
            await self._serve(session)
        except LOST as lost:
            self.trouble = f"{type(lost).__name__}: {lost}"
            self._fall()
            self._report(up=False)
        finally:
            self._fall()
            await _close(session)
        return bool(self._confirmed)

    async def _serve(self, session: Session) -> None:
        self._confirmed = {}
        async with asyncio.timeout(ASK_TIMEOUT):
            await session.link((self._tokens, self._tenants), self._pushed)
        if is_cancelled():
            return
        self._rise(session)
        listening = [self._listen(link) for link in session.links]
        await _until_one_ends(*listening, _until_moved(session.nodes))

    def _rise(self, session: Session) -> None:
        now = self._clock()
        self._confirmed = dict.fromkeys(session.links, now)
        self._cache.connected()
        self._session = session
        self._report(up=True)

    def _fall(self) -> None:
        """Answer from memory only. Harmless when that is already so."""
        if self._session is not None:
            self._session = None
            self._cache.disconnected(min(self._confirmed.values()))

    def _report(self, *, up: bool) -> None:
        self._tried.set()
        if up is not self._up:
            self._up = up
            self._on_change(up)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A bug ended the task: no recovery will follow, so at least it must be seen."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.trouble = repr(error)
            self._report(up=False)
            loop = asyncio.get_running_loop()
            loop.call_exception_handler({"message": "redis feed died", "exception": error})

    async def _listen(self, link: AbstractConnection) -> None:
        """Hear one primary until it is lost. Raises `LOST`."""
        while not is_cancelled():
            asked = self._clock()
            await link.send_command("PING")
            await _pong(link)
            self._confirmed[link] = asked
            await _hear_for(PING_EVERY, link)

    def _pushed(self, keys: list[bytes] | None) -> None:
        if keys is None:
            self._cache.forget_all()
            return
        for key in keys:
            self._changed(key.decode("latin-1"))

    def _changed(self, key: str) -> None:
        if key.startswith(self._tokens):
            self._cache.forget(key.removeprefix(self._tokens))
        else:
            self._cache.forget_all()


async def _pong(link: AbstractConnection) -> None:
    for _ in range(2):
        try:
            async with asyncio.timeout(PATIENCE):
                while await read_any(link) != b"PONG":
                    pass
        except TimeoutError:
            continue
        except ResponseError:
            return  # MISCONF and its like: it refuses, hence it lives
        return
    msg = f"no answer to PING within {2 * PATIENCE} s"
    raise RedisConnectionError(msg)


async def _hear_for(seconds: float, link: AbstractConnection) -> None:
    try:
        async with asyncio.timeout(seconds):
            while True:
                await read_any(link)
    except TimeoutError:
        return


async def _until_moved(nodes: Nodes) -> None:
    while not is_cancelled():
        await asyncio.sleep(LOOK_AROUND)
        if await nodes.have_moved():
            msg = "the primaries are others now"
            raise RedisConnectionError(msg)


async def _until_one_ends(*work: Coroutine[None, None, None]) -> None:
    """Run all until one ends, then none. Raises what ended it.

    No `TaskGroup`: when its parent is cancelled while a child fails, it raises the child's error
    and the cancellation is gone, so that closing would now and then wait for ever.
    """
    tasks = [asyncio.create_task(part) for part in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _close(session: Session) -> None:
    try:
        await session.close()
    except LOST:
        return  # it is gone either way
