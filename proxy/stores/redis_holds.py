"""Holds in Redis: what counts against which limit now, and the scripts that mind it.

    <prefix>{ledger}:due              sorted set, ids of holds by due
    <prefix>{ledger}:holds            hash, id: JSON list of level, amount, level, amount …
    <prefix>{ledger}:held             hash, level: what holds have of it together
    <prefix>{ledger}:rate:<what>:<who>   string, a bucket of `core.ruling`; expires when empty
    <prefix>{ledger}:spent:<period>   hash, who: money spent; see `redis_settlements`

A level is `<what>:<period>:<who>`. Times are Unix milliseconds, all numbers whole ones. The tag
puts all of it into one slot, so that each step is one script, in a cluster too.

Which time it is, is Redis's to say: a replica whose clock is ahead lapses nobody's holds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from proxy.core.errors import StoreUnavailableError
from proxy.core.holds import Hold, Level, Rate, Ruling
from proxy.core.ruling import EMPTY_AFTER, MINUTE, Counted, milliseconds, rule
from proxy.ports.ledger import Standing
from proxy.stores.redis_commands import in_json
from proxy.stores.redis_session import Session

BATCH = 500
"""Holds renewed in one script: a millisecond of Redis."""

LAPSING = 1000
"""Holds that lapse in one script, about ten milliseconds of Redis; if there are more, it is asked
once more before anything is ruled."""

_AGAIN, _TAKEN, _FAILED = b"again", b"there", b"failed"

Now: TypeAlias = Callable[[], float] | None
"""A test's clock, in Unix seconds; None is Redis's own."""


@dataclass(frozen=True, slots=True)
class LedgerKeys:
    """Names of the ledger's keys under one prefix."""

    prefix: str

    def __call__(self, name: str) -> str:
        """The key of that name."""
        return f"{self.prefix}{{ledger}}:{name}"

    def holds(self) -> list[str]:
        """The three keys that every script about holds begins with."""
        return [self("due"), self("holds"), self("held")]

    def rate(self, rate: Rate) -> str:
        """Key of a bucket."""
        return self(f"rate:{rate.what}:{rate.who}")

    def spent(self, period: str) -> str:
        """Key of what was spent in a period; none is there for what is only ever held."""
        return self(f"spent:{period}")


# Milliseconds. A test may turn the clock, in ARGV[1].
CLOCK = """
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local function whole(number) return string.format('%.0f', number) end
"""

# What every script about holds begins with. Of a hold that cannot be read, nothing is given back,
# and nothing goes wrong: whoever asks next would be refused for it, and the one after that.
ENDING = """
local due, holds, held = KEYS[1], KEYS[2], KEYS[3]

local function finish(id)
  local is_json, levels = pcall(cjson.decode, redis.call('HGET', holds, id) or '[]')
  for i = 1, is_json and type(levels) == 'table' and #levels - 1 or 0, 2 do
    local level, amount = levels[i], levels[i + 1]
    if type(level) == 'string' and type(amount) == 'string' then
      if redis.pcall('HINCRBY', held, level, '-' .. amount) == 0 then
        redis.call('HDEL', held, level)
      end
    end
  end
  redis.call('HDEL', holds, id)
  redis.call('ZREM', due, id)
end
"""

_LAPSE = f"""
{CLOCK}
{ENDING}
local lapsed = redis.call('ZRANGE', due, '-inf', whole(now), 'BYSCORE', 'LIMIT', 0, {LAPSING})
for _, id in ipairs(lapsed) do finish(id) end
if #lapsed == {LAPSING} then return {{'{_AGAIN.decode()}'}} end
"""

# The rule of `core.ruling`. Compared are floats, which is exact below 2^53; a sum beyond that is
# beyond every limit, and rounding keeps it there. Added up are integers of 64 bits.
# KEYS: due, holds, held, then those of rates and of what was spent.
# ARGV: a test's now, and the holds as JSON: of each its id and lease; the key and the calls a
# minute of each rate; the key, level, who, amount and limit of each level.
# Answers for each, in order, whether it was there, what time it is, what each rate contains, what
# of each level is held and spent; only that it failed for one that meets a key of a wrong kind.
_HOLD = f"""
{_LAPSE}
local function take(id, lease, rates, levels)
  local fits, told, pours, mine = true, {{'new', whole(now)}}, {{}}, {{}}
  for i, rate in ipairs(rates) do
    local key, each = KEYS[rate[1]], rate[2]
    local content, at = (redis.call('GET', key) or '0 0'):match('(%d+) (%d+)')
    content, at = math.min(tonumber(content), each * {MINUTE}), tonumber(at)
    content = math.max(content - math.min(math.max(now - at, 0), {MINUTE}) * each, 0)
    if at <= now or at > now + {MINUTE} then at = now end
    fits = fits and content + {MINUTE} <= each * {MINUTE}
    told[#told + 1] = whole(content)
    pours[i] = {{key, whole(content + {MINUTE}) .. ' ' .. whole(at)}}
  end
  for _, level in ipairs(levels) do
    local key, name, who, amount, most = unpack(level)
    local there = redis.call('HGET', held, name) or '0'
    local spent = redis.call('HGET', KEYS[key], who) or '0'
    if most ~= '' then
      fits = fits and tonumber(there) + tonumber(spent) + tonumber(amount) <= tonumber(most)
    end
    told[#told + 1], told[#told + 2] = there, spent
    if amount ~= '0' then mine[#mine + 1], mine[#mine + 2] = name, amount end
  end
  if redis.call('ZSCORE', due, id) then
    told[1] = '{_TAKEN.decode()}'
  elseif fits then
    for _, pour in ipairs(pours) do redis.call('SET', pour[1], pour[2], 'PX', {EMPTY_AFTER}) end
    redis.call('ZADD', due, whole(now + lease), id)
    redis.call('HSET', holds, id, cjson.encode(mine))
    for i = 1, #mine, 2 do redis.call('HINCRBY', held, mine[i], mine[i + 1]) end
  end
  return told
end
local ruled = {{}}
for i, hold in ipairs(cjson.decode(ARGV[2])) do
  local is_ruled, told = pcall(take, unpack(hold))
  ruled[i] = is_ruled and told or {{'{_FAILED.decode()}'}}
end
return ruled
"""

# KEYS: due, holds, held, the levels' periods. ARGV: a test's now, then level and who of each.
_STANDINGS = f"""
{_LAPSE}
local told = {{}}
for i = 1, #KEYS - 3 do
  told[2 * i - 1] = redis.call('HGET', held, ARGV[2 * i]) or '0'
  told[2 * i] = redis.call('HGET', KEYS[3 + i], ARGV[2 * i + 1]) or '0'
end
return told
"""

# KEYS: due. ARGV: a test's now, the lease, ids.
_RENEW = f"""
{CLOCK}
for i = 3, #ARGV do
  local ends = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if ends and tonumber(ends) > now then
    redis.call('ZADD', KEYS[1], 'GT', whole(now + ARGV[2]), ARGV[i])
  end
end
"""


def told_time(now: Now) -> str:
    """What a script is told of the time."""
    return "" if now is None else str(milliseconds(now()))


def level_of(who: str, what: str, period: str) -> str:
    """The name of a level; `what` and `period` have no colon."""
    return f"{what}:{period}:{who}"


async def hold(
    session: Session, keys: LedgerKeys, holds: Sequence[Hold], now: Now
) -> list[Ruling | Exception]:
    """Take holds, or not, one after the other."""
    places = {name: place for place, name in enumerate(keys.holds(), start=1)}
    asked = [_told(keys, one, places) for one in holds]
    told = await _until_lapsed(session, _HOLD, [*places], told_time(now), in_json(asked))
    return [_ruling(one, answer) for one, answer in zip(holds, told, strict=True)]


def _told(keys: LedgerKeys, hold: Hold, places: dict[str, int]) -> tuple[Any, ...]:
    """A hold as the script takes it; the keys it needs are put into `places`."""

    def place(name: str) -> int:
        return places.setdefault(name, len(places) + 1)

    rates, levels = _words(keys, hold.rates, hold.levels)
    placed = [(place(name), each) for name, each in rates]
    levelled = [(place(name), *words) for name, *words in levels]
    return hold.id, milliseconds(hold.lease), placed, levelled


@lru_cache(maxsize=1024)  # as calls of one token are mostly alike
def _words(
    keys: LedgerKeys, rates: tuple[Rate, ...], levels: tuple[Level, ...]
) -> tuple[Sequence[tuple[str, int]], Sequence[tuple[str, ...]]]:
    """What the script is told of rates, and of levels, each behind the name of its key."""
    return [(keys.rate(rate), rate.per_minute) for rate in rates], [
        (
            keys.spent(period),
            level_of(who, what, period),
            who,
            str(amount),
            "" if most is None else str(most),
        )
        for who, what, period, amount, most in levels
    ]


def _ruling(hold: Hold, told: Sequence[bytes]) -> Ruling | Exception:
    if told[0] == _FAILED:
        return StoreUnavailableError()
    known, at, *counts = told
    numbers, rates = list(map(int, counts)), len(hold.rates)
    levels = map(sum, zip(numbers[rates::2], numbers[rates + 1 :: 2], strict=True))
    counted = Counted(tuple(numbers[:rates]), tuple(levels))
    return rule(hold, counted, int(at) / 1000, is_taken=known == _TAKEN)


async def renew(
    session: Session, keys: LedgerKeys, holds: Sequence[str], lease: float, now: Now
) -> None:
    """Prolong the holds there are, by `lease` seconds from now."""
    for start in range(0, len(holds), BATCH):
        words = (told_time(now), str(milliseconds(lease)), *holds[start : start + BATCH])
        await session.run("EVAL", _RENEW, "1", keys("due"), *words)


async def standings(
    session: Session, keys: LedgerKeys, bounds: Sequence[tuple[str, str, str]], now: Now
) -> list[Standing]:
    """What counts of each (who, what, period)."""
    names = [*keys.holds(), *(keys.spent(period) for _, _, period in bounds)]
    words = [word for bound in bounds for word in (level_of(*bound), bound[0])]
    counts = await _until_lapsed(session, _STANDINGS, names, told_time(now), *words)
    pairs = zip(counts[::2], counts[1::2], strict=True)
    return [Standing(int(held), int(spent)) for held, spent in pairs]


async def _until_lapsed(
    session: Session, script: str, names: Sequence[str], *words: str | bytes
) -> list[Any]:
    """Run a script until no hold is left to lapse: a thousand of them go with each."""
    while True:
        told: list[Any] = await session.run("EVAL", script, str(len(names)), *names, *words)
        if told[:1] != [_AGAIN]:
            return told
