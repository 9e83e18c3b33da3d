"""What went wrong on the way to upstream, told as a row of the error table."""

import aiohttp
import pytest

from proxy.core.errors import ProxyError, Situation, UnreachableError
from proxy.edge.failures import translated

TOLD: list[tuple[Exception, Situation, type[ProxyError]]] = [
    (aiohttp.ConnectionTimeoutError("secret"), Situation.GATEWAY_TIMEOUT, UnreachableError),
    (aiohttp.ServerTimeoutError("secret"), Situation.GATEWAY_TIMEOUT, ProxyError),
    (TimeoutError("secret"), Situation.GATEWAY_TIMEOUT, ProxyError),
    (aiohttp.ServerDisconnectedError("secret"), Situation.BAD_GATEWAY, ProxyError),
    (ConnectionResetError("secret"), Situation.BAD_GATEWAY, ProxyError),
    (aiohttp.ClientPayloadError("secret"), Situation.BAD_GATEWAY, ProxyError),
]


@pytest.mark.parametrize(("error", "situation", "kind"), TOLD)
def test_a_failure_is_a_row_of_the_table(
    error: Exception, situation: Situation, kind: type[ProxyError]
) -> None:
    """Late is 504, everything else 502; what the exception says of hosts stays here."""
    told = translated(error)
    assert told.situation is situation
    assert type(told) is kind
    assert "secret" not in told.message
