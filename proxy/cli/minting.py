"""Making and finding tokens. The secret exists here, for a moment, and nowhere after."""

import math
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from proxy.core.policy import INFERENCE, Grant, GrantUnreadableError, digest_of
from proxy.ports import Store

_DURATION = re.compile(r"([0-9]{1,6})([smhdw])")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class TokenError(Exception):
    """What an operator asked for cannot be done; the text says why."""


def new_secret() -> str:
    """A token: 256 random bits behind the prefix that DashScope clients expect."""
    return f"sk-{secrets.token_urlsafe(32)}"


def new_grant(
    name: str,
    models: Sequence[str],
    tenant: str | None = None,
    scopes: Sequence[str] = (),
    expires: float | None = None,
) -> Grant:
    """A grant for a new token. Without a tenant it is one of its own: nobody shares its tasks."""
    identity = f"tok_{secrets.token_hex(8)}"
    return Grant(
        id=identity,
        name=name,
        tenant=tenant or identity,
        models=tuple(models),
        scopes=frozenset(scopes or (INFERENCE,)),
        expires=expires,
        created=float(int(time.time())),
    )


async def mint(store: Store, grant: Grant) -> str:
    """Store a grant under a new secret and return the secret, for the only time."""
    secret = new_secret()
    await store.save_grant(digest_of(secret), grant)
    return secret


async def rotate(store: Store, digest: str, grant: Grant, grace: float) -> str:
    """A new secret for a token; the old one ends now, or in `grace` seconds.

    The new one is written first: a failure in between leaves two that work, not none.
    """
    secret = await mint(store, grant)
    if grace:
        old = replace(grant, expires=time.time() + grace)
        await store.save_grant(digest, ending_before(grant, old))
    else:
        await store.remove_grant(digest)
    return secret


async def adopt(
    store: Store,
    digest: str,
    grant: Grant,
    *,
    keeps_tenant: bool,
    bounded: Callable[[Grant], Grant],
) -> Grant:
    """Store a grant under a secret made elsewhere; again under its name, it is the same token.

    The name's earlier secret ends, its id stays, and with `keeps_tenant` its tenant. `bounded`
    makes the limits and networks of what was there those of now: whoever deploys again does not
    lift what was limited meanwhile. Raises `TokenError` when several tokens have the name, or
    another token has the secret.
    """
    found = [(d, g) for d, g in await all_tokens(store) if isinstance(g, Grant)]
    for other, taken in found:
        if other == digest and taken.name != grant.name:
            raise TokenError(f"this secret is the token {taken.name!r} already; see `token update`")
    named = [pair for pair in found if pair[1].name == grant.name]
    if named:
        _, known = _one_token(named, grant.name)[-1]
        tenant = known.tenant if keeps_tenant else grant.tenant
        bounds = bounded(known)
        grant = replace(
            grant,
            id=known.id,
            tenant=tenant,
            created=known.created,
            limits=bounds.limits,
            allow_ips=bounds.allow_ips,
        )
    await store.save_grant(digest, grant)
    for old, _ in named:
        if old != digest:
            await store.remove_grant(old)
    return grant


def ending_before(current: Grant, old: Grant) -> Grant:
    """The grant of a secret that was rotated out, ending before the current one does.

    A second before at the latest: the end is what tells the two apart.
    """
    if current.expires is None or (old.expires or math.inf) < current.expires:
        return old
    return replace(old, expires=max(current.expires - 1, 0))


async def all_tokens(store: Store) -> list[tuple[str, Grant | GrantUnreadableError]]:
    """Every token with its digest, oldest first, the unreadable last.

    Of a token's two secrets the one in grace comes first.
    """
    found = [pair async for pair in store.grants()]
    return sorted(found, key=lambda pair: _age(pair[1]))


async def find(store: Store, wanted: str) -> list[tuple[str, Grant]]:
    """The digests and grants of one token, by id or name; while a rotation is in grace two.

    The current one comes last. Raises `TokenError` when there is none, or when a name fits
    several tokens.
    """
    readable = [(d, g) for d, g in await all_tokens(store) if isinstance(g, Grant)]
    found = [pair for pair in readable if pair[1].id == wanted]
    found = found or [pair for pair in readable if pair[1].name == wanted]
    if not found:
        raise TokenError(f"no token has the id or name {wanted!r}; `token list` shows them")
    return _one_token(found, wanted)


async def digests(store: Store, wanted: str) -> tuple[str, list[str]]:
    """The id and all digests of one token, found as `find` does, or of an unreadable one.

    That one goes by the first 16 digits of its digest, as `list` shows it.
    """
    for digest, grant in await all_tokens(store):
        if isinstance(grant, GrantUnreadableError) and digest[:16] == wanted:
            return wanted, [digest]
    found = await find(store, wanted)
    return found[0][1].id, [digest for digest, _ in found]


def seconds_of(text: str) -> float:
    """`90s`, `15m`, `12h`, `30d`, `4w` in seconds. Raises `TokenError`."""
    found = _DURATION.fullmatch(text)
    if not found:
        raise TokenError(f"{text!r} is no duration; write a number with s, m, h, d or w, as 30d")
    return int(found[1]) * _UNIT_SECONDS[found[2]]


def _one_token(found: list[tuple[str, Grant]], wanted: str) -> list[tuple[str, Grant]]:
    """What was found, if it is all one token's. Raises `TokenError`."""
    identities = sorted({grant.id for _, grant in found})
    if len(identities) > 1:
        raise TokenError(f"{wanted!r} names several tokens; use an id: {', '.join(identities)}")
    return found


def _age(grant: Grant | GrantUnreadableError) -> tuple[bool, float, str, str, float]:
    if isinstance(grant, Grant):
        ends = math.inf if grant.expires is None else grant.expires
        return False, grant.created, grant.name, grant.id, ends
    return True, 0.0, "", "", 0.0
