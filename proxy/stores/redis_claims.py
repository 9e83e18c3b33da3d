"""A claim in Redis, in one round trip: the index, the owner, and the ledger's open task.

Three steps on keys that may lie in three slots, hence in one pipeline and no transaction. Each
may be repeated, and a claim counts only when all were answered, so that one that broke off in
between is made whole by claiming again, which the outbox does. Until then the most that is there
is an owner, or an index entry or open task without one, which nobody is shown. In a cluster they
may come in any order.
"""

from proxy.core.tasks import RETENTION, TaskRecord
from proxy.stores.records import record_to_fields
from proxy.stores.redis_commands import Keys, flat_of
from proxy.stores.redis_holds import LedgerKeys, Now
from proxy.stores.redis_nodes import Client
from proxy.stores.redis_settlements import open_task

# Answers the tenant who was there first, nil when that is now the caller. KEYS: task.
_CLAIM = """
local owner = redis.call('HGET', KEYS[1], 'tenant')
if owner then return owner end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
redis.call('EXPIRE', KEYS[1], ARGV[1])
return nil
"""


async def claim(
    client: Client, keys: Keys, ledger: LedgerKeys, record: TaskRecord, now: float, clock: Now
) -> str | None:
    """Write the record unless the task has an owner already: then the tenant of that owner.

    Drops what is past retention in the tenant's index. `now` is Unix seconds.
    """
    pipe = client.pipeline(transaction=False)
    index = keys.tasks(record.tenant)
    pipe.zadd(index, {record.task_id: record.created})
    pipe.zremrangebyscore(index, "-inf", f"({now - RETENTION!r}")
    pipe.expire(index, RETENTION)
    fields = flat_of(record_to_fields(record))
    pipe.eval(_CLAIM, 1, keys.task(record.task_id), str(RETENTION), *fields)
    open_task(pipe, ledger, record, clock)
    *_, owner, _opened = await pipe.execute()
    return None if owner is None else owner.decode()
