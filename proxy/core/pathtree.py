"""Patterns of paths as a tree: one step per segment, however many patterns there are."""

import re
from dataclasses import dataclass, field
from typing import Generic, TypeVar

CAPTURE = re.compile(r"\{([a-z_]+)(\*\*)?\}")
"""A capture in a pattern or a target: its name, and `**` where it takes the rest."""

_WORD = re.compile(r"[^\x00-\x7f]*[0-9a-z_-]*")

Value = TypeVar("Value")


@dataclass(slots=True)
class Node(Generic[Value]):
    """A place in the tree; `routes` are the values of the pattern that ends here, by method."""

    literals: dict[str, "Node[Value]"] = field(default_factory=dict)
    folded: set[str] = field(default_factory=set)
    capture: "Node[Value] | None" = None
    rest: "Node[Value] | None" = None
    routes: dict[str, Value] = field(default_factory=dict)

    def grown(self, pattern: str) -> "Node[Value]":
        """The node where a pattern ends, made when missing."""
        node = self
        for segment in pattern.strip("/").split("/"):
            node = node._next(segment)
        return node

    def find(self, segments: tuple[str, ...]) -> "Node[Value] | None":
        """The node of the most specific pattern that the segments fit."""
        found = _find(self, segments, 0)
        return found if found and found.routes else None

    def rest_above(self, segments: tuple[str, ...]) -> "Node[Value] | None":
        """The last `{name**}` that stands beside the literals along a path."""
        node, rest = self, self.rest
        for segment in segments:
            if segment not in node.literals:
                break
            node = node.literals[segment]
            rest = node.rest or rest
        return rest

    def _next(self, segment: str) -> "Node[Value]":
        capture = CAPTURE.fullmatch(segment)
        if capture is None:
            self.folded.add(_fold(segment))
            return self.literals.setdefault(segment, Node())
        if capture[2]:
            self.rest = self.rest or Node()
            return self.rest
        self.capture = self.capture or Node()
        return self.capture


def _find(node: Node[Value], segments: tuple[str, ...], at: int) -> Node[Value] | None:
    """The most specific node that takes the segments from `at` on; one without routes is none.

    A look-alike of a literal (`Customization`, `tokens.json`) is no path at all: what is judged
    on the literal must not reach upstream beside it, where a forgiving server might serve it.
    So it ends the search, for captures and for everything broader too.
    """
    if at == len(segments):
        return node if node.routes else None
    literal = node.literals.get(segments[at])
    if literal is None and node.folded and _fold(segments[at]) in node.folded:
        return Node()  # unlike None, nothing broader steps in
    found = _find(literal, segments, at + 1) if literal else None
    if found is None and node.capture:
        found = _find(node.capture, segments, at + 1)
    return found or node.rest


def _fold(segment: str) -> str:
    """A segment without case, as far as it is a plain word.

    Behind it may stand what a server takes for a file's ending (`.json`), a backup's (`~`), a
    parameter (`,x`), or what nobody sees.
    """
    word = _WORD.match(segment.casefold())
    return word[0] if word else ""
