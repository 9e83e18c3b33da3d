"""The most that a request could come to use: what is reserved for it before it is sent.

Inputs are the client's claims. One that a family follows bounds its outcome; one that is missing,
unreadable or beside the point does not, and the family's most counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from proxy.core import asking
from proxy.core.asking import VIDEOS, Length, asked_lines, input_of, is_there, row_of
from proxy.core.policy import matches
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
    model: str, inputs: Mapping[str, str], size: int | None, bounds: Bounds
) -> Used:
    """The most of everything. `size` is the body's in bytes, None where nobody knows it yet.

    Without `lines` the resolution may be any.
    """
    return Used(
        seconds=_seconds(model, inputs, bounds.seconds),
        lines=asked_lines(inputs, model),
        images=_images(model, inputs, bounds.images),
        input_tokens=_input_tokens(model, inputs, size, bounds.input_tokens),
        output_tokens=_output_tokens(model, inputs, bounds),
        characters=_characters(size, bounds.characters),
    )


def _seconds(model: str, inputs: Mapping[str, str], known: int | None) -> Decimal:
    """What is made, and what is billed of the videos it is made from."""
    length = row_of(asking.LENGTHS, model)
    made = _made(length, inputs, length.most if known is None else known)
    given = whole_of(input_of(inputs, VIDEOS)) or asking.MOST_VIDEOS
    both = made + given * length.given if is_there(inputs, VIDEOS) else made
    return both if known is None else min(both, max(Decimal(known), made))


def _made(length: Length, inputs: Mapping[str, str], most: int) -> Decimal:
    if not is_there(inputs, "duration"):
        return Decimal(most if length.default is None else min(length.default, most))
    asked = number_of(input_of(inputs, "duration"))
    if length.default is None or not asked:  # -1 is a length of upstream's choice
        return max(Decimal(most), asked or Decimal(0))
    return max(asked.to_integral_value(ROUND_CEILING), Decimal(length.least))


def _images(model: str, inputs: Mapping[str, str], known: int | None) -> int:
    if not is_there(inputs, "n"):
        return row_of(asking.PICTURES, model)[1] if known is None else known
    asked = whole_of(input_of(inputs, "n"))
    return asked or (asking.MOST_IMAGES if known is None else known)


def _input_tokens(
    model: str, inputs: Mapping[str, str], size: int | None, known: int | None
) -> int:
    """No token is shorter than a byte, and what a model reads stands in its request, or not."""
    most = asking.MOST_INPUT_TOKENS if known is None else known
    reads_more = any(is_there(inputs, name) for name in asking.READS_MORE)
    if size is None or reads_more or not matches(asking.READS_ITS_BODY, model):
        return most
    return min(size, most)


def _output_tokens(model: str, inputs: Mapping[str, str], bounds: Bounds) -> int:
    most = asking.MOST_OUTPUT_TOKENS if bounds.output_tokens is None else bounds.output_tokens
    given = [input_of(inputs, name) for name in asking.TOKEN_LIMITS if is_there(inputs, name)]
    limits = [limit for limit in map(whole_of, given) if limit]
    said = max(limits) if limits and len(limits) == len(given) else most
    answers = whole_of(input_of(inputs, "n")) if is_there(inputs, "n") else 1
    thought = _thoughts(model, inputs, bounds.thinking_tokens)
    return (said + thought) * (answers or asking.MOST_ANSWERS)


def _thoughts(model: str, inputs: Mapping[str, str], known: int | None) -> int:
    """What a model may think on top of what it says."""
    if input_of(inputs, "enable_thinking") is False:
        return 0
    is_told_to = any(is_there(inputs, name) for name in asking.THINKING)
    if not is_told_to and not matches(asking.THINKS, model):
        return 0
    most = asking.MOST_THINKING_TOKENS if known is None else known
    return whole_of(input_of(inputs, "thinking_budget")) or most


def _characters(size: int | None, known: int | None) -> int:
    """No character is shorter than a byte, not even those that count twice."""
    most = asking.MOST_CHARACTERS if known is None else known
    return most if size is None else min(size, most) if known is not None else size
