"""`families:` of the route file -> what façades translate by."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, model_validator

from proxy.config.document import Document
from proxy.config.kinds import SomeWords, Strict, like
from proxy.core.families import MEDIA, PLAIN, Family, Slot

_NAME = r"[A-Za-z][A-Za-z0-9_]*"
_SERVICE = r"/api/v1/services/[A-Za-z0-9/-]*[A-Za-z0-9]/?"
_SIZE = r"[1-9]\d*\*[1-9]\d*"

Role = Annotated[str, like(_NAME)] | None
Parameter = Annotated[str, like(_NAME)]


class SlotEntry(Strict):
    """Media of one type: the unified field it comes in, and where it goes in `input`."""

    image: Role = Field(default=None, description="the type of the media, as first_frame")
    video: Role = Field(default=None, description="the type of the media, as reference_video")
    audio: Role = Field(default=None, description="the type of the media, as driving_audio")
    to: Annotated[str, like(rf"{_NAME}(\[\])?")] = Field(
        default=f"{MEDIA}[]", description="a member of `input`, with [] for a list, as img_url"
    )
    most: int | None = Field(default=None, ge=1, le=1000, description="a number from 1 to 1000")
    needs: Annotated[str, like(_NAME)] | None = Field(
        default=None, description="an option's name, as function"
    )

    @model_validator(mode="after")
    def _one_kind(self) -> "SlotEntry":
        if sum(getattr(self, kind) is not None for kind in PLAIN) != 1:
            raise ValueError("has one of `image`, `video` and `audio`, which is the media's type")
        return self


class FamilyEntry(Strict):
    """Models whose endpoint takes the same members. The names are the endpoint's."""

    models: SomeWords = Field(description="one pattern or several, as in wan*-kf2v-*")
    target: Annotated[str, like(_SERVICE)] | None = Field(
        default=None, description="a path on upstream that begins with /api/v1/services/"
    )
    takes: list[SlotEntry] = Field(
        default=[], description="a list, as `{image: first_frame, to: img_url}`"
    )
    others: bool = Field(default=False, description="true or false")
    ratio: Parameter = Field(default="ratio", description="a parameter's name")
    resolution: Parameter = Field(default="resolution", description="a parameter's name")
    resolutions: dict[str, str] = Field(
        default={}, description="resolutions and what the endpoint calls them, as `{720P: std}`"
    )
    sizes: dict[str, dict[str, Annotated[str, like(_SIZE)]]] = Field(
        default={}, description='sizes by resolution and ratio, as `720P: {"16:9": "1280*720"}`'
    )
    input: dict[str, str] = Field(
        default={}, description="members of `input` with their values, all texts"
    )
    input_options: list[Annotated[str, like(_NAME)]] = Field(
        default=[], description="a list of options, as `[driven_id]`"
    )


def families_of(
    entries: Sequence[FamilyEntry], document: Document, problems: list[str]
) -> tuple[Family, ...]:
    """The families, in their order; what cannot be meant is added to `problems`."""
    for number, entry in enumerate(entries):
        at = document.at(("families", number))
        problems += [f"{at}: families.{number}: {flaw}" for flaw in _flaws(entry)]
    return tuple(map(_family, entries))


def _flaws(entry: FamilyEntry) -> list[str]:
    flaws = []
    if entry.sizes and entry.resolutions:
        flaws.append("sizes: stand instead of resolutions; keep one of them")
    if not all(entry.sizes.values()):
        flaws.append("sizes: a resolution without a size; name its ratios")
    places = {slot.to.removesuffix("[]") for slot in entry.takes}
    if len(places) < len({slot.to for slot in entry.takes}):
        flaws.append("takes: a member of `input` is a list in all places, or in none")
    if MEDIA in {slot.to for slot in entry.takes}:
        flaws.append("takes: `media` is a list, spell it media[]")
    if places & {*entry.input, *entry.input_options, "prompt", "negative_prompt"}:
        flaws.append("takes: a member of `input` has one value; choose another")
    return flaws


def _family(entry: FamilyEntry) -> Family:
    return Family(
        models=tuple(entry.models),
        target=entry.target,
        slots=tuple(map(_slot, entry.takes)),
        is_open=entry.others,
        ratio=entry.ratio,
        resolution=entry.resolution,
        resolutions={name.upper(): value for name, value in entry.resolutions.items()},
        sizes={name.upper(): sizes for name, sizes in entry.sizes.items()},
        input=entry.input,
        input_options=tuple(entry.input_options),
    )


def _slot(entry: SlotEntry) -> Slot:
    """Its one kind and role; a place that is no list has room for one."""
    kind, role = next((kind, role) for kind in PLAIN if (role := getattr(entry, kind)))
    is_list = entry.to.endswith("[]")
    most = entry.most if is_list else 1
    return Slot(kind, role, entry.to.removesuffix("[]"), is_list, most, entry.needs)
