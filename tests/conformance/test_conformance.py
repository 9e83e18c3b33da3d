"""Talking through the proxy is talking to upstream: the same operation, run both ways."""

from collections.abc import Callable, Collection
from pathlib import Path

import pytest
from conformance.differences import DIFFERENCES, explanation
from conformance.findings import compare
from conformance.report import PROPERTY
from conformance.running import directly, through_the_proxy
from conformance.socket_rows import BY_SDK
from conformance.table import TABLE
from sdk.conftest import Point
from sdk.views import gist

from proxy.config.routing import PACKAGED, load_routing
from proxy.core.retelling import FACADES
from proxy.core.routes import Answer

CELLS = [(name, client) for name, operation in TABLE.items() for client in operation.clients]

# The SDK leaves its sockets to the garbage collector, which complains.
_UNTIDY = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

SHOWN: dict[tuple[str, str], Collection[str]] = {}
"""The differences that each cell has shown."""

TAKEN: set[str] = set()
"""The routes that were taken, and served."""


@pytest.mark.parametrize(
    ("name", "client"),
    [pytest.param(*cell, marks=[_UNTIDY] if cell[0] in BY_SDK else []) for cell in CELLS],
)
async def test_identical(
    name: str,
    client: str,
    point: Point,
    photo: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """What upstream hears, what the client hears and what its caller gets is the same.

    But for the differences on the list; those that the operation states do occur.
    """
    operation = TABLE[name]
    direct = await directly(operation, client, point, photo)
    proxied = await through_the_proxy(operation, client, point, photo)
    stated = operation.stated(client)
    found = compare(direct, proxied)
    rows = [explanation(finding, stated) for finding in found]
    seen = {row.name: row.usual for row in DIFFERENCES if row in rows}
    record_property(PROPERTY, (name, client, seen))
    SHOWN[name, client] = seen.keys()
    TAKEN.update(proxied.routes)
    unexplained = [str(finding) for finding, row in zip(found, rows, strict=True) if row is None]
    assert not unexplained, "\n" + "\n".join(unexplained)
    assert stated <= seen.keys()
    assert direct.front, "the client said nothing"
    if client in operation.gists:
        assert gist(direct.values) == operation.gists[client]


def test_every_route_is_compared() -> None:
    """No route of the packaged table is left out, but façades and those that nobody may take.

    One that only ever leads to an error has not been compared.
    """
    if SHOWN.keys() != set(CELLS):
        pytest.skip("only a part of the table was run")
    routes = load_routing(PACKAGED, {}).table.routes
    expected = {
        route.name
        for route in routes
        if route.scope is not None
        and route.answer is not Answer.NOT_FOUND
        and route.envelope not in FACADES
    }
    assert not expected - TAKEN, sorted(expected - TAKEN)


def test_no_difference_is_stale() -> None:
    """A difference that no operation shows is none: it leaves the list. Runs after all others."""
    if SHOWN.keys() != set(CELLS):
        pytest.skip("only a part of the table was run")
    shown = {name for names in SHOWN.values() for name in names}
    assert [row.name for row in DIFFERENCES if row.name not in shown] == []
