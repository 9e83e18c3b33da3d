"""The shared store: tokens and tasks in Redis, one memory of both in every process.

Rule 1: a token seen before costs no round trip. Redis pushes what changes (`redis_push`), and
        a revocation counts in every process within a second, whoever wrote it. What it does
        not push (`SWAPDB`) counts within a minute (`redis_audit`).
Rule 2: when Redis is gone, a grant confirmed less than `max_staleness` ago goes on working, and
        so do the owners of tasks seen before; everything else is `StoreUnavailableError`, at
        once while the outage lasts.
Rule 3: many who ask for the same unknown token make one question.

How it all lies in Redis stands in `redis_commands`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import TypeVar

from proxy.core.idempotency import Submission
from proxy.core.policy import Grant, GrantUnreadableError, grant_to_fields
from proxy.core.tasks import TaskConflictError, TaskRecord
from proxy.stores import redis_commands as commands
from proxy.stores import redis_submissions as submissions
from proxy.stores.grant_cache import Flight, Found, GrantCache
from proxy.stores.holding import Holding
from proxy.stores.notices import OnChange, OnUnreadable, ignore
from proxy.stores.records import is_kept
from proxy.stores.redis_audit import AUDIT_EVERY, audit
from proxy.stores.redis_claims import Claims
from proxy.stores.redis_holds import LedgerKeys, Now
from proxy.stores.redis_ledger import RedisLedger
from proxy.stores.redis_nodes import nodes_at
from proxy.stores.redis_push import Feed
from proxy.stores.redis_session import Session
from proxy.stores.redis_url import parse_redis_url
from proxy.stores.task_cache import TaskCache
from proxy.stores.unreadable import Unreadable

T = TypeVar("T")

MAX_STALENESS = 300.0
"""Seconds a grant outlives its last confirmation: longer than a failover or a restart takes,
shorter than a revoked token could do much harm in."""


class RedisStore(RedisLedger):
    """Tokens, tasks and the ledger in the Redis at `url` (forms: `redis_url`).

    `prefix` starts every key. `max_staleness` is seconds, 0 trusts nothing once Redis is gone.
    `clock` is monotonic seconds and ages the memory, `now` is Unix seconds and ages tasks;
    `server_now` is a test's, in place of Redis's own.
    `audit_every` is seconds, see `redis_audit`.
    Raises `ValueError` for a URL that makes no sense.
    """

    def __init__(  # noqa: PLR0913 - each has its default
        self,
        url: str,
        *,
        prefix: str = "dsp:",
        max_staleness: float = MAX_STALENESS,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        server_now: Now = None,
        on_change: OnChange = ignore,
        on_unreadable: OnUnreadable = ignore,
        audit_every: float = AUDIT_EVERY,
    ) -> None:
        address = parse_redis_url(url)
        self._keys = commands.Keys(prefix)
        self._ledger = LedgerKeys(prefix)
        self._grants = GrantCache(max_staleness, clock)
        self._tasks = TaskCache()
        self._now = now
        self._clock = server_now
        self._holding = Holding(self._take)
        self._unreadable = Unreadable(on_unreadable)
        prefixes = (self._keys.tokens, self._keys.tenants)
        self._feed = Feed(lambda: nodes_at(address), prefixes, self._grants, on_change, clock)
        self._claims = Claims(self._feed, self._keys, self._ledger, now, server_now)
        self._audit_every = audit_every
        self._audit: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"RedisStore({self._feed!r}, {self._grants!r})"

    @property
    def trouble(self) -> str:
        """See `proxy.ports.Store.trouble`."""
        return self._feed.trouble

    async def open(self) -> None:
        """Connect, or begin trying to. Returns within about a second, connected or not."""
        await self._feed.open()
        if self._audit is None:
            self._audit = asyncio.create_task(
                audit(self._feed, self._keys, self._grants, self._audit_every)
            )

    async def close(self) -> None:
        """Disconnect. Lookups under way end with `StoreUnavailableError`."""
        if self._audit is not None:
            self._audit.cancel()
            await asyncio.wait([self._audit])
            self._audit = None
        await self._feed.close()

    async def ping(self) -> None:
        """See `proxy.ports.Store.ping`. Writes: an answer alone does not prove a usable store."""
        await self._feed.ask(commands.ping, self._keys.ping)

    async def grant(self, digest: str) -> Grant | None:
        """See `proxy.ports.Tokens.grant`."""
        known = self._grants.lookup(digest)
        if known is not None:
            return known.grant
        # Shielded: the one who asked first may leave, the others still want the answer.
        return (await asyncio.shield(self._flight(digest))).grant

    async def save_grant(self, digest: str, grant: Grant) -> None:
        """See `proxy.ports.Tokens.save_grant`."""
        key, fields = self._keys.token(digest), grant_to_fields(grant)
        await self._feed.ask(commands.write_hash, key, fields)
        self._grants.forget(digest)  # the push comes a moment later; who wrote, reads it now

    async def remove_grant(self, digest: str) -> bool:
        """See `proxy.ports.Tokens.remove_grant`."""
        removed = await self._feed.ask(commands.delete_token, self._keys.token(digest))
        self._grants.forget(digest)
        return removed

    async def grants(self) -> AsyncIterator[tuple[str, Grant | GrantUnreadableError]]:
        """See `proxy.ports.Tokens.grants`."""
        session = self._feed.session()
        scan = commands.keys_from(session.nodes.client, self._keys.tokens)
        # A set, because SCAN may answer a key twice.
        keys = sorted({key.decode("latin-1") async for key in session.each(scan)})
        for batch in _pages(keys):
            found = await session.ask(commands.read_hashes, batch)
            for key, fields in zip(batch, found, strict=True):
                if fields is None or fields:  # no fields: gone since the scan
                    digest = key.removeprefix(self._keys.tokens)
                    yield digest, commands.grant_of(digest, fields)

    async def claim(self, record: TaskRecord) -> None:
        """See `proxy.ports.Tasks.claim`."""
        tenant = await self._claims.write(record)
        if tenant is None:
            self._tasks.put(record)
        elif tenant != record.tenant:
            raise TaskConflictError(record.task_id)

    async def owner(self, task_id: str, tenant: str) -> TaskRecord | None:
        """See `proxy.ports.Tasks.owner`. An own task seen before costs no round trip either.

        Its `status` and `updated` are then what this process last saw, which may lag behind the
        polls of others; `tasks_of` reads them from Redis.
        """
        record = self._tasks.get(task_id, tenant)
        if record is None:
            key = self._keys.task(task_id)
            record = await self._feed.ask(commands.read_task, key, task_id, tenant)
            if record is not None:
                self._tasks.put(record)
        return record if record is not None and is_kept(record, self._now()) else None

    async def observe(self, task_id: str, status: str, at: float) -> None:
        """See `proxy.ports.Tasks.observe`. A status this process has seen costs no round trip."""
        if not self._tasks.has_seen(task_id, status):
            await self._feed.ask(commands.observe_task, self._keys.task(task_id), status, at)
            self._tasks.observe(task_id, status, at)

    async def tasks_of(self, tenant: str, since: float, until: float) -> list[TaskRecord]:
        """See `proxy.ports.Tasks.tasks_of`."""
        session, now = self._feed.session(), self._now()
        ids = await session.ask(commands.list_tasks, self._keys.tasks(tenant), since, until)
        records: list[TaskRecord] = []
        for batch in _pages(ids):
            records += await session.ask(commands.read_tasks, self._keys, batch)
        return [record for record in records if record.tenant == tenant and is_kept(record, now)]

    async def reserve(self, place: str, first: Submission) -> Submission | None:
        """See `proxy.ports.Submissions.reserve`."""
        key = self._keys.submission(place)
        return await self._feed.ask(submissions.reserve, key, first, self._now())

    async def advance(self, place: str, submission: Submission) -> bool:
        """See `proxy.ports.Submissions.advance`."""
        key = self._keys.submission(place)
        return await self._feed.ask(submissions.advance, key, submission)

    async def prolong(self, place: str, holder: str, due: float) -> None:
        """See `proxy.ports.Submissions.prolong`."""
        await self._feed.ask(submissions.prolong, self._keys.submission(place), holder, due)

    async def release(self, place: str, holder: str) -> None:
        """See `proxy.ports.Submissions.release`."""
        await self._feed.ask(submissions.release, self._keys.submission(place), holder)

    def _flight(self, digest: str) -> Flight:
        """The lookup under way for this token, a new one if there is none."""
        flight = self._grants.flight(digest)
        if flight is None:
            session = self._feed.session()
            flight = asyncio.ensure_future(self._fetch(digest, session))
            flight.add_done_callback(partial(self._land, digest, session))
            self._grants.begin(digest, flight)
        return flight

    async def _fetch(self, digest: str, session: Session) -> Found:
        fields, left = await session.ask(commands.read_token, self._keys.token(digest))
        if fields is not None and not fields:
            self._unreadable.mended(digest)
            return Found(exists=False)
        grant = await self._limited(session, commands.grant_of(digest, fields))
        if isinstance(grant, GrantUnreadableError):
            self._unreadable.tell(digest, str(grant))
            return Found(None, left)
        self._unreadable.mended(digest)
        return Found(grant, left)

    async def _limited(
        self, session: Session, grant: Grant | GrantUnreadableError
    ) -> Grant | GrantUnreadableError:
        """With the tenant's limits; a change of them in between forgets this lookup as well."""
        if isinstance(grant, GrantUnreadableError):
            return grant
        (fields,) = await session.ask(commands.read_hashes, [self._keys.tenant(grant.tenant)])
        return commands.limited(grant, fields)

    def _land(self, digest: str, session: Session, flight: Flight) -> None:
        """The lookup is over: remember what it found, if it read where we listen."""
        if flight.cancelled() or flight.exception() or not session.nodes.is_current():
            self._grants.abandon(digest, flight)
        else:
            self._grants.settle(digest, flight, flight.result())


def _pages(items: list[T]) -> Iterator[list[T]]:
    """Slices small enough for one pipeline each."""
    for start in range(0, len(items), commands.BATCH):
        yield items[start : start + commands.BATCH]
