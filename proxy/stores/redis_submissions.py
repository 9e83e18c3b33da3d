"""First calls with an `Idempotency-Key` in Redis, by the rules of `redis_commands`.

<prefix>replay:<token id>:<sha256 hex of the key>   hash, fields of
                                                    `records.submission_to_fields`, expires
                                                    after `core.idempotency.RETENTION`
"""

from typing import Any

from proxy.core.idempotency import RETENTION, Submission
from proxy.stores.records import submission_from_fields, submission_to_fields
from proxy.stores.redis_commands import flat_of, text_of
from proxy.stores.redis_nodes import Client

# Answers what is there, nothing when it is the caller's. A script that was carried out although
# its answer got lost may come again. KEYS: submission. ARGV: holder, until when a submission had
# to be made to be past retention now, RETENTION, then the fields.
_RESERVE = """
local created = redis.call('HGET', KEYS[1], 'created')
if created and not (tonumber(created) and tonumber(created) <= tonumber(ARGV[2])) then
  if redis.call('HGET', KEYS[1], 'holder') == ARGV[1] then return {} end
  return redis.call('HGETALL', KEYS[1])
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
redis.call('EXPIRE', KEYS[1], ARGV[3])
return {}
"""

# Keeps the time it has left. KEYS: submission. ARGV: holder, then the fields.
_CONCLUDE = """
if redis.call('HGET', KEYS[1], 'holder') == ARGV[1] then
  redis.call('HSET', KEYS[1], unpack(ARGV, 2))
end
"""

# KEYS: submission. ARGV: holder.
_RELEASE = """
if redis.call('HGET', KEYS[1], 'holder') == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""


async def reserve(client: Client, key: str, first: Submission, now: float) -> Submission | None:
    """Put it there unless something is: then that. `now` is Unix seconds."""
    fields = flat_of(submission_to_fields(first))
    found: Any = await client.eval(
        _RESERVE, 1, key, first.holder, repr(now - RETENTION), str(RETENTION), *fields
    )
    fields_there = dict(zip(found[::2], found[1::2], strict=True))
    return submission_from_fields(text_of(fields_there)) if fields_there else None


async def conclude(client: Client, key: str, ended: Submission) -> None:
    """Replace what its holder reserved."""
    await client.eval(_CONCLUDE, 1, key, ended.holder, *flat_of(submission_to_fields(ended)))


async def release(client: Client, key: str, first: Submission) -> None:
    """Delete what its holder reserved."""
    await client.eval(_RELEASE, 1, key, first.holder)
