"""`core.limits`: what a token or a tenant may use up, as it is stored."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.limits import (
    NAMES,
    NO_LIMITS,
    Limits,
    LimitUnreadableError,
    limits_from_fields,
    limits_to_fields,
)

amounts = st.none() | st.integers(0, 9_000_000 * 10**9)
counts = st.none() | st.integers(0, 999_999_999)


@given(st.builds(Limits, counts, counts, counts, counts, amounts, amounts, amounts))
def test_limits_come_back_as_they_were_stored(limits: Limits) -> None:
    """To the billionth, and no limit stays no limit."""
    assert limits_from_fields(limits_to_fields(limits)) == limits


def test_a_grant_without_limits_has_no_fields() -> None:
    """What is not limited is not stored, and other fields of a grant are none of them."""
    assert limits_to_fields(NO_LIMITS) == {}
    assert limits_from_fields({"models": "*"}) == NO_LIMITS


@pytest.mark.parametrize("text", ["", "-1", "1e3", "nan", "1_0", "٣", " 1", "10000000000", "1.0"])
def test_a_count_that_cannot_be_read_is_an_error(text: str) -> None:
    """Unreadable is a refusal that names the field, never "no limit"."""
    with pytest.raises(LimitUnreadableError, match="concurrent_tasks"):
        limits_from_fields({"concurrent_tasks": text})


@pytest.mark.parametrize("text", ["", "-1", "1e3", "9000000.01", "1.0000000001", "1,5", "inf"])
def test_a_budget_that_cannot_be_read_is_an_error(text: str) -> None:
    """The same for money."""
    with pytest.raises(LimitUnreadableError, match="budget_month"):
        limits_from_fields({"budget_month": text})


def test_names_are_those_of_the_fields() -> None:
    """They are a public interface: a control plane writes them."""
    assert NAMES == (
        "requests_per_minute",
        "submits_per_minute",
        "concurrent_tasks",
        "concurrent_streams",
        "budget_day",
        "budget_month",
        "budget_total",
    )
