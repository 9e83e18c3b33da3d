"""What a call or a task used, as upstream's answer tells it: one reading of all its spellings."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Used:
    """What was used; None is what the answer does not speak of. `seconds` are billable ones.

    `lines` is the resolution as the number before the `P`. Characters are upstream's count.
    """

    seconds: Decimal | None = None
    lines: int | None = None
    images: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    characters: int | None = None


NOTHING_USED = Used()
