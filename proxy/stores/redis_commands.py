"""How tokens and tasks lie in Redis, and the commands that read and write them.

    <prefix>token:<sha256 hex of the token>   hash, fields of `core.policy.grant_to_fields`
    <prefix>tenant:<tenant>                   hash, fields of `core.limits.limits_to_fields`
    <prefix>task:<task id>                    hash, fields of `records.record_to_fields`,
                                              expires after RETENTION
    <prefix>tasks:{<tenant>}                  sorted set of the tenant's task ids by creation,
                                              trimmed on writing, expires with its last task
    <prefix>replay:<sha256 hex>               hash, see `redis_submissions`
    <prefix>{ledger}:…                        see `redis_holds` and `redis_settlements`
    <prefix>ping                              proves that writing works, expires in seconds

Rule 1: every command and script touches one key, but for the ledger's, whose keys share a tag;
        pipelines are never transactions, so they may span slots. So Redis Cluster works.
Rule 2: every command may be repeated without harm.
Rule 3: bytes in, text out; text that is not UTF-8 raises `UnicodeDecodeError`.
Rule 4: what goes wrong is raised as redis-py raises it; `redis_session` translates.

A Redis user of its own needs, besides its keys: `+hello +ping +role +client|tracking
+client|setname +hgetall +hset +hget +hmget +hdel +hincrby +del +pttl +expire +type +eval +get +set
+getbit +setbit +scan +zadd +zrem +zscore +zrange +zrangebyscore +zremrangebyscore
+zrevrangebyscore +xadd +xrange`, and in a cluster `+cluster|slots +command`.
"""

import json
import math
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeAlias

import orjson
from redis.exceptions import ResponseError

from proxy.core.policy import Grant, GrantUnreadableError, grant_from_fields, within_tenant
from proxy.core.tasks import TERMINAL, TaskRecord
from proxy.stores.records import LIST_LIMIT, record_from_fields
from proxy.stores.redis_nodes import Client

Fields: TypeAlias = Mapping[bytes, bytes]

BATCH = 500
"""Hashes read in one pipeline: a few hundred kilobytes, a few milliseconds of Redis."""

PING_EXPIRES = 10_000
"""Milliseconds until nothing is left of a `ping`."""

_NO_EXPIRY, _NO_KEY = -1, -2  # what PTTL answers instead of milliseconds

# DEL first: a field that the new hash lacks (an expiry) must not survive. KEYS: token or tenant.
_SAVE = """
redis.call('DEL', KEYS[1])
if #ARGV > 0 then redis.call('HSET', KEYS[1], unpack(ARGV)) end
"""

# Compared in Redis, so that the answer for another's task is, byte for byte, that for no task.
# KEYS: task. ARGV: tenant.
_OWN = """
if redis.call('HGET', KEYS[1], 'tenant') ~= ARGV[1] then return {} end
return redis.call('HGETALL', KEYS[1])
"""

# The rule of `records.supersedes`; a task that is gone stays gone. KEYS: task.
# ARGV: status, seconds, 1 when the status is terminal, then the terminal ones.
_OBSERVE = """
local known = redis.call('HGET', KEYS[1], 'status')
if not known or known == ARGV[1] then return end
if ARGV[3] == '0' then
  for i = 4, #ARGV do if known == ARGV[i] then return end end
end
redis.call('HSET', KEYS[1], 'status', ARGV[1], 'updated', ARGV[2])
"""


@dataclass(frozen=True, slots=True)
class Keys:
    """Names of keys under one prefix."""

    prefix: str

    @property
    def tokens(self) -> str:
        """What every token's key starts with."""
        return f"{self.prefix}token:"

    @property
    def tenants(self) -> str:
        """What the key of every tenant's limits starts with."""
        return f"{self.prefix}tenant:"

    @property
    def ping(self) -> str:
        """Key that proves that writing works."""
        return f"{self.prefix}ping"

    def token(self, digest: str) -> str:
        """Key of a grant."""
        return f"{self.prefix}token:{digest}"

    def tenant(self, tenant: str) -> str:
        """Key of a tenant's limits."""
        return f"{self.prefix}tenant:{tenant}"

    def task(self, task_id: str) -> str:
        """Key of a task's record."""
        return f"{self.prefix}task:{task_id}"

    def submission(self, place: str) -> str:
        """Key of the first call with an `Idempotency-Key`."""
        return f"{self.prefix}replay:{place}"

    def tasks(self, tenant: str) -> str:
        """Key of a tenant's index."""
        return f"{self.prefix}tasks:{{{tenant}}}"


async def ping(client: Client, key: str) -> None:
    """One write on the way that every command takes.

    A server that was demoted, is out of memory or cannot save answers PING and every read, and
    takes no claim. In a cluster this proves one primary; the others are heard by the feed.
    """
    await client.set(key, "", px=PING_EXPIRES)


async def read_token(client: Client, key: str) -> tuple[Fields | None, float]:
    """Fields of a grant (empty: no grant, None: not a hash) and the seconds it has left.

    Two commands, not one transaction: a change in between is pushed like any other.
    """
    pipe = client.pipeline(transaction=False)
    pipe.hgetall(key)
    pipe.pttl(key)
    fields, left = await pipe.execute(raise_on_error=False)
    if isinstance(fields, ResponseError) and str(fields).startswith("WRONGTYPE"):
        return None, math.inf
    for answer in (fields, left):
        if isinstance(answer, Exception):
            raise answer
    if left == _NO_KEY:
        return {}, math.inf
    return fields, math.inf if left == _NO_EXPIRY else left / 1000


async def read_hashes(client: Client, keys: list[str]) -> list[Fields | None]:
    """Fields of many hashes in the order asked, None where the key holds something else."""
    answers = await _hashes(client, keys)
    return [None if isinstance(answer, ResponseError) else answer for answer in answers]


def grant_of(digest: str, fields: Fields | None) -> Grant | GrantUnreadableError:
    """The grant, or why it is unreadable; `fields` is None when the key is not a hash."""
    if fields is None:
        return GrantUnreadableError("the key is not a hash")
    try:
        return grant_from_fields(digest, text_of(fields))
    except UnicodeDecodeError:
        return GrantUnreadableError("a field is not UTF-8")
    except GrantUnreadableError as error:
        return error


def limited(grant: Grant, fields: Fields | None) -> Grant | GrantUnreadableError:
    """The grant with its tenant's limits, or why they make it unreadable."""
    if fields is None:
        return GrantUnreadableError(f"limits of tenant {grant.tenant!r}: the key is not a hash")
    try:
        return within_tenant(grant, text_of(fields))
    except UnicodeDecodeError:
        return GrantUnreadableError(f"limits of tenant {grant.tenant!r}: a field is not UTF-8")
    except GrantUnreadableError as error:
        return error


async def write_hash(client: Client, key: str, fields: Mapping[str, str]) -> None:
    """Create or replace a hash; without fields there is none."""
    await client.eval(_SAVE, 1, key, *flat_of(fields))


async def delete_token(client: Client, key: str) -> bool:
    """Delete a grant; whether there was one."""
    return bool(await client.delete(key))


def keys_from(client: Client, start: str) -> AsyncIterator[bytes]:
    """Keys that start like this, some of them twice."""
    found: AsyncIterator[bytes] = client.scan_iter(match=f"{_literal(start)}*", count=BATCH)
    return found


async def read_task(client: Client, key: str, task_id: str, tenant: str) -> TaskRecord | None:
    """The record of a tenant's task, None when there is none or it is unreadable."""
    flat: Any = await client.eval(_OWN, 1, key, tenant)
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    return record_from_fields(task_id, text_of(fields))


async def observe_task(client: Client, key: str, status: str, at: float) -> None:
    """Note a status seen at `at` (Unix seconds), by the rule of `records.supersedes`."""
    terminal = "1" if status in TERMINAL else "0"
    await client.eval(_OBSERVE, 1, key, status, repr(at), terminal, *sorted(TERMINAL))


async def list_tasks(client: Client, key: str, since: float, until: float) -> list[str]:
    """Ids from a tenant's index, newest first, at most `LIST_LIMIT`."""
    found: Any = await client.zrevrangebyscore(
        key, repr(until), repr(since), start=0, num=LIST_LIMIT
    )
    return [task_id.decode() for task_id in found]


async def read_tasks(client: Client, keys: Keys, task_ids: list[str]) -> list[TaskRecord]:
    """The records there are among these, in the order asked."""
    answers = await _hashes(client, [keys.task(task_id) for task_id in task_ids])
    records = (
        record_from_fields(task_id, text_of(fields))
        for task_id, fields in zip(task_ids, answers, strict=True)
        if not isinstance(fields, ResponseError)
    )
    return [record for record in records if record is not None]


async def _hashes(client: Client, keys: list[str]) -> list[Any]:
    """Each key's hash, or the `ResponseError` that says why there is none."""
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.hgetall(key)
    answers: list[Any] = await pipe.execute(raise_on_error=False)
    for answer in answers:
        if isinstance(answer, Exception) and not isinstance(answer, ResponseError):
            raise answer
    return answers


def text_of(fields: Fields) -> dict[str, str]:
    """Fields as text. Raises `UnicodeDecodeError`."""
    return {name.decode(): value.decode() for name, value in fields.items()}


def flat_of(fields: Mapping[str, str]) -> list[str]:
    """Fields as HSET takes them: name, value, name, value."""
    return list(chain.from_iterable(fields.items()))


def in_json(told: object) -> bytes:
    """What a script is told; orjson takes a tenth of the time, a fifth of all that is done here."""
    try:
        return orjson.dumps(told)
    except TypeError:  # a lone surrogate, which would be an error in the middle of Redis: a `?`
        return json.dumps(told, ensure_ascii=False).encode("utf-8", "replace")


def _literal(text: str) -> str:
    """The text as a glob pattern that matches only itself."""
    return "".join(f"\\{char}" if char in "*?[]^\\" else char for char in text)
