"""`prices:` of `routes.yaml`: what an entry may say, and what all of them come to."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, PlainValidator

from proxy.config.document import Document
from proxy.config.kinds import NotRightError, Patterns, Strict, like
from proxy.core.outcomes import Bounds
from proxy.core.policy import matches
from proxy.core.prices import Price, PriceList, Tier
from proxy.core.quantities import MOST, lines_of

DEAREST = 1_000_000
"""Currency units that one of anything may cost."""

_AMOUNT = re.compile(r"[0-9]{1,7}(\.[0-9]{1,9})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _amount_of(value: object) -> Decimal:
    """An exact amount: the shortest text of YAML's float is what stands in the file."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = format(Decimal(repr(value)), "f")
    if not isinstance(value, str) or not _AMOUNT.fullmatch(value) or Decimal(value) > DEAREST:
        raise NotRightError
    return Decimal(value)


def _day_of(value: object) -> str:
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            value = date.fromisoformat(value)
        except ValueError:
            raise NotRightError from None
    if not isinstance(value, date) or isinstance(value, datetime):
        raise NotRightError
    return value.isoformat()


def _lines_of(value: object) -> int | None:
    lines = lines_of(value)
    if lines is None and value is not None:
        raise NotRightError
    return lines


_PRICE = f"an amount from 0 to {DEAREST} with at most 9 decimals, as in 0.001, not 1e-3"
_NUMBER = f"a whole number from 0 to {MOST}"
_BOUND = "reserved where the request does not say"
_DAY = "a day in Beijing, as in 2026-11-20"

Currency = Annotated[str, like("[A-Z]{3}")]
_Amount = Annotated[Decimal, PlainValidator(_amount_of)]
_Day = Annotated[str, PlainValidator(_day_of)]
_Most = Annotated[int, Field(ge=0, le=MOST, strict=True)]


class TierEntry(Strict):
    """What a second costs up to a resolution."""

    max_resolution_inclusive: Annotated[int | None, PlainValidator(_lines_of)] = Field(
        description="a resolution, as in 720, or null for any other"
    )
    price: _Amount = Field(description=_PRICE)


class PriceEntry(Strict):
    """What some models cost for some time, and how much a call of theirs may come to.

    A `title` says what a field means, a `description` what would be right.
    """

    models: Patterns = Field(
        title="whose price it is", description='a pattern or a list of them, as in ["wan2.7-*"]'
    )
    since: _Day | None = Field(None, alias="from", title="its first day", description=_DAY)
    until: _Day | None = Field(None, title="the first day without it", description=_DAY)
    billing_method: Literal["duration"] | None = Field(
        None, title="says that seconds are paid for", description="duration"
    )
    duration_pricing: Annotated[list[TierEntry], Field(min_length=1)] | None = Field(
        None,
        title="a second, by resolution; null is for any other",
        description="a list of `{max_resolution_inclusive: 720, price: 0.6}`",
    )
    per_image: _Amount | None = Field(None, title="an image, or a 3D model", description=_PRICE)
    per_1k_input_tokens: _Amount | None = Field(
        None, title="a thousand tokens read, cached or not", description=_PRICE
    )
    per_1k_output_tokens: _Amount | None = Field(
        None, title="a thousand tokens written, thoughts too", description=_PRICE
    )
    per_1k_characters: _Amount | None = Field(
        None, title="a thousand characters spoken, as upstream counts", description=_PRICE
    )
    per_call: _Amount | None = Field(
        None, title="a call or task that went well", description=_PRICE
    )
    most_seconds: _Most | None = Field(None, title=_BOUND, description=_NUMBER)
    most_images: _Most | None = Field(None, title=_BOUND, description=_NUMBER)
    most_input_tokens: _Most | None = Field(None, title=_BOUND, description=_NUMBER)
    most_output_tokens: _Most | None = Field(None, title=_BOUND, description=_NUMBER)
    most_thinking_tokens: _Most | None = Field(None, title=_BOUND, description=_NUMBER)
    most_characters: _Most | None = Field(None, title=_BOUND, description=_NUMBER)


_NEVER = "~"
"""Sorts behind every day."""

_PRICED = (
    "duration_pricing",
    "per_image",
    "per_1k_input_tokens",
    "per_1k_output_tokens",
    "per_1k_characters",
    "per_call",
)


def prices_of(
    entries: Sequence[PriceEntry],
    currency: str,
    pricing: str,
    document: Document,
    problems: list[str],
) -> PriceList:
    """The price list. What cannot be meant goes to the problems, with its line."""
    if entries and not currency:
        problems.append(f"{document.at(('prices',))}: currency: is missing; say it once, as in CNY")
    if pricing == "required" and not entries:
        where = document.at(("pricing",))
        problems.append(f"{where}: pricing: required, but `prices:` has none; nothing can be sold")
    prices = tuple(map(_price, entries))
    for number, entry in enumerate(entries):
        at = document.at(("prices", number))
        flaws = [*_flaws(entry), *_unreached(number, prices, document)]
        problems += [f"{at}: prices.{number}.{flaw}" for flaw in flaws]
    return PriceList(currency, pricing == "required", prices)


def _price(entry: PriceEntry) -> Price:
    tiers = entry.duration_pricing or ()
    return Price(
        models=tuple(entry.models),
        since=entry.since,
        until=entry.until,
        per_second=tuple(Tier(tier.max_resolution_inclusive, tier.price) for tier in tiers),
        per_image=entry.per_image,
        per_1k_input_tokens=entry.per_1k_input_tokens,
        per_1k_output_tokens=entry.per_1k_output_tokens,
        per_1k_characters=entry.per_1k_characters,
        per_call=entry.per_call,
        bounds=Bounds(
            seconds=entry.most_seconds,
            images=entry.most_images,
            input_tokens=entry.most_input_tokens,
            output_tokens=entry.most_output_tokens,
            thinking_tokens=entry.most_thinking_tokens,
            characters=entry.most_characters,
        ),
    )


def _flaws(entry: PriceEntry) -> Iterator[str]:
    """What is wrong with an entry by itself."""
    if all(getattr(entry, name) is None for name in _PRICED):
        yield f"models: have no price; give {', '.join(_PRICED)}, 0 for what is free"
    if entry.billing_method and not entry.duration_pricing:
        yield "billing_method: duration needs a `duration_pricing`"
    if entry.since and entry.until and entry.until <= entry.since:
        yield f"until: {entry.until} is not behind {entry.since}; it is the first day without"
    limits = [tier.max_resolution_inclusive for tier in entry.duration_pricing or ()]
    if limits.count(None) > 1:
        yield "duration_pricing: null stands twice; any other resolution has one price"
    elif None in limits[:-1]:
        yield "duration_pricing: null is for any other resolution, so it must stand last"
    numbers = [limit for limit in limits if limit is not None]
    if numbers != sorted(set(numbers)):
        yield "duration_pricing: resolutions must rise from one to the next, the first one counts"


def _unreached(number: int, prices: Sequence[Price], document: Document) -> Iterator[str]:
    """Patterns that stand for nothing, because earlier entries have all of it, all the time."""
    price = prices[number]
    for pattern in price.models:
        # A `*` of the pattern can only be met by one of the earlier: then it has more models.
        having = [at for at in range(number) if matches(prices[at].models, pattern)]
        if used := _covering(price, {at: prices[at] for at in having}):
            lines = " and ".join(document.at(("prices", at)) for at in used)
            yield f"models: {pattern} is priced at {lines} already, and the first match counts"


def _covering(later: Price, earlier: Mapping[int, Price]) -> list[int]:
    """Those of the earlier entries that count whenever the later one does, one after the other."""
    used: list[int] = []
    day = later.since or ""
    while found := [at for at, price in earlier.items() if price.covers(day)]:
        used.append(max(found, key=lambda at: earlier[at].until or _NEVER))
        end = earlier[used[-1]].until
        if end is None or (later.until is not None and later.until <= end):
            return used
        day = end
    return []
