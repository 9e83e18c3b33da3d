"""TELLS. One line per finished request, counters for the rest, and no secret in either.

A line says who (token, tenant), what (route, model, task), how it went (status, code, bytes,
times) and where it went (account, upstream's status and request id). It never holds a body,
a credential or a signed URL: nothing of the kind is in a `Visit`.

    structured   the port: visits and events become lines and counts
    forms        how a line looks
    lines        how it gets out
    tallies      requests counted in plain numbers
    metrics      the counters
"""

from proxy.telemetry.metrics import Metrics
from proxy.telemetry.structured import StructuredTelemetry

__all__ = ["Metrics", "StructuredTelemetry"]
