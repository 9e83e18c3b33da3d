"""A small document as values, where the gate has only judged it: nothing twice, nothing vague."""

import json
import math
from typing import TypeAlias

from proxy.core.errors import ProxyError, Situation

MOST_VALUES = 20_000
"""Commas and brackets in a document. Tiny values take many times their bytes to hold."""

Object: TypeAlias = dict[str, object]


def wrong(where: str, problem: str) -> ProxyError:
    """A refusal that names the field at fault."""
    end = "" if problem.endswith("?") else "."
    return ProxyError(Situation.ILLEGAL_INPUT, f"{where}: {problem}{end}", param=where)


def parse(raw: bytes) -> Object:
    """The document of a body that the gate let through.

    Raises `ProxyError` for a name that stands twice, too many values, or a number that is none.
    """
    if sum(raw.count(mark) for mark in (b",", b"[", b"{")) > MOST_VALUES:
        raise ProxyError(Situation.TOO_LARGE, f"The body has more than {MOST_VALUES} values.")
    parsed: Object = json.loads(raw, object_pairs_hook=_once, parse_float=_finite)
    return parsed


def _once(pairs: list[tuple[str, object]]) -> Object:
    names: Object = {}
    for name, value in pairs:
        if name in names:
            raise wrong(name[:40], "given twice")
        names[name] = value
    return names


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ProxyError(Situation.ILLEGAL_INPUT, "The body has a number too large for JSON.")
    return number
