"""Answers that are read whole, and no further than their bound."""

from collections.abc import AsyncIterator

import pytest

from proxy.core.errors import ProxyError, Situation
from proxy.edge.bodies import gather


def too_large() -> ProxyError:
    return ProxyError(Situation.BAD_GATEWAY, "too large")


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_a_body_is_joined() -> None:
    """What came in pieces is one, up to the bound itself."""
    assert await gather(pieces(b"ab", b"", b"cd"), 4, too_large) == b"abcd"
    assert await gather(pieces(), 0, too_large) == b""


async def test_beyond_the_bound_nothing_more_is_read() -> None:
    """The piece that goes beyond is the last one asked for."""
    body = pieces(b"ab", b"cde", b"f")
    with pytest.raises(ProxyError, match="too large"):
        await gather(body, 4, too_large)
    assert [part async for part in body] == [b"f"]
