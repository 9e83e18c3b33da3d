"""The places in a body that somebody listens to, as a tree that is made once per route.

A place is *strict* where a model or another judged value stands, or what leads to one: it must be
readable in one way only. Others are heard for what they claim about the price, see
`proxy.core.claims`. Frozen once made, so that all requests share it.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from proxy.core.claims import Claim, claims_of
from proxy.core.dialects import NATIVE, Dialect
from proxy.core.jsonscan import ITEM, Path
from proxy.core.spelling import fold


@dataclass(slots=True, eq=False)  # a place is itself, which also makes sets of them fast
class Place:
    """One place.

    `opener` begins what may hold other places, `item` is an array's, and `inside` is the place of
    what it holds: the item, or itself. `named` are an object's members by their names as they must
    stand in a body, `alike` the same by what the most forgiving parser makes of these. `below` is
    everything within an item.
    `is_awaited` says that something at the place or below may not be absent, `may_be_text` that a
    text may stand there in place of what leads on.
    """

    path: Path
    is_strict: bool
    is_judged: bool
    is_awaited: bool
    may_be_text: bool
    claim: Claim | None
    opener: bytes | None = None
    item: "Place | None" = None
    inside: "Place | None" = None
    named: dict[bytes, "Place"] = field(default_factory=dict)
    alike: dict[str, "Place"] = field(default_factory=dict)
    has_strict: bool = False
    below: frozenset["Place"] = frozenset()


class Places(NamedTuple):
    """All places of a route: the `root`, and those that are `awaited`, in the order asked for."""

    root: Place
    awaited: tuple[Place, ...]


def places_of(
    judged: Collection[Path],
    optional: Collection[Path] = (),
    texts: Collection[Path] = (),
    dialect: Dialect = NATIVE,
) -> Places:
    """The tree of what is judged and of what an endpoint's bodies claim; see `proxy.core.gate`."""
    claims = claims_of(dialect)
    strict = _with_parents(judged)
    awaited = [path for path in judged if path not in optional]
    needed = _with_parents(awaited)
    made = {
        path: Place(
            path=path,
            is_strict=path in strict,
            is_judged=path in judged,
            is_awaited=path in needed,
            may_be_text=path in texts,
            claim=claims.get(path),
        )
        for path in sorted({*strict, *claims}, key=lambda at: (len(at), at not in strict, at))
    }
    for path, place in made.items():
        if path:
            _put(made[path[:-1]], place)
    for place in made.values():
        place.opener = _opener(place)
        place.inside = place.item if place.opener == b"[" else place
        if place.path[-1:] == (ITEM,):
            place.below = frozenset(all_of(place)) - {place}
    return Places(made[()], tuple(made[path] for path in awaited))


def all_of(place: Place) -> Iterator[Place]:
    """A place and all that it leads to."""
    yield place
    for inner in (*place.named.values(), *([place.item] if place.item else ())):
        yield from all_of(inner)


def _put(parent: Place, place: Place) -> None:
    """A place into the one that leads to it. What is judged comes first, and hides a look-alike."""
    name = place.path[-1]
    parent.has_strict |= place.is_strict
    if name == ITEM:
        parent.item = place
    elif place.is_strict or fold(name) not in parent.alike:
        parent.named[name.encode()] = place
        parent.alike.setdefault(fold(name), place)


def _opener(place: Place) -> bytes | None:
    """What must begin there so that what is in it is heard."""
    if place.claim and not place.is_strict:
        return place.claim.opener
    if place.item and place.item.is_strict:
        return b"["
    return b"{" if place.named else None


def _with_parents(paths: Iterable[Path]) -> set[Path]:
    return {path[:depth] for path in paths for depth in range(1, len(path) + 1)}
