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
    EventUsage,
    Heard,
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
_objects = st.dictionaries(_names, _values, max_size=5)
_cuts = st.lists(st.integers(0, 10**6), max_size=6)
_padding = st.sampled_from([0, 0, MOST_WHOLE + 1])
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


def together(before: object, later: object) -> object:
    """What two frames tell together: the later one, but no number falls."""
    if isinstance(before, dict) and isinstance(later, dict):
        names = before | later
        return {
            name: together(before.get(name), later[name]) if name in later else before[name]
            for name in names
        }
    if isinstance(before, (int, float)) and isinstance(later, (int, float)):
        return max(later, before)
    return later


@given(_objects, _padding, _cuts)
@example({"usage": {"models": [{"a": 1}, {"a": 2}], "x": [[1], [2, {"y": 3}]]}}, 10**5, [70000])
@example({"response": {"usage": {"a": 1}}, "usage": None}, MOST_WHOLE, [])
def test_any_document_in_any_chunks(answer: dict[str, object], pad: int, cuts: list[int]) -> None:
    """What is read is what parsing the whole would find, long or short, however it was cut."""
    padded = {"padding": "p" * pad, **answer} if pad else answer
    chunks = cut(json.dumps(padded).encode(), cuts)
    assert told(JsonUsage(), *chunks) == expected(answer)


@given(st.lists(_objects, max_size=5), _padding, st.sampled_from(["\n", "\r\n", "\r"]), _cuts)
@example([{"usage": {"in": 1}}, {"usage": {"out": 2}}], 0, "\r\n", [5, 6, 7])
def test_any_stream_in_any_chunks(
    frames: list[dict[str, object]], pad: int, end: str, cuts: list[int]
) -> None:
    """Of frames the later ones replace what the earlier ones said, member by member.

    A stream of errors alone has failed.
    """
    text = f"id:1{end}event:result{end}:HTTP_STATUS/200{end}"
    told_by_all: object = {}
    failures = []
    for answer in frames:
        text += f"data:{json.dumps({'padding': 'p' * pad, **answer})}{end}{end}"
        found, failed = expected(answer)
        first = [found, *found.values()]
        usages = [one["usage"] for one in first if isinstance(one, dict) and "usage" in one]
        failures.append(failed and not any(usages[:1]))
        if any(usages[:1]):
            told_by_all = together(told_by_all, {"usage": usages[0]})
    assert told(EventUsage(), *cut(text.encode(), cuts)) == (
        told_by_all,
        any(failures) and all(failures),
    )


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n"])
def test_the_last_frame_counts_however_it_ends(end: bytes) -> None:
    """A stream that breaks off behind a whole line has told its usage."""
    assert told(EventUsage(), b'data: {"usage":{"a":1}}', end)[0] == {"usage": {"a": 1}}


def test_openai_tells_once() -> None:
    """The chunks before the last say null, and `[DONE]` says nothing."""
    stream = b'data: {"usage":null}\n\ndata: {"usage":{"total_tokens":7}}\n\ndata: [DONE]\n\n'
    assert told(EventUsage(), stream) == ({"usage": {"total_tokens": 7}}, False)


def test_anthropic_tells_in_two_parts() -> None:
    """The input's tokens come first, within the message; the output's last."""
    stream = (
        b'data: {"message":{"usage":{"input_tokens":9,"output_tokens":1}}}\n\n'
        b'event: message_delta\ndata: {"usage":{"input_tokens":0,"output_tokens":5}}\n\n'
        b'event: message_delta\ndata: {"usage":{"input_tokens":9,"output_tokens":0}}\n\n'
    )
    assert told(EventUsage(), stream)[0] == {"usage": {"input_tokens": 9, "output_tokens": 5}}


def test_data_in_several_lines_is_one_document() -> None:
    """As the standard for event streams says."""
    assert told(EventUsage(), b'data: {"usage":\ndata: {"a":\ndata: 1}}\n\n')[0] == {
        "usage": {"a": 1}
    }


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


def stream(*frames: object) -> bytes:
    texts = (one if isinstance(one, str) else json.dumps(one) for one in frames)
    return "".join(f"data: {text}\n\n" for text in texts).encode()


def heard(*frames: object) -> Heard:
    reader = EventUsage()
    reader.feed(stream(*frames))
    return reader.finish()


STARTED = {
    "type": "message_start",
    "message": {"usage": {"input_tokens": 9, "output_tokens": 1}},
}
TOKENS = {"input_tokens": 5, "output_tokens": 7}
CREATED = {"type": "response.created", "response": {"usage": None, "error": None}}
EARLY = {"type": "response.in_progress", "response": {"usage": {**TOKENS, "output_tokens": 0}}}
COMPLETED = {"type": "response.completed", "response": {"usage": TOKENS}}
TEXT = {"type": "content_block_delta", "delta": {"text": "hi"}}
NATIVE = {"output": {"text": "h"}, "usage": {"output_tokens": 1}}
ENDED = {"type": "message_delta", "usage": {"output_tokens": 5}}
CHAT = {"choices": [{"delta": {"content": "x"}}], "usage": None}
TOTAL = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}


@pytest.mark.parametrize(
    ("frames", "unfinished"),
    [
        ([STARTED], {"output_tokens"}),
        ([STARTED, TEXT], {"output_tokens"}),
        ([STARTED, TEXT, {"type": "message_delta", "delta": {}}], {"output_tokens"}),
        ([STARTED, TEXT, ENDED], set()),
        ([STARTED, TEXT, {"type": "error", "error": {"type": "overloaded"}}], {"output_tokens"}),
        ([CREATED, EARLY], {"input_tokens", "output_tokens"}),
        ([CREATED, EARLY, COMPLETED], set()),
        ([NATIVE], set()),
        ([CHAT, TOTAL, "[DONE]"], set()),
        ([CHAT], set()),
    ],
)
def test_the_last_word(frames: list[object], unfinished: set[str]) -> None:
    """What is told before all is made is not final, until the frame comes that says it all."""
    assert heard(*frames).unfinished == unfinished


ERROR = {"error": {"message": "m", "code": "c"}}


@pytest.mark.parametrize(
    ("frames", "is_error", "has_told"),
    [
        ([ERROR], True, False),
        ([ERROR, "[DONE]"], True, False),
        ([STARTED, {"type": "ping"}, ERROR], True, False),
        ([CREATED, ERROR], True, False),
        ([CHAT, ERROR], False, False),
        ([NATIVE, {"code": "DataInspectionFailed"}], False, True),
        ([{"code": "DataInspectionFailed", "usage": {"output_tokens": 1}}], False, True),
        ([{"code": "Success"}, CHAT], False, False),
        ([{"code": "Odd"}, CHAT], False, False),
        (["[DONE]"], False, False),
    ],
)
def test_a_stream_that_names_an_error(
    frames: list[object],
    is_error: bool,  # noqa: FBT001 - a table
    has_told: bool,  # noqa: FBT001 - a table
) -> None:
    """It has failed when nothing of an answer came; else it broke off, and costs what it told."""
    found = heard(*frames)
    assert (found.is_error, bool(found.told)) == (is_error, has_told)


@pytest.mark.parametrize("pad", [0, MOST_WHOLE])
def test_long_events_are_told_apart_as_well(pad: int) -> None:
    """A response that echoes a long request is still one that has only begun."""
    assert heard({"pad": "p" * pad, **EARLY}).unfinished == {"input_tokens", "output_tokens"}
