"""What a body claims about its price: kept for what is reserved and billed, no policy rests on it.

A claim that two parsers could read differently is worth nothing: whatever stands twice, or in
another spelling of its name, or is no plain value, is kept as `UNREADABLE`. Nobody reserves for
the 2 seconds that one parser sees and gets the 15 of another. So is what the endpoint is not
known to heed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from proxy.core.asking import FILES, NAMES, TOOLS, UNREADABLE, VIDEOS
from proxy.core.dialects import Dialect
from proxy.core.jsonscan import ITEM, Path

_NO_VIDEOS = frozenset(
    f'"{kind}"'.encode()
    for kind in (
        *("first_frame", "last_frame", "reference_image", "image_url", "image"),
        *("driving_audio", "reference_audio", "audio"),
    )
)
"""Kinds of media whose length, if they have one, is not billed. A kind nobody knows may be."""

_CLIENTS_OWN = frozenset({b'"function"', b'"custom"', b"null"})
"""Kinds of tools that the client runs. All others are upstream's, and may read the web."""

_VIDEO_LISTS = ("video_urls", "reference_video_urls", "reference_urls")
_VIDEO_TEXTS = ("video_url", "reference_video_url", "first_clip_url")
"""How older bodies give videos, beside `media[]`."""

_Count = Callable[[bytes | None], int]


def _one(_: bytes | None) -> int:
    return 1


_COUNTS: Mapping[Path, tuple[str, _Count]] = {
    ("input", "media", ITEM): (VIDEOS, _one),
    ("input", "media", ITEM, "type"): (VIDEOS, lambda raw: -(raw in _NO_VIDEOS)),
    **{("input", name, ITEM): (VIDEOS, _one) for name in _VIDEO_LISTS},
    **{("input", name): (VIDEOS, lambda raw: raw != b"null") for name in _VIDEO_TEXTS},
    ("input", "file_urls", ITEM): (FILES, _one),
}
"""What is counted in native bodies, and by how much each value there moves the count."""

_NATIVE: Mapping[Path, bytes] = {
    ("input",): b"{",
    ("input", "media"): b"[",
    ("input", "media", ITEM): b"{",
    **{("input", name): b"[" for name in (*_VIDEO_LISTS, "file_urls")},
}
"""What leads to what is counted, and how it must begin."""

_CONTAINERS = frozenset({b"{", b"["})


class Claims:
    """Keeps what one body claims."""

    __slots__ = ("_counted", "_doubted", "texts")

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}  # JSON texts of inputs, by name
        self._counted: dict[str, int] = {}
        self._doubted: frozenset[str] = frozenset()

    def noted(self) -> dict[str, str]:
        """The claims so far, name to JSON text; those that are counted are numbers above 0."""
        told = self.texts.copy()
        for name, count in self._counted.items():
            if count > 0:
                told[name] = str(count)
        for name in self._doubted:
            told[name] = UNREADABLE
        return told

    def count(self, name: str, moved: int) -> None:
        """Take so many more of what is counted."""
        self._counted[name] = self._counted.get(name, 0) + moved

    def doubt(self, claim: "Claim") -> None:
        """What stands at a claim's place, and all that is in it, means nothing any more."""
        self._doubted |= claim.within


@dataclass(frozen=True, slots=True)
class Claim:
    """What leads to other claims. `opener` is how it must begin, None where it leads nowhere.

    `within` are the names of all claims at the place and below, which mean nothing once the place
    can be read in two ways.
    """

    opener: bytes | None
    within: frozenset[str]

    def hear(self, claims: Claims, raw: bytes | None) -> None:
        """Take what stands at the place: the JSON text of a scalar, or `{` or `[`."""
        if raw not in (self.opener, b"null"):
            claims.doubt(self)


@dataclass(frozen=True, slots=True)
class Input(Claim):
    """An input: `name` is what stands there, if the endpoint heeds it."""

    name: str
    is_heeded: bool

    def hear(self, claims: Claims, raw: bytes | None) -> None:
        """See `Claim.hear`."""
        if raw is None or raw in _CONTAINERS or not (self.is_heeded or raw == b"null"):
            claims.texts[self.name] = UNREADABLE
        else:
            claims.texts[self.name] = raw.decode()


@dataclass(frozen=True, slots=True)
class Counted(Claim):
    """What stands there moves the count of `name`."""

    name: str
    moves: _Count

    def hear(self, claims: Claims, raw: bytes | None) -> None:
        """See `Claim.hear`. What leads nowhere is no container."""
        claims.count(self.name, self.moves(raw))
        if raw in _CONTAINERS if self.opener is None else raw not in (self.opener, b"null"):
            claims.doubt(self)


@cache
def claims_of(dialect: Dialect) -> Mapping[Path, Claim]:
    """What is listened for in the bodies of an endpoint, by place."""
    inputs = {(*dialect.at, name): name for name in NAMES}
    counts, openers = _counts(dialect.at), _openers(dialect.at)
    names = {**inputs, **{path: name for path, (name, _) in counts.items()}}

    def claim(path: Path) -> Claim:
        within = frozenset(name for at, name in names.items() if at[: len(path)] == path)
        if path in inputs:
            return Input(None, within, inputs[path], inputs[path] in dialect.heeds)
        if path in counts:
            return Counted(openers.get(path), within, *counts[path])
        return Claim(openers[path], within)

    return {path: claim(path) for path in {**names, **openers}}


def _tools(level: Path) -> Path:
    return (*level, "tools")


def _counts(level: Path) -> Mapping[Path, tuple[str, _Count]]:
    """What is counted in a body whose inputs stand at a level."""
    kind = (*_tools(level), ITEM, "type")
    tools: Mapping[Path, tuple[str, _Count]] = {
        kind: (TOOLS, lambda raw: raw not in _CLIENTS_OWN),
    }
    return {**tools, **(_COUNTS if level else {})}


def _openers(level: Path) -> Mapping[Path, bytes]:
    """What leads to a claim, and how it must begin."""
    tools = _tools(level)
    native = {level: b"{", **_NATIVE} if level else {}
    return {(): b"{", **native, tools: b"[", (*tools, ITEM): b"{"}
