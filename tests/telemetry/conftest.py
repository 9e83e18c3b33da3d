"""A telemetry that writes into memory, and requests for it to tell of."""

import io
import json

import pytest
from harness import EVIDENCE
from prometheus_client.parser import text_string_to_metric_families

from proxy.ports import Visit
from proxy.telemetry import Metrics, StructuredTelemetry

SECRET = "sk-what-nobody-may-read-in-a-log"
EVIDENCE.secrets.add(SECRET)


class Told:
    """A telemetry that writes into memory."""

    def __init__(self, *, console: bool = False) -> None:
        self.metrics = Metrics()
        self.stream = io.StringIO()
        self.telemetry = StructuredTelemetry(self.metrics, console=console, stream=self.stream)

    @property
    def text(self) -> str:
        EVIDENCE.written.append(self.stream.getvalue().encode("utf-8", "surrogateescape"))
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.text.splitlines()]

    @property
    def line(self) -> dict[str, object]:
        (line,) = self.lines
        return line

    def count(self, name: str, **labels: str) -> float:
        """The sample with these labels, 0 when there is none."""
        return sample(self.metrics.page()[0].decode(), name, **labels)


def sample(page: str, name: str, **labels: str) -> float:
    return sum(
        one.value
        for family in text_string_to_metric_families(page)
        for one in family.samples
        if one.name == f"dashscope_proxy_{name}" and labels.items() <= one.labels.items()
    )


@pytest.fixture
def told() -> Told:
    return Told()


def visit(**known: object) -> Visit:
    """A request that has ended, with what is known of it."""
    ended = Visit("r1", 1.0, "POST")
    for name, value in {"status": 200, "total": 0.25, **known}.items():
        setattr(ended, name, value)
    return ended


def finish(told: Told, **known: object) -> None:
    told.telemetry.started()
    told.telemetry.finished(visit(**known))
