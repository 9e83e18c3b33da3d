"""`routes.yaml` by example: a file per case, and below the dashes what comes of it."""

from collections.abc import Iterator
from dataclasses import fields
from enum import Enum
from pathlib import Path

import pytest

from proxy.config import ConfigError
from proxy.config.document import read_document
from proxy.config.routing import Routing, parse_routing
from proxy.core.accounts import Account
from proxy.core.prices import NO_PRICES, Price
from proxy.core.routes import Route

CASES = sorted(Path(__file__).with_name("golden").glob("*.txt"))
RULE = "-" * 40 + "\n"
ENVIRONMENT = {
    "BEIJING_KEY": "sk-secret-beijing",
    "SINGAPORE_KEY": "sk-secret-singapore",
    "EMPTY_KEY": "",
    "BLANK_KEY": "sk-secret with blanks",
}
PLAIN = Route("", frozenset(), "", "")


def outcome(text: str) -> str:
    """What the operator sees: the problems, one per line, or what the file came to."""
    try:
        lines = list(printed(parse_routing(read_document("routes.yaml", text), ENVIRONMENT)))
    except ConfigError as error:
        lines = str(error).split("\n")
    return "".join(f"{line}\n" for line in lines)


def printed(routing: Routing) -> Iterator[str]:
    """A routing as text: a line for each route and account, with all that is not the default."""
    for route in routing.table.routes:
        special = [
            f"{field.name}={as_text(getattr(route, field.name))}"
            for field in fields(Route)[4:]
            if field.init
            and getattr(route, field.name) not in {getattr(PLAIN, field.name), route.pattern}
        ]
        methods = ",".join(sorted(route.methods))
        yield " ".join([methods, route.pattern, "->", route.target, f"'{route.name}'", *special])
    yield from map(account_line, routing.accounts)
    if routing.prices != NO_PRICES:
        yield f"prices {routing.prices.currency} required={routing.prices.is_required}"
        yield from map(price_line, routing.prices.prices)


def price_line(price: Price) -> str:
    """An entry of the price list, with all that it says."""
    said = [
        f"{field.name}={as_text(value)}"
        for part in (price, price.bounds)
        for field in fields(part)
        if field.init and (value := getattr(part, field.name)) not in ((), None, price.bounds)
    ]
    return " ".join(said)


def as_text(value: object) -> str:
    if isinstance(value, tuple):
        return f"({' '.join(map(as_text, value))})"
    return str(value.value if isinstance(value, Enum) else value)


def account_line(account: Account) -> str:
    assert account.key in ENVIRONMENT.values()
    share = f"{as_text(account.models)} x{account.weight:g}"
    rest = f"workspace={account.workspace} polls={account.polls_per_second:g}"
    rest += f" connections={account.connections}"
    return f"{account.name} {account.url} {share} {rest}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_file_comes_to_what_stands_below_it(case: Path) -> None:
    """Every mistake at once, with its line, what is wrong and what would be right; no secrets."""
    text, _, expected = case.read_text(encoding="utf-8").partition(RULE)
    found = outcome(text)
    assert found == expected
    assert "secret" not in found


def test_there_are_cases() -> None:
    """A folder that was not found would pass every case."""
    assert len(CASES) > 30
