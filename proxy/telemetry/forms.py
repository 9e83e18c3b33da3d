"""How a log line looks: JSON, or colours for a terminal. One line, whatever a name holds."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias

import orjson

Facts: TypeAlias = dict[str, object]
Form: TypeAlias = Callable[[Facts], bytes]
"""Renders what is known, `timestamp` among it as an aware `datetime`; no line end."""


def json_form(facts: Facts) -> bytes:
    """One JSON object.

    Written by orjson alone: a chain of structlog's processors took ten times as long, and a line
    is written for each request.
    """
    try:
        line = orjson.dumps(facts, default=str, option=orjson.OPT_UTC_Z)
    except TypeError:  # a lone surrogate, or a number beyond 64 bits
        plain = {name: _plain(fact) for name, fact in facts.items()}
        line = orjson.dumps(plain, option=orjson.OPT_UTC_Z)
    # JSON leaves U+007F as it is, U+2028, U+0085 and their like; not every reader of lines does.
    if line.isascii() and b"\x7f" not in line:
        return line
    text = line.decode()
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text).encode()


def console_form(*, colors: bool) -> Form:
    """A line for eyes."""
    import structlog  # noqa: PLC0415 - a fifth of a cold start, and JSON needs none of it

    renderer = structlog.dev.ConsoleRenderer(colors=colors)

    def form(facts: Facts) -> bytes:
        shown = {name: _harmless(name, fact) for name, fact in facts.items()}
        return renderer(None, "", shown).encode(errors="backslashreplace")

    return form


def _harmless(name: str, fact: object) -> object:
    """A value that neither ends a line nor steers a terminal. Our own frames may have lines."""
    if isinstance(fact, datetime):
        return fact.isoformat().replace("+00:00", "Z")
    if isinstance(fact, str) and not fact.isprintable() and name != "frames":
        return repr(fact)
    return fact


def _plain(fact: object) -> object:
    if isinstance(fact, (bool, float, datetime, type(None))) or (
        isinstance(fact, int) and fact.bit_length() < 64  # noqa: PLR2004 - what orjson takes
    ):
        return fact
    return str(fact).encode("utf-8", "replace").decode()
