"""Who listens to a scanner (`proxy.core.jsonscan`): what it is told, and what it answers."""

from typing import Protocol, TypeVar

Spot = TypeVar("Spot")
"""What a visitor calls a place in the document; the scanner only hands it back."""


class Visitor(Protocol[Spot]):
    """Hears what it asked for, in byte order; whatever it raises stops the scan."""

    def member(self, level: Spot, raw_name: bytes | None) -> Spot | None:
        """Hear of a member name in a watched object; return a spot to hear of its value.

        `raw_name` is what stands between the quotes, or None when it exceeds `MAX_TEXT`.
        """
        ...

    def value(self, spot: Spot, raw: bytes | None) -> Spot | None:
        """Hear of a value asked for: the JSON text of a scalar, or `{` or `[`.

        None is a string that exceeds `MAX_TEXT`. A container is watched when a spot is returned:
        the level at which an object's members are heard of, or that of each item of an array.
        """
        ...
