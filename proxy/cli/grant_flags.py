"""The flags that say what a token may do, read into one value for every command that takes them."""

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Network, ip_interface, ip_network
from typing import Any

import click

from proxy.cli import minting
from proxy.cli.limit_flags import NONE, limit_options, limited, read_limits
from proxy.cli.minting import TokenError
from proxy.cli.options import fail, visible
from proxy.core.limits import NAMES
from proxy.core.policy import SCOPES, Grant, Network

_OPTIONS = (
    click.option(
        "--model",
        "models",
        multiple=True,
        metavar="PATTERN",
        help="May be repeated; * is a wildcard.",
    ),
    click.option(
        "--tenant", callback=visible, help="Who owns its tasks; default: this token alone."
    ),
    click.option(
        "--scope",
        "scopes",
        multiple=True,
        type=click.Choice(sorted(SCOPES)),
        help="May be repeated.",
    ),
    click.option("--expires", metavar="30d", callback=visible, help="From now: s, m, h, d or w."),
    click.option(
        "--allow-ip",
        "networks",
        multiple=True,
        metavar="CIDR|none",
        help="Where it may be used from; may be repeated.",
    ),
)


@dataclass(frozen=True, slots=True)
class GrantFlags:
    """What the flags of one command ask for. What no flag speaks of is None, or empty.

    `allow_ips` is empty for "from anywhere", None for "as it is".
    """

    models: tuple[str, ...] = ()
    tenant: str | None = None
    scopes: frozenset[str] = frozenset()
    expires: float | None = None
    allow_ips: tuple[Network, ...] | None = None
    limits: Mapping[str, int | None] = field(default_factory=dict)

    def new(self, name: str) -> Grant:
        """The grant of a new token. Ends the program when no model is named."""
        if not self.models:
            fail(["--model: name at least one pattern, as wan2.6-* ; '*' allows every model"])
        scopes = sorted(self.scopes)
        grant = minting.new_grant(name, self.models, self.tenant, scopes, self.expires)
        return self.bounded(grant)

    def bounded(self, grant: Grant) -> Grant:
        """The grant with the limits and networks asked for; the others stay."""
        networks = grant.allow_ips if self.allow_ips is None else self.allow_ips
        return replace(grant, limits=limited(grant.limits, self.limits), allow_ips=networks)

    def applied(self, grant: Grant) -> Grant:
        """The grant with all that is asked for; what is not stays."""
        return replace(
            self.bounded(grant),
            models=self.models or grant.models,
            tenant=self.tenant or grant.tenant,
            scopes=self.scopes or grant.scopes,
            expires=grant.expires if self.expires is None else self.expires,
        )


NO_FLAGS = GrantFlags()


def grant_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flags of a grant, and what they ask for as its parameter `flags`."""

    @functools.wraps(command)
    def run(**given: Any) -> None:  # noqa: ANN401 - what click read, whatever its options are
        limits = {name: given.pop(name) for name in NAMES}
        expires = given.pop("expires")
        flags = GrantFlags(
            models=_checked(given.pop("models")),
            tenant=given.pop("tenant"),
            scopes=frozenset(given.pop("scopes")),
            expires=_ends(expires),
            allow_ips=_networks(given.pop("networks")),
            limits=read_limits(limits),
        )
        command(flags=flags, **given)

    optioned = limit_options(run)
    for option in reversed(_OPTIONS):
        optioned = option(optioned)
    return optioned


def duration(flag: str, text: str) -> float:
    """The seconds a flag names. Ends the program on a mistake."""
    try:
        return minting.seconds_of(text)
    except TokenError as error:
        fail([f"{flag}: {error}"])


def _checked(models: tuple[str, ...]) -> tuple[str, ...]:
    for pattern in models:
        if not pattern or any(char in " ," or not char.isprintable() for char in pattern):
            problem = "must not be empty, nor hold blanks, commas or control characters"
            fail([f"--model: {pattern!r} {problem}"])
    return models


def _ends(expires: str | None) -> float | None:
    if expires is None:
        return None
    seconds = duration("--expires", expires)
    if not seconds:
        fail([f"--expires: {expires!r} is over at once; write how long, as 30d"])
    return float(int(time.time() + seconds))


def _networks(texts: tuple[str, ...]) -> tuple[Network, ...] | None:
    if not texts:
        return None
    if NONE in texts:
        if len(texts) > 1:
            fail([f"--allow-ip: {NONE} takes all networks away; give it alone"])
        return ()
    return tuple(dict.fromkeys(map(_network, texts)))


def _network(text: str) -> Network:
    try:
        found = ip_network(text)
    except ValueError as error:
        fail([f"--allow-ip: {text!r} is no address or network; write {_meant(text)}: {error}"])
    if isinstance(found, IPv6Network) and found.network_address.ipv4_mapped:
        fail([f"--allow-ip: {text!r} would match nobody; write the IPv4 network in it"])
    return found


def _meant(text: str) -> str:
    """What was meant by an address with a prefix that is too short for it, or an example."""
    try:
        return str(ip_interface(text).network)
    except ValueError:
        return "10.0.0.0/8 or 2001:db8::1"
