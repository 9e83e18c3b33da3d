"""Lines that nobody reads, or slowly."""

import asyncio
import io
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TextIO

import pytest
from telemetry.conftest import Told, sample, visit

from proxy.telemetry import Metrics, StructuredTelemetry


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


async def test_the_lines_of_a_turn_leave_together() -> None:
    """Requests that end in one turn of the loop are told when it is over, in their order."""
    with piped() as (reading, told):
        os.set_blocking(reading, False)
        for number in range(3):
            told.telemetry.started()
            told.telemetry.finished(visit(request_id=f"r{number}"))
        with pytest.raises(BlockingIOError):
            os.read(reading, 65536)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        lines = os.read(reading, 65536).splitlines()
        assert [json.loads(line)["request_id"] for line in lines] == ["r0", "r1", "r2"]


async def test_an_event_waits_for_nothing_and_overtakes_nobody() -> None:
    """It is written at once, behind the requests that were told before it."""
    with piped() as (reading, told):
        told.telemetry.started()
        told.telemetry.finished(visit())
        told.telemetry.event("stopped")
        lines = os.read(reading, 65536).splitlines()
        assert [json.loads(line)["event"] for line in lines] == ["request", "stopped"]


async def test_few_lines_wait() -> None:
    """However many requests end in one turn: what one write takes, and no more."""
    with piped() as (reading, told):
        for _ in range(100):
            told.telemetry.started()
            told.telemetry.finished(visit(model="m" * 400))
        written = os.read(reading, 1 << 20)
        assert written.endswith(b"}\n")
        assert 100 - written.count(b"\n") < 10


async def test_lines_lost_together_are_counted_one_by_one() -> None:
    """A reader that went away costs each line of a turn."""
    with piped() as (reading, told):
        os.close(reading)
        for _ in range(5):
            told.telemetry.started()
            told.telemetry.finished(visit())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert told.count("lost_log_lines_total") == 5
        assert told.count("requests_total") == 5
