"""The operations: one table, a row each, with every client that can do it."""

from collections.abc import Mapping

from conformance.account_rows import ACCOUNT
from conformance.dashscope_rows import LISTINGS, OPERATIONS
from conformance.error_rows import ERRORS
from conformance.odd_rows import ODDITIES
from conformance.operations import Operation
from conformance.protocol_rows import PROTOCOLS
from conformance.socket_rows import SOCKETS
from conformance.vercel import OPERATIONS as VERCEL_OPERATIONS
from conformance.vercel import vercel
from conformance.wire_rows import WIRE

SDK: Mapping[str, Operation] = {
    name: Operation(
        {client: run for client, (run, _) in ways.items()},
        {client: gist for client, (_, gist) in ways.items()},
        differs=LISTINGS.get(name, ()),
    )
    for name, ways in OPERATIONS.items()
}

PROVIDER: Mapping[str, Operation] = {
    f"provider: {name}": Operation(vercel(name)) for name in VERCEL_OPERATIONS
}

TABLE: Mapping[str, Operation] = {
    **SDK,
    **PROVIDER,
    **ACCOUNT,
    **PROTOCOLS,
    **WIRE,
    **ERRORS,
    **ODDITIES,
    **SOCKETS,
}
