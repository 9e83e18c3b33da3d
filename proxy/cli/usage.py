"""`usage`: what was used and what it costs, added up or record by record."""

import json
import re
import sys
import time
from collections.abc import Mapping

import click

from proxy.cli.minting import all_tokens
from proxy.cli.options import fail, kept_settings, store_option, with_store
from proxy.cli.tables import print_table
from proxy.core.beijing import day_of
from proxy.core.policy import Grant
from proxy.core.statement import COLUMNS, QueryError, Statement, read_query, state
from proxy.core.statement_forms import (
    NUMBERS,
    statement_csv,
    statement_json,
    statement_rows,
    sum_rows,
)
from proxy.ports import Ledger, Store
from proxy.stores.usage_fields import usage_to_fields

PAGE = 1000
"""Records that are read at a time."""

NO_PRICE = "no price"
"""Where others read a currency."""

_PLACE = re.compile(r"[0-9]{1,18}(-[0-9]{1,18})?")
_PLACE_IN_A_FILE = re.compile(r"[0-9]{1,18}")


@click.group(invoke_without_command=True)
@click.option(
    "--by",
    multiple=True,
    metavar="|".join(COLUMNS),
    help="What to add up by; may be repeated. Default: token.",
)
@click.option("--since", metavar="DAY", help="As 2026-11-01. Default: the month's first.")
@click.option("--until", metavar="DAY", help="The last day that counts. Default: today.")
@click.option("--tenant", multiple=True, help="Only this tenant's; may be repeated.")
@click.option(
    "--token", multiple=True, metavar="ID|NAME", help="Only this token's; may be repeated."
)
@click.option("--model", multiple=True, metavar="PATTERN", help="Only these models'.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
)
@store_option
@click.pass_context
def usage(
    context: click.Context,
    /,
    since: str | None,
    until: str | None,
    form: str,
    store: str | None,
    **wanted: tuple[str, ...],
) -> None:
    """Tell what was used and what it costs, by default in this month, by token.

    Days are Beijing's, as on upstream's bills: a call counts on the day it began. What has no
    price has a line of its own, without an amount.
    """
    given = {name: list(words) for name, words in wanted.items() if words}
    given |= {name: [day] for name, day in (("since", since), ("until", until)) if day is not None}
    if context.invoked_subcommand is not None:
        if given or store is not None:
            fail(["usage: `records` has flags of its own; write them behind it"])
        return
    _print(_stated(given, store), form)


@usage.command()
@click.option("--after", default="", metavar="PLACE", help="Only what came behind this record.")
@click.option("--most", type=click.IntRange(min=1), default=sys.maxsize, metavar="N")
@click.option("--json", is_flag=True, expose_value=False, help="What is printed anyway.")
@store_option
def records(after: str, most: int, store: str | None) -> None:
    """Print single records as they were written, one JSON object a line, for who bills.

    `place` of the last one is what to say as `--after` for those that follow.
    """
    settings = kept_settings(store)
    places = _PLACE_IN_A_FILE if settings.store.startswith("sqlite:") else _PLACE
    if after and not places.fullmatch(after):
        fail([f"--after: {after!r} is no place in this store; write the `place` of a record"])

    async def export(opened: Ledger) -> None:
        place, left = after, most
        while left and (page := await opened.records(place, min(left, PAGE))):
            for at, record in page:
                click.echo(json.dumps({"place": at, **usage_to_fields(record)}))
            place, left = page[-1][0], left - len(page)

    with_store(settings, export)


def _stated(given: Mapping[str, list[str]], store: str | None) -> Statement:
    try:
        query = read_query(given, day_of(time.time()))
    except QueryError as error:
        fail([f"--{error}"])

    async def look(opened: Store) -> Statement:
        totals = await opened.totals(query.first_day, query.last_day)
        tokens = await all_tokens(opened) if query.needs_names else []
        known = [grant for _, grant in tokens if isinstance(grant, Grant)]
        return state(totals, query, {grant.id: grant.name for grant in known})

    return with_store(kept_settings(store), look)


def _print(statement: Statement, form: str) -> None:
    if form == "csv":
        click.echo(statement_csv(statement), nl=False)
    elif form == "json":
        click.echo(statement_json(statement))
    else:
        _print_for_people(statement)


def _print_for_people(statement: Statement) -> None:
    query = statement.query
    header, *lines = statement_rows(statement, NO_PRICE)
    click.echo(f"{query.first_day} to {query.last_day}, days of Beijing (UTC+8)", err=True)
    heads = tuple(cell.upper() for cell in header)
    right = (at for at, name in enumerate(header) if name in NUMBERS and name != "currency")
    print_table([heads, *lines, *sum_rows(statement, NO_PRICE)], right=set(right))
