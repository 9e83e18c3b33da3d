"""What is told: log lines, counters, and no secret in either."""

import asyncio
import gc
import io
import json
import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TextIO

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
    ended = Visit(request_id="r1", started=1.0, method="POST", status=200, total=0.25)
    for name, value in known.items():
        setattr(ended, name, value)
    return ended


def finish(told: Told, **known: object) -> None:
    told.telemetry.started()
    told.telemetry.finished(visit(**known))


def test_a_line_holds_what_is_known(told: Told) -> None:
    """Who, what, how it went and where it went; what is not known is left out."""
    finish(
        told,
        route="text2video",
        alias="/task/bailian/text2video",
        token="tok_1",
        token_name="alice",
        tenant="acme",
        model="wan2.6-t2v",
        account="default",
        task_id="t-1",
        bytes_in=10,
        bytes_out=20,
        first_byte=0.1234567,
        upstream_status=200,
    )
    line = told.line
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", str(line.pop("timestamp")))
    assert line == {
        "event": "request",
        "level": "info",
        "request_id": "r1",
        "method": "POST",
        "route": "text2video",
        "alias": "/task/bailian/text2video",
        "token": "tok_1",
        "token_name": "alice",
        "tenant": "acme",
        "model": "wan2.6-t2v",
        "account": "default",
        "task_id": "t-1",
        "status": 200,
        "bytes_in": 10,
        "bytes_out": 20,
        "first_byte": 0.123457,
        "total": 0.25,
        "upstream_status": 200,
    }


ODD = [
    "two\nlines",
    "\r\nHTTP/1.1 200 OK",
    '"},{"event":"forged"}',
    "\x1b[31mred\x1b[2J",
    "\u2028\u2029\x85",
    "模型 🐈 \u202e",
    "\x00\x07\x7f",
    "lone \ud800 surrogate \udce9",
    "x" * 100_000,
]


@pytest.mark.parametrize("text", ODD, ids=ascii)
def test_one_line_whatever_a_name_holds(told: Told, text: str) -> None:
    """A name is data: it neither ends a line nor begins one, and never stops the telling."""
    for _ in range(2):
        finish(told, token_name=text, model=text, upstream_request_id=text)
    lines = told.lines
    assert [line["event"] for line in lines] == ["request", "request"]
    assert len(told.text.split("\n")) == 3
    readable = text.encode("utf-8", "replace").decode()
    assert str(lines[0]["model"])[:5] == readable[:5]


@pytest.mark.parametrize("text", ODD, ids=ascii)
def test_one_line_on_a_terminal_too(text: str) -> None:
    """The console form obeys no name either: one line, no control characters but colours."""
    told = Told(console=True)
    finish(told, token_name=text, model="wan2.6-t2v")
    assert told.text.count("\n") == 1
    assert told.text.endswith("\n")
    assert "wan2.6-t2v" in told.text
    plain = re.sub(r"\x1b\[[0-9;]*m", "", told.text.removesuffix("\n"))
    assert plain.isprintable()


def test_numbers_of_any_size(told: Told) -> None:
    """A fact that the serializer does not know is told in words."""
    told.telemetry.event(
        "odd", big=2**70, path=Path("/x"), none=None, text=b"raw", nan=float("nan")
    )
    assert told.line["path"] == "/x"
    assert str(told.line["big"]) == str(2**70)


def test_levels(told: Told) -> None:
    """An outage is a warning, a task without an owner and a bug are errors, a start is neither."""
    for name in ("listening", "store_down", "store_up", "grant_unreadable", "task_without_owner"):
        told.telemetry.event(name)
    told.telemetry.bug(ValueError("x"), "r1")
    assert {str(line["event"]): line["level"] for line in told.lines} == {
        "listening": "info",
        "store_down": "warning",
        "store_up": "info",
        "grant_unreadable": "warning",
        "task_without_owner": "error",
        "bug": "error",
    }


def test_a_bug_hides_the_text(told: Told) -> None:
    """The text of an exception may quote what a caller sent; type and frames are enough."""

    def fails() -> None:
        raise ValueError(f"cannot parse {SECRET}")

    try:
        fails()
    except ValueError as error:
        told.telemetry.bug(error, "r1")
    assert told.line["error"] == "ValueError"
    assert "fails" in str(told.line["frames"])
    assert "test_telemetry.py" in str(told.line["frames"])
    assert "cannot parse sk-" not in told.text
    assert told.count("events_total", event="bug") == 1


@pytest.fixture
def root_logger() -> object:
    """The root logger as it was before, afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("root_logger")
def test_what_libraries_log(told: Told) -> None:
    """It comes out as a line like ours, at its own level, without its arguments."""
    told.telemetry.adopt_logging()
    logger = logging.getLogger("some.library")
    logger.info("not worth telling")
    logger.warning("connecting with %s failed", SECRET)
    try:
        raise OSError(SECRET)  # noqa: TRY301 - this is what is under test
    except OSError:
        logger.exception("it broke\nbadly: %r", SECRET)
    warning, error = told.lines
    assert (warning["event"], warning["level"]) == ("library_log", "warning")
    assert (warning["logger"], warning["text"]) == ("some.library", "connecting with %s failed")
    assert (error["level"], error["error"]) == ("error", "OSError")
    assert SECRET not in told.text


def test_counters(told: Told) -> None:
    """Requests by route, status and code; seconds; bytes; what runs."""
    told.telemetry.started()
    assert told.count("running_requests") == 1
    told.telemetry.finished(visit(route="a", bytes_in=10, bytes_out=20, first_byte=0.1))
    finish(told, route="a", status=403, code="model_not_found", bytes_in=5, total=0.5)
    finish(told, status=404, code="NotFound")
    assert told.count("running_requests") == 0
    assert told.count("requests_total") == 3
    assert told.count("requests_total", route="a", status="200", code="") == 1
    assert told.count("requests_total", route="a", status="403", code="model_not_found") == 1
    assert told.count("requests_total", route="none", status="404") == 1
    assert told.count("body_bytes_total", direction="in") == 15
    assert told.count("body_bytes_total", direction="out") == 20
    assert told.count("request_seconds_count", route="a") == 2
    assert told.count("request_seconds_sum", route="a") == 0.75
    assert told.count("first_byte_seconds_count", route="a") == 1


def test_the_store_is_a_gauge_and_two_events(told: Told) -> None:
    """Up until told otherwise; each turn is one line."""
    assert told.count("store_up") == 1
    told.telemetry.store_changed(is_up=False)
    assert told.count("store_up") == 0
    told.telemetry.store_changed(is_up=True)
    assert told.count("store_up") == 1
    assert [line["event"] for line in told.lines] == ["store_down", "store_up"]


def test_names_of_the_page(told: Told) -> None:
    """What dashboards are built on: names, types, the namespace, nothing of the interpreter's."""
    finish(told, route="a", first_byte=0.1)
    told.telemetry.event("listening")
    text, kind = told.metrics.page()
    found = text_string_to_metric_families(text.decode())
    families = {f.name: f.type for f in found if not f.name.endswith("_created")}
    assert families == {
        "dashscope_proxy_requests": "counter",
        "dashscope_proxy_request_seconds": "histogram",
        "dashscope_proxy_first_byte_seconds": "histogram",
        "dashscope_proxy_body_bytes": "counter",
        "dashscope_proxy_running_requests": "gauge",
        "dashscope_proxy_store_up": "gauge",
        "dashscope_proxy_events": "counter",
        "dashscope_proxy_lost_log_lines": "counter",
    }
    assert kind.startswith("text/plain")


def test_callers_make_no_labels(told: Told) -> None:
    """A thousand models, tokens, tasks and methods are one series: labels are our own words."""
    finish(told, route="a")
    before = told.metrics.page()[0].count(b"\n")
    for number in range(1000):
        word = f"w{number}"
        finish(
            told,
            route="a",
            method=word,
            model=word,
            token_name=word,
            tenant=word,
            task_id=word,
            alias=word,
            upstream_request_id=word,
        )
    assert told.metrics.page()[0].count(b"\n") == before


class Broken(io.StringIO):
    """A stream whose reader is gone."""

    def write(self, _: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


@contextmanager
def unreadable(kind: str) -> Iterator[TextIO | None]:
    """A stream that takes nothing."""
    if kind == "none":  # what Python makes of a standard output that was closed before it began
        yield None
        return
    stream: TextIO = Broken() if kind == "broken" else io.StringIO()
    if kind == "full":
        stream = Path("/dev/full").open("w")  # noqa: SIM115 - closed below
    elif kind == "closed":
        stream.close()
    with stream if not stream.closed else nullcontext():
        yield stream


@pytest.mark.parametrize("kind", ["broken", "closed", "full", "none"])
def test_a_lost_log_loses_nothing_else(kind: str) -> None:
    """When nobody can read the log, requests go on and are counted, and so are the lines."""
    metrics = Metrics()
    with unreadable(kind) as stream:
        telemetry = StructuredTelemetry(metrics, console=False, stream=stream)
        for _ in range(3):
            telemetry.started()
            telemetry.finished(visit(route="a"))
            telemetry.event("listening")
            telemetry.bug(ValueError("x"), "r1")
    page = metrics.page()[0].decode()
    assert sample(page, "requests_total") == 3
    assert sample(page, "lost_log_lines_total") == (0 if kind == "none" else 9)


@contextmanager
def piped() -> Iterator[tuple[int, Told]]:
    """The reading end of a pipe, and a telemetry that writes into the other."""
    reading, writing = os.pipe()
    told = Told()
    with os.fdopen(writing, "w") as stream:
        told.telemetry = StructuredTelemetry(told.metrics, console=False, stream=stream)
        yield reading, told
    with suppress(OSError):
        os.close(reading)


def test_a_reader_that_went_away() -> None:
    """A pipe whose reader is gone costs lines, no request, and no clean exit."""
    with piped() as (reading, told):
        told.telemetry.event("first")
        assert b'"first"' in os.read(reading, 65536)
        os.close(reading)
        told.telemetry.event("second")
        told.telemetry.event("third")
        assert told.count("lost_log_lines_total") == 2
        assert told.count("events_total") == 3


@pytest.mark.parametrize("length", [10, 5000, 70_000])
def test_nobody_waits_for_a_slow_reader(length: int) -> None:
    """A pipe that is full costs lines and no time; what is read later is whole lines again."""
    with piped() as (reading, told):
        started = time.monotonic()
        for _ in range(3000):
            told.telemetry.event("many", text="x" * length)
        assert time.monotonic() - started < 10  # it would be for ever
        lost = told.count("lost_log_lines_total")
        assert 0 < lost < 3000 or length == 70_000
        heard = os.read(reading, 1 << 20)
        told.telemetry.event("after")
        heard += os.read(reading, 1 << 20)
    *_, last = heard.decode().splitlines()
    assert json.loads(last)["event"] == "after"
    broken = [line for line in heard.decode().splitlines() if not line.endswith("}")]
    assert len(broken) <= 1


async def test_what_nobody_caught(told: Told) -> None:
    """An exception that a task took with it is a bug, told without its text."""
    loop = asyncio.get_running_loop()
    told.telemetry.adopt_loop(loop)

    async def fails() -> None:
        raise ValueError(f"cannot parse {SECRET}")

    loop.create_task(fails())  # noqa: RUF006 - nobody is to hold it
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gc.collect()
    assert (told.line["event"], told.line["level"]) == ("bug", "error")
    assert told.line["error"] == "ValueError"
    assert told.line["text"] == "Task exception was never retrieved"
    assert "fails" in str(told.line["frames"])
    assert "cannot parse sk-" not in told.text
