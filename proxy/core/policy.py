"""Who may do what: the grant behind a token, and the questions asked of it.

A grant travels as flat text fields (the Redis hash `dsp:token:<digest>`, a row in SQLite),
so that a control plane may write one with `redis-cli HSET`. Reading is strict: a field that
cannot be understood makes the whole grant unreadable, and an unreadable grant grants nothing.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from proxy.core.limits import (
    NO_LIMITS,
    Limits,
    LimitUnreadableError,
    limits_from_fields,
    limits_to_fields,
)

Network: TypeAlias = IPv4Network | IPv6Network

INFERENCE = "inference"
"""Model-bearing calls, the caller's own tasks, uploads and the catalogue of allowed models."""

ACCOUNT = "account"
"""Everything that acts on the whole upstream account: files, fine-tunes, deployments, apps."""

SCOPES = frozenset({INFERENCE, ACCOUNT})

_SEPARATORS = re.compile(r"[\s,]+")
_END_OF_TIME = 10**12
"""Unix seconds that need more digits are milliseconds, or a mistake."""

_TRUTH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


class GrantUnreadableError(ValueError):
    """A stored grant has a field nobody can understand. The text names the field."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What one token may do. Raises `GrantUnreadableError` for what could not be stored.

    `models` are patterns, see `may_use`. `expires` and `created` are Unix seconds;
    `expires=None` never ends. `id` survives a rotation of the secret and names the token
    in logs; `tenant` owns the tasks. `limits` are the token's own, `tenant_limits` those of all
    the tenant's tokens together, which are not stored with it. `allow_ips` are the networks it
    may be used from, none is from anywhere. `sold`, not stored either, are patterns of the models
    that have a price where one is required.
    """

    id: str
    name: str
    tenant: str
    models: tuple[str, ...]
    scopes: frozenset[str] = frozenset({INFERENCE})
    expires: float | None = None
    enabled: bool = True
    created: float = 0.0
    limits: Limits = NO_LIMITS
    tenant_limits: Limits = NO_LIMITS
    allow_ips: tuple[Network, ...] = ()
    sold: tuple[str, ...] | None = None

    def __hash__(self) -> int:
        """Of what tells grants apart: what is memorised by grant is found fast."""
        return hash((self.id, self.tenant))

    def __post_init__(self) -> None:
        unknown = self.scopes - SCOPES
        if unknown:
            listed = ", ".join(sorted(SCOPES))
            msg = f"scopes: {min(unknown)!r} is not one of {listed}"
            raise GrantUnreadableError(msg)
        for pattern in self.models:
            # Stored as one text: `free *` would come back as two patterns, one of them `*`.
            if not pattern or _SEPARATORS.search(pattern):
                msg = f"models: {pattern!r} must be one word, without blanks or commas"
                raise GrantUnreadableError(msg)
        for field, value in (("expires", self.expires), ("created", self.created)):
            if value is not None and not 0 <= value < _END_OF_TIME:
                msg = f"{field}: {value!r} is not Unix seconds"
                raise GrantUnreadableError(msg)


def digest_of(token: str) -> str:
    """SHA-256 of the token as lower-case hex: the only form in which a token is remembered."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def is_active(grant: Grant, now: float) -> bool:
    """Whether the grant counts at `now` (Unix seconds)."""
    return grant.enabled and (grant.expires is None or now < grant.expires)


def may_use(grant: Grant, model: str) -> bool:
    """Whether one of the grant's patterns matches the whole model name.

    Case-sensitive. `*` stands for any run of characters, `/` included, because model names
    contain it (`kling/kling-v3-video-generation`); every other character is literal.
    """
    sold = grant.sold is None or matches(grant.sold, model)
    return sold and matches(grant.models, model)


@lru_cache(maxsize=4096)
def selling(grant: Grant, patterns: tuple[str, ...]) -> Grant:
    """The grant, without the models that none of the patterns matches: they have no price."""
    return replace(grant, sold=patterns)


def may_come_from(grant: Grant, address: str | None) -> bool:
    """Whether the token may be used from an IP address; None is a place without one."""
    if not grant.allow_ips:
        return True
    try:
        found = ip_address(address or "")
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return any((mapped or found) in network for network in grant.allow_ips)


def matches(patterns: tuple[str, ...], model: str) -> bool:
    """Whether one of the patterns matches the whole model name, as `may_use` describes."""
    return _matcher(patterns).fullmatch(model) is not None


def may_see(grant: Grant, tenant: str) -> bool:
    """Whether the grant's holder owns what `tenant` owns."""
    return grant.tenant == tenant


def has_scope(grant: Grant, scope: str) -> bool:
    """Whether the grant carries `scope`."""
    return scope in grant.scopes


@lru_cache(maxsize=4096)
def _matcher(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """One compiled expression for a grant's patterns; no pattern matches nothing."""
    return re.compile("|".join(map(_expression, patterns)) if patterns else r"(?!)", re.DOTALL)


def _expression(pattern: str) -> str:
    """A pattern as a regular expression that never backtracks from one `*` to the one before.

    The first place where a middle part fits is as good as any other (`fnmatch` does the same);
    plain `.*` would let a caller make `*-*-*-x` cubic in the length of a name.
    """
    first, *others = map(re.escape, pattern.split("*"))
    if not others:
        return first
    *middle, last = others
    return first + "".join(f"(?>.*?{part})" for part in middle) + f".*{last}"


def grant_to_fields(grant: Grant) -> dict[str, str]:
    """The grant as the flat text fields that stores keep. Inverse of `grant_from_fields`."""
    fields = {
        "id": grant.id,
        "name": grant.name,
        "tenant": grant.tenant,
        "models": " ".join(grant.models),
        "scopes": " ".join(sorted(grant.scopes)),
        "enabled": "1" if grant.enabled else "0",
        "created": _number(grant.created),
        **limits_to_fields(grant.limits),
    }
    if grant.expires is not None:
        fields["expires"] = _number(grant.expires)
    if grant.allow_ips:
        fields["allow_ips"] = " ".join(map(str, grant.allow_ips))
    return fields


def grant_from_fields(digest: str, fields: Mapping[str, str]) -> Grant:
    """Read stored fields; `models` alone is enough, everything else has a safe default.

    Defaults: `id` the first 16 hex digits of the digest, `name` and `tenant` the id,
    `scopes` inference, `enabled` 1, no expiry, no limits, any address. Unknown fields are left
    for later versions. Raises `GrantUnreadableError` naming the field.
    """
    identity = fields.get("id") or digest[:16]
    return Grant(
        id=identity,
        name=fields.get("name") or identity,
        tenant=fields.get("tenant") or identity,
        models=tuple(_words(fields.get("models", ""))),
        scopes=frozenset(_words(fields.get("scopes", INFERENCE))),
        expires=_seconds("expires", fields["expires"]) if "expires" in fields else None,
        enabled=_flag("enabled", fields.get("enabled", "1")),
        created=_seconds("created", fields.get("created", "0")),
        limits=_limits(fields),
        allow_ips=tuple(map(_network, _words(fields.get("allow_ips", "")))),
    )


def within_tenant(grant: Grant, fields: Mapping[str, str]) -> Grant:
    """The grant with its tenant's limits, read from what is stored of them.

    Raises `GrantUnreadableError` naming the field: where they cannot be read, nothing is granted.
    """
    if not fields:
        return grant
    try:
        return replace(grant, tenant_limits=limits_from_fields(fields))
    except LimitUnreadableError as error:
        msg = f"limits of tenant {grant.tenant!r}: {error}"
        raise GrantUnreadableError(msg) from error


def _limits(fields: Mapping[str, str]) -> Limits:
    try:
        return limits_from_fields(fields)
    except LimitUnreadableError as error:
        raise GrantUnreadableError(str(error)) from error


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError:
        msg = f"allow_ips: {text!r} is no address or network, as in 10.0.0.0/8"
        raise GrantUnreadableError(msg) from None


def _words(text: str) -> Iterable[str]:
    return (word for word in _SEPARATORS.split(text) if word)


def _flag(field: str, text: str) -> bool:
    try:
        return _TRUTH[text.strip().lower()]
    except KeyError:
        msg = f"{field}: {text!r} is not 1 or 0"
        raise GrantUnreadableError(msg) from None


def _seconds(field: str, text: str) -> float:
    # float() alone would also read `nan`, `1_000` and the digits of every alphabet.
    if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", text):
        msg = f"{field}: {text!r} is not Unix seconds"
        raise GrantUnreadableError(msg)
    return float(text)


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.6f}"
