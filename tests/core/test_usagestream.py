"""The usage of an event stream that passes by: what its frames tell together, in any chunks."""

import json

import pytest
from core.test_usagescan import cut, cutting, expected, objects, padding, told
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.usagescan import MOST_WHOLE, Heard
from proxy.core.usagestream import EventUsage


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


@given(st.lists(objects, max_size=5), padding, st.sampled_from(["\n", "\r\n", "\r"]), cutting)
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


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_document_of_several_lines(end: bytes) -> None:
    """However they end, and wherever they are cut: the LF of a CRLF is no line of its own."""
    stream = end.join((b'data:{"usage":', b'data:{"a":1}}', b"", b""))
    assert told(EventUsage(), *(stream[at : at + 1] for at in range(len(stream)))) == (
        {"usage": {"a": 1}},
        False,
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


@pytest.mark.parametrize("size", [MOST_WHOLE - 1, MOST_WHOLE, MOST_WHOLE + 1])
def test_how_a_long_frame_is_cut_decides_nothing(size: int) -> None:
    """Not even of a document that a parser takes and a scanner does not: half an emoji."""
    start, end = '{"pad":"\\ud83d', '","usage":{"a":1}}'
    document = start + "p" * (size - len(start) - len(end)) + end
    data = f"id:1\ndata:{document}\n\n".encode()
    assert told(EventUsage(), data) == told(EventUsage(), *cut(data, [9, 700, 65_535, 65_550]))
