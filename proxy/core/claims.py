"""What a body claims about its price: kept for what is reserved and billed, no policy rests on it.

A claim that two parsers could read differently is worth nothing: whatever stands twice, or in
another spelling of its name, or is no plain value, is kept as `UNREADABLE`. Nobody reserves for
the 2 seconds that one parser sees and gets the 15 of another.
"""

from collections.abc import Mapping
from functools import cache

from proxy.core.asking import NAMES, UNREADABLE, VIDEOS
from proxy.core.jsonscan import ITEM, Path
from proxy.core.spelling import Name, fold

PARAMETERS: Path = ("parameters",)
"""Where DashScope's own endpoints read it. OpenAI's and Anthropic's do at the root."""

_INPUT: Path = ("input",)
_MEDIA: Path = ("input", "media")
_MEDIUM: Path = (*_MEDIA, ITEM)
_KIND: Path = (*_MEDIUM, "type")

_NO_VIDEOS = frozenset(
    f'"{kind}"'.encode()
    for kind in (
        *("first_frame", "last_frame", "reference_image", "image_url", "image"),
        *("driving_audio", "reference_audio", "audio"),
    )
)
"""Kinds of media whose length, if they have one, is not billed. A kind nobody knows may be."""

_ROOT: Mapping[Path, bytes] = {(): b"{"}
_OPENERS = {**_ROOT, PARAMETERS: b"{", _INPUT: b"{", _MEDIA: b"[", _MEDIUM: b"{"}
"""What leads to a claim, and how it must begin."""

_CONTAINERS = frozenset(_OPENERS.values())

_Places = Mapping[tuple[Path, str], Path]


class Claims:
    """Listens for what stands at `level`, and for what kinds of media a native body gives."""

    def __init__(self, level: Path) -> None:
        self._level = level
        self._places = _places(level)
        self._openers = _OPENERS if level else _ROOT
        self._seen: set[Path] = set()
        self._texts: dict[str, str] = {}
        self._doubted: set[str] = set()
        self._media = 0
        self._stills = 0

    def noted(self) -> dict[str, str]:
        """The claims so far, name to JSON text; `VIDEOS` is how many media may be some."""
        told = dict(self._texts)
        if self._media > self._stills:
            told[VIDEOS] = str(self._media - self._stills)
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
        if opener is not None:
            self._media += path == _MEDIUM
            self._seen.discard(_KIND)
            if raw not in (opener, b"null"):
                self._doubt(path)
            return raw == opener
        if path == _KIND:
            self._stills += raw in _NO_VIDEOS
        elif path[:-1] == self._level and path[-1] in NAMES:
            text = b"" if raw is None or raw in _CONTAINERS else raw
            self._texts[path[-1]] = text.decode() or UNREADABLE
        return False

    def _doubt(self, path: Path) -> None:
        """What stands there, and all that is in it, means nothing any more."""
        if path == self._level:
            self._doubted |= NAMES
        elif path[:1] == _INPUT:
            self._doubted.add(VIDEOS)
        else:
            self._doubted.add(path[-1])


@cache
def _places(level: Path) -> _Places:
    """What is listened for, by where it stands and how the most forgiving would spell it."""
    paths = [(*level, name) for name in NAMES]
    if level:
        paths += [level, _INPUT, _MEDIA, _KIND]
    return {(path[:-1], fold(path[-1])): path for path in paths}
