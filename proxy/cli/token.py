"""`token …`: create, list, show, update, revoke, rotate, import."""

import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import click

from proxy.cli import minting
from proxy.cli.minting import TokenError
from proxy.cli.options import Result, fail, settings_from, store_option, visible, with_store
from proxy.core.policy import SCOPES, Grant, GrantUnreadableError, digest_of, is_active
from proxy.ports import Store

_models = click.option(
    "--model", "models", multiple=True, metavar="PATTERN", help="May be repeated; * is a wildcard."
)
_scopes = click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(sorted(SCOPES)), help="May be repeated."
)
_tenant = click.option(
    "--tenant", callback=visible, help="Who owns its tasks; default: this token alone."
)
_expires = click.option(
    "--expires", metavar="30d", callback=visible, help="From now: s, m, h, d or w."
)
_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")


@click.group()
def token() -> None:
    """Create and manage tokens. A secret is printed once, when it is made, and never again."""


@token.command()
@click.argument("name", callback=visible)
@_models
@_tenant
@_scopes
@_expires
@_as_json
@store_option
def create(
    name: str,
    models: tuple[str, ...],
    tenant: str | None,
    scopes: tuple[str, ...],
    expires: str | None,
    store: str | None,
    *,
    as_json: bool,
) -> None:
    """Make a token called NAME for the models that match a PATTERN, and print it once."""
    if not models:
        fail(["--model: name at least one pattern, as wan2.6-* ; '*' allows every model"])
    grant = minting.new_grant(name, _checked(models), tenant, scopes, _ends(expires))
    secret = _run(store, lambda opened: minting.mint(opened, grant))
    _print_secret(secret, grant, as_json=as_json)


@token.command("list")
@_as_json
@store_option
def list_tokens(store: str | None, *, as_json: bool) -> None:
    """List all tokens, oldest first; a secret is never shown again."""
    found = _run(store, minting.all_tokens)
    if as_json:
        click.echo(json.dumps([_listed(digest, grant) for digest, grant in found]))
        return
    rows = [("ID", "NAME", "TENANT", "STATE", "EXPIRES", "SCOPES", "MODELS")]
    for digest, grant in found:
        if isinstance(grant, Grant):
            state, ends = _state(grant), _date(grant.expires)
            scopes, models = ",".join(sorted(grant.scopes)), " ".join(grant.models)
            rows.append((grant.id, grant.name, grant.tenant, state, ends, scopes, models))
        else:
            rows.append((digest[:16], "?", "?", "unreadable", "-", "-", str(grant)))
    _print_table(rows)


@token.command()
@click.argument("wanted", metavar="ID|NAME")
@_as_json
@store_option
def show(wanted: str, store: str | None, *, as_json: bool) -> None:
    """Show one token: what it may do, until when, and under which digests it is stored."""
    found = _run(store, lambda opened: minting.find(opened, wanted))
    digest, grant = found[-1]
    facts = _facts(digest, grant)
    if as_json:
        click.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        told = " ".join(value) if isinstance(value, list) else str(value)
        click.echo(f"{name:9} {_shown(told)}")


@token.command()
@click.argument("wanted", metavar="ID|NAME")
@click.option("--name", callback=visible, help="A new name.")
@_models
@_tenant
@_scopes
@_expires
@click.option("--no-expiry", is_flag=True, help="Never expires.")
@click.option("--enable/--disable", "enabled", default=None, help="Switch on, or off for a while.")
@store_option
def update(  # noqa: PLR0913 - one parameter per flag is click's way
    wanted: str,
    name: str | None,
    models: tuple[str, ...],
    tenant: str | None,
    scopes: tuple[str, ...],
    expires: str | None,
    store: str | None,
    *,
    no_expiry: bool,
    enabled: bool | None,
) -> None:
    """Change what a token may do; what is not named stays. Seen everywhere within a second."""
    changes: dict[str, object] = {
        "name": name,
        "models": _checked(models) or None,
        "tenant": tenant,
        "scopes": frozenset(scopes) or None,
        "expires": _ends(expires),
        "enabled": enabled,
    }
    changes = {field: value for field, value in changes.items() if value is not None}
    if no_expiry:
        if expires is not None:
            fail(["--no-expiry: contradicts --expires; give one of them"])
        changes["expires"] = None
    if not changes:
        fail(["nothing to change; see `token update --help`"])

    async def apply(opened: Store) -> Grant:
        *older, (digest, grant) = await minting.find(opened, wanted)
        changed = replace(grant, **changes)  # type: ignore[arg-type]  # names checked above
        await opened.save_grant(digest, changed)
        for digest, old in older:
            kept = replace(changed, expires=old.expires)  # a grace is never lengthened
            await opened.save_grant(digest, minting.ending_before(changed, kept))
        return changed

    click.echo(f"updated {_run(store, apply).id}")


@token.command()
@click.argument("wanted", metavar="ID|NAME")
@store_option
def revoke(wanted: str, store: str | None) -> None:
    """End a token for good, everywhere within a second. Its tasks stay with its tenant."""

    async def apply(opened: Store) -> str:
        identity, digests = await minting.digests(opened, wanted)
        for digest in digests:
            await opened.remove_grant(digest)
        return identity

    click.echo(f"revoked {_run(store, apply)}")


@token.command()
@click.argument("wanted", metavar="ID|NAME")
@click.option(
    "--grace",
    metavar="1h",
    callback=visible,
    help="How long the old secret still works; default: not.",
)
@_as_json
@store_option
def rotate(wanted: str, grace: str | None, store: str | None, *, as_json: bool) -> None:
    """Give a token a new secret and print it once; id, tenant and tasks stay."""
    seconds = 0.0 if grace is None else _duration("--grace", grace)

    async def apply(opened: Store) -> tuple[str, Grant]:
        *older, (digest, grant) = await minting.find(opened, wanted)
        for old, _ in older:
            await opened.remove_grant(old)
        return await minting.rotate(opened, digest, grant, seconds), grant

    secret, grant = _run(store, apply)
    _print_secret(secret, grant, as_json=as_json)


@token.command("import")
@click.argument("name", callback=visible)
@_models
@_tenant
@_scopes
@_expires
@store_option
def import_token(
    name: str,
    models: tuple[str, ...],
    tenant: str | None,
    scopes: tuple[str, ...],
    expires: str | None,
    store: str | None,
) -> None:
    """Store a token that was made elsewhere, read from PROXY_IMPORT_TOKEN or standard input.

    For deployments whose secrets come from a vault. Running it again changes the same token.
    """
    if not models:
        fail(["--model: name at least one pattern, as wan2.6-* ; '*' allows every model"])
    grant = minting.new_grant(name, _checked(models), tenant, scopes, _ends(expires))
    digest = digest_of(_given_secret())
    keeps_tenant = tenant is None
    adopted = _run(
        store, lambda opened: minting.adopt(opened, digest, grant, keeps_tenant=keeps_tenant)
    )
    click.echo(f"imported {adopted.id}")


_SHORTEST = 20
"""Characters of an imported token: below that, somebody chose it by hand."""


def _given_secret() -> str:
    secret = os.environ.get("PROXY_IMPORT_TOKEN", "").strip()
    if not secret and sys.stdin.isatty():
        fail(["token: set PROXY_IMPORT_TOKEN, or pipe the token in; it would be seen if typed"])
    secret = secret or sys.stdin.readline().strip()
    if len(secret) < _SHORTEST or not secret.isascii() or not secret.isprintable() or " " in secret:
        fail([f"token: {_SHORTEST} or more visible ASCII characters, so that it cannot be guessed"])
    return secret


def _run(store: str | None, use: Callable[[Store], Awaitable[Result]]) -> Result:
    settings = settings_from({"PROXY_STORE": store})
    if settings.store.startswith("memory:"):
        fail(["PROXY_STORE: memory: ends with this command; tokens need sqlite:// or redis://"])
    try:
        return with_store(settings, use)
    except TokenError as error:
        fail([str(error)])


def _checked(models: tuple[str, ...]) -> tuple[str, ...]:
    for pattern in models:
        if not pattern or any(char in " ," or not char.isprintable() for char in pattern):
            problem = "must not be empty, nor hold blanks, commas or control characters"
            fail([f"--model: {pattern!r} {problem}"])
    return models


def _ends(expires: str | None) -> float | None:
    if expires is None:
        return None
    seconds = _duration("--expires", expires)
    if not seconds:
        fail([f"--expires: {expires!r} is over at once; write how long, as 30d"])
    return float(int(time.time() + seconds))


def _duration(flag: str, text: str) -> float:
    try:
        return minting.seconds_of(text)
    except TokenError as error:
        fail([f"{flag}: {error}"])


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


def _listed(digest: str, grant: Grant | GrantUnreadableError) -> dict[str, object]:
    """The facts of a token; of one that cannot be read, those that are known, and why."""
    if isinstance(grant, Grant):
        return _facts(digest, grant)
    unknown = dict.fromkeys(("name", "tenant", "created", "expires"))
    allowed: dict[str, object] = {"models": [], "scopes": []}
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
    }


def _print_secret(secret: str, grant: Grant, *, as_json: bool) -> None:
    if as_json:
        shown = {"token": secret, "id": grant.id, "name": grant.name, "tenant": grant.tenant}
        click.echo(json.dumps(shown | {"expires": grant.expires}))
        return
    click.echo(secret)
    click.echo(f"{grant.id} {grant.name!r}: keep the token, it is not shown again", err=True)


def _shown(text: str) -> str:
    """The text on one line, without what a terminal would obey: others may have written it."""
    return text if text.isprintable() else repr(text)


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    shown = [[_shown(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in shown) for column in range(len(rows[0]))]
    for row in shown:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))
