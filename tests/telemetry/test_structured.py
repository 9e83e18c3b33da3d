"""What is told: log lines, counters, and no secret in either."""

import asyncio
import gc
import logging
import re
from pathlib import Path

import pytest
from telemetry.conftest import SECRET, Told, finish


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


def test_zero_is_known(told: Told) -> None:
    """A body without a byte and an answer that was not replayed are told; what is empty is not."""
    finish(told, status=0, replayed=False, first_byte=0.0, model="", upstream_status=None)
    zeros = {"status": 0, "bytes_in": 0, "bytes_out": 0, "replayed": False, "first_byte": 0.0}
    line = told.line
    assert {name: line.get(name) for name in zeros} == zeros
    assert not line.keys() & {"model", "upstream_status", "started", "token"}


ODD = [
    "two\nlines",
    "\r\nHTTP/1.1 200 OK",
    '"},{"event":"forged"}',
    "\x1b[31mred\x1b[2J",
    "\u2028\u2029\x85",
    "模型 🐈 \u202e",
    "\x00\x07\x7f",
    "\x7f",
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
    assert told.text.replace(
        "\n", ""
    ).isprintable()  # not every reader of lines ends one as JSON does
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
    assert "test_structured.py" in str(told.line["frames"])
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


def test_the_store_is_a_gauge_and_two_events(told: Told) -> None:
    """Up until told otherwise; each turn is one line."""
    assert told.count("store_up") == 1
    told.telemetry.store_changed(is_up=False)
    assert told.count("store_up") == 0
    told.telemetry.store_changed(is_up=True)
    assert told.count("store_up") == 1
    assert [line["event"] for line in told.lines] == ["store_down", "store_up"]


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
