"""A small document as values, where the gate has only judged it: nothing twice, nothing vague."""

import json
import math
from collections import Counter
from typing import TypeAlias

from proxy.core.errors import ProxyError, Situation

MOST_VALUES = 20_000
"""Commas and brackets in a document. Tiny values take many times their bytes to hold."""

Object: TypeAlias = dict[str, object]


_LONGEST_FIELD = 128
_LONGEST_PROBLEM = 600
"""Characters of a refusal: names that a caller made up are not sent back by the megabyte."""


def wrong(where: str, problem: str) -> ProxyError:
    """A refusal that names the field at fault."""
    end = "" if problem.endswith("?") else "."
    where, problem = _cut(where, _LONGEST_FIELD), _cut(problem, _LONGEST_PROBLEM)
    return ProxyError(Situation.ILLEGAL_INPUT, f"{where}: {problem}{end}", param=where)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


def parse(raw: bytes) -> Object:
    """The document of a body that the gate let through.

    Raises `ProxyError` for a name that stands twice, too many values, or a number that is none.
    """
    if sum(raw.count(mark) for mark in (b",", b"[", b"{")) > MOST_VALUES:
        raise ProxyError(Situation.TOO_LARGE, f"The body has more than {MOST_VALUES} values.")
    doubles: list[tuple[Object, str]] = []

    def noting_doubles(pairs: list[tuple[str, object]]) -> Object:
        names = dict(pairs)
        if len(names) < len(pairs):
            counted = Counter(name for name, _ in pairs)
            doubles.append((names, counted.most_common(1)[0][0]))
        return names

    parsed: Object = json.loads(raw, object_pairs_hook=noting_doubles, parse_float=_finite)
    if doubles:  # the last is within no other, so it stands in the document
        holder, name = doubles[-1]
        raise wrong(f"{_place_of(holder, parsed)}{name}", "given twice")
    return parsed


def _place_of(wanted: Object, document: Object) -> str:
    """The way to an object, as the beginning of its members' names: `image[0].`."""
    waiting: list[tuple[object, str]] = [(document, "")]
    while waiting:
        value, where = waiting.pop()
        if value is wanted:
            return f"{where}." if where else ""
        where = where[: _LONGEST_FIELD + 1]
        if isinstance(value, dict):
            waiting += [(one, f"{where}.{name}" if where else name) for name, one in value.items()]
        elif isinstance(value, list):
            waiting += [(one, f"{where}[{number}]") for number, one in enumerate(value)]
    raise AssertionError("an object within the document")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ProxyError(Situation.ILLEGAL_INPUT, "The body has a number too large for JSON.")
    return number
