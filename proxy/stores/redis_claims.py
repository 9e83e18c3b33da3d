"""Claims in Redis, many in one round trip: the index, the owner, and the ledger's open task.

Steps on keys that may lie in three slots, hence beside each other and in no transaction. Each may
be repeated, and a claim counts only when all were answered, so that one that broke off in between
is made whole by claiming again, which the outbox does. Until then the most that is there is an
owner, or an index entry or open task without one, which nobody is shown. In a cluster they may
come in any order.

Claims that come while others are under way share the next round trip (`group_commit`): each has
its own script for its owner, those of one tenant one for their index, all together one for the
ledger. What goes wrong with one of these is told to those it was for.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from proxy.core.errors import StoreUnavailableError
from proxy.core.tasks import RETENTION, TaskRecord
from proxy.stores.group_commit import GroupCommit
from proxy.stores.records import record_to_fields
from proxy.stores.redis_batch import Words
from proxy.stores.redis_commands import Keys, flat_of
from proxy.stores.redis_holds import LedgerKeys, Now
from proxy.stores.redis_push import Feed
from proxy.stores.redis_settlements import open_tasks

# Answers the tenant who was there first, nil when that is now the caller. KEYS: task.
_CLAIM = """
local owner = redis.call('HGET', KEYS[1], 'tenant')
if owner then return owner end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
redis.call('EXPIRE', KEYS[1], ARGV[1])
return nil
"""

# What is past retention leaves. KEYS: index. ARGV: retention, what is past it, then ZADD's words.
_INDEX = """
redis.call('ZADD', KEYS[1], unpack(ARGV, 3))
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[1])
"""

_RETENTION = str(RETENTION)

Entry: TypeAlias = tuple[TaskRecord, Words]
"""A record, and what writes its owner."""


class Claims:
    """Writes owners. `now` is Unix seconds and trims an index, `clock` a test's, as in holds."""

    def __init__(
        self, feed: Feed, keys: Keys, ledger: LedgerKeys, now: Callable[[], float], clock: Now
    ) -> None:
        self._feed = feed
        self._keys = keys
        self._ledger = ledger
        self._now = now
        self._clock = clock
        self._group: GroupCommit[Entry, str | None] = GroupCommit(self._commit)

    async def write(self, record: TaskRecord) -> str | None:
        """Write the record unless the task has an owner already: then the tenant of that owner.

        Raises `StoreUnavailableError`, at once when that is known.
        """
        self._feed.session()
        fields = flat_of(record_to_fields(record))
        words = ("EVAL", _CLAIM, "1", self._keys.task(record.task_id), _RETENTION, *fields)
        "".join(words).encode()  # what cannot be encoded fails here, and spoils no batch
        return await self._group.put((record, words))

    async def _commit(self, entries: Sequence[Entry]) -> list[str | Exception | None]:
        tenants: dict[str, list[str]] = {}
        for record, _ in entries:
            tenants.setdefault(record.tenant, []).extend((repr(record.created), record.task_id))
        past = f"({self._now() - RETENTION!r}"
        commands = [
            *(words for _, words in entries),
            open_tasks(self._ledger, [record for record, _ in entries], self._clock),
            *(self._index(tenant, past, scores) for tenant, scores in tenants.items()),
        ]
        answers = await self._feed.session().send(commands)
        opened, *indexed = answers[len(entries) :]
        shared = dict(zip(tenants, indexed, strict=True))
        return [
            _outcome(answer, opened, shared[record.tenant])
            for (record, _), answer in zip(entries, answers, strict=False)
        ]

    def _index(self, tenant: str, past: str, scores: list[str]) -> Words:
        return ("EVAL", _INDEX, "1", self._keys.tasks(tenant), _RETENTION, past, *scores)


def _outcome(owner: object, *shared: object) -> str | Exception | None:
    """What came of a claim, of which every part must have come about."""
    for answer in (owner, *shared):
        if isinstance(answer, Exception):
            error = StoreUnavailableError()
            error.__cause__ = answer
            return error
    return owner.decode() if isinstance(owner, bytes) else None
