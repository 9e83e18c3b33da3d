"""`token list` and `token show`: what is known of tokens, for people and for programs."""

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import click

from proxy.cli import minting
from proxy.cli.limit_flags import limit_words
from proxy.cli.options import as_json_option, kept_settings, store_option, with_store
from proxy.cli.standing import HEADER, NO_CURRENCY, Use, tenant_limits, uses_of
from proxy.cli.tables import print_facts, print_table
from proxy.core.limits import Limits, limits_to_fields
from proxy.core.policy import Grant, GrantUnreadableError, is_active
from proxy.ports import Store


@dataclass(frozen=True, slots=True)
class View:
    """A token with its tenant's limits, and what counts against either now."""

    digest: str
    grant: Grant
    shared: Limits
    own_uses: list[Use]
    shared_uses: list[Use]


@click.command("list")
@as_json_option
@store_option
def list_tokens(store: str | None, *, as_json: bool) -> None:
    """List all tokens, oldest first; a secret is never shown again."""
    found = with_store(kept_settings(store), minting.all_tokens)
    if as_json:
        click.echo(json.dumps([_listed(digest, grant) for digest, grant in found]))
        return
    rows = [("ID", "NAME", "TENANT", "STATE", "EXPIRES", "SCOPES", "LIMITS", "MODELS")]
    for digest, grant in found:
        if isinstance(grant, Grant):
            state, ends = _state(grant), _date(grant.expires)
            scopes, models = ",".join(sorted(grant.scopes)), " ".join(grant.models)
            bounds = ",".join(_bounds(grant)) or "-"
            rows.append((grant.id, grant.name, grant.tenant, state, ends, scopes, bounds, models))
        else:
            rows.append((digest[:16], "?", "?", "unreadable", "-", "-", "-", str(grant)))
    print_table(rows)


@click.command("show")
@click.argument("wanted", metavar="ID|NAME")
@as_json_option
@store_option
def show_token(wanted: str, store: str | None, *, as_json: bool) -> None:
    """Show one token: what it may do, until when, and what it has used of its limits."""

    async def look(opened: Store) -> View:
        digest, grant = (await minting.find(opened, wanted))[-1]
        shared = await tenant_limits(opened, grant.tenant)
        own_uses = await uses_of(opened, f"token:{grant.id}", grant.limits)
        shared_uses = await uses_of(opened, f"tenant:{grant.tenant}", shared)
        return View(digest, grant, shared, own_uses, shared_uses)

    settings = kept_settings(store)
    view = with_store(settings, look)
    if as_json:
        click.echo(json.dumps(_viewed(view, settings.routing.prices.currency)))
        return
    facts = _facts(view.digest, view.grant) | {"limits": limit_words(view.grant.limits)}
    told = (
        (name, " ".join(value) if isinstance(value, list) else str(value))
        for name, value in facts.items()
    )
    print_facts((*told, ("currency", settings.routing.prices.currency or NO_CURRENCY)))
    click.echo()
    rows = [use.row("token") for use in view.own_uses]
    rows += [use.row("tenant") for use in view.shared_uses if use.limit is not None]
    print_table([HEADER, *rows], right=range(3, len(HEADER)))


def _state(grant: Grant) -> str:
    if not grant.enabled:
        return "disabled"
    return "active" if is_active(grant, time.time()) else "expired"


def _date(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError):  # after the year 9999, as a control plane may write it
        return f"{seconds:.0f}"


def _bounds(grant: Grant) -> list[str]:
    """What bounds the token, each as one word."""
    return limit_words(grant.limits) + [f"allow_ip={network}" for network in grant.allow_ips]


def _listed(digest: str, grant: Grant | GrantUnreadableError) -> dict[str, object]:
    """The facts of a token; of one that cannot be read, those that are known, and why."""
    if isinstance(grant, Grant):
        return _facts(digest, grant)
    unknown = dict.fromkeys(("name", "tenant", "created", "expires"))
    allowed: dict[str, object] = {"models": [], "scopes": [], "limits": {}, "allow_ips": []}
    known = {"id": digest[:16], "state": "unreadable", "digest": digest, "why": str(grant)}
    return {**known, **unknown, **allowed}


def _facts(digest: str, grant: Grant) -> dict[str, object]:
    return {
        "id": grant.id,
        "name": grant.name,
        "tenant": grant.tenant,
        "state": _state(grant),
        "models": list(grant.models),
        "scopes": sorted(grant.scopes),
        "created": _date(grant.created),
        "expires": _date(grant.expires),
        "digest": digest,
        "limits": limits_to_fields(grant.limits),
        "allow_ips": [str(network) for network in grant.allow_ips],
    }


def _viewed(view: View, currency: str) -> dict[str, object]:
    return {
        **_facts(view.digest, view.grant),
        "currency": currency,
        "use": {use.name: use.facts() for use in view.own_uses},
        "tenant_limits": limits_to_fields(view.shared),
        "tenant_use": {use.name: use.facts() for use in view.shared_uses},
    }
