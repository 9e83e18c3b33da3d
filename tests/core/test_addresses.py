"""Where a request comes from: the peer's word, and what trusted proxies add to it."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.addresses import NOBODY, UNIX, TrustedProxies, client_address

BALANCERS = TrustedProxies((ip_network("10.0.0.0/8"), ip_network("fd00::/8")))
LOCAL = TrustedProxies((), unix=True)


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "client"),
    [
        ("192.0.2.1", [], NOBODY, "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.7"], NOBODY, "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.7"], BALANCERS, "192.0.2.1"),
        ("10.0.0.1", ["198.51.100.7"], BALANCERS, "198.51.100.7"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.7"], BALANCERS, "198.51.100.7"),
        ("10.0.0.1", ["1.1.1.1,198.51.100.7 , 10.9.9.9"], BALANCERS, "198.51.100.7"),
        ("10.0.0.1", ["1.1.1.1", "198.51.100.7"], BALANCERS, "198.51.100.7"),
        ("10.0.0.1", ["10.0.0.2"], BALANCERS, "10.0.0.2"),
        ("10.0.0.1", [], BALANCERS, "10.0.0.1"),
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.7"], BALANCERS, "198.51.100.7"),
        ("fd00::1", ["2001:DB8::7"], BALANCERS, "2001:db8::7"),
        ("10.0.0.1", ["198.51.100.7:4711"], BALANCERS, None),
        ("10.0.0.1", ["[2001:db8::7]"], BALANCERS, None),
        ("10.0.0.1", ["198.51.100.7, unknown"], BALANCERS, None),
        ("10.0.0.1", ["198.51.100.7,"], BALANCERS, None),
        ("10.0.0.1", ["198.51.100.7, 010.0.0.1"], BALANCERS, None),
        (UNIX, [], NOBODY, None),
        (UNIX, ["198.51.100.7"], NOBODY, None),
        (UNIX, ["198.51.100.7"], LOCAL, "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7, unix"], BALANCERS, None),
    ],
)
def test_the_address(
    peer: str, forwarded: list[str], trusted: TrustedProxies, client: str | None
) -> None:
    """From the end of the list the first that is no trusted proxy; what is no address is nobody."""
    assert client_address(peer, forwarded, trusted) == client


@given(st.lists(st.text(max_size=30), max_size=4))
def test_whoever_is_not_trusted_cannot_say_anything(forwarded: list[str]) -> None:
    """Whatever stands in the header, a client's own peer address counts."""
    assert client_address("192.0.2.1", forwarded, BALANCERS) == "192.0.2.1"


@given(st.lists(st.text(max_size=30), max_size=4))
def test_what_stands_before_the_first_client_says_nothing(forwarded: list[str]) -> None:
    """A client may send the field itself: what our proxy added is behind it."""
    assert client_address("10.0.0.1", [*forwarded, "192.0.2.1"], BALANCERS) == "192.0.2.1"
