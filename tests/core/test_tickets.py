"""What a call takes of its limits, and what it is told: each rule of `proxy.core.tickets`."""

from dataclasses import replace
from datetime import datetime

import pytest

from proxy.core.beijing import BEIJING
from proxy.core.errors import Situation
from proxy.core.holds import Bound, Hold, Left, Level, Rate, Ruling
from proxy.core.limits import NAMES, NO_LIMITS, Limits
from proxy.core.policy import Grant
from proxy.core.tickets import Wish, asks_stream, hold_for, is_limited, kind_of, refusal, told_of

NOW = datetime(2026, 11, 20, 0, 30, tzinfo=BEIJING).timestamp()
"""Half an hour into a day of Beijing's, on which it is yesterday elsewhere."""

ALL = Limits(60, 6, 3, 2, 10, 20, 30)
COIN = 10**9


def grant(token: Limits = NO_LIMITS, tenant: Limits = NO_LIMITS) -> Grant:
    return Grant("t1", "name", "a", ("*",), limits=token, tenant_limits=tenant)


def taken(wish: Wish, token: Limits = ALL, tenant: Limits = NO_LIMITS) -> Hold:
    hold = hold_for("r1", grant(token, tenant), wish, NOW, 60)
    assert hold is not None
    return hold


def test_no_limit_takes_nothing() -> None:
    """Without a limit that concerns the call there is no hold at all."""
    wish = Wish(creates_task=True, is_stream=True, dearest=5)
    assert hold_for("r1", grant(), wish, NOW) is None
    assert hold_for("r1", grant(Limits(submits_per_minute=1)), Wish(), NOW) is None
    assert hold_for("r1", grant(Limits(budget_day=1)), Wish(), NOW) is None


@pytest.mark.parametrize("name", NAMES)
def test_any_limit_is_one(name: str) -> None:
    """Whichever it is, of the token or of its tenant, and 0 as well."""
    one = replace(NO_LIMITS, **{name: 0})
    assert is_limited(grant(token=one))
    assert is_limited(grant(tenant=one))
    assert not is_limited(grant(Limits(), Limits()))


@pytest.mark.parametrize(
    ("wish", "rates", "levels"),
    [
        (Wish(), ["requests"], []),
        (Wish(is_stream=True), ["requests"], ["streams"]),
        (Wish(creates_task=True), ["requests", "submits"], ["tasks"]),
        (Wish(dearest=7), ["requests"], ["money", "money", "money"]),
    ],
)
def test_each_kind_of_call_takes_what_concerns_it(
    wish: Wish, rates: list[str], levels: list[str]
) -> None:
    """A task counts as a submit and as a task, a stream as a stream, what costs against money."""
    hold = taken(wish)
    assert [rate.what for rate in hold.rates] == rates
    assert [level.what for level in hold.levels] == levels


def test_what_a_hold_says() -> None:
    """Whose limit it is, how much there may be, for which of Beijing's days, and until when."""
    hold = taken(Wish(dearest=7), Limits(requests_per_minute=9, budget_day=1, budget_total=3))
    assert (hold.id, hold.lease) == ("r1", 60)
    assert hold.rates == (Rate("token:t1", "requests", 9),)
    day, total = hold.levels
    assert day == Level("token:t1", "money", "2026-11-20", 7, 1)
    assert total == Level("token:t1", "money", "total", 7, 3)


def test_a_tenants_limits_hold_beside_the_tokens() -> None:
    """Both are taken, each under its own name, the token's first."""
    hold = taken(Wish(), Limits(requests_per_minute=9), Limits(requests_per_minute=99))
    assert hold.rates == (Rate("token:t1", "requests", 9), Rate("tenant:a", "requests", 99))


MINE, OURS = Rate("token:t1", "requests", 9), Rate("tenant:a", "requests", 99)
DAY = Level("token:t1", "money", "2026-11-20", 7, 12 * COIN + COIN // 2)
MONTH = Level("tenant:a", "money", "2026-11", 7, 20 * COIN)
TOTAL = Level("token:t1", "money", "total", 7, 30 * COIN)
RUNNING = Level("token:t1", "tasks", "", 1, 3)
NONE, NEVER = Level("token:t1", "streams", "", 1, 0), Rate("token:t1", "requests", 0)
DEAR = Level("token:t1", "money", "2026-11-20", 13 * COIN, 12 * COIN)


def test_the_tighter_limit_is_told() -> None:
    """Of the token's and the tenant's the one with less left; at a tie the lower one."""
    assert told_of([Left(MINE, 5, 2.1), Left(OURS, 4, 60)]) == [
        ("x-ratelimit-limit-requests", "99"),
        ("x-ratelimit-remaining-requests", "4"),
        ("x-ratelimit-reset-requests", "60"),
    ]
    assert dict(told_of([Left(OURS, 4, 60), Left(MINE, 4, 2.1)])) == {
        "x-ratelimit-limit-requests": "9",
        "x-ratelimit-remaining-requests": "4",
        "x-ratelimit-reset-requests": "3",
    }


def test_budgets_are_told_in_currency_units() -> None:
    """What is overspent is 0; what no time brings back has no reset."""
    told = dict(told_of([Left(DAY, COIN // 4, 7.0), Left(TOTAL, -5, None), Left(RUNNING, 2, None)]))
    assert told == {
        "x-ratelimit-limit-budget-day": "12.5",
        "x-ratelimit-remaining-budget-day": "0.25",
        "x-ratelimit-reset-budget-day": "7",
        "x-ratelimit-limit-budget-total": "30",
        "x-ratelimit-remaining-budget-total": "0",
        "x-ratelimit-limit-tasks": "3",
        "x-ratelimit-remaining-tasks": "2",
    }


@pytest.mark.parametrize(
    ("bound", "wait", "reset", "situation", "after", "words"),
    [
        (MINE, 2.4, 60, Situation.RATE_LIMITED, "3", "This token may have 9 requests a minute"),
        (OURS, 0.1, 60, Situation.RATE_LIMITED, "1", "All tokens of this tenant together may"),
        (RUNNING, None, None, Situation.RATE_LIMITED, "1", "may have 3 tasks at a time"),
        (DAY, None, 90.0, Situation.BUDGET_SPENT, "90", "this token for 2026-11-20, Beijing time"),
        (MONTH, 70.5, 90.0, Situation.BUDGET_SPENT, "71", "of this tenant together for 2026-11,"),
        (TOTAL, None, None, Situation.BUDGET_SPENT, None, "the budget of this token does not"),
        (NONE, None, None, Situation.RATE_LIMITED, None, "0 streams at a time; no wait helps."),
        (NEVER, None, None, Situation.RATE_LIMITED, None, "0 requests a minute; no wait helps."),
        (DEAR, None, 90.0, Situation.BUDGET_SPENT, None, "The whole budget of this token for"),
    ],
)
def test_a_refusal_names_the_limit(
    bound: Bound,
    wait: float | None,
    reset: float | None,
    situation: Situation,
    after: str | None,
    words: str,
) -> None:
    """Which limit of whom, and when to come again, as far as anybody knows."""
    error = refusal(Ruling((Left(bound, 0, reset),), bound, wait))
    headers = dict(error.headers)
    assert error.situation is situation
    assert headers.get("Retry-After") == after
    assert words in error.message
    assert headers[f"x-ratelimit-remaining-{kind_of(bound)}"] == "0"


@pytest.mark.parametrize("text", ["true", "", "1", "0", '"true"', '"false"', "FALSE"])
def test_whatever_may_be_a_yes_asks_for_a_stream(text: str) -> None:
    """What stands twice, or is spelt oddly, is noted as the empty text."""
    assert asks_stream((), {"stream": text})


@pytest.mark.parametrize("inputs", [{}, {"stream": "null"}, {"stream": "false"}])
def test_what_plainly_asks_for_no_stream(inputs: dict[str, str]) -> None:
    """Absent, null, and the plain no."""
    assert not asks_stream((), inputs)
