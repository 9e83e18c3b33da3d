"""Where a request comes from: its peer, or whom the trusted proxies in front of us name.

`X-Forwarded-For` is a list to which each proxy adds whom it heard: only what trusted ones added
can be believed. So it is read from its end, and the first address that is no trusted proxy's is
the client's, whatever stands before it. `Forwarded` (RFC 7239) is not read.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from proxy.core.policy import Network

UNIX = "unix"
"""Stands for the other end of a Unix socket, which has no address."""


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """Whom we believe: networks, and with `unix` whoever connects to a Unix socket."""

    networks: tuple[Network, ...] = ()
    unix: bool = False

    def __str__(self) -> str:
        return ",".join([*map(str, self.networks), *([UNIX] if self.unix else [])])

    def are(self, address: str) -> bool:
        """Whether this is one of them: an address, or `UNIX`."""
        if address == UNIX:
            return self.unix
        found = _address(address)
        return found is not None and any(found in network for network in self.networks)


NOBODY = TrustedProxies()


def client_address(peer: str, forwarded: Iterable[str], trusted: TrustedProxies) -> str | None:
    """The client's address; None where it cannot be known.

    `peer` is an address or `UNIX`, `forwarded` the values of all `X-Forwarded-For` fields. An
    entry that is no plain address (a port, brackets, a name) is nobody's address.
    """
    came_from = peer
    entries = [entry.strip() for value in forwarded for entry in value.split(",")]
    while trusted.are(came_from) and entries:
        came_from = entries.pop()
    found = _address(came_from)
    return None if found is None else str(found)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """An address; one of IPv4 that came over IPv6 is what it is."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
