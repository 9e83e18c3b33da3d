"""What models cost, and what a call costs then.

Prices are exact decimals of one currency, amounts whole billionths of its unit (`core/money`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Context, Decimal
from functools import lru_cache
from typing import NamedTuple

from proxy.core.beijing import day_of
from proxy.core.money import MOST, NANOS, nanos_of
from proxy.core.outcomes import UNBOUNDED, Bounds, dearest_outcome
from proxy.core.policy import matches
from proxy.core.usage import Used

_EXACT = Context(prec=80)
"""More digits than any sum here has, so that nothing is rounded but the amount itself."""

_MODELS = 1024
"""Models whose price of the day is remembered."""


class Tier(NamedTuple):
    """A price of a second, up to a resolution (the number before the `P`); None: any other."""

    most_lines: int | None
    price: Decimal


@dataclass(frozen=True, slots=True)
class Price:
    """What models cost from the day `since` on, before the day `until`: Beijing's, `2026-11-20`.

    `models` are patterns, see `policy.may_use`. `per_second` has tiers in ascending order, the
    one for any other resolution last. A call costs the sum of all that is priced here.
    """

    models: tuple[str, ...]
    since: str | None = None
    until: str | None = None
    per_second: tuple[Tier, ...] = ()
    per_image: Decimal | None = None
    per_1k_input_tokens: Decimal | None = None
    per_1k_output_tokens: Decimal | None = None
    per_1k_characters: Decimal | None = None
    per_call: Decimal | None = None
    bounds: Bounds = UNBOUNDED
    _each: tuple[tuple[int, Decimal], ...] = field(init=False, repr=False, compare=False)
    """By the place in `Used`, what one costs of what has a price, but for seconds: told once, for
    every call asks."""
    _priced: frozenset[str] = field(init=False, repr=False, compare=False)
    """Names of what decides the price."""

    def __post_init__(self) -> None:
        priced = {
            "images": self.per_image,
            "input_tokens": _thousandth(self.per_1k_input_tokens),
            "output_tokens": _thousandth(self.per_1k_output_tokens),
            "characters": _thousandth(self.per_1k_characters),
        }
        each = [(_PLACES[name], one) for name, one in priced.items() if one is not None]
        object.__setattr__(self, "_each", tuple(each))
        seconds = ("seconds", "lines") if self.per_second else ()
        named = (name for name, one in priced.items() if one is not None)
        object.__setattr__(self, "_priced", frozenset({*seconds, *named}))

    def covers(self, day: str) -> bool:
        """Whether this is a price of the day."""
        return (self.since is None or self.since <= day) and (
            self.until is None or day < self.until
        )

    def is_told(self, used: Used) -> bool:
        """Whether the usage speaks of anything that has a price here: else `cost` would be a gift.

        Where only calls have a price, nothing needs telling.
        """
        if self.per_second and used.seconds is not None:
            return True
        for place, _ in self._each:
            if used[place] is not None:
                return True
        return not self._each and not self.per_second

    def cost(self, used: Used) -> int:
        """What it costs, in billionths. What the usage does not speak of costs nothing.

        Seconds of a resolution above all tiers, or of an unknown one, are the dearest.
        """
        return self._sum(used, _tier(self.per_second, used.lines))

    def dearest(self, model: str, inputs: Mapping[str, str], size: int | None) -> int:
        """The most that a request can come to cost, in billionths.

        `inputs` are its price inputs as JSON text, `size` its body's bytes where they are known.
        """
        most = dearest_outcome(model, inputs, size, self.bounds, self._priced)
        return self._sum(most, _dearest_tier(self.per_second, most.lines))

    def _sum(self, used: Used, per_second: Decimal | None) -> int:
        amount = self.per_call or _NOTHING
        if per_second is not None and used.seconds:
            amount = _EXACT.fma(used.seconds, per_second, amount)
        for place, price in self._each:
            if number := used[place]:
                amount = _EXACT.fma(number, price, amount)
        return min(nanos_of(amount, _EXACT), MOST * NANOS)


@dataclass(frozen=True, slots=True)
class PriceList:
    """The prices, in the order in which they are looked through.

    `is_required` says that a model without a price is not sold.
    """

    currency: str = ""
    is_required: bool = False
    prices: tuple[Price, ...] = ()
    _of_day: Callable[[str, str], Price | None] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_of_day", lru_cache(_MODELS)(self._first_of_day))

    def find(self, model: str, at: float) -> Price | None:
        """The price of a model at a Unix time: the first that matches."""
        return self._of_day(model, day_of(at))

    def _first_of_day(self, model: str, day: str) -> Price | None:
        prices = (one for one in self.prices if one.covers(day) and matches(one.models, model))
        return next(prices, None)

    def sold(self, at: float) -> tuple[str, ...] | None:
        """Patterns of the models that have a price then; None where none is required."""
        if not self.is_required:
            return None
        day = day_of(at)
        return tuple(
            pattern for price in self.prices if price.covers(day) for pattern in price.models
        )


NO_PRICES = PriceList()

_NOTHING = Decimal(0)
_PLACES = {name: place for place, name in enumerate(Used._fields)}


def _tier(tiers: tuple[Tier, ...], lines: int | None) -> Decimal | None:
    """The price of a second at a resolution; None where seconds have none."""
    if not tiers:
        return None
    fitting = (
        tier.price
        for tier in tiers
        if lines is not None and (tier.most_lines is None or lines <= tier.most_lines)
    )
    return next(fitting, max(tier.price for tier in tiers))


def _dearest_tier(tiers: tuple[Tier, ...], lines: int | None) -> Decimal | None:
    """The dearest price up to a resolution: a video may come out smaller than asked for."""
    reached = []
    for tier in tiers:
        reached.append(tier.price)
        if lines is not None and tier.most_lines is not None and lines <= tier.most_lines:
            break
    return max(reached, default=None)


def _thousandth(per_1k: Decimal | None) -> Decimal | None:
    return None if per_1k is None else per_1k.scaleb(-3, _EXACT)
