"""What one call takes of the limits on its token and its tenant, and what it is told of them.

Rule 1: a limit that is not there takes nothing. No limit at all: no hold, and no round trip.
Rule 2: money is held for the dearest end the call can come to. A budget has no say in what costs
        nothing.
Rule 3: of a token's limit and its tenant's on the same, the caller is told of the tighter one.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from typing import NamedTuple

from proxy.core.beijing import periods_of
from proxy.core.errors import ProxyError, Situation
from proxy.core.headers import RATE_LIMIT, Fields, value_of, values_of
from proxy.core.holds import (
    LEASE,
    MONEY,
    REQUESTS,
    STREAMS,
    SUBMITS,
    TASKS,
    Bound,
    Hold,
    Left,
    Level,
    Rate,
    Ruling,
)
from proxy.core.limits import NO_LIMITS, Limits
from proxy.core.money import text_of
from proxy.core.policy import Grant

UNKNOWN_WAIT = 1
"""Seconds until a call that met what still runs may try again: nobody knows when that ends."""


class Wish(NamedTuple):
    """What a call is, as far as limits go. `dearest` is billionths, the most it can cost."""

    creates_task: bool = False
    is_stream: bool = False
    dearest: int = 0


def is_limited(grant: Grant) -> bool:
    """Whether any limit concerns the token; else nobody need know what a call could cost."""
    # Those without any have the one value that stands for it: no need to compare.
    limits, tenants = grant.limits, grant.tenant_limits
    return (limits is not NO_LIMITS and limits != NO_LIMITS) or (
        tenants is not NO_LIMITS and tenants != NO_LIMITS
    )


def hold_for(
    request_id: str, grant: Grant, wish: Wish, now: float, lease: float = LEASE
) -> Hold | None:
    """What the call has to take, before it is sent; None where no limit concerns it."""
    rates, levels = _bounds(grant, wish, periods_of(now))
    return Hold(request_id, rates, levels, lease) if rates or levels else None


@lru_cache(maxsize=1024)  # as calls of one token are mostly alike: a tenth of the time
def _bounds(
    grant: Grant, wish: Wish, periods: tuple[str, ...]
) -> tuple[tuple[Rate, ...], tuple[Level, ...]]:
    """What a call with this token has to take of what."""
    rates: list[Rate] = []
    levels: list[Level] = []
    for who, limits in (
        (f"token:{grant.id}", grant.limits),
        (f"tenant:{grant.tenant}", grant.tenant_limits),
    ):
        if limits is not NO_LIMITS:
            rates += _rates(who, limits, wish)
            levels += _levels(who, limits, wish, periods)
    return tuple(rates), tuple(levels)


def needs_whole(grant: Grant) -> bool:
    """Whether a hold can be told only when the whole request is here.

    Of half a body nobody knows what it will ask for: what is dear may stand at its end.
    """
    limits, tenants = grant.limits, grant.tenant_limits
    return (limits is not NO_LIMITS and _needs_whole(limits)) or (
        tenants is not NO_LIMITS and _needs_whole(tenants)
    )


def _needs_whole(limits: Limits) -> bool:
    return (
        limits.concurrent_streams is not None
        or limits.budget_day is not None
        or limits.budget_month is not None
        or limits.budget_total is not None
    )


def asks_stream(fields: Fields, inputs: Mapping[str, str]) -> bool:
    """Whether a call asks for an answer that comes in parts, by its header or in its body.

    `inputs` are what was noted of the body, as JSON text. Whatever upstream may take for a yes is
    one: what stands twice, or under a name that is spelt oddly, or is no truth value.
    """
    kinds = ",".join(values_of(fields, "accept")).lower()
    asked = (value_of(fields, "x-dashscope-sse") or "").strip().lower() == "enable"
    return asked or "text/event-stream" in kinds or inputs.get("stream", "null") not in _NO_STREAM


_NO_STREAM = frozenset({"null", "false"})


def _rates(who: str, limits: Limits, wish: Wish) -> Iterator[Rate]:
    if limits.requests_per_minute is not None:
        yield Rate(who, REQUESTS, limits.requests_per_minute)
    if wish.creates_task and limits.submits_per_minute is not None:
        yield Rate(who, SUBMITS, limits.submits_per_minute)


def _levels(who: str, limits: Limits, wish: Wish, periods: tuple[str, ...]) -> Iterator[Level]:
    if wish.creates_task and limits.concurrent_tasks is not None:
        yield Level(who, TASKS, "", 1, limits.concurrent_tasks)
    if wish.is_stream and limits.concurrent_streams is not None:
        yield Level(who, STREAMS, "", 1, limits.concurrent_streams)
    if not wish.dearest:
        return
    budgets = (limits.budget_day, limits.budget_month, limits.budget_total)
    for period, most in zip(periods, budgets, strict=True):
        if most is not None:
            yield Level(who, MONEY, period, wish.dearest, most)


def told_of(lefts: Iterable[Left]) -> Fields:
    """The `x-ratelimit-*` fields of an answer: of each kind of limit the tighter one.

    Counts are whole numbers, budgets currency units, what is left never below 0. The reset is
    whole seconds until all of it is back, where time alone brings it back.
    """
    tightest: dict[str, Left] = {}
    for left in lefts:
        known = tightest.get(kind := kind_of(left.bound))
        if known is None or _tightness(left) < _tightness(known):
            tightest[kind] = left
    fields: list[tuple[str, str]] = []
    for kind, left in tightest.items():
        limit, remaining, reset = _names(kind)
        told = text_of if left.bound.what == MONEY else str
        fields.append((limit, told(_most(left.bound))))
        fields.append((remaining, told(max(0, left.amount))))
        if left.reset is not None:
            fields.append((reset, str(math.ceil(left.reset))))
    return fields


def refusal(ruling: Ruling) -> ProxyError:
    """The answer to a call whose hold was refused: which limit of whom, and when to come again."""
    bound = ruling.refused
    assert bound is not None, "a hold that was taken"  # noqa: S101 - a bug of the caller
    told = list(told_of(ruling.left))
    wait = _wait(ruling, bound)
    if wait is not None:
        told.append(("Retry-After", str(max(1, math.ceil(wait)))))
    situation = Situation.BUDGET_SPENT if bound.what == MONEY else Situation.RATE_LIMITED
    return ProxyError(situation, _in_words(bound), headers=tuple(told))


def kind_of(bound: Bound) -> str:
    """How header fields and metrics call a limit: as in `requests` or `budget-day`."""
    if bound.what == MONEY and isinstance(bound, Level):
        return _BUDGETS[bound.period.count("-")]
    return bound.what


_BUDGETS = ("budget-total", "budget-month", "budget-day")
"""By the hyphens in a period."""

_NOUNS = {
    REQUESTS: "requests a minute",
    SUBMITS: "submits a minute",
    TASKS: "tasks at a time",
    STREAMS: "streams at a time",
}


def _wait(ruling: Ruling, bound: Bound) -> float | None:
    """Seconds until it is worth another try; None where no time is."""
    if _is_beyond(bound):
        return None
    reset = next((left.reset for left in ruling.left if left.bound == bound), None)
    known = reset if ruling.wait is None else ruling.wait
    return UNKNOWN_WAIT if known is None and bound.what != MONEY else known


def _tightness(left: Left) -> tuple[int, int]:
    return left.amount, _most(left.bound)


@cache  # there are seven kinds
def _names(kind: str) -> tuple[str, str, str]:
    return f"{RATE_LIMIT}limit-{kind}", f"{RATE_LIMIT}remaining-{kind}", f"{RATE_LIMIT}reset-{kind}"


def _is_beyond(bound: Bound) -> bool:
    """Whether the limit would refuse this call even if nothing else counted against it."""
    taken = 1 if isinstance(bound, Rate) else bound.amount
    return taken > _most(bound)


def _in_words(bound: Bound) -> str:
    is_token = bound.who.startswith("token:")
    if isinstance(bound, Rate) or bound.what != MONEY:
        whose = "This token" if is_token else "All tokens of this tenant together"
        advice = "no wait helps" if _is_beyond(bound) else "try again later"
        return f"{whose} may have {_most(bound)} {_NOUNS[bound.what]}; {advice}."
    whose = "this token" if is_token else "all tokens of this tenant together"
    period = "" if bound.period == "total" else f" for {bound.period}, Beijing time,"
    budget = "The whole" if _is_beyond(bound) else "What is left of the"
    return f"{budget} budget of {whose}{period} does not cover what this call could cost."


def _most(bound: Bound) -> int:
    return bound.per_minute if isinstance(bound, Rate) else bound.most or 0
