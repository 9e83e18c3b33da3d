"""A unified request as the native one it stands for. Pure: a document in, a document out."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from proxy.core.compact import compact
from proxy.core.documents import parse, wrong
from proxy.core.families import MEDIA, PLAIN, Family, Slot, family_of
from proxy.core.headers import Fields, is_settable, value_of
from proxy.core.inlined import Inlined
from proxy.core.shapes import shape_parameters
from proxy.core.unified import Medium, Wish, read_wish

OSS_RESOLVE = "x-dashscope-ossresourceresolve"
"""Without it upstream does not read `oss://` addresses (protocol section 6)."""

_NAME = re.compile(r"[!#$%&'*+.^`|~0-9A-Za-z-]{1,128}")
_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]{0,4094}[\x21-\x7e])?")


@dataclass(frozen=True, slots=True)
class Native:
    """What goes up: `target` is the family's path, None the route's; `headers` are added."""

    body: bytes
    headers: Fields
    target: str | None


def translate(raw: bytes, families: Iterable[Family]) -> Native:
    """A body that the gate let through, in DashScope's own words.

    Raises `ProxyError`: `ILLEGAL_INPUT` naming the field at fault, `TOO_LARGE`.
    """
    inlined = Inlined(raw)
    wish = read_wish(parse(inlined.rest))
    family = family_of(families, wish.model)
    given = {**wish.input.values, **_placed(wish, family)}
    if not given:
        raise wrong("prompt", "missing; say what the video is to show")
    for name, value in shape_parameters(wish, family).items():
        wish.parameters.put(name, value, _shape_field(wish, name))
    document: dict[str, object] = {"model": wish.model, "input": {**family.input, **given}}
    if wish.parameters.values:
        document["parameters"] = wish.parameters.values
    return Native(inlined.put_back(compact(document)), _headers(wish), family.target)


def _shape_field(wish: Wish, name: str) -> str:
    """The field that gave a parameter of the video's shape, to name it."""
    given = [wish.shape.field(member) for member in wish.shape.values]
    return wish.shape.field(name) if name in wish.shape.values else given[0]


def _placed(wish: Wish, family: Family) -> dict[str, object]:
    """The media, each where the family wants it."""
    placed: dict[str, object] = {}
    taken: Counter[Slot] = Counter()
    for medium in wish.media:
        slot = _slot(medium, wish.model, family, taken)
        taken[slot] += 1
        entry: object = medium.url
        if slot.place == MEDIA:
            entry = {"type": slot.role, "url": medium.url, **medium.more}
        elif medium.more:
            extra = f"{medium.where}.{min(medium.more)}"
            raise wrong(extra, f"{wish.model} takes a URL and nothing with it")
        if slot.is_list:
            listed = placed.setdefault(slot.place, [])
            assert isinstance(listed, list)  # noqa: S101 - a place is a list in all slots or in none
            listed.append(entry)
        else:
            placed[slot.place] = entry
    return placed


def _slot(medium: Medium, model: str, family: Family, taken: Counter[Slot]) -> Slot:
    """Where one medium goes: by its role, or, bare, to the first slot with room.

    An endpoint without `media` has no types; there what is plainly an image is as good as bare.
    """
    own, role = family.slots_for(medium.kind), medium.role
    has_types = family.is_open or any(slot.place == MEDIA for slot in own)
    if role == PLAIN[medium.kind] and not has_types:
        role = None
    fitting = [slot for slot in own if role in {None, slot.role}]
    for slot in fitting:
        if slot.most is None or taken[slot] < slot.most:
            return slot
    if family.is_open and medium.role:
        return Slot(medium.kind, medium.role)
    if not own:
        kinds = dict.fromkeys(slot.kind for slot in family.slots)
        only = f"only {' and '.join(kinds)}" if kinds else "none of these, only a prompt"
        raise wrong(medium.where, f"{model} takes no {medium.kind}, {only}")
    roles = ", ".join(
        f"{slot.role}{f' ({slot.most} at most)' if slot.most else ''}" for slot in own
    )
    problem = "one too many" if fitting else f"no {medium.kind} of the type {medium.role}"
    where = medium.where if fitting else f"{medium.where}.type"
    raise wrong(where, f"{problem}; {model} takes {roles}")


def _headers(wish: Wish) -> Fields:
    """The header fields to add. Raises `ProxyError` for one that no client may set."""
    for name, text in wish.headers:
        where = f"headers.{name[:128]}"
        if not _NAME.fullmatch(name) or not is_settable(name):
            raise wrong(where, "may not be set here; set what a native call may carry")
        if not _VALUE.fullmatch(text):
            raise wrong(where, "must be visible ASCII on one line")
    names = [name.lower() for name, _ in wish.headers]
    for name in names:
        if names.count(name) > 1:
            raise wrong(f"headers.{name}", "given twice")
    is_oss = any(medium.url.startswith("oss://") for medium in wish.media)
    if is_oss and value_of(wish.headers, OSS_RESOLVE) is None:
        return [*wish.headers, ("X-DashScope-OssResourceResolve", "enable")]
    return wish.headers
