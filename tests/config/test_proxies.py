"""`PROXY_TRUSTED_PROXIES`: networks, addresses, and the word for Unix sockets."""

from ipaddress import ip_network

import pytest

from proxy.config.proxies import proxies_of
from proxy.core.addresses import TrustedProxies


@pytest.mark.parametrize(
    ("text", "trusted"),
    [
        ("10.0.0.0/8", TrustedProxies((ip_network("10.0.0.0/8"),))),
        ("192.0.2.7, fd00::/8", TrustedProxies((ip_network("192.0.2.7"), ip_network("fd00::/8")))),
        ("unix", TrustedProxies((), unix=True)),
        ("unix,::1", TrustedProxies((ip_network("::1"),), unix=True)),
    ],
)
def test_who_is_trusted(text: str, trusted: TrustedProxies) -> None:
    """In any order, with or without blanks."""
    assert proxies_of(text) == trusted


@pytest.mark.parametrize("text", ["10.0.0.1/8", "balancer.example", "*", "", "10.0.0.0/8;unix"])
def test_what_is_no_network(text: str) -> None:
    """A mistake says what would be right, and trusts nobody."""
    with pytest.raises(ValueError, match=r"is no network; write 10\.0\.0\.0/8"):
        proxies_of(text)


def test_what_has_been_read_stays() -> None:
    """The default is no text."""
    assert proxies_of(TrustedProxies()) == TrustedProxies()
