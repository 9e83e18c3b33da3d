"""The measurements, by the name that `--only` knows; each tells a `Section`."""

from collections.abc import Callable

from bench.effort import Effort
from bench.findings import Section
from bench.rows import (
    gate,
    growth,
    latency,
    limits,
    memory,
    poll,
    relay,
    start,
    streams,
    submit,
    transport,
    upload,
    workers,
)

ROWS: dict[str, Callable[[Effort], Section]] = {
    "relay": relay.measured,
    "latency": latency.measured,
    "submit": submit.measured,
    "poll": poll.measured,
    "streams": streams.measured,
    "memory": memory.measured,
    "upload": upload.measured,
    "start": start.measured,
    "workers": workers.measured,
    "growth": growth.measured,
    "limits": limits.measured,
    "gate": gate.measured,
    "transport": transport.measured,
}
