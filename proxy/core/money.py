"""Amounts of money: whole billionths of a currency unit, exact in every store and on the wire.

A price per token has more decimals than a cent, and floats do not add up. Billionths do, and
nine million units of them fit the 53 bits that a script in Redis counts with.
"""

from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache

NANOS = 10**9
"""Billionths in one currency unit."""

MOST = 9_000_000
"""Currency units that an amount may have, see above."""


def nanos_of(amount: Decimal, exact: Context | None = None) -> int:
    """An amount of currency units in billionths, rounded half up."""
    return int(amount.scaleb(9, exact).to_integral_value(ROUND_HALF_UP))


@lru_cache(1024)  # many calls cost the same, and each is told of twice
def text_of(nanos: int) -> str:
    """Billionths as currency units, with as many decimals as they need: `12.5`."""
    whole, part = divmod(abs(nanos), NANOS)
    decimals = f"{part:09d}".rstrip("0")
    sign = "-" if nanos < 0 else ""
    return f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}"
