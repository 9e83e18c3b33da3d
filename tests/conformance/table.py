"""The operations: one table, a row each, with every client that can do it."""

from collections.abc import Mapping

from conformance.dashscope_rows import OPERATIONS
from conformance.odd_rows import ODDITIES
from conformance.operations import Operation
from conformance.wire_rows import WIRE

SDK: Mapping[str, Operation] = {
    name: Operation(
        {client: run for client, (run, _) in ways.items()},
        {client: gist for client, (_, gist) in ways.items()},
    )
    for name, ways in OPERATIONS.items()
}

TABLE: Mapping[str, Operation] = {**SDK, **WIRE, **ODDITIES}
