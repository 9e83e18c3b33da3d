"""What is settled, summed up and still open in Redis, beside the holds of `redis_holds`.

    <prefix>{ledger}:open             sorted set, open tasks' ids by when to look at them
    <prefix>{ledger}:done             sorted set, settled tasks' ids by when, for RETENTION
    <prefix>{ledger}:usage            stream, one entry per record, `usage_fields`; trimmed to
                                      about RECORDS_KEPT
    <prefix>{ledger}:spent:<period>   hash, who: billionths spent; expires, but for `total`
    <prefix>{ledger}:sums:<day>       hash, JSON list of tenant, token, model, currency and what
                                      is counted: how many; expires after TOTALS_KEPT
    <prefix>{ledger}:settled:<sender>:<n>   bits, one for each number of a sender; expires after
                                      SETTLEMENTS_KEPT
    <prefix>{ledger}:leader           string, until when (milliseconds) which process looks

A settlement is one script. It reads all there is to read, and looks at the type of every key,
before it writes: what may go wrong goes wrong while nothing is written.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any, TypeAlias

from proxy.core.beijing import day_of
from proxy.core.ruling import milliseconds
from proxy.core.settlement import (
    FIRST_LOOK,
    TASK_HOLD,
    Kind,
    Settlement,
    UsageRecord,
    surely_written,
)
from proxy.core.tasks import RETENTION, TaskRecord
from proxy.ports.ledger import Total
from proxy.stores.redis_batch import Words
from proxy.stores.redis_commands import Fields, flat_of, in_json, text_of
from proxy.stores.redis_holds import CLOCK, ENDING, LedgerKeys, Now, told_time
from proxy.stores.redis_nodes import Client
from proxy.stores.redis_session import Session
from proxy.stores.usage_fields import (
    DAY,
    RECORDS_KEPT,
    SETTLEMENTS_KEPT,
    TOTALS_KEPT,
    Line,
    Sums,
    added_up,
    kept_for,
    total_of,
    usage_from_fields,
    usage_to_fields,
)

NUMBERS = 65_536
"""Numbers of a sender under one key: eight kilobytes at most, forgotten together."""

# KEYS: due, open, done. ARGV: a test's now, then of each task: its id, when to look, hold, its
# new due.
_OPEN = f"""
{CLOCK}
for i = 2, #ARGV, 4 do
  if not redis.call('ZSCORE', KEYS[3], ARGV[i]) then
    redis.call('ZADD', KEYS[2], 'NX', ARGV[i + 1], ARGV[i])
  end
  local ends = redis.call('ZSCORE', KEYS[1], ARGV[i + 2])
  if ends and tonumber(ends) > now then
    redis.call('ZADD', KEYS[1], 'GT', ARGV[i + 3], ARGV[i + 2])
  end
end
"""

# A sum that no 64 bits hold (nine billion currency units) stays as it is: `pcall`. What calls add
# is added up already; what a task adds depends on whether it is open.
# KEYS: due, holds, held, open, done, usage, the sender's bits, then hashes of sums.
# ARGV: the settlement as JSON, see `settle`; now, in seconds.
# Returns the places of the records that it wrote; nil for a settlement that is there already.
_SETTLE = f"""
{ENDING}
local open, done, usage, seen = KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local types = {{'zset', 'hash', 'hash', 'zset', 'zset', 'stream', 'string'}}
for i, key in ipairs(KEYS) do
  local found, wanted = redis.call('TYPE', key).ok, types[i] or 'hash'
  if found ~= 'none' and found ~= wanted then
    return redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. found .. ', not a ' .. wanted)
  end
end
local function add(sums)
  for _, sum in ipairs(sums) do redis.pcall('HINCRBY', KEYS[sum[1]], sum[2], sum[3]) end
end
local settlement, now = cjson.decode(ARGV[1]), tonumber(ARGV[2])
if redis.call('GETBIT', seen, settlement.bit) == 1 then return false end
redis.call('SETBIT', seen, settlement.bit, 1)
redis.call('EXPIRE', seen, {SETTLEMENTS_KEPT})
redis.call('ZREMRANGEBYSCORE', done, '-inf', now - {RETENTION})
local wrote = {{}}
for place, record in ipairs(settlement.records) do
  local task, hold, entry, sums = unpack(record)
  if task == '' or redis.call('ZREM', open, task) == 1 then
    if task ~= '' then redis.call('ZADD', done, now, task) end
    redis.call('XADD', usage, 'MAXLEN', '~', {RECORDS_KEPT}, '*', unpack(entry))
    add(sums)
    if hold ~= '' then finish(hold) end
    wrote[#wrote + 1] = place
  end
end
add(settlement.sums)
for _, hold in ipairs(settlement.released) do finish(hold) end
for _, key in ipairs(settlement.kept) do redis.call('EXPIRE', KEYS[key[1]], key[2]) end
return wrote
"""

# KEYS: leader. ARGV: a test's now, milliseconds, process.
_LEAD = f"""
{CLOCK}
local until_, process = (redis.call('GET', KEYS[1]) or '0 '):match('^(%d+) (.*)$')
if process ~= ARGV[3] and now < tonumber(until_) then return 0 end
redis.call('SET', KEYS[1], whole(now + ARGV[2]) .. ' ' .. ARGV[3], 'PX', ARGV[2])
return 1
"""


def open_tasks(keys: LedgerKeys, records: Iterable[TaskRecord], now: Now) -> Words:
    """Tasks were claimed: they are open, unless they were settled already."""
    words = ["EVAL", _OPEN, "3", keys("due"), keys("open"), keys("done"), told_time(now)]
    for record in records:
        due = milliseconds(record.created + TASK_HOLD)
        words += [record.task_id, repr(record.created + FIRST_LOOK), record.hold, str(due)]
    return words


async def settle(
    session: Session, keys: LedgerKeys, settlement: Settlement, now: float
) -> Collection[str]:
    """Write a settlement down, unless it is there; ids of what that wrote.

    `now` is Unix seconds.
    """
    chunk, bit = divmod(settlement.number, NUMBERS)
    fixed = ("open", "done", "usage", f"settled:{settlement.sender}:{chunk}")
    names = [*keys.holds(), *map(keys, fixed)]
    hashes = _Hashes(keys, len(names) + 1)
    calls = (record for record in settlement.records if record.kind is not Kind.TASK)
    told = {
        "bit": bit,
        "records": [_told(record, hashes) for record in settlement.records],
        "sums": hashes.added(calls),
        "released": settlement.released,
        "kept": hashes.kept,
    }
    names += hashes.names
    wrote = await session.run("EVAL", _SETTLE, str(len(names)), *names, in_json(told), repr(now))
    if wrote is None:
        return surely_written(settlement)
    return [settlement.records[place - 1].id for place in wrote]


async def totals(
    client: Client, keys: LedgerKeys, first_day: str, last_day: str, now: float
) -> list[Total]:
    """All sums of these days, as far as they are kept. `now` is Unix seconds."""
    ages = range(-1, TOTALS_KEPT + 1)  # -1: of a process whose clock is ahead
    days = [
        day for day in (day_of(now - age * DAY) for age in ages) if first_day <= day <= last_day
    ]
    pipe = client.pipeline(transaction=False)
    for day in days:
        pipe.hgetall(keys(f"sums:{day}"))
    found: defaultdict[Line, dict[str, int]] = defaultdict(dict)
    for day, fields in zip(days, await pipe.execute() if days else [], strict=True):
        for field, number in fields.items():
            *line, name = json.loads(field)
            found[Line(day, *line)][name] = int(number)
    return [total_of(line, Sums(**found[line])) for line in sorted(found)]


async def records(
    client: Client, keys: LedgerKeys, after: str, most: int
) -> list[tuple[str, UsageRecord]]:
    """Entries of the stream behind that one; what is no record is left out."""
    while page := await _page(client, keys("usage"), after, most):
        read = ((place.decode(), _usage_of(fields)) for place, fields in page)
        found = [(place, record) for place, record in read if record is not None]
        if found:
            return found
        after = page[-1][0].decode()
    return []


async def _page(client: Client, key: str, after: str, most: int) -> list[tuple[bytes, Fields]]:
    page: Any = await client.xrange(key, min=f"({after}" if after else "-", count=most)
    return page or []


async def due_tasks(client: Client, keys: LedgerKeys, most: int, now: float) -> list[str]:
    """Ids of the tasks to be looked at by `now` (Unix seconds), the longest overdue first."""
    found: Any = await client.zrangebyscore(keys("open"), "-inf", repr(now), start=0, num=most)
    return [task_id.decode() for task_id in found]


async def look_later(client: Client, keys: LedgerKeys, task_id: str, at: float) -> None:
    """Put an open task off until `at` (Unix seconds)."""
    await client.zadd(keys("open"), {task_id: at}, xx=True)


async def forget(client: Client, keys: LedgerKeys, task_ids: list[str]) -> None:
    """Tasks without an owner are not open: nobody could settle them."""
    await client.zrem(keys("open"), *task_ids)


async def lead(session: Session, keys: LedgerKeys, process: str, seconds: float, now: Now) -> bool:
    """Whether the process is the one that looks."""
    words = (told_time(now), str(milliseconds(seconds)), process)
    return bool(await session.run("EVAL", _LEAD, "1", keys("leader"), *words))


_to_json = json.JSONEncoder(ensure_ascii=False).encode

_Sum: TypeAlias = tuple[int, str, str]
"""Which key, which field of it, and how many more; as text, for a script counts in floats."""


class _Hashes:
    """The hashes of sums that a settlement adds to, and their places among the script's keys."""

    def __init__(self, keys: LedgerKeys, first: int) -> None:
        self._keys = keys
        self._first = first
        self._places: dict[str, int] = {}
        self.kept: list[tuple[int, int]] = []

    @property
    def names(self) -> Iterable[str]:
        """The keys in the order of their places."""
        return self._places

    def added(self, records: Iterable[UsageRecord]) -> list[_Sum]:
        """What records add to which sums; those are kept as long as each is."""
        found: list[_Sum] = []
        added = added_up(records)
        for (day, *line), sums in added.sums.items():
            place = self._place(self._keys(f"sums:{day}"), (TOTALS_KEPT + 1) * DAY)
            start, named = _to_json(line)[:-1], zip(Sums._fields, sums, strict=True)
            found += [(place, f'{start}, "{name}"]', str(n)) for name, n in named if n]
        for (who, period), amount in added.spent.items():
            place = self._place(self._keys.spent(period), kept_for(period))
            found.append((place, who, str(amount)))
        return found

    def _place(self, name: str, seconds: int | None) -> int:
        if name not in self._places:
            self._places[name] = self._first + len(self._places)
            if seconds:
                self.kept.append((self._places[name], seconds))
        return self._places[name]


def _told(record: UsageRecord, hashes: _Hashes) -> tuple[str, str, list[str], list[_Sum]]:
    """A record as the script takes it: the task it ends, its hold, its entry, what it adds."""
    entry = flat_of(usage_to_fields(record))
    if record.kind is not Kind.TASK:
        return "", record.hold, entry, []
    return record.id, record.hold, entry, hashes.added([record])


def _usage_of(fields: Fields) -> UsageRecord | None:
    try:
        return usage_from_fields(text_of(fields))
    except UnicodeDecodeError:
        return None
