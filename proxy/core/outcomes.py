"""The most that a request could come to use: what is reserved for it before it is sent.

Inputs are the client's claims. One lowers what is held only where the endpoint and the family are
known to heed it under that very name. All else, missing, unreadable or beside the point, is
bounded by the family's most, or by what the price knows; and may still raise it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from proxy.core import asking, capabilities
from proxy.core.asking import FILES, TOOLS, VIDEOS, asked_lines, input_of, is_there, none_is_there
from proxy.core.capabilities import Length, Thinks, length_of, pictures_of, text_of
from proxy.core.quantities import number_of, whole_of
from proxy.core.usage import Used


@dataclass(frozen=True, slots=True)
class Bounds:
    """What whoever sets prices knows better than our tables: the most of a call. None: they do."""

    seconds: int | None = None
    images: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    thinking_tokens: int | None = None
    characters: int | None = None


UNBOUNDED = Bounds()


def dearest_outcome(
    model: str,
    inputs: Mapping[str, str],
    size: int | None,
    bounds: Bounds,
    of: Collection[str] = Used._fields,
) -> Used:
    """The most of everything, or `of` some of it: who reserves asks for what has a price.

    `size` is the body's in bytes, None where nobody knows it yet. Without `lines` the resolution
    may be any.
    """
    return Used(
        _seconds(model, inputs, bounds.seconds) if "seconds" in of else None,
        asked_lines(inputs, model) if "lines" in of else None,
        _images(model, inputs, bounds.images) if "images" in of else None,
        _input_tokens(model, inputs, size, bounds.input_tokens) if "input_tokens" in of else None,
        _output_tokens(model, inputs, bounds) if "output_tokens" in of else None,
        _characters(size, bounds.characters) if "characters" in of else None,
    )


def _seconds(model: str, inputs: Mapping[str, str], known: int | None) -> Decimal:
    """What is made, and what is billed of the videos it is made from; or all recordings heard."""
    length = length_of(model)
    made = _made(length, inputs, length.most if known is None else known)
    videos = _given(inputs, VIDEOS, capabilities.MOST_VIDEOS) * length.given
    if known is not None:
        return min(made + videos, max(Decimal(known), made))
    return made * max(_given(inputs, FILES, capabilities.MOST_FILES), 1) + videos


def _made(length: Length, inputs: Mapping[str, str], most: int) -> Decimal:
    if not is_there(inputs, "duration"):
        return Decimal(most if length.default is None else min(length.default, most))
    asked = number_of(input_of(inputs, "duration"))
    if length.default is None or not asked:  # -1 is a length of upstream's choice
        return max(Decimal(most), asked or Decimal(0))
    return max(asked.to_integral_value(ROUND_CEILING), Decimal(length.least))


def _given(inputs: Mapping[str, str], name: str, most: int) -> int:
    """How many of a thing the request gives: as many as may be where nobody can tell."""
    return (whole_of(input_of(inputs, name)) or most) if is_there(inputs, name) else 0


def _images(model: str, inputs: Mapping[str, str], known: int | None) -> int:
    pictures = pictures_of(model)
    usual = pictures.usual if known is None else known
    most = capabilities.MOST_IMAGES if known is None else known
    asked = {
        name: whole_of(input_of(inputs, name)) or most
        for name in asking.COUNTS
        if is_there(inputs, name)
    }
    decide = [asked.get(name, usual) for name in pictures.counts] or [usual]
    return max([*decide, *asked.values()])


_READS_MORE = (*asking.READS_MORE, TOOLS)


def _input_tokens(
    model: str, inputs: Mapping[str, str], size: int | None, known: int | None
) -> int:
    """No token is shorter than a byte, and what a model reads stands in its request, or not."""
    text = text_of(model)
    most = text.most_read if known is None else known
    if size is None or not text.reads_its_body or not none_is_there(inputs, _READS_MORE):
        return most
    return min(size, most)


def _output_tokens(model: str, inputs: Mapping[str, str], bounds: Bounds) -> int:
    most = capabilities.MOST_OUTPUT_TOKENS if bounds.output_tokens is None else bounds.output_tokens
    said = most
    if not none_is_there(inputs, asking.TOKEN_LIMITS):
        given = [input_of(inputs, name) for name in asking.TOKEN_LIMITS if is_there(inputs, name)]
        limits = [limit for limit in map(whole_of, given) if limit]
        said = max(limits) if len(limits) == len(given) else most
    answers = whole_of(input_of(inputs, "n")) if is_there(inputs, "n") else 1
    thought = _thoughts(model, inputs, bounds.thinking_tokens)
    return (said + thought) * (answers or capabilities.MOST_ANSWERS)


def _thoughts(model: str, inputs: Mapping[str, str], known: int | None) -> int:
    """What a model may think on top of what it says."""
    most = capabilities.MOST_THINKING_TOKENS if known is None else known
    thinks = text_of(model).thinks
    if thinks is Thinks.ALWAYS:
        return most
    if none_is_there(inputs, asking.THINKING):
        return 0 if thinks is Thinks.WHEN_TOLD else most
    told = [name for name in asking.THINKING if is_there(inputs, name)]
    if told == ["enable_thinking"] and input_of(inputs, "enable_thinking") is False:
        return 0
    # Whatever else speaks of thinking may speak of more of it.
    is_bounded = set(told) <= {"enable_thinking", "thinking_budget"}
    return (is_bounded and whole_of(input_of(inputs, "thinking_budget"))) or most


def _characters(size: int | None, known: int | None) -> int:
    """No character is shorter than a byte, not even those that count twice."""
    most = capabilities.MOST_CHARACTERS if known is None else known
    return most if size is None else min(size, most) if known is not None else size
