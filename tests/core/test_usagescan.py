"""The usage of an answer that passes by: what a parser of the whole would find, in any chunks."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.usagefound import MOST_KEPT
from proxy.core.usagescan import (
    MOST_WHOLE,
    JsonUsage,
    UsageReader,
)

_names = st.sampled_from(
    ["usage", "code", "error", "response", "message", "output", "models", "x", "a b"]
)
_numbers = st.integers(0, 10**9) | st.floats(0, 1e6, allow_nan=False)
_scalars = _numbers | st.text(max_size=20) | st.booleans() | st.none()
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_names, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(_names, _values, max_size=5)
cutting = st.lists(st.integers(0, 10**6), max_size=6)
padding = st.sampled_from([0, 0, MOST_WHOLE + 1])
"""Bytes before the rest, so that the document is parsed at once, or scanned as it comes."""


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    """The bytes in pieces, some of them empty."""
    places = sorted(place % (len(data) + 1) for place in cuts)
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


def told(reader: UsageReader, *chunks: bytes) -> tuple[object, bool]:
    for chunk in chunks:
        reader.feed(chunk)
    heard = reader.finish()
    return heard.told, heard.is_error


def expected(answer: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """What the rules say, of a parsed answer."""
    names = ("response", "message", "output")
    inner = {name: answer[name] for name in names if isinstance(answer.get(name), dict)}
    told: dict[str, object] = {
        name: {"usage": document["usage"]}
        for name, document in inner.items()
        if isinstance(document.get("usage"), dict)
    }
    if isinstance(answer.get("usage"), dict):
        told["usage"] = answer["usage"]
    documents = [answer, *inner.values()]
    errors = [document.get(name) for document in documents for name in ("code", "error")]
    return told, any(isinstance(e, dict) or (isinstance(e, str) and not well(e)) for e in errors)


def well(code: str) -> bool:
    return code.lower() in {"", "0", "200", "ok", "success"}


@given(objects, padding, cutting)
@example({"usage": {"models": [{"a": 1}, {"a": 2}], "x": [[1], [2, {"y": 3}]]}}, 10**5, [70000])
@example({"response": {"usage": {"a": 1}}, "usage": None}, MOST_WHOLE, [])
def test_any_document_in_any_chunks(answer: dict[str, object], pad: int, cuts: list[int]) -> None:
    """What is read is what parsing the whole would find, long or short, however it was cut."""
    padded = {"padding": "p" * pad, **answer} if pad else answer
    chunks = cut(json.dumps(padded).encode(), cuts)
    assert told(JsonUsage(), *chunks) == expected(answer)


@pytest.mark.parametrize("pad", [0, MOST_WHOLE])
def test_half_a_document_is_read_as_far_as_it_goes(pad: int) -> None:
    """What stood before the break counts, whether the rest came or not."""
    half = b'{"usage":{"a":1},"padding":"%b' % (b"p" * pad)
    assert told(JsonUsage(), half)[0] == {"usage": {"a": 1}}


@pytest.mark.parametrize("body", [b"", b"[1]", b"7", b"<html>", b'{"usage":7}', b"\xff\xfe"])
def test_what_tells_nothing(body: bytes) -> None:
    """No JSON, no object, no usage in it: none is found, and nothing is raised."""
    assert told(JsonUsage(), body) == ({}, False)


def test_memory_is_bounded() -> None:
    """Nine megabytes of an embedding, and usage without end, leave next to nothing behind."""
    reader = JsonUsage()
    numbers = b"0.123456," * 100_000
    tracemalloc.start()
    reader.feed(b'{"usage":{"a":1,"x":[')
    for _ in range(3):
        reader.feed(numbers)
    reader.feed(b'0]},"output":[')
    for _ in range(7):
        reader.feed(numbers)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    usage = reader.finish().told["usage"]
    assert isinstance(usage, dict)
    assert len(usage["x"]) < MOST_KEPT
    assert most < 5 * len(numbers)
