"""What a request asks for, as far as its price goes: inputs that nobody should trust too far.

Inputs are JSON texts by name, as the gate notes them; the empty text is an input that is there
and bounds nothing: it cannot be read, stands there twice, or the endpoint does not heed it.
"""

import json
from collections.abc import Collection, Mapping
from decimal import Decimal

from proxy.core.capabilities import length_of
from proxy.core.quantities import lines_of, lines_of_size

UNREADABLE = ""
"""In place of an input's JSON text: it is there, and means nothing or two things."""

VIDEOS = "videos"
FILES = "files"
TOOLS = "tools"
"""Inputs that say how many are given: videos; recordings, each heard by itself; tools that may
read what is not in the body. Counted, they have no place of their own."""

SHAPES = ("resolution", "size")
"""Inputs that name a resolution."""

COUNTS = ("n", "max_images", "series_amount")
"""Inputs that name a number of images."""

READS_MORE = (
    *("enable_search", "enable_code_interpreter", "previous_response_id", "conversation"),
    *("file_ids", "plugins", "web_search_options", "mcp_servers"),
)
"""Inputs that let a model read what is not in the body."""

THINKING = ("enable_thinking", "thinking_budget", "thinking", "reasoning", "reasoning_effort")
"""Inputs that make a model think, or think more."""

TOKEN_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
"""Inputs that bound what a model says."""

NAMES = frozenset({"duration", "stream", *SHAPES, *COUNTS, *TOKEN_LIMITS, *THINKING, *READS_MORE})
"""Everything that a request may say about its price, and whether it wants a stream."""


def is_there(inputs: Mapping[str, str], name: str) -> bool:
    """Whether the request has this input, in whatever way; null is absent."""
    return inputs.get(name, "null") != "null"


def none_is_there(inputs: Mapping[str, str], names: Collection[str]) -> bool:
    """Whether the request has none of these inputs; few have any of most."""
    return inputs.keys().isdisjoint(names) or not any(is_there(inputs, name) for name in names)


def input_of(inputs: Mapping[str, str], name: str) -> object:
    """The value of an input; None where it is absent or bounds nothing."""
    try:
        value: object = _parsed(inputs.get(name, "null"))
    except (ValueError, RecursionError):
        return None
    return value


_parsed = json.JSONDecoder(parse_float=Decimal).decode  # `loads` would make one each time


def asked_lines(inputs: Mapping[str, str], model: str) -> int | None:
    """The resolution that a request asks for, where its family of models listens to it.

    Of two that are named the higher; None where not all of the family's own are there, or one
    cannot be read.
    """
    own = length_of(model).resolution
    if not own or not all(is_there(inputs, name) for name in own):
        return None
    values = [input_of(inputs, name) for name in SHAPES if is_there(inputs, name)]
    lines = [lines_of(value) or lines_of_size(value) for value in values]
    known = [number for number in lines if number is not None]
    return max(known) if len(known) == len(lines) else None
