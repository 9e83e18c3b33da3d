"""`check`: whether the configuration is right, and what each route does."""

import time
from collections.abc import Iterator, Sequence

import click

from proxy.cli.options import checked_store, routes_option, settings_from, store_option
from proxy.config.prices import PriceEntry
from proxy.config.settings import Environment, Settings
from proxy.core.beijing import day_of
from proxy.core.families import MEDIA, Family
from proxy.core.gate import dotted
from proxy.core.jsonscan import Path
from proxy.core.judging import shown
from proxy.core.policy import matches
from proxy.core.prices import Price, PriceList, Tier
from proxy.core.retelling import FACADES
from proxy.core.routes import Answer, Async, Envelope, Route, Safe, Websocket

_SOCKETS = {
    Websocket.FRAMES: "tasks, each judged as it begins",
    Websocket.SESSION: "one session, each event judged",
}
_MEBIBYTE = 1024**2


@click.command()
@routes_option
@store_option
@click.option("--variables", is_flag=True, help="Print every environment variable instead.")
def check(routes: str | None, store: str | None, *, variables: bool) -> None:
    """Validate the configuration and print the route table.

    Exits with 1 and `file:line: problem` lines when something is wrong.
    """
    if variables:
        for line in variable_lines():
            click.echo(line)
        return
    settings = settings_from({"PROXY_ROUTES": routes, "PROXY_STORE": store})
    checked_store(settings)
    for line in table_lines(settings):
        click.echo(line)
    for note in price_notes(settings.routing.prices, day_of(time.time())):
        click.echo(f"note: {note}", err=True)


def table_lines(settings: Settings) -> list[str]:
    """The route table as aligned text, then the accounts and what models cost."""
    rows = [
        ("METHOD", "PUBLIC PATH", "UPSTREAM", "DOES"),
        *map(_row, settings.routing.table.routes),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    ]
    accounts = [
        f"account {account.name}: {account.url}, models {' '.join(account.models)}, "
        f"weight {account.weight:g}, {account.polls_per_second:g} polls a second"
        for account in settings.accounts
    ]
    families = [_family(family) for family in settings.routing.table.families]
    none = ["no account: set DASHSCOPE_API_KEY, or list `upstreams:` in the route file"]
    accounts = [*(accounts or none), *price_lines(settings.routing.prices)]
    return [*lines, "", *families, *([""] if families else []), *accounts]


def price_lines(prices: PriceList) -> list[str]:
    """What models cost, in the order in which they are looked up; nothing where none does."""
    if prices.is_required:
        head = [f"prices in {prices.currency}; a model without one is not sold"]
    else:
        head = [f"prices in {prices.currency}"] if prices.prices else []
    return head + [f"price {' '.join(price.models)}: {_cost(price)}" for price in prices.prices]


def price_notes(prices: PriceList, today: str) -> Iterator[str]:
    """What is allowed and may not be meant: nothing that is sold today, and days without a price.

    Days are Beijing's.
    """
    if prices.is_required and not any(price.covers(today) for price in prices.prices):
        yield f"no price counts today, {today}, so nothing is sold"
    for price in prices.prices:
        if price.until is not None:
            yield from _gaps(price.models, price.until, prices)


def _gaps(patterns: Sequence[str], end: str, prices: PriceList) -> Iterator[str]:
    """Days without a price behind an entry that ends, and before another begins."""
    for pattern in patterns:
        same = [price for price in prices.prices if matches(price.models, pattern)]
        later = [price.since for price in same if price.since and end < price.since]
        if later and not any(price.covers(end) for price in same):
            yield f"{pattern} has no price from {end} until {min(later)}"


def _cost(price: Price) -> str:
    """All that an entry asks for, in words."""
    said = [_second(tier) for tier in price.per_second]
    said += [
        f"{amount:f} {what}"
        for amount, what in (
            (price.per_image, "an image"),
            (price.per_1k_input_tokens, "a thousand input tokens"),
            (price.per_1k_output_tokens, "a thousand output tokens"),
            (price.per_1k_characters, "a thousand characters"),
            (price.per_call, "a call"),
        )
        if amount is not None
    ]
    said += [f"from {price.since}"] if price.since else []
    said += [f"until {price.until}"] if price.until else []
    return ", ".join(said)


def _second(tier: Tier) -> str:
    reach = f" up to {tier.most_lines}P" if tier.most_lines else ""
    return f"{tier.price:f} a second{reach}"


def price_field_lines() -> list[str]:
    """Every field of a price with its value and meaning, as a Markdown table."""
    lines = ["| field | value | meaning |", "|---|---|---|"]
    for name, field in PriceEntry.model_fields.items():
        lines.append(f"| `{field.alias or name}` | {field.description} | {field.title} |")
    return lines


def variable_lines() -> list[str]:
    """Every environment variable with its default and meaning, as a Markdown table."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for field in Environment.model_fields.values():
        default = field.default
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else _plain(default)
        lines.append(
            f"| `{field.alias}` | {f'`{shown}`' if shown else '-'} | {field.description} |"
        )
    return lines


def _plain(default: object) -> str:
    if isinstance(default, int) and default >= _MEBIBYTE:
        return f"{default // _MEBIBYTE}MiB"
    return f"{default:g}" if isinstance(default, float) else str(default)


def _row(route: Route) -> tuple[str, str, str, str]:
    return ",".join(sorted(route.methods)), route.pattern, route.target, "; ".join(_deeds(route))


def _deeds(route: Route) -> list[str]:
    """What a route does, in the order of a request's journey."""
    deeds = [f"scope {route.scope}" if route.scope else "closed to every token"]
    if route.websocket:
        deeds.append(f"WebSocket of {_SOCKETS[route.websocket]}")
    if route.task:
        deeds.append("own tasks only")
    document = "frame" if route.websocket else "body"
    places = [f"{document}.{dotted(path)}" for path in route.models]
    places += [f"{document}.{dotted(path)} if there" for path in route.also_models]
    places += [f"query.{route.query_model}"] if route.query_model else []
    places += [f"path.{route.path_model}"] if route.path_model else []
    if places:
        deeds.append(f"judges {', '.join(places)}")
    deeds += [_confined(document, path, values) for path, values in route.tenant_safe]
    if route.asynchronous is Async.ALWAYS:
        deeds.append("always async")
    deeds += [f"{' '.join(patterns)} go to {target}" for patterns, target in route.retargets]
    if route.claims:
        deeds.append("claims the task")
    deeds += ["runs no model"] * route.is_free
    if route.key_header:
        deeds.append(f"takes the token as {route.key_header} too")
    if route.envelope in FACADES:
        deeds.append(f"{route.envelope.value} façade, translated by families")
    elif route.envelope is not Envelope.NATIVE:
        deeds.append(f"speaks {route.envelope.value}")
    if route.answer is not Answer.UPSTREAM:
        deeds.append(f"answers with {route.answer.value}")
    return deeds


def _family(family: Family) -> str:
    """What a family takes and how its endpoint calls it."""
    takes = [
        f"{slot.kind} as {slot.role}" + (f" in {slot.place}" if slot.place != MEDIA else "")
        for slot in family.slots
    ]
    shape = "size" if family.sizes else f"{family.resolution}, {family.ratio}"
    where = f", on {family.target}" if family.target else ""
    media = ", ".join(takes) or "no media"
    return f"family {' '.join(family.models)}: {media}; {shape}{where}"


def _confined(document: str, path: Path, values: tuple[Safe, ...]) -> str:
    safe = "|".join(map(shown, values))
    return f"{document}.{dotted(path)} only {safe} without scope account"
