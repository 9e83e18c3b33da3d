"""Upstream's clock: its times carry no zone and mean Beijing's."""

from datetime import datetime, timedelta, timezone
from functools import lru_cache

_DAY = 24 * 60 * 60
_AHEAD = 8 * 60 * 60
BEIJING = timezone(timedelta(seconds=_AHEAD))

TOTAL = "total"
"""The period of money that never ends."""


def local_time(at: float) -> str:
    """A Unix time as polls tell it: to the millisecond, without its zone."""
    return datetime.fromtimestamp(at, BEIJING).replace(tzinfo=None).isoformat(" ", "milliseconds")


def day_of(at: float) -> str:
    """The day a Unix time falls on, `2026-11-20`."""
    return periods_of(at)[0]


def periods_of(at: float) -> tuple[str, str, str]:
    """Day, month and all times, by which money spent at a Unix time counts.

    `2026-11-20`, `2026-11`, `total`: in the order of the budgets in `proxy.core.limits.Limits`.
    """
    return _periods((at + _AHEAD) // _DAY)


@lru_cache(maxsize=64)  # every call asks for them several times: twelve times as fast
def _periods(number: float) -> tuple[str, str, str]:
    """Of the day of this number, in Beijing, since the beginning of 1970."""
    day = datetime.fromtimestamp(number * _DAY - _AHEAD, BEIJING).date().isoformat()
    return day, day[:7], TOTAL


@lru_cache(maxsize=64)
def end_of(period: str) -> float | None:
    """When a day or month is over, in Unix seconds; None for what has no end."""
    if period in ("", TOTAL):
        return None
    year, month, *day = map(int, period.split("-"))
    if day:
        return (datetime(year, month, day[0], tzinfo=BEIJING) + timedelta(days=1)).timestamp()
    return datetime(year + month // 12, month % 12 + 1, 1, tzinfo=BEIJING).timestamp()


def unix_time(text: str) -> float | None:
    """What `local_time` and upstream write, as Unix seconds; None for anything else."""
    try:
        local = datetime.fromisoformat(text)
        return local.replace(tzinfo=local.tzinfo or BEIJING).timestamp()
    except (ValueError, OverflowError):
        return None
