"""Whether a hold may be taken, and what is left then: the rule that all stores follow.

A rate is a bucket that leaks: each call pours in a minute's worth of milliseconds, and
`per_minute` of them leak out each millisecond; it holds `per_minute` calls. All of it is whole
numbers below 2**53 (999,999,999 a minute make 6 * 10**13), so that the script in Redis, which
counts with floats, comes to the very same answers. Times are Unix milliseconds.
"""

import math
from typing import NamedTuple

from proxy.core.beijing import end_of
from proxy.core.holds import Bound, Hold, Left, Level, Rate, Ruling

MINUTE = 60_000
"""Milliseconds until any bucket is empty again, and what one call pours in."""

EMPTY_AFTER = 2 * MINUTE
"""Milliseconds until a bucket that nothing was poured into is certainly empty, on any clock, also
on one that was set back: a store may forget it then."""


class Bucket(NamedTuple):
    """What had not leaked out `at` that time."""

    content: int
    at: int


EMPTY = Bucket(0, 0)


class Counted(NamedTuple):
    """What counts against a hold's bounds without it, in the hold's order.

    Of a rate what its bucket contains now, of a level what is held and spent together.
    """

    rates: tuple[int, ...]
    levels: tuple[int, ...]


def milliseconds(at: float) -> int:
    """Seconds as whole milliseconds."""
    return round(at * 1000)


def content(bucket: Bucket, rate: Rate, now: int) -> int:
    """What the bucket contains now; a limit that was lowered since is over in a minute as well."""
    leaked = min(max(now - bucket.at, 0), MINUTE) * rate.per_minute
    return max(min(bucket.content, rate.per_minute * MINUTE) - leaked, 0)


def poured(bucket: Bucket, rate: Rate, now: int) -> Bucket:
    """The bucket with one more call in it.

    A time slightly ahead is another process's clock, and stays; a minute ahead is a mistake.
    """
    at = bucket.at if now < bucket.at <= now + MINUTE else now
    return Bucket(content(bucket, rate, now) + MINUTE, at)


def rule(hold: Hold, counted: Counted, now: float, *, is_taken: bool = False) -> Ruling:
    """What to say to a hold at `now` (Unix seconds); it is taken unless the ruling refuses.

    `is_taken` is a hold that is there already, and counted.
    """
    rates = list(zip(hold.rates, counted.rates, strict=True))
    levels = list(zip(hold.levels, counted.levels, strict=True))
    bounds: list[tuple[Bound, int]] = [*rates, *levels]
    met = [] if is_taken else [pair for pair in bounds if not _fits(*pair)]
    pours = 0 if is_taken or met else MINUTE
    left = [_left_of_rate(rate, count + pours) for rate, count in rates]
    for level, count in levels:
        if level.most is not None:
            amount = max(level.most - count - (level.amount if pours else 0), 0)
            left.append(Left(level, amount, _until_end(level, now)))
    return Ruling(
        left=tuple(left),
        refused=met[0][0] if met else None,
        wait=_longest([_wait(bound, count, now) for bound, count in met]) if met else None,
    )


def _taken(bound: Bound) -> int:
    return MINUTE if isinstance(bound, Rate) else bound.amount


def _most(bound: Bound) -> float:
    if isinstance(bound, Rate):
        return bound.per_minute * MINUTE
    return math.inf if bound.most is None else bound.most


def _fits(bound: Bound, count: int) -> bool:
    return count + _taken(bound) <= _most(bound)


def _left_of_rate(rate: Rate, count: int) -> Left:
    return Left(rate, max(rate.per_minute * MINUTE - count, 0) // MINUTE, _leaking(count, rate))


def _wait(bound: Bound, count: int, now: float) -> float | None:
    """Seconds until there is room, if nobody else takes it."""
    if _taken(bound) > _most(bound):
        return None
    if isinstance(bound, Level):
        return _until_end(bound, now)
    return _leaking(count + MINUTE - bound.per_minute * MINUTE, bound)


def _leaking(surplus: int, rate: Rate) -> float | None:
    """Seconds until so much has leaked out."""
    if rate.per_minute == 0:
        return None
    return math.ceil(surplus / rate.per_minute) / 1000


def _until_end(level: Level, now: float) -> float | None:
    end = end_of(level.period)
    return None if end is None else max(end - milliseconds(now) / 1000, 0.0)


def _longest(waits: list[float | None]) -> float | None:
    known = [wait for wait in waits if wait is not None]
    return max(known) if known and len(known) == len(waits) else None
