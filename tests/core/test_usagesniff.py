"""An answer's usage is found whatever its header says, as long as anybody could read it."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from proxy.core.usagesniff import MOST_INFLATED, reader_for

JSON = b'{"output":{},"usage":{"output_tokens":9}}'
EVENTS = b'id:1\ndata:{"usage":{"output_tokens":9}}\n\n'
BOM = b"\xef\xbb\xbf"
TOLD = {"usage": {"output_tokens": 9}}


def told(body: bytes, kind: str = "", coding: str = "", step: int = 0) -> object:
    """What is read of a body that comes in steps of so many bytes."""
    fields = [("Content-Type", kind)] * bool(kind) + [("Content-Encoding", coding)] * bool(coding)
    reader = reader_for(fields)
    for at in range(0, len(body), step or len(body) or 1):
        reader.feed(body[at : at + (step or len(body))])
    return reader.finish().told


@pytest.mark.parametrize(
    "kind",
    [
        *("", "application/json", "application/json; charset=utf-8", "application/problem+json"),
        *("text/event-stream;charset=UTF-8", "text/plain", "application/octet-stream"),
    ],
)
@pytest.mark.parametrize("body", [JSON, EVENTS, BOM + JSON, BOM + EVENTS, b"\r\n " + JSON])
@pytest.mark.parametrize("step", [0, 1])
def test_by_the_first_byte(kind: str, body: bytes, step: int) -> None:
    """No kind, or an odd one, hides no usage; neither does a byte order mark."""
    assert told(body, kind, step=step) == TOLD


@pytest.mark.parametrize(
    "first", ["data", "event: x\ndata", "retry: 1\ndata", ": hi\ndata", "\ndata"]
)
def test_streams_by_their_fields(first: str) -> None:
    """Any line of the standard may come first."""
    assert told(f'{first}: {{"usage":{{"output_tokens":9}}}}\n\n'.encode()) == TOLD


def test_a_stream_by_its_kind() -> None:
    """A line that nobody knows is one all the same where the header says so."""
    odd = b"x: y\n" + EVENTS
    assert told(odd, "text/event-stream") == TOLD
    assert told(odd) == {}


@pytest.mark.parametrize("kind", ["audio/mpeg", "image/png", "video/mp4", "Video/MP4; codecs=x"])
def test_what_is_no_text_is_not_read(kind: str) -> None:
    """Sounds and pictures have no usage, whatever their first byte."""
    assert told(JSON, kind) == {}


@pytest.mark.parametrize(
    ("coding", "code"),
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("identity", bytes),
    ],
)
@pytest.mark.parametrize("step", [0, 1])
def test_a_coding_that_nobody_asked_for(
    coding: str, code: Callable[[bytes], bytes], step: int
) -> None:
    """It is undone, in whatever pieces it comes."""
    assert told(code(JSON), "application/json", coding, step) == TOLD


@pytest.mark.parametrize("body", [b"", b"   ", b"\xef\xbb", BOM, b"<html>", b"[1]", b"\x1f\x8b"])
def test_what_tells_nothing(body: bytes) -> None:
    """Nothing is raised, and none is found."""
    assert told(body) == {}
    assert told(body, coding="gzip") == {}


def test_a_coding_that_nobody_knows() -> None:
    """Its bytes are no answer."""
    assert told(JSON, "application/json", "br") == {}


def test_half_a_coding_is_read_as_far_as_it_goes() -> None:
    """Like the half document that it hides."""
    coded = gzip.compress(EVENTS + bytes(range(256)) * 50)
    assert told(coded[: len(coded) // 2], coding="gzip") == TOLD


def test_a_small_answer_does_not_inflate_without_end() -> None:
    """Neither is it kept, nor read beyond the bound; what stood before counts."""
    bomb = b'{"usage":{"output_tokens":9},"x":"' + b"x" * (4 * MOST_INFLATED) + b'","code":"No"}'
    coded = gzip.compress(bomb)
    tracemalloc.start()
    assert told(coded, coding="gzip") == TOLD
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < MOST_INFLATED
