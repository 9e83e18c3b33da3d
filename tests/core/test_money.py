"""`core.money`: amounts that add up."""

from decimal import Context, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.money import NANOS, nanos_of, text_of


@pytest.mark.parametrize(
    ("amount", "nanos"),
    [("0", 0), ("0.24", 240_000_000), ("1e-9", 1), ("0.0000000005", 1), ("0.0000000004", 0)],
)
def test_amounts_are_rounded_half_up_to_a_billionth(amount: str, nanos: int) -> None:
    """Below a billionth nobody is charged less than half of it for nothing."""
    assert nanos_of(Decimal(amount)) == nanos


def test_an_amount_is_rounded_once() -> None:
    """Just below half a billionth: 28 digits, which is what `Decimal` keeps, would round it up."""
    amount = Decimal("1234567.00000000049999999999999999999999")
    assert nanos_of(amount, Context(prec=80)) == 1_234_567 * NANOS
    assert nanos_of(amount) == 1_234_567 * NANOS + 1


@given(st.integers(-(10**18), 10**18))
def test_text_says_the_same_amount(nanos: int) -> None:
    """What a person reads is exact, without idle zeros or exponents."""
    text = text_of(nanos)
    assert Decimal(text) * NANOS == nanos
    assert "E" not in text
    assert not (text.endswith("0") and "." in text)
