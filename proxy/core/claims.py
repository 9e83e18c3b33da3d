"""What a body claims about its price: kept for what is reserved and billed, no policy rests on it.

A claim that two parsers could read differently is worth nothing: whatever stands twice, or in
another spelling of its name, or is no plain value, is kept as `UNREADABLE`. Nobody reserves for
the 2 seconds that one parser sees and gets the 15 of another. So is what the endpoint is not
known to heed.
"""

from collections.abc import Callable, Mapping
from functools import cache

from proxy.core.asking import FILES, NAMES, TOOLS, UNREADABLE, VIDEOS
from proxy.core.dialects import Dialect
from proxy.core.jsonscan import ITEM, Path
from proxy.core.spelling import Name, fold

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
    """Listens for what stands where the endpoint reads it, and for what a native body gives."""

    def __init__(self, dialect: Dialect) -> None:
        self._heeds = dialect.heeds
        self._inputs = _inputs(dialect.at)
        self._counts = _counts(dialect.at)
        self._openers = _openers(dialect.at)
        self._places = _places(dialect.at)
        self._seen: set[Path] = set()
        self._texts: dict[str, str] = {}
        self._doubted: set[str] = set()
        self._counted: dict[str, int] = {}

    def noted(self) -> dict[str, str]:
        """The claims so far, name to JSON text; those that are counted are numbers above 0."""
        told = dict(self._texts)
        told.update({name: str(count) for name, count in self._counted.items() if count > 0})
        told.update(dict.fromkeys(self._doubted, UNREADABLE))
        return told

    def member(self, level: Path, name: Name) -> Path | None:
        """Where a member stands, if its value is wanted."""
        path = self._places.get((level, name.folded))
        if path is None:
            return None
        if path in self._seen or not name.is_plain or name.text != path[-1]:
            self._doubt(path)
            return None
        self._seen.add(path)
        return path

    def unnamed(self, level: Path) -> None:
        """A member whose name is too long to be read: it could be any."""
        for (at, _), path in self._places.items():
            if at == level:
                self._doubt(path)

    def value(self, path: Path, raw: bytes | None) -> bool:
        """Take what stands at a place; say whether what is in it is wanted."""
        opener = self._openers.get(path)
        if opener is None and path in self._counts and raw in _CONTAINERS:
            self._doubt(path)
        elif path in self._counts:
            name, moves = self._counts[path]
            self._counted[name] = self._counted.get(name, 0) + moves(raw)
        elif path in self._inputs:
            self._texts[path[-1]] = self._text(path[-1], raw)
        if opener is None:
            return False
        if path[-1:] == (ITEM,):  # its members have names of their own
            self._seen = {seen for seen in self._seen if seen[: len(path)] != path}
        if raw not in (opener, b"null"):
            self._doubt(path)
        return raw == opener

    def _text(self, name: str, raw: bytes | None) -> str:
        if raw is None or raw in _CONTAINERS:
            return UNREADABLE
        return raw.decode() if name in self._heeds or raw == b"null" else UNREADABLE

    def _doubt(self, path: Path) -> None:
        """What stands there, and all that is in it, means nothing any more."""
        self._doubted |= {at[-1] for at in self._inputs if at[: len(path)] == path}
        self._doubted |= {name for at, (name, _) in self._counts.items() if at[: len(path)] == path}


def _tools(level: Path) -> Path:
    return (*level, "tools")


@cache
def _inputs(level: Path) -> frozenset[Path]:
    return frozenset((*level, name) for name in NAMES)


@cache
def _counts(level: Path) -> Mapping[Path, tuple[str, _Count]]:
    """What is counted in a body whose inputs stand at a level."""
    kind = (*_tools(level), ITEM, "type")
    tools: Mapping[Path, tuple[str, _Count]] = {
        kind: (TOOLS, lambda raw: raw not in _CLIENTS_OWN),
    }
    return {**tools, **(_COUNTS if level else {})}


@cache
def _openers(level: Path) -> Mapping[Path, bytes]:
    """What leads to a claim, and how it must begin."""
    tools = _tools(level)
    native = {level: b"{", **_NATIVE} if level else {}
    return {(): b"{", **native, tools: b"[", (*tools, ITEM): b"{"}


@cache
def _places(level: Path) -> Mapping[tuple[Path, str], Path]:
    """What is listened for, by where it stands and how the most forgiving would spell it."""
    paths = {*_inputs(level), *_counts(level), *_openers(level)}
    named = (path for path in paths if path and path[-1] != ITEM)
    return {(path[:-1], fold(path[-1])): path for path in named}
