"""Upstream's clock: its times carry no zone and mean Beijing's."""

from datetime import datetime, timedelta, timezone

BEIJING = timezone(timedelta(hours=8))


def local_time(at: float) -> str:
    """A Unix time as polls tell it: to the millisecond, without its zone."""
    return datetime.fromtimestamp(at, BEIJING).replace(tzinfo=None).isoformat(" ", "milliseconds")
