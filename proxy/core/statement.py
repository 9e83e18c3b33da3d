"""A statement: what was used between two days, added up by what somebody wants to know.

Usage without a price is never added to usage that has one: it has a line of its own, without a
currency. Neither are amounts of two currencies added up.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from proxy.core.policy import matches

COLUMNS = ("day", "tenant", "token", "model")
"""What usage may be added up by."""

_FIELDS = ("by", "since", "until", "tenant", "token", "model")


class Total(NamedTuple):
    """What a tenant's token used of a model on a day. `amount` is billionths."""

    day: str
    tenant: str
    token: str
    model: str
    currency: str
    records: int
    amount: int
    seconds: str
    images: int
    input_tokens: int
    output_tokens: int
    characters: int


class QueryError(ValueError):
    """A question that cannot be answered. `field` is what is wrong with it, the text says why."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field, self.problem = field, problem


@dataclass(frozen=True, slots=True)
class Query:
    """What is wanted: Beijing's days, both included; added up by some of `COLUMNS`, in order.

    Without `tenants`, `tokens` or `models` it is all of them. A token goes by its id or name, a
    model by a pattern.
    """

    first_day: str
    last_day: str
    by: tuple[str, ...] = ("token",)
    tenants: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    models: tuple[str, ...] = ()

    @property
    def needs_names(self) -> bool:
        """Whether tokens have to be known by their names: there may be many of them to read."""
        return bool(self.tokens) or "token" in self.by


class Line(NamedTuple):
    """One sum. `keys` are the values of the query's `by`; `name` is the token's, where known.

    `amount` is billionths of the currency's unit; without a currency there is no price.
    """

    keys: tuple[str, ...]
    name: str
    currency: str
    records: int
    amount: int
    seconds: Decimal
    images: int
    input_tokens: int
    output_tokens: int
    characters: int


@dataclass(frozen=True, slots=True)
class Statement:
    """The lines in the order of their keys, and the sums of them all: one for each currency."""

    query: Query
    lines: tuple[Line, ...]
    sums: tuple[Line, ...]


def read_query(given: Mapping[str, Sequence[str]], today: str) -> Query:
    """Read a question: `by` (default token), `since`, `until`, `tenant`, `token`, `model`.

    Each may be given several times, but the days; `by` may also list, as in `token,model`.
    Without days it is Beijing's month up to `today`. Raises `QueryError`.
    """
    for field in given:
        if field not in _FIELDS:
            raise QueryError(field, f"is not one of {', '.join(_FIELDS)}")
    for field in ("tenant", "token", "model"):
        if not all(given.get(field, ())):
            raise QueryError(field, "must not be empty; leave it out for all of them")
    last = _day(given, "until") or today
    first = _day(given, "since") or f"{last[:7]}-01"
    if first > last:
        raise QueryError("since", f"{first} is after {last}, the last day that is wanted")
    listed = [word for text in given.get("by", ()) for word in text.split(",")]
    for word in listed:
        if word not in COLUMNS:
            raise QueryError("by", f"{word!r} is not one of {', '.join(COLUMNS)}")
    return Query(
        first_day=first,
        last_day=last,
        by=tuple(dict.fromkeys(listed)) or ("token",),
        tenants=tuple(given.get("tenant", ())),
        tokens=tuple(given.get("token", ())),
        models=tuple(given.get("model", ())),
    )


def state(totals: Iterable[Total], query: Query, names: Mapping[str, str]) -> Statement:
    """Add up what the query asks for. `names` are those of the tokens that are known, by id."""
    lines: dict[tuple[tuple[str, ...], str], Line] = {}
    sums: dict[str, Line] = {}
    for total in totals:
        if not _is_wanted(total, query, names):
            continue
        keys = tuple(str(getattr(total, column)) for column in query.by)
        name = names.get(total.token, "") if "token" in query.by else ""
        line = _line(total, keys, name)
        place = keys, total.currency
        lines[place] = _added(lines[place], line) if place in lines else line
        bare = line._replace(keys=(), name="")
        known = sums.get(total.currency)
        sums[total.currency] = _added(known, bare) if known else bare
    return Statement(
        query,
        tuple(lines[place] for place in sorted(lines)),
        tuple(sums[currency] for currency in sorted(sums)),
    )


def _day(given: Mapping[str, Sequence[str]], field: str) -> str | None:
    values = given.get(field, ())
    if len(values) > 1:
        raise QueryError(field, "is given more than once")
    if not values:
        return None
    if not _is_day(values[0]):
        raise QueryError(field, f"{values[0]!r} is no day, as in 2026-11-20")
    return values[0]


def _is_day(text: str) -> bool:
    """Whether it is a day in the one form that compares as text."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _is_wanted(total: Total, query: Query, names: Mapping[str, str]) -> bool:
    return (
        query.first_day <= total.day <= query.last_day
        and (not query.tenants or total.tenant in query.tenants)
        and (not query.tokens or not {total.token, names.get(total.token)}.isdisjoint(query.tokens))
        and (not query.models or matches(query.models, total.model))
    )


def _line(total: Total, keys: tuple[str, ...], name: str) -> Line:
    return Line(
        keys,
        name,
        total.currency,
        total.records,
        total.amount,
        Decimal(total.seconds or 0),
        total.images,
        total.input_tokens,
        total.output_tokens,
        total.characters,
    )


def _added(one: Line, other: Line) -> Line:
    return Line(
        one.keys,
        one.name,
        one.currency,
        one.records + other.records,
        one.amount + other.amount,
        one.seconds + other.seconds,
        one.images + other.images,
        one.input_tokens + other.input_tokens,
        one.output_tokens + other.output_tokens,
        one.characters + other.characters,
    )
