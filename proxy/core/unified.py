"""A unified video request, read: one shape for the fields of all who speak it.

Documented by 51kik: model, prompt, image, video, audio, ratio, resolution, headers and
upstream_options. By Crazyrouter: aspect_ratio, size, images, duration (its page on
`/v1/video/generations` says that fields vary by model; these are from its unified page), and
image_url. By new-api, its ancestor: image, duration, width, height, fps, seed, n,
response_format, user and metadata. Both façades take them all. Inferred: that two fields of one
meaning may stand together when they agree, that null is absent, that `metadata` means what
`upstream_options` does, save for the negative prompt that new-api's own page puts there, and that
a shape is spelt in either as it is outside.

What is no field is refused: a typo must not cost a video.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from proxy.core.documents import Object, wrong
from proxy.core.errors import ProxyError


@dataclass(frozen=True, slots=True)
class Medium:
    """One image, video or sound. `role` None is a bare one; `more` is the rest of its object."""

    where: str
    kind: str
    url: str
    role: str | None = None
    more: Mapping[str, object] = field(default_factory=dict)


class Given:
    """Values by name, with the field each came from; two that differ are refused."""

    def __init__(self) -> None:
        self.values: Object = {}
        self._fields: dict[str, str] = {}

    def put(self, name: str, value: object, where: str) -> None:
        """Note a value. Raises `ProxyError` naming both fields."""
        if name in self.values and self.values[name] != value:
            raise wrong(where, f"says otherwise than `{self._fields[name]}`; send one of them")
        self.values[name] = value
        self._fields.setdefault(name, where)

    def field(self, name: str) -> str:
        """The field that a value came from, or its own name."""
        return self._fields.get(name, name)

    def text(self, name: str) -> str | None:
        """A value that is a text, or None."""
        value = self.values.get(name)
        return value if isinstance(value, str) else None


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caller wants. `shape` holds `ratio`, `resolution` and `size`, as far as given."""

    model: str
    media: list[Medium] = field(default_factory=list)
    input: Given = field(default_factory=Given)
    shape: Given = field(default_factory=Given)
    parameters: Given = field(default_factory=Given)
    headers: list[tuple[str, str]] = field(default_factory=list)


def read_wish(document: Mapping[str, object]) -> Wish:
    """Every field, checked and sorted. Raises `ProxyError` (`ILLEGAL_INPUT`) naming the field."""
    _demand("model", document.get("model"), "a text")
    wish = Wish(str(document["model"]))
    for name, value in document.items():
        reader = FIELDS.get(name)
        if reader is None:
            raise _no_field(name[:_LONGEST_NAME])
        if value is not None:
            reader(wish, name, value)
    size = [wish.shape.values.pop(side, None) for side in ("width", "height")]
    if any(size):
        if not all(size):
            raise wrong("width" if size[1] else "height", "missing; width and height go together")
        wish.shape.put("size", f"{size[0]}*{size[1]}", "width")
    return wish


def _no_field(name: str) -> ProxyError:
    near = difflib.get_close_matches(name, FIELDS, 1)
    own = "what is the model's own goes into `upstream_options`"
    hint = f"did you mean `{near[0]}`?" if near else own
    return wrong(name, f"no field of a unified request; {hint}")


# -- one reader per kind of field ---------------------------------------------------------------

Reader: TypeAlias = Callable[[Wish, str, object], None]

_LONGEST_NAME = 64
"""Characters of a field's name, or of a medium's type; upstream's have some fifteen."""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


KINDS: Mapping[str, Callable[[object], bool]] = MappingProxyType(
    {
        "a text": lambda value: isinstance(value, str) and bool(value),
        "a number": _is_number,
        "a whole number over 0": lambda value: type(value) is int and value > 0,
        "a whole number": lambda value: type(value) is int,
        "true or false": lambda value: isinstance(value, bool),
        "an object": lambda value: isinstance(value, dict),
        "a text of at most 64 characters": lambda value: (
            isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME
        ),
        "url; videos are not sent as bytes": lambda value: value == "url",
    }
)
"""What a value must be, in the words of a refusal."""

OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "duration": "a number",
        "watermark": "true or false",
        "seed": "a whole number",
        "audio_setting": "a text",
    }
)
"""The documented `upstream_options`; others cross as they are."""


def _demand(where: str, value: object, kind: str) -> None:
    if not KINDS[kind](value):
        raise wrong(where, f"must be {kind}")


def _checked(kind: str) -> Reader:
    """What is read elsewhere, or goes nowhere."""

    def read(_wish: Wish, name: str, value: object) -> None:
        _demand(name, value, kind)

    return read


def _input(member: str) -> Reader:
    def read(wish: Wish, name: str, value: object) -> None:
        _demand(name, value, "a text")
        wish.input.put(member, value, name)

    return read


def _shape(member: str, kind: str = "a text") -> Reader:
    def read(wish: Wish, name: str, value: object) -> None:
        _demand(name, value, kind)
        wish.shape.put(member, _spelt(member, value), name)

    return read


def _spelt(member: str, value: object) -> object:
    is_short = isinstance(value, str) and len(value) <= _LONGEST_NAME
    return _SPELT[member](value) if is_short and member in _SPELT else value


_SPELT: Mapping[str, Callable[[object], object]] = {
    "resolution": lambda value: f"{value}P".upper() if f"{value}".isdigit() else f"{value}".upper(),
    "size": lambda value: f"{value}".lower().replace("x", "*"),
    "ratio": lambda value: f"{value}".lower(),
}
"""How upstream spells what people write as `720p`, `1280x720` and `Adaptive`."""


def _parameter(kind: str) -> Reader:
    def read(wish: Wish, name: str, value: object) -> None:
        _demand(name, value, kind)
        wish.parameters.put(name, value, name)

    return read


def _options(wish: Wish, name: str, value: object) -> None:
    for option, given in _members(name, value).items():
        where = f"{name}.{option}"
        if option in OPTIONS:
            if given is None:
                continue
            _demand(where, given, OPTIONS[option])
        wish.parameters.put(option, _spelt(option, given), where)


def _metadata(wish: Wish, name: str, value: object) -> None:
    members = _members(name, value)
    negative = members.pop("negative_prompt", None)
    if negative is not None:
        _demand(f"{name}.negative_prompt", negative, "a text")
        wish.input.put("negative_prompt", negative, f"{name}.negative_prompt")
    _options(wish, name, members)


def _members(name: str, value: object) -> Object:
    if not isinstance(value, dict):
        raise wrong(name, "must be an object")
    return dict(value)


def _headers(wish: Wish, name: str, value: object) -> None:
    for header, text in _members(name, value).items():
        if not isinstance(text, str):
            raise wrong(f"{name}.{header}", "must be a text")
        wish.headers.append((header, text))


def _media(kind: str) -> Reader:
    def read(wish: Wish, name: str, value: object) -> None:
        entries = value if isinstance(value, list) else [value]
        for number, entry in enumerate(entries):
            where = f"{name}[{number}]" if isinstance(value, list) else name
            wish.media.append(_medium(where, kind, entry))

    return read


def _medium(where: str, kind: str, entry: object) -> Medium:
    """A text, or an object with `url` and, for its role, `type`."""
    if isinstance(entry, str) and entry:
        return Medium(where, kind, entry)
    if not isinstance(entry, dict):
        raise wrong(where, "must be a URL, or an object with `type` and `url`, or a list of them")
    more = dict(entry)
    url, role = more.pop("url", None), more.pop("type", None)
    _demand(f"{where}.url", url, "a text")
    if role is not None:
        _demand(f"{where}.type", role, "a text of at most 64 characters")
    return Medium(where, kind, str(url), None if role is None else str(role), more)


FIELDS: Mapping[str, Reader] = MappingProxyType(
    {
        "model": _checked("a text"),
        "prompt": _input("prompt"),
        "negative_prompt": _input("negative_prompt"),
        "image": _media("image"),
        "images": _media("image"),
        "image_url": _media("image"),
        "video": _media("video"),
        "audio": _media("audio"),
        "ratio": _shape("ratio"),
        "aspect_ratio": _shape("ratio"),
        "resolution": _shape("resolution"),
        "size": _shape("size"),
        "width": _shape("width", "a whole number over 0"),
        "height": _shape("height", "a whole number over 0"),
        "duration": _parameter("a number"),
        "seed": _parameter("a whole number"),
        "fps": _parameter("a number"),
        "n": _parameter("a whole number over 0"),
        "headers": _headers,
        "upstream_options": _options,
        "metadata": _metadata,
        "response_format": _checked("url; videos are not sent as bytes"),
        "user": _checked("a text"),
    }
)
"""Every field, and how it is read. Who the end `user` is stays here."""
