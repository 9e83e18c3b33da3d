"""Quantities as JSON from elsewhere spells them: a number, a whole number, a resolution.

The same value comes as `5`, `5.0`, `"5"`; as `720`, `"720P"`, `"2K"`, `"1280*720"`. What is none
of them, or absurd, is None: it is never worth an error, and never worth nothing.
"""

import re
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from math import isqrt

MOST = 10**9
"""No call uses more of anything, not even of tokens."""

_BILLIONTH = Decimal("1e-9")
_TEXT = re.compile(r"[0-9]{1,10}(\.[0-9]{1,30})?")
_MOST_LINES = 16_384
_THOUSANDS = {"1": 1080, "2": 1440, "4": 2160, "8": 4320}
_NAMED = re.compile(r"([0-9]{1,5})(?:\.0*)?\s*([pk]?)", re.IGNORECASE)
_SIDES = re.compile("([0-9]{2,5})\\s*[*x\N{MULTIPLICATION SIGN}:]\\s*([0-9]{2,5})", re.IGNORECASE)
_LEAST_SIDE = 128
_LADDER = (360, 480, 540, 720, 768, 1080, 1440, 2160, 4320)


def number_of(value: object) -> Decimal | None:
    """A number from 0 to `MOST`, exact to billionths; booleans and NaN are none."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    if isinstance(value, str) and not _TEXT.fullmatch(value := value.strip()):
        return None
    try:
        # The shortest text of a float is what stood in the JSON; its binary value is not.
        number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        if not 0 <= number <= MOST:  # NaN raises
            return None
    except InvalidOperation:
        return None
    return (
        number
        if _places(number) <= _places(_BILLIONTH)
        else number.quantize(_BILLIONTH, ROUND_HALF_UP)
    )


def whole_of(value: object) -> int | None:
    """A whole number from 0 to `MOST`; `3.0` is one."""
    if type(value) is int:  # no bool; a Decimal takes ten times as long
        return value if 0 <= value <= MOST else None
    number = number_of(value)
    return int(number) if number is not None and number == int(number) else None


def lines_of(value: object) -> int | None:
    """A resolution by its name: `720`, `"720P"`, `"2K"`; the number before the `P`."""
    found = _NAMED.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        lines = None if isinstance(value, str) else whole_of(value)
    else:
        lines = _THOUSANDS.get(found[1]) if found[2] in {"k", "K"} else int(found[1])
    return lines if lines and _LEAST_SIDE <= lines <= _MOST_LINES else None


def lines_of_size(value: object) -> int | None:
    """A resolution by width and height: `"1280*720"`.

    Upstream names sizes by their area: `960*960` and `1088*832` are 720P, `624*624` is 480P. So
    this is the lowest name whose 16:9 picture has as many pixels, give or take a twentieth.
    """
    found = _SIDES.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None or min(sides := (int(found[1]), int(found[2]))) < _LEAST_SIDE:
        return None
    area = sides[0] * sides[1]
    named = (lines for lines in _LADDER if 20 * area <= 21 * lines * lines * 16 // 9)
    return next(named, min(isqrt(area * 9 // 16), _MOST_LINES))


def _places(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0
