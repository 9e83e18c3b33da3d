"""`token …`: create, update, revoke, rotate, import; what only looks stands in `token_views`."""

import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace

import click

from proxy.cli import minting
from proxy.cli.grant_flags import NO_FLAGS, GrantFlags, duration, grant_options
from proxy.cli.options import (
    Result,
    as_json_option,
    fail,
    kept_settings,
    store_option,
    visible,
    with_store,
)
from proxy.cli.token_views import list_tokens, show_token
from proxy.core.policy import Grant, digest_of
from proxy.ports import Store


@click.group()
def token() -> None:
    """Create and manage tokens. A secret is printed once, when it is made, and never again."""


token.add_command(list_tokens)
token.add_command(show_token)


@token.command()
@click.argument("name", callback=visible)
@grant_options
@as_json_option
@store_option
def create(name: str, flags: GrantFlags, store: str | None, *, as_json: bool) -> None:
    """Make a token called NAME for the models that match a PATTERN, and print it once."""
    grant = flags.new(name)
    secret = _run(store, lambda opened: minting.mint(opened, grant))
    _print_secret(secret, grant, as_json=as_json)


@token.command()
@click.argument("wanted", metavar="ID|NAME")
@click.option("--name", callback=visible, help="A new name.")
@grant_options
@click.option("--no-expiry", is_flag=True, help="Never expires.")
@click.option("--enable/--disable", "enabled", default=None, help="Switch on, or off for a while.")
@store_option
def update(
    wanted: str,
    name: str | None,
    flags: GrantFlags,
    store: str | None,
    *,
    no_expiry: bool,
    enabled: bool | None,
) -> None:
    """Change what a token may do; what is not named stays. Seen everywhere within a second."""
    if no_expiry and flags.expires is not None:
        fail(["--no-expiry: contradicts --expires; give one of them"])
    if flags == NO_FLAGS and name is None and enabled is None and not no_expiry:
        fail(["nothing to change; see `token update --help`"])

    def changed(grant: Grant) -> Grant:
        asked = flags.applied(grant)
        return replace(
            asked,
            name=name or grant.name,
            enabled=grant.enabled if enabled is None else enabled,
            expires=None if no_expiry else asked.expires,
        )

    async def apply(opened: Store) -> Grant:
        *older, (digest, grant) = await minting.find(opened, wanted)
        current = changed(grant)
        await opened.save_grant(digest, current)
        for digest, old in older:
            kept = replace(current, expires=old.expires)  # a grace is never lengthened
            await opened.save_grant(digest, minting.ending_before(current, kept))
        return current

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
@as_json_option
@store_option
def rotate(wanted: str, grace: str | None, store: str | None, *, as_json: bool) -> None:
    """Give a token a new secret and print it once; id, tenant and tasks stay."""
    seconds = 0.0 if grace is None else duration("--grace", grace)

    async def apply(opened: Store) -> tuple[str, Grant]:
        *older, (digest, grant) = await minting.find(opened, wanted)
        for old, _ in older:
            await opened.remove_grant(old)
        return await minting.rotate(opened, digest, grant, seconds), grant

    secret, grant = _run(store, apply)
    _print_secret(secret, grant, as_json=as_json)


@token.command("import")
@click.argument("name", callback=visible)
@grant_options
@store_option
def import_token(name: str, flags: GrantFlags, store: str | None) -> None:
    """Store a token that was made elsewhere, read from PROXY_IMPORT_TOKEN or standard input.

    For deployments whose secrets come from a vault. Running it again changes the same token;
    its limits and networks stay as they were, where no flag names them.
    """
    grant = flags.new(name)
    digest = digest_of(_given_secret())
    keeps_tenant = flags.tenant is None
    adopted = _run(
        store,
        lambda opened: minting.adopt(
            opened, digest, grant, keeps_tenant=keeps_tenant, bounded=flags.bounded
        ),
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
    return with_store(kept_settings(store), use)


def _print_secret(secret: str, grant: Grant, *, as_json: bool) -> None:
    if as_json:
        shown = {"token": secret, "id": grant.id, "name": grant.name, "tenant": grant.tenant}
        click.echo(json.dumps(shown | {"expires": grant.expires}))
        return
    click.echo(secret)
    click.echo(f"{grant.id} {grant.name!r}: keep the token, it is not shown again", err=True)
