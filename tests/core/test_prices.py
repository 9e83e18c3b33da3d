"""`core.prices`: amounts are what a person computes, and a hold is never less."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.beijing import BEIJING
from proxy.core.money import MOST, NANOS
from proxy.core.outcomes import Bounds
from proxy.core.prices import NO_PRICES, Price, PriceList, Tier
from proxy.core.quantities import MOST as MOST_OF_ANYTHING
from proxy.core.usage import NOTHING_USED, Used

TIERS = (Tier(480, Decimal("0.3")), Tier(720, Decimal("0.6")), Tier(None, Decimal(1)))
VIDEO = Price(("wan*",), per_second=TIERS)
CAPPED = Price(("wan*",), per_second=TIERS[:2])

AMOUNTS = st.decimals(0, 1_000_000, places=9)
TIER_LISTS = st.lists(st.integers(128, 4320), unique=True, max_size=4).flatmap(
    lambda limits: st.tuples(
        *(st.builds(Tier, st.just(limit), AMOUNTS) for limit in sorted(limits)),
        *([st.builds(Tier, st.none(), AMOUNTS)] if len(limits) % 2 else []),
    )
)
PRICES = st.builds(
    Price,
    models=st.just(("*",)),
    per_second=TIER_LISTS,
    per_image=st.none() | AMOUNTS,
    per_1k_input_tokens=st.none() | AMOUNTS,
    per_1k_output_tokens=st.none() | AMOUNTS,
    per_1k_characters=st.none() | AMOUNTS,
    per_call=st.none() | AMOUNTS,
)
COUNTS = st.none() | st.integers(0, 10**7)
USAGES = st.builds(
    Used,
    seconds=st.none() | st.decimals(0, 10_000, places=9),
    lines=st.none() | st.integers(128, 8000),
    images=COUNTS,
    input_tokens=COUNTS,
    output_tokens=COUNTS,
    characters=COUNTS,
)


@pytest.mark.parametrize(
    ("price", "seconds", "lines", "units"),
    [
        (VIDEO, "5", 480, "1.5"),
        (VIDEO, "5", 360, "1.5"),
        (VIDEO, "5", 481, "3"),
        (VIDEO, "5", 720, "3"),
        (VIDEO, "5", 1080, "5"),
        (VIDEO, "5.2", 720, "3.12"),
        (VIDEO, "5", None, "5"),
        (CAPPED, "5", 1080, "3"),
        (CAPPED, "5", None, "3"),
    ],
)
def test_seconds_cost_what_their_tier_says(
    price: Price, seconds: str, lines: int | None, units: str
) -> None:
    """The first tier that reaches; above all of them, or not known, the dearest: never free."""
    assert price.cost(Used(seconds=Decimal(seconds), lines=lines)) == Decimal(units) * NANOS


def by_hand(price: Price, used: Used) -> int:
    """What a person computes, with fractions and nothing else."""
    reached = [tier.price for tier in price.per_second if _reaches(tier, used.lines)]
    every = [tier.price for tier in price.per_second]
    second = reached[0] if reached else max(every, default=Decimal(0))
    total = Fraction(price.per_call or 0)
    total += Fraction(used.seconds or 0) * Fraction(second)
    total += (used.images or 0) * Fraction(price.per_image or 0)
    total += (used.input_tokens or 0) * Fraction(price.per_1k_input_tokens or 0) / 1000
    total += (used.output_tokens or 0) * Fraction(price.per_1k_output_tokens or 0) / 1000
    total += (used.characters or 0) * Fraction(price.per_1k_characters or 0) / 1000
    return min(floor(total * NANOS + Fraction(1, 2)), MOST * NANOS)


def _reaches(tier: Tier, lines: int | None) -> bool:
    return lines is not None and (tier.most_lines is None or lines <= tier.most_lines)


@given(PRICES, USAGES)
def test_the_amount_is_what_a_person_computes(price: Price, used: Used) -> None:
    """Exact to the billionth, rounded half up once, whole, and within what stores can count."""
    cost = price.cost(used)
    assert cost == by_hand(price, used)
    assert type(cost) is int


def test_only_the_amount_is_rounded() -> None:
    """Just below half a billionth, behind seven digits: twenty digits would round it up."""
    tier = Tier(None, Decimal("0.000000001"))
    price = Price(("*",), per_second=(tier,), per_call=Decimal(1_000_000))
    used = Used(seconds=Decimal("0.499999999"), lines=720)
    assert price.cost(used) == 1_000_000 * NANOS
    assert price.cost(Used(seconds=Decimal("0.5"), lines=720)) == 1_000_000 * NANOS + 1
    dear = Price(("*",), per_call=Decimal("1234567.00000000049999999999999999999999"))
    assert dear.cost(Used()) == 1_234_567 * NANOS


@given(PRICES)
def test_nothing_is_beyond_what_a_store_can_count(price: Price) -> None:
    """The most of everything at any price is still an amount."""
    most = Used(Decimal(MOST_OF_ANYTHING), None, *[MOST_OF_ANYTHING] * 4)
    assert 0 <= price.cost(most) <= MOST * NANOS


@given(PRICES, USAGES, st.sampled_from(["seconds", "images", "input_tokens", "characters"]))
def test_more_never_costs_less(price: Price, used: Used, name: str) -> None:
    """One more of anything costs as much, or more."""
    values = {field: getattr(used, field) for field in Used._fields}
    more = Used(**{**values, name: (values[name] or 0) + 1})
    assert price.cost(more) >= price.cost(used)


TOLD = [
    (VIDEO, Used(seconds=Decimal(0)), True),
    (VIDEO, Used(images=3, lines=720), False),
    (VIDEO, NOTHING_USED, False),
    (Price(("*",), per_image=Decimal(1)), Used(images=0), True),
    (Price(("*",), per_image=Decimal(1)), Used(input_tokens=9), False),
    (Price(("*",), per_1k_input_tokens=Decimal(1)), Used(input_tokens=9), True),
    (Price(("*",), per_1k_output_tokens=Decimal(1)), Used(output_tokens=9), True),
    (Price(("*",), per_1k_characters=Decimal(1)), Used(characters=9), True),
    (Price(("*",), per_call=Decimal(1)), NOTHING_USED, True),
    (Price(("*",), per_call=Decimal(1), per_image=Decimal(1)), NOTHING_USED, False),
]


@pytest.mark.parametrize(("price", "used", "is_told"), TOLD)
def test_a_usage_of_other_things_is_no_bill(price: Price, used: Used, *, is_told: bool) -> None:
    """A model that is paid by the second must not be free because an answer speaks of tokens."""
    assert price.is_told(used) is is_told


def at(text: str) -> float:
    """A time in Beijing as Unix seconds."""
    return datetime.fromisoformat(text).replace(tzinfo=BEIJING).timestamp()


OLD = Price(("wan2.7-*",), until="2026-11-20", per_call=Decimal(1))
NEW = Price(("wan2.7-*",), since="2026-11-20", until="2026-12-01", per_call=Decimal(2))
REST = Price(("wan*", "kling/*"), since="2026-11-01", per_call=Decimal(3))
LIST = PriceList("CNY", is_required=True, prices=(OLD, NEW, REST))


@pytest.mark.parametrize(
    ("model", "when", "price"),
    [
        ("wan2.7-t2v", "2026-11-19T23:59:59.999", OLD),
        ("wan2.7-t2v", "2026-11-20T00:00", NEW),
        ("wan2.7-t2v", "2026-11-30T23:59:59.999", NEW),
        ("wan2.7-t2v", "2026-12-01T00:00", REST),
        ("wan2.6-t2v", "2026-11-20T00:00", REST),
        ("kling/kling-v3", "2026-11-20T00:00", REST),
        ("wan2.6-t2v", "2026-10-31T23:59", None),
        ("Wan2.7-t2v", "2026-11-20T00:00", None),
    ],
)
def test_the_first_price_of_the_day_counts(model: str, when: str, price: Price | None) -> None:
    """Days are Beijing's, `since` is the first of them and `until` the first without."""
    assert LIST.find(model, at(when)) is price


def test_what_is_sold() -> None:
    """Where a price is required, the patterns that have one that day; else nothing is asked."""
    assert LIST.sold(at("2026-10-31T12:00")) == ("wan2.7-*",)
    assert LIST.sold(at("2026-11-20T12:00")) == ("wan2.7-*", "wan*", "kling/*")
    assert PriceList("CNY", is_required=True).sold(0) == ()
    assert PriceList("CNY", prices=LIST.prices).sold(0) is None
    assert NO_PRICES.sold(0) is None
    assert NO_PRICES.find("wan2.7-t2v", 0) is None


@pytest.mark.parametrize(
    ("model", "inputs", "units"),
    [
        ("wan2.7-t2v", {"duration": "4", "resolution": '"480P"'}, "1.2"),
        ("wan2.7-t2v", {"duration": '"4"', "resolution": '"720p"'}, "2.4"),
        ("wan2.7-t2v", {"duration": "4"}, "4"),
        ("wan2.7-t2v", {"resolution": '"720P"'}, "3"),
        ("wan2.7-t2v", {"duration": "", "resolution": '"720P"'}, "9"),
        ("wan2.7-t2v", {"duration": "4", "resolution": ""}, "4"),
    ],
)
def test_the_dearest(model: str, inputs: Mapping[str, str], units: str) -> None:
    """As asked where the family listens; the family's own or its most where it is not asked."""
    assert VIDEO.dearest(model, inputs, 100) == Decimal(units) * NANOS


def test_the_dearest_tier_below_counts_too() -> None:
    """A list in which less is dearer still reserves enough for a video that comes out smaller."""
    odd = Price(("wan*",), per_second=(Tier(480, Decimal(9)), Tier(1080, Decimal(1))))
    assert odd.dearest("wan2.7-t2v", {"duration": "2", "resolution": "1080"}, 9) == 18 * NANOS
    assert odd.cost(Used(seconds=Decimal(2), lines=1080)) == 2 * NANOS


def test_an_entry_may_know_better() -> None:
    """Its bounds count in place of the tables'."""
    price = Price(("wan*",), per_second=TIERS, bounds=Bounds(seconds=7))
    assert (
        price.dearest("wan2.7-videoedit", {"resolution": '"720P"'}, 100) == Decimal("4.2") * NANOS
    )


LIMITS = st.integers(1, 10_000)


@given(PRICES, st.data(), LIMITS, st.integers(1, 4), st.integers(1, 100_000))
def test_no_text_or_image_costs_more_than_what_is_reserved(
    price: Price, data: st.DataObject, limit: int, answers: int, size: int
) -> None:
    """Whatever comes out within what was asked for: the hold is at least as much."""
    inputs = {"max_tokens": str(limit), "n": f'"{answers}"', "enable_thinking": "false"}
    used = Used(
        images=data.draw(st.integers(0, answers)),
        input_tokens=data.draw(st.integers(0, size)),
        output_tokens=data.draw(st.integers(0, limit * answers)),
        characters=data.draw(st.integers(0, size)),
    )
    dearest = price.dearest("qwen-plus", inputs, size)
    assert price.cost(used) <= dearest
    assert type(dearest) is int


@given(PRICES, LIMITS, LIMITS, st.integers(1, 30), st.integers(1, 30))
def test_whoever_asks_for_more_reserves_no_less(
    price: Price, limit: int, size: int, seconds: int, more: int
) -> None:
    """Longer, larger, or in more copies: never for less."""

    def dearest(seconds: int, limit: int, size: int, lines: int) -> int:
        inputs = {"duration": str(seconds), "max_tokens": str(limit), "resolution": str(lines)}
        return price.dearest("wan2.7-t2v", inputs, size)

    least = dearest(seconds, limit, size, 480)
    assert dearest(seconds + more, limit, size, 480) >= least
    assert dearest(seconds, limit + more, size, 480) >= least
    assert dearest(seconds, limit, size + more, 480) >= least
    assert dearest(seconds, limit, size, 480 + more) >= least
    assert price.dearest("wan2.7-t2v", {"duration": ""}, None) >= dearest(15, 1, 1, 480)
