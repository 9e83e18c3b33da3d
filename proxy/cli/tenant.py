"""`tenant …`: the limits of all tokens of a tenant together: set, show, list, clear."""

import json
from dataclasses import dataclass

import click

from proxy.cli.limit_flags import limit_options, limit_words, limited, read_limits
from proxy.cli.options import (
    as_json_option,
    fail,
    kept_settings,
    store_option,
    visible,
    with_store,
)
from proxy.cli.standing import HEADER, NO_CURRENCY, Use, tenant_limits, uses_of
from proxy.cli.tables import print_facts, print_table
from proxy.core.limits import NO_LIMITS, Limits, LimitUnreadableError, limits_to_fields
from proxy.ports import Ledger, Store

_tenant = click.argument("name", metavar="TENANT", callback=visible)


@dataclass(frozen=True, slots=True)
class TenantView:
    """A tenant's limits, and what counts against them now."""

    name: str
    limits: Limits
    uses: list[Use]


@click.group()
def tenant() -> None:
    """Limit what all tokens of a tenant use together; each token may have limits besides."""


@tenant.command("set")
@_tenant
@limit_options
@store_option
def set_limits(name: str, store: str | None, **given: str | None) -> None:
    """Change a tenant's limits; what is not named stays. Seen everywhere within a second."""
    changes = read_limits(given)
    if not changes:
        fail(["nothing to change; see `tenant set --help`"])

    async def apply(opened: Store) -> None:
        await opened.limit_tenant(name, limited(await tenant_limits(opened, name), changes))

    with_store(kept_settings(store), apply)
    click.echo(f"limited {name}")


@tenant.command()
@_tenant
@store_option
def clear(name: str, store: str | None) -> None:
    """Take all limits of a tenant away, those of its tokens aside."""
    with_store(kept_settings(store), lambda opened: opened.limit_tenant(name, NO_LIMITS))
    click.echo(f"cleared {name}")


@tenant.command("show")
@_tenant
@as_json_option
@store_option
def show_tenant(name: str, store: str | None, *, as_json: bool) -> None:
    """Show a tenant's limits, and what its tokens have used of them."""

    async def look(opened: Store) -> TenantView:
        limits = await tenant_limits(opened, name)
        return TenantView(name, limits, await uses_of(opened, f"tenant:{name}", limits))

    settings = kept_settings(store)
    view = with_store(settings, look)
    currency = settings.routing.prices.currency
    if as_json:
        use = {use.name: use.facts() for use in view.uses}
        facts = {"tenant": name, "limits": limits_to_fields(view.limits), "currency": currency}
        click.echo(json.dumps({**facts, "use": use}))
        return
    limits = " ".join(limit_words(view.limits))
    print_facts((("tenant", name), ("limits", limits), ("currency", currency or NO_CURRENCY)))
    click.echo()
    print_table([HEADER, *(use.row("tenant") for use in view.uses)], right=range(3, len(HEADER)))


@tenant.command("list")
@as_json_option
@store_option
def list_tenants(store: str | None, *, as_json: bool) -> None:
    """List the tenants that have limits of their own."""

    async def look(opened: Store) -> list[tuple[str, Limits | LimitUnreadableError]]:
        return [(name, await _readable(opened, name)) for name in await opened.limited_tenants()]

    found = with_store(kept_settings(store), look)
    if as_json:
        click.echo(json.dumps([_listed(name, limits) for name, limits in found]))
        return
    rows = [
        (name, " ".join(limit_words(limits)) if isinstance(limits, Limits) else f"? {limits}")
        for name, limits in found
    ]
    print_table([("TENANT", "LIMITS"), *rows])


async def _readable(ledger: Ledger, name: str) -> Limits | LimitUnreadableError:
    try:
        return await ledger.tenant_limits(name)
    except LimitUnreadableError as error:
        return error


def _listed(name: str, limits: Limits | LimitUnreadableError) -> dict[str, object]:
    if isinstance(limits, Limits):
        return {"tenant": name, "limits": limits_to_fields(limits)}
    return {"tenant": name, "limits": None, "why": str(limits)}
