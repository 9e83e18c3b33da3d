"""The flags for limits, as a token and a tenant take them. No flag, no change."""

from collections.abc import Callable

import pytest
from cli.conftest import Cli

from proxy.cli.limit_flags import flag_of, limit_words, limited, read_limits
from proxy.core.limits import NAMES, NO_LIMITS, Limits

Create = Callable[..., str]


def test_every_limit_has_a_flag(cli: Cli) -> None:
    """Wherever limits are set, help tells of each, and of how to take it away."""
    for words in (("token", "create"), ("token", "update"), ("token", "import"), ("tenant", "set")):
        told = cli(*words, "--help").out
        for name in NAMES:
            assert f"{flag_of(name)} " in told
        assert told.count("|none") >= len(NAMES)


def test_what_is_read() -> None:
    """Numbers, amounts in the currency's units, none; a flag that is not given has no place."""
    given = dict.fromkeys(NAMES) | {
        "requests_per_minute": "60",
        "concurrent_tasks": "0",
        "budget_day": "12.50",
        "budget_total": "none",
    }
    changes = read_limits(given)
    assert changes == {
        "requests_per_minute": 60,
        "concurrent_tasks": 0,
        "budget_day": 12_500_000_000,
        "budget_total": None,
    }
    before = Limits(submits_per_minute=3, budget_total=1)
    after = limited(before, changes)
    assert (after.submits_per_minute, after.budget_total, after.budget_day) == (
        *(3, None),
        12_500_000_000,
    )
    assert limit_words(after) == [
        *("requests_per_minute=60", "submits_per_minute=3", "concurrent_tasks=0"),
        "budget_day=12.5",
    ]
    assert limit_words(NO_LIMITS) == []


MISTAKES = [
    ("--requests-per-minute", "many", "no whole number from 0 to 999999999"),
    ("--submits-per-minute", "1.5", "no whole number"),
    ("--concurrent-tasks", "-1", "no whole number"),
    ("--concurrent-streams", "None", "no whole number"),
    ("--budget-day", "12,50", "no amount from 0 to 9000000, as in 12.50"),
    ("--budget-month", "1e3", "no amount"),
    ("--budget-total", "9000001", "no amount"),
    ("--budget-total", "", "must not be empty"),
]


@pytest.mark.parametrize(("flag", "text", "problem"), MISTAKES)
def test_a_limit_that_is_none(cli: Cli, create: Create, flag: str, text: str, problem: str) -> None:
    """The line names the flag and what would be right, wherever it is given; nothing is changed."""
    create("known", "--budget-day", "1")
    before = cli("token", "show", "known", "--json").json()["limits"]
    for words in (
        ("token", "create", "a", "--model", "*"),
        ("token", "update", "known"),
        ("tenant", "set", "studio"),
    ):
        said = cli(*words, flag, text)
        assert said.code == 1
        (line,) = said.err.splitlines()
        assert line.startswith(f"{flag}: ")
        assert problem in line
    assert cli("token", "show", "known", "--json").json()["limits"] == before
    assert cli("tenant", "list", "--json").json() == []
