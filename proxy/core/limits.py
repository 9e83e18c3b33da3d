"""What a token, and all tokens of a tenant together, may use up: rates, numbers at once, money.

Limits travel as flat text fields: those of a token stand in its grant, those of a tenant in a
place of their own. What is not there is not limited. What cannot be read grants nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal

from proxy.core.money import MOST, nanos_of, text_of

_COUNT = re.compile(r"[0-9]{1,9}")
_MONEY = re.compile(r"[0-9]{1,7}(\.[0-9]{1,9})?")


class LimitUnreadableError(ValueError):
    """A stored limit that nobody can understand. The text names the field."""


@dataclass(frozen=True, slots=True)
class Limits:
    """None is no limit, 0 allows nothing. Budgets are billionths of the currency's unit.

    Days and months are Beijing's, as on upstream's own bills. A request is any call but a poll; a
    submit is one that creates a task; a stream is an answer that comes in parts, or a WebSocket.
    """

    requests_per_minute: int | None = None
    submits_per_minute: int | None = None
    concurrent_tasks: int | None = None
    concurrent_streams: int | None = None
    budget_day: int | None = None
    budget_month: int | None = None
    budget_total: int | None = None


NO_LIMITS = Limits()
NAMES = tuple(field.name for field in fields(Limits))
"""The fields' names, in the order in which people are shown them."""


def limits_to_fields(limits: Limits) -> dict[str, str]:
    """The limits there are as flat text; budgets in currency units. Inverse of the next."""
    given = {name: getattr(limits, name) for name in NAMES}
    return {name: _told(name, value) for name, value in given.items() if value is not None}


def limits_from_fields(stored: Mapping[str, str]) -> Limits:
    """Read stored fields, leaving others alone. Raises `LimitUnreadableError`."""
    given = {name: _read(name, stored[name]) for name in NAMES if name in stored}
    return Limits(**given) if given else NO_LIMITS


def _told(name: str, value: int) -> str:
    return text_of(value) if _is_money(name) else str(value)


def _read(name: str, text: str) -> int:
    if _is_money(name):
        if not _MONEY.fullmatch(text) or (amount := Decimal(text)) > MOST:
            raise LimitUnreadableError(
                f"{name}: {text!r} is no amount from 0 to {MOST}, as in 12.50"
            )
        return nanos_of(amount)
    if not _COUNT.fullmatch(text):
        raise LimitUnreadableError(f"{name}: {text!r} is no whole number from 0 to 999999999")
    return int(text)


def _is_money(name: str) -> bool:
    return name.startswith("budget_")
