"""Families of models: what of a unified request each takes, and where its endpoint wants it.

Data, no code: the route file lists them (`families:`), and the first whose pattern matches a
model is its family. Where none does, `PAGE` holds: the mapping that the unified API documents.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from proxy.core.policy import matches

MEDIA = "media"
"""The member of `input` that lists media as `{type, url}`; every other place takes bare URLs."""

PLAIN: Mapping[str, str] = MappingProxyType(
    {"image": "reference_image", "video": "video", "audio": "audio"}
)
"""The fields that hold media, and the type of what comes as a bare text."""

_NOTHING: Mapping[str, str] = MappingProxyType({})
_NO_SIZES: Mapping[str, Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Slot:
    """Where media of one type goes: `place` in `input`, a list of them or one.

    `kind` is the unified field, `role` the entry's type; `most` None is any number. `needs` is an
    option without which nobody knows what it is for.
    """

    kind: str
    role: str
    place: str = MEDIA
    is_list: bool = True
    most: int | None = None
    needs: str | None = None


@dataclass(frozen=True, slots=True)
class Family:
    """Models whose endpoint takes the same members. Names of parameters are the endpoint's.

    `target` None is the route's own. Bare URLs take the first of the `slots` of their kind that
    has room; `is_open` lets other types into `media` as they are. `resolutions` are the only ones
    and what the endpoint calls them. With `sizes` (resolution, ratio, size; the first is the
    default) the endpoint takes `size` instead of both. `input` are members it always needs, and
    `input_options` are options that it wants there and not among the parameters.
    """

    models: tuple[str, ...]
    target: str | None = None
    slots: tuple[Slot, ...] = ()
    is_open: bool = False
    ratio: str = "ratio"
    resolution: str = "resolution"
    resolutions: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    sizes: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: _NO_SIZES)
    input: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    input_options: tuple[str, ...] = ()

    def slots_for(self, kind: str) -> list[Slot]:
        """The slots of one unified field, in their order."""
        return [slot for slot in self.slots if slot.kind == kind]


PAGE = Family(("*",), slots=tuple(Slot(*pair) for pair in PLAIN.items()), is_open=True)
"""What the page of the unified API says of every model."""


def family_of(families: Iterable[Family], model: str) -> Family:
    """The family a model belongs to."""
    return next((family for family in families if matches(family.models, model)), PAGE)
