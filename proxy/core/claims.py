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


@dataclass(frozen=True, slots=True)
class Claim:
    """What is listened for at one place of a body.

    What stands there is the input `name`, or moves the count of that name; `opener` is how it
    must begin where it leads to other claims. `within` are the names of all claims at the place
    and below, which mean nothing once the place can be read in two ways.
    """

    name: str
    is_heeded: bool
    moves: _Count | None
    opener: bytes | None
    within: frozenset[str]


class Claims:
    """Keeps what one body claims."""

    __slots__ = ("_counted", "_doubted", "_texts")

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._counted: dict[str, int] = {}
        self._doubted: set[str] = set()

    def noted(self) -> dict[str, str]:
        """The claims so far, name to JSON text; those that are counted are numbers above 0."""
        told = self._texts.copy()
        for name, count in self._counted.items():
            if count > 0:
                told[name] = str(count)
        for name in self._doubted:
            told[name] = UNREADABLE
        return told

    def hear(self, claim: Claim, raw: bytes | None) -> None:
        """Take what stands at a claim's place: the JSON text of a scalar, or `{` or `[`."""
        if claim.moves is not None:
            if claim.opener is None and raw in _CONTAINERS:
                self.doubt(claim)
            else:
                self._counted[claim.name] = self._counted.get(claim.name, 0) + claim.moves(raw)
        elif claim.name:
            self._texts[claim.name] = _text(claim, raw)
        if claim.opener is not None and raw not in (claim.opener, b"null"):
            self.doubt(claim)

    def doubt(self, claim: Claim) -> None:
        """What stands there, and all that is in it, means nothing any more."""
        self._doubted |= claim.within


def _text(claim: Claim, raw: bytes | None) -> str:
    if raw is None or raw in _CONTAINERS:
        return UNREADABLE
    return raw.decode() if claim.is_heeded or raw == b"null" else UNREADABLE


@cache
def claims_of(dialect: Dialect) -> Mapping[Path, Claim]:
    """What is listened for in the bodies of an endpoint, by place."""
    inputs = {(*dialect.at, name): name for name in NAMES}
    counts, openers = _counts(dialect.at), _openers(dialect.at)
    names = {**inputs, **{path: name for path, (name, _) in counts.items()}}
    return {
        path: Claim(
            name=names.get(path, ""),
            is_heeded=path[-1:] != () and path[-1] in dialect.heeds,
            moves=counts[path][1] if path in counts else None,
            opener=openers.get(path),
            within=frozenset(name for at, name in names.items() if at[: len(path)] == path),
        )
        for path in {**names, **openers}
    }


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
