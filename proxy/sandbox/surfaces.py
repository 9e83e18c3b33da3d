"""The protocols the service speaks, each below a prefix of its own, and what they have in common.

A surface answers calls and words refusals; which one is meant, says the path. Prompts are read
and steered in all of them alike (`proxy.sandbox.prompts`).
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from proxy.sandbox.answers import JSON_TYPE, Answer, Payload, RefusalError, dumps, refused
from proxy.sandbox.ask import Ask

EVENTS_TYPE = "text/event-stream"

PathPattern: TypeAlias = re.Pattern[str]
Refused: TypeAlias = Callable[[RefusalError, str], Answer]
Action: TypeAlias = Callable[..., Answer]
"""Takes an `Ask`, and by name whatever the path captured; may raise `RefusalError`."""


@dataclass(frozen=True, slots=True)
class Surface:
    """What is served below `prefix`. `key_header` may carry the key instead of Authorization."""

    prefix: str
    answer: Callable[[Ask], Answer]
    refused: Refused = refused
    key_header: str | None = None


class Endpoints:
    """Calls by method and path. `{id}` is one segment, `{name:path}` any number of them."""

    def __init__(self, rows: Iterable[tuple[str, str, Action]]) -> None:
        self._rows = [(method, compiled(path), action) for method, path, action in rows]

    def answer(self, ask: Ask) -> Answer:
        """The answer to one call; raises `RefusalError`."""
        found = [(row, match) for row in self._rows if (match := row[1].fullmatch(ask.path))]
        for (method, _, action), match in found:
            if method == ask.method:
                return action(ask, **match.groupdict())
        if found:
            message = f"Request method '{ask.method}' is not supported."
            raise RefusalError(405, "method_not_allowed", message)
        raise RefusalError(404, "not_found", "Not Found")


def compiled(pattern: str) -> PathPattern:
    """`{id}` is one segment, `{name:path}` any number, `[/]` an optional slash."""
    text = re.escape(pattern).replace(r"\[/\]", "/?")
    text = re.sub(r"\\{(\w+):path\\}", r"(?P<\1>.+)", text)
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", text))


def plain(payload: Payload, status: int = 200) -> Answer:
    """One JSON object."""
    return Answer(status, JSON_TYPE, (dumps(payload),))


def events(frames: Sequence[bytes]) -> Answer:
    """An event stream, frame by frame."""
    return Answer(200, EVENTS_TYPE, tuple(frames), streamed=True)


def frame(payload: Payload, event: str | None = None) -> bytes:
    """One frame, with blanks behind the colons, as these protocols have it."""
    name = f"event: {event}\n".encode() if event else b""
    return name + b"data: " + dumps(payload) + b"\n\n"
