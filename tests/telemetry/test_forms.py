"""How a log line looks, on its own; what is told in it is shown in `test_structured`."""

import json
from datetime import UTC, datetime

import orjson
from hypothesis import given
from hypothesis import strategies as st

from proxy.telemetry.forms import console_form, json_form

NOON = datetime(2026, 11, 20, 12, 0, 0, 5, tzinfo=UTC)


@given(st.text())
def test_json_is_one_printable_line_that_reads_back(text: str) -> None:
    """Whatever a name holds: one line without control characters, and the same name again."""
    line = json_form({"model": text, "total": 0.5})
    assert line.decode().isprintable()
    readable = text.encode("utf-8", "replace").decode()
    assert orjson.loads(line) == {"model": readable, "total": 0.5}


def test_json_tells_the_time_in_utc() -> None:
    """The moment of a line, with its microseconds, in a line of strange numbers as well."""
    for odd in (0, 2**70):
        line = json.loads(json_form({"timestamp": NOON, "odd": odd}))
        assert line["timestamp"] == "2026-11-20T12:00:00.000005Z"


@given(st.text())
def test_a_terminal_is_not_steered(text: str) -> None:
    """Without colours there is nothing in a line that is not shown."""
    form = console_form(colors=False)
    facts: dict[str, object] = {"model": text, "level": "info", "event": "request"}
    line = form({**facts, "timestamp": NOON}).decode()
    assert line.isprintable()
    assert line.startswith("2026-11-20T12:00:00.000005Z")
