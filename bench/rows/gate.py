"""The gate alone, in this process: what it takes for a body."""

import base64
import time

from bench.effort import Effort
from bench.findings import Finding, Section
from bench.load import BODY
from bench.samples import Spread
from proxy.core.gate import Gate
from proxy.core.places import places_of

PICTURE = b'{"model":"wan2.6-i2v","input":{"img_url":"data:image/png;base64,%b"}}' % (
    base64.b64encode(bytes(range(256)) * 32_768)
)
CHUNKS = (65_536, 1_024)
PLACES = places_of([("model",)])
"""Made once for a route, not for a body."""


def measured(effort: Effort) -> Section:
    """A small body at once, and a large one in chunks."""
    small = BODY.encode()
    times = [1e6 * seconds(small, len(small)) for _ in range(200 * effort.rounds)]
    found = [Finding(f"gate, {len(small)} bytes at once", Spread.of(times), unit="us")]
    for chunk in CHUNKS:
        rates = [len(PICTURE) / seconds(PICTURE, chunk) / 1e6 for _ in range(effort.rounds)]
        subject = f"gate, {len(PICTURE) >> 20} MiB of base64 in chunks of {chunk}"
        found.append(Finding(subject, Spread.of(rates), unit="MB/s"))
    return Section("the gate", found)


def seconds(body: bytes, chunk: int) -> float:
    """CPU time for one body that arrives in chunks."""
    started = time.process_time()
    gate = Gate(PLACES, lambda *_: None)
    for at in range(0, len(body), chunk):
        gate.feed(body[at : at + chunk])
    gate.finish()
    return time.process_time() - started
