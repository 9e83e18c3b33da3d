"""Calls into aiohttp's client, and its exceptions out of it."""

from types import SimpleNamespace

import aiohttp
import pytest
from edge.rig import account

from proxy.core.errors import Situation, UnreachableError
from proxy.edge.client_calls import translated, url_of
from proxy.ports import Call


@pytest.mark.parametrize("target", ["/x?", "/x?a=%2f+b", "/a%20b?q=http://c/d?e"])
def test_the_target_stays_as_it_is(target: str) -> None:
    """Aiohttp would drop an empty query and unquote what it can."""
    call = Call("GET", account("https://up.test/inner/"), target, (), None, 1)
    assert url_of(call).raw_path == "/inner" + target


CASES = [
    (aiohttp.ConnectionTimeoutError(), Situation.GATEWAY_TIMEOUT, True),
    (aiohttp.ServerTimeoutError(), Situation.GATEWAY_TIMEOUT, False),
    (TimeoutError(), Situation.GATEWAY_TIMEOUT, False),
    (aiohttp.ServerDisconnectedError(), Situation.BAD_GATEWAY, False),
    (ConnectionResetError(), Situation.BAD_GATEWAY, False),
]


@pytest.mark.parametrize(("error", "situation", "is_unsent"), CASES)
def test_exceptions_before_an_answer(
    error: Exception, situation: Situation, *, is_unsent: bool
) -> None:
    """Late or broken, and whether a byte may have left."""
    told = translated(error)
    assert told.situation is situation
    assert isinstance(told, UnreachableError) is is_unsent


def test_a_refused_connection_is_unreachable() -> None:
    """Aiohttp says of no other exception that nobody was there."""
    key = SimpleNamespace(host="up.test", port=443, ssl=True, is_ssl=True)
    error = aiohttp.ClientConnectorError(key, OSError(111, "refused"))  # type: ignore[arg-type]  # what its text needs
    assert isinstance(translated(error), UnreachableError)
    assert "up.test" not in translated(error).message
