"""What a route says that cannot be meant: captures and places that do not fit together."""

import re
from collections.abc import Iterator

from proxy.config.schema import RouteEntry
from proxy.core.pathtree import CAPTURE

_LITERAL = re.compile(r"(?!\.{1,2}$)[^{}%;?#\\\s]+")  # as `parse_target` would decode a segment
_OF_HTTP = ("asynchronous", "retarget", "claims", "task", "answer", "facade")


def flaws_of(entry: RouteEntry, methods: frozenset[str], pattern: str) -> Iterator[str]:
    """Everything that is wrong with an entry on one of its patterns, a sentence each."""
    yield from _capture_flaws(entry, pattern)
    yield from _place_flaws(entry)
    yield from _socket_flaws(entry, methods)
    yield from _facade_flaws(entry, methods)


def _capture_flaws(entry: RouteEntry, pattern: str) -> Iterator[str]:
    """What the fields say about captures that the pattern does not have."""
    segments = pattern.strip("/").split("/")
    names = [found[1] for found in map(CAPTURE.fullmatch, segments) if found]
    if any(part.endswith("**}") for part in segments[:-1]):
        yield f"{pattern}: `{{name**}}` takes the rest of the path, so it must stand last"
    if not all(CAPTURE.fullmatch(part) or _LITERAL.fullmatch(part) for part in segments):
        yield f"{pattern}: a segment is literal, decoded, `{{name}}`, or at the end `{{name**}}`"
    if len(set(names)) < len(names):
        yield f"{pattern}: a capture's name stands twice; call one of them otherwise"
    for target in (entry.target, *(other.target for other in entry.retarget)):
        for found in CAPTURE.finditer(target):
            if found[1] not in names:
                yield f"target: {{{found[1]}}} is not captured by {pattern}{_captured(names)}"
    for place in (entry.task, *entry.model):
        if place and place.startswith("path.") and place[5:] not in names:
            yield f"{place}: is not captured by {pattern}{_captured(names)}"


def _place_flaws(entry: RouteEntry) -> Iterator[str]:
    """Places in the body that would be judged in two ways."""
    confined = [safe.at for safe in entry.tenant_safe]
    for place in sorted(set(confined)):
        if place in {*entry.model, *entry.also_model}:
            yield f"tenant_safe: {place} is judged as a model, it cannot be both"
        if confined.count(place) > 1:
            yield f"tenant_safe: {place} stands twice; put all its values into one"
    ways = {
        way for place in (*entry.model, *entry.also_model, *confined) for way in _ways_to(place)
    }
    for way in sorted(ways):
        if f"{way}?" in ways:
            yield f"{way} stands with `?` and without; whether a text may stand there is one thing"


def _socket_flaws(entry: RouteEntry, methods: frozenset[str]) -> Iterator[str]:
    """Where a WebSocket and plain HTTP are mixed up."""
    foreign = "frame." if entry.websocket is None else "body."
    for place in (*entry.model, *entry.also_model, *(safe.at for safe in entry.tenant_safe)):
        if place.startswith(foreign):
            yield f"{place}: a WebSocket has frames, everything else has a body"
    if entry.websocket is None:
        return
    if methods != {"GET"}:
        yield "match: a WebSocket begins with GET, and with nothing else"
    needed = "frame." if entry.websocket == "frames" else "query."
    if not any(place.startswith(needed) for place in entry.model):
        yield f"model: websocket {entry.websocket} needs a {needed}NAME, or nothing would be judged"
    for field in _OF_HTTP:
        if getattr(entry, field) != RouteEntry.model_fields[field].get_default():
            yield f"{RouteEntry.model_fields[field].alias or field}: means nothing on a WebSocket"


def _facade_flaws(entry: RouteEntry, methods: frozenset[str]) -> Iterator[str]:
    """A façade makes tasks, or tells of one: it translates nothing else."""
    if entry.facade is None:
        return
    makes = entry.asynchronous == "always" and entry.claims and "body.model" in entry.model
    if not (makes and methods == {"POST"}) and not (entry.task and methods == {"GET"}):
        yield "facade: is for POST with `async: always`, claims and body.model, or GET with a task"
    if entry.envelope != "native" or entry.retarget or entry.unknown_task != "error":
        yield "facade: tells errors in its own shape, and its `families:` know the targets"


def _ways_to(place: str) -> Iterator[str]:
    """What leads to a place, `?` and all, without the brackets it ends with."""
    parts = place.partition(".")[2].split(".")
    for depth in range(1, len(parts)):
        *before, last = parts[:depth]
        yield ".".join([*(part.replace("?", "") for part in before), last.removesuffix("[]")])


def _captured(names: list[str]) -> str:
    return f", which captures {', '.join(names) or 'nothing'}"
