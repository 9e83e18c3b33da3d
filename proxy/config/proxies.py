"""The proxies in front of this one that are believed, as the environment names them."""

from ipaddress import ip_network

from proxy.core.addresses import UNIX, TrustedProxies
from proxy.core.policy import Network


def proxies_of(value: object) -> object:
    """Networks, addresses and `unix`, separated by commas. Raises `ValueError`."""
    if not isinstance(value, str):
        return value
    words = [word.strip() for word in value.split(",")]
    networks = tuple(_network(word) for word in words if word != UNIX)
    return TrustedProxies(networks, unix=UNIX in words)


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no network; write 10.0.0.0/8, 192.0.2.7, fd00::/8 or unix"
        ) from None
