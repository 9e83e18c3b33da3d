"""What a request asks for, as far as its price goes: inputs that nobody should trust too far.

Inputs are JSON texts by name, as the gate notes them; the empty text is an input that cannot be
read, or that stands there twice. Each family of models follows other inputs and ignores the rest,
and this is data: the tables below, the first pattern that matches counts.
"""

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import NamedTuple, TypeVar

from proxy.core.policy import matches
from proxy.core.quantities import lines_of, lines_of_size

UNREADABLE = ""
"""In place of an input's JSON text: it is there, and means nothing or two things."""

VIDEOS = "videos"
"""The input that says how many videos are given; counted, it has no place of its own."""


class Length(NamedTuple):
    """How long videos and sounds of a family are. Seconds; `resolution` are inputs that name it.

    `default` is what comes when the request names no length; None where the length follows
    something else than the request (what it was given to work on), and may always be `most`.
    `given` is the most that is billed of each video given, where that is billed as well.
    """

    pattern: str
    least: int
    default: int | None
    most: int
    resolution: tuple[str, ...] = ()
    given: int = 0


_RESOLUTION = ("resolution",)
_SIZE = ("size",)
_EITHER = ("resolution", "size")

LENGTHS = (
    Length("kling/*", 3, 5, 15),  # its `mode` decides the resolution
    Length("pixverse/*-lipsync", 1, None, 120),
    Length("pixverse/*-motioncontrol", 1, None, 60),
    Length("pixverse/*-upscale", 1, None, 120),
    Length("pixverse/*", 1, 5, 15, _EITHER),
    Length("vidu/*", 1, 5, 16, _EITHER),
    Length("MiniMax/*", 4, 6, 30, _RESOLUTION, given=30),
    Length("wan3.0-*", 2, 5, 30, _RESOLUTION, given=30),
    Length("happyhorse-*edit*", 3, None, 75, _RESOLUTION),
    Length("happyhorse-*", 3, 5, 15, _RESOLUTION, given=60),
    Length("wan2.7-*edit*", 2, None, 60, _RESOLUTION),
    Length("wan2.7-*", 2, 5, 15, _RESOLUTION, given=30),
    Length("wan2.6-r2v*", 2, None, 30, _SIZE),
    Length("wan2.6-t2v*", 2, 5, 15, _SIZE),
    Length("wan2.6-*", 2, 5, 15, _RESOLUTION),
    Length("wan2.5-t2v*", 5, 5, 10, _SIZE),
    Length("wan2.5-*", 5, 5, 10, _RESOLUTION),
    Length("*animate*", 2, None, 60),
    Length("*-s2v*", 1, None, 30, _RESOLUTION),
    Length("emo*", 1, None, 60),
    Length("liveportrait*", 1, None, 180),
    Length("videoretalk*", 2, None, 120),
    Length("video-style-transform", 1, None, 60),
    Length("*vace*", 5, None, 10, _SIZE),
    Length("wan*-t2v*", 5, 5, 5, _SIZE),
    Length("wan*-kf2v*", 5, 5, 5, _RESOLUTION),
    Length("wan*-i2v*", 5, 5, 5, _RESOLUTION),
    Length("*music*", 1, None, 600),
    Length("*filetrans*", 1, None, 12 * 3600),
    Length("paraformer*", 1, None, 12 * 3600),
    Length("*asr*", 1, None, 12 * 3600),
    Length("gummy*", 1, None, 12 * 3600),
    Length("*", 1, None, 30, _EITHER),
)
"""How long the outcome of a request may be (protocol section 8, and the models' own pages)."""

PICTURES = (
    ("wan2.7-image*", 12),  # a series of them
    ("wan2.6-image*", 5),  # text and pictures in turns
    ("wan*", 4),
    ("*", 1),
)
"""How many images come when the request names no number."""

READS_ITS_BODY = (
    *("qwen-max*", "qwen-plus*", "qwen-turbo*", "qwen-flash*", "qwen3-max*", "qwen3-coder*"),
    *("qwen2.5-*b-instruct*", "qwq*", "deepseek*", "text-embedding*", "*rerank*", "qwen-mt-*"),
)
"""Models of text: what they read stands in the body. All others may be given links."""

READS_MORE = ("enable_search", "previous_response_id", "conversation", "file_ids")
"""Inputs that let even those read something else."""

THINKS = ("qwq*", "qvq*", "*thinking*", "qwen3-*b*", "qwen3.*", "deepseek-r1*", "glm-*", "kimi-*")
"""Models that think where nobody tells them not to; `max_tokens` does not bound their thoughts."""

THINKING = ("enable_thinking", "thinking_budget", "thinking", "reasoning", "reasoning_effort")
"""Inputs that make a model think, or think more."""

TOKEN_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
"""Inputs that bound what a model says."""

NAMES = frozenset(
    {
        *("duration", "resolution", "size", "ratio", "n", "audio", "mode", "quality", "stream"),
        *(*TOKEN_LIMITS, *THINKING, *READS_MORE),
    }
)
"""Everything above that a request may say about its price."""

MOST_VIDEOS = 5
MOST_IMAGES = 100
MOST_ANSWERS = 10
MOST_INPUT_TOKENS = 1_000_000
MOST_OUTPUT_TOKENS = 65_536
MOST_THINKING_TOKENS = 81_920
MOST_CHARACTERS = 200_000
"""What a call may come to where nothing bounds it; a price may know better."""

_Row = TypeVar("_Row", bound=tuple[object, ...])


def row_of(table: Iterable[_Row], model: str) -> _Row:
    """The first row whose pattern, its first cell, matches the model. Each table has a `*`."""
    return next(row for row in table if matches((str(row[0]),), model))


def is_there(inputs: Mapping[str, str], name: str) -> bool:
    """Whether the request has this input, in whatever way; null is absent."""
    return inputs.get(name, "null") != "null"


def input_of(inputs: Mapping[str, str], name: str) -> object:
    """The value of an input; None where it is absent or cannot be read."""
    try:
        value: object = json.loads(inputs.get(name, "null"), parse_float=Decimal)
    except (ValueError, RecursionError):
        return None
    return value


def asked_lines(inputs: Mapping[str, str], model: str) -> int | None:
    """The resolution that a request asks for, where its family of models listens to it.

    Of two that are named the higher; None where the family's own is not there, or one cannot be
    read.
    """
    if not any(is_there(inputs, name) for name in row_of(LENGTHS, model).resolution):
        return None
    values = [input_of(inputs, name) for name in _EITHER if is_there(inputs, name)]
    lines = [lines_of(value) or lines_of_size(value) for value in values]
    known = [number for number in lines if number is not None]
    return max(known) if len(known) == len(lines) else None
