"""First calls with an `Idempotency-Key` in Redis, by the rules of `redis_commands`.

<prefix>replay:<hash>   hash, fields of `records.submission_to_fields`, under what
                        `core.idempotency.place_of` makes; expires after its RETENTION
"""

from typing import Any

from proxy.core.idempotency import RETENTION, Submission
from proxy.stores.records import submission_from_fields, submission_to_fields
from proxy.stores.redis_commands import flat_of, text_of
from proxy.stores.redis_nodes import Client

# Each begins with what is there. A script that was carried out although its answer got lost may
# come again, and late: none of them makes anything of what is another's, or undoes an outcome.

# `Submission.is_kept`, in Lua. Answers what is there, nothing when it is the caller's.
# KEYS: submission. ARGV: holder, now, RETENTION, then the fields.
_RESERVE = """
local now = tonumber(ARGV[2])
local created = tonumber(redis.call('HGET', KEYS[1], 'created') or '0')
local there = redis.call('HMGET', KEYS[1], 'holder', 'sending', 'outcome', 'due')
local given_up = there[2] == 'no' and there[3] == '' and now >= (tonumber(there[4]) or 0)
if there[1] and not (created and (now >= created + ARGV[3] or given_up)) then
  if there[1] == ARGV[1] then return {} end
  return redis.call('HGETALL', KEYS[1])
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
redis.call('EXPIRE', KEYS[1], ARGV[3])
return {}
"""

# Keeps the time it has left. Answers whether it is the caller's.
# KEYS: submission. ARGV: holder, then the fields.
_ADVANCE = """
local there = redis.call('HMGET', KEYS[1], 'holder', 'outcome')
if there[1] ~= ARGV[1] then return 0 end
if there[2] == '' then redis.call('HSET', KEYS[1], unpack(ARGV, 2)) end
return 1
"""

# KEYS: submission. ARGV: holder, due.
_PROLONG = """
if redis.call('HGET', KEYS[1], 'holder') == ARGV[1] then
  redis.call('HSET', KEYS[1], 'due', ARGV[2])
end
"""

# KEYS: submission. ARGV: holder.
_RELEASE = """
if redis.call('HGET', KEYS[1], 'holder') == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""


async def reserve(client: Client, key: str, first: Submission, now: float) -> Submission | None:
    """Put it there unless something is kept: then that. `now` is Unix seconds."""
    fields = flat_of(submission_to_fields(first))
    found: Any = await client.eval(
        _RESERVE, 1, key, first.holder, repr(now), str(RETENTION), *fields
    )
    fields_there = dict(zip(found[::2], found[1::2], strict=True))
    return submission_from_fields(text_of(fields_there)) if fields_there else None


async def advance(client: Client, key: str, submission: Submission) -> bool:
    """Replace what its holder reserved and has no outcome; whether that is its holder's."""
    fields = flat_of(submission_to_fields(submission))
    return bool(await client.eval(_ADVANCE, 1, key, submission.holder, *fields))


async def prolong(client: Client, key: str, holder: str, due: float) -> None:
    """Move `due`, in Unix seconds, of what its holder reserved."""
    await client.eval(_PROLONG, 1, key, holder, repr(due))


async def release(client: Client, key: str, holder: str) -> None:
    """Delete what its holder reserved."""
    await client.eval(_RELEASE, 1, key, holder)
