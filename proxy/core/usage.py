"""What a call or a task used, as upstream's answer tells it: one reading of all its spellings.

The spellings are those of protocol section 5. Where two of them stand in one answer, the tables
below say which counts. Nothing here raises, whatever an answer holds.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple, TypeVar

from proxy.core.asking import asked_lines, input_of
from proxy.core.policy import matches
from proxy.core.quantities import lines_of, lines_of_size, number_of, whole_of


class Used(NamedTuple):
    """What was used; None is what the answer does not speak of. `seconds` are billable ones.

    `lines` is the resolution as the number before the `P`. `images` are those made (looked at, by
    models that detect things), and other things that are counted. Characters are upstream's count.
    """

    seconds: Decimal | None = None
    lines: int | None = None
    images: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    characters: int | None = None


NOTHING_USED = Used()

_INNER = ("payload", "response", "message", "output")
"""Where `usage` stands, if not in the answer itself: in a WebSocket's frames; in the events of
OpenAI's Responses and Realtime; in Anthropic's `message_start`; beside the results of some
tasks."""

_SECONDS = ("duration", "video_duration", "output_video_duration", "total_seconds", "seconds")
"""`duration` is what upstream bills: of a video made from videos, those are in it. A 0 counts where
no other says more."""

_IMAGES = ("output_image_count", "image_count", "count")
"""Images that went in are paid for in no family, so `input_image_count` is not here. Tripo counts
its models. `image_num` strays in as 0 beside the true count."""

_RESOLUTIONS = ("SR", "resolution", "size", "video_ratio", "width", "height")

_BESIDE_TOKENS = frozenset({*_SECONDS, *_IMAGES, *_RESOLUTIONS})
"""Names of all that is told in other ways than by tokens and characters."""

_Number = TypeVar("_Number", int, Decimal)

_INPUT = ("input_tokens", "prompt_tokens")
_OUTPUT = ("output_tokens", "completion_tokens")
_CACHED = frozenset({"cache_creation_input_tokens", "cache_read_input_tokens"})
"""Anthropic's `input_tokens` are without these; everybody else's are with what was cached."""

_EMBEDDINGS = ("*embedding*",)
"""Models whose `input_tokens` are those of texts, and `image_tokens` stand beside them. Everybody
else's are in them."""


def read_usage(answer: object, inputs: Mapping[str, str], model: str) -> Used | None:
    """What an answer says was used, None where it does not say.

    `inputs` are the request's price inputs as JSON text. They count where the answer is silent:
    for the resolution, and for seconds where it has no amount of anything.
    """
    told: Used | None = None
    for usage in _usages(answer):
        first, told = told, _told(usage, model)
        if told is not None and has_amount(told):
            return _with_lines(told, inputs, model)
        told = first or told
    if told is None or (seconds := number_of(input_of(inputs, "duration"))) is None:
        return None
    return _with_lines(told._replace(seconds=seconds), inputs, model)


def has_amount(used: Used) -> bool:
    """Whether it speaks of anything that can be paid for: of more than what something is like."""
    known = len(used) - used.count(None)
    return known > (used.lines is not None)


def _with_lines(used: Used, inputs: Mapping[str, str], model: str) -> Used:
    """The same; seconds without a resolution are of the one that was asked for."""
    if used.seconds is None or used.lines is not None:
        return used
    return used._replace(lines=asked_lines(inputs, model))


def _usages(answer: object) -> Iterator[Mapping[str, object]]:
    """All that an answer calls `usage`, and that is an object."""
    if not isinstance(answer, dict):
        return
    if isinstance(usage := answer.get("usage"), dict):
        yield usage
    for name in _INNER:
        inner = answer.get(name)
        if isinstance(inner, dict) and isinstance(usage := inner.get("usage"), dict):
            yield usage


def _told(usage: Mapping[str, object], model: str) -> Used | None:
    """One `usage` by itself; None where it tells nothing, not even of what kind things are."""
    input_tokens, output_tokens = _tokens(usage)
    if _is_embedding(model):
        both = _sum((input_tokens, whole_of(usage.get("image_tokens"))))
        input_tokens = whole_of(usage.get("total_tokens")) or both
    seconds = lines = images = None
    if not _BESIDE_TOKENS.isdisjoint(usage):  # most tell of tokens alone: a tenth of the time
        seconds, lines = _seconds(usage), _lines(usage)
        images = _first(whole_of, usage, _IMAGES)
    characters = whole_of(usage.get("characters"))
    told = Used(seconds, lines, images, input_tokens, output_tokens, characters)
    return told if told != NOTHING_USED or "video_count" in usage else None


@lru_cache(1024)
def _is_embedding(model: str) -> bool:
    return matches(_EMBEDDINGS, model)


def _seconds(usage: Mapping[str, object]) -> Decimal | None:
    """The first of the spellings that says more than 0; else the first."""
    told = [found for name in _SECONDS if (found := number_of(usage.get(name))) is not None]
    return next(filter(None, told), told[0] if told else None)


def _lines(usage: Mapping[str, object]) -> int | None:
    """The resolution: by name, as `SR` or as those who resell it say, or by width and height."""
    names = (usage.get("SR"), usage.get("resolution"))
    sides = f"{usage.get('width')}*{usage.get('height')}"
    sizes = (usage.get("size"), usage.get("resolution"), usage.get("video_ratio"), sides)
    found = (*map(lines_of, names), *map(lines_of_size, sizes))
    return next(filter(None, found), None)


def _tokens(usage: Mapping[str, object]) -> tuple[int | None, int | None]:
    """Tokens in and out; an application's are those of its models."""
    models = usage.get("models")
    inner = [part for part in models if isinstance(part, dict)] if isinstance(models, list) else []
    if not inner:
        return _input_tokens(usage), _first(whole_of, usage, _OUTPUT)
    made = _sum(_first(whole_of, part, _OUTPUT) for part in inner)
    return _sum(map(_input_tokens, inner)), made


def _input_tokens(usage: Mapping[str, object]) -> int | None:
    """Tokens in. A bare total is all of it, as embeddings tell it."""
    given = _first(whole_of, usage, _INPUT)
    if given is None and (total := whole_of(usage.get("total_tokens"))) is not None:
        return max(total - (_first(whole_of, usage, _OUTPUT) or 0), 0)
    if _CACHED.isdisjoint(usage):
        return given
    return _sum((given, *(whole_of(usage.get(name)) for name in _CACHED)))


def _sum(numbers: Iterable[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def _first(
    read: Callable[[object], _Number | None], usage: Mapping[str, object], names: Iterable[str]
) -> _Number | None:
    """The first of the spellings that can be read."""
    for name in names:
        if (found := read(usage.get(name))) is not None:
            return found
    return None
