"""A unified request as the native one it stands for. Pure: a document in, a document out."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from proxy.core.compact import compact
from proxy.core.dialects import PARAMETERS
from proxy.core.documents import Object, parse, wrong
from proxy.core.errors import ProxyError
from proxy.core.families import MEDIA, PLAIN, Family, Slot, family_of
from proxy.core.headers import Fields, is_settable, value_of
from proxy.core.inlined import Inlined
from proxy.core.shapes import put_shape
from proxy.core.spelling import fold
from proxy.core.unified import Medium, Wish, read_wish

OSS_RESOLVE = "x-dashscope-ossresourceresolve"
"""Without it upstream does not read `oss://` addresses (protocol section 6)."""

MOST_FIELDS = 64
MOST_FIELD_BYTES = 16 * 1024
"""Of `headers`: less than what upstream takes in all, and far more than a call has to say."""

_NAME = re.compile(r"[!#$%&'*+.^`|~0-9A-Za-z-]{1,128}")
_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]{0,4094}[\x21-\x7e])?")

_MAY_INLINE = frozenset(
    {
        *("prompt", "negative_prompt", "image", "images", "image_url", "video", "audio"),
        *("upstream_options", "metadata"),
    }
)
"""Fields whose texts cross as they are; into all others somebody looks."""


@dataclass(frozen=True, slots=True)
class Native:
    """What goes up: `target` is the family's path, None the route's; `headers` are added.

    `fields` are those that its parameters came from, by the parameters' folded names.
    """

    body: bytes
    headers: Fields
    target: str | None
    fields: Mapping[str, str]

    def blamed(self, error: ProxyError) -> ProxyError:
        """A refusal of something in this body, told of the field that the caller sent."""
        place, _, name = (error.param or "").partition(".")
        field = self.fields.get(fold(name)) if (place,) == PARAMETERS else None
        if field is None:
            return error
        message = error.message.replace(f"{error.param}: ", f"{field}: ", 1)
        return ProxyError(error.situation, message, headers=error.headers, param=field)


def translate(raw: bytes, families: Iterable[Family]) -> Native:
    """A body that the gate let through, in DashScope's own words.

    Raises `ProxyError`: `ILLEGAL_INPUT` naming the field at fault, `TOO_LARGE`.
    """
    inlined = Inlined(raw)
    wish = read_wish(_without_media(parse(inlined.rest), inlined))
    family = family_of(families, wish.model)
    given = {**wish.input.values, **_placed(wish, family)}
    if not given:
        raise wrong("prompt", "missing; say what the video is to show")
    put_shape(wish, family)
    parameters = dict(wish.parameters.values)
    moved = {name: parameters.pop(name) for name in family.input_options if name in parameters}
    document: dict[str, object] = {"model": wish.model, "input": {**family.input, **given, **moved}}
    if parameters:
        document["parameters"] = parameters
    fields = {fold(name): wish.parameters.field(name) for name in parameters}
    return Native(inlined.put_back(compact(document)), _added(wish), family.target, fields)


def _without_media(document: Object, inlined: Inlined) -> Object:
    """The document. Raises `ProxyError` for media where they would not go up as they came."""
    for name, value in document.items():
        if name not in _MAY_INLINE and inlined.stands_in(value):
            raise wrong(name, "takes no inlined media")
    return document


def _placed(wish: Wish, family: Family) -> dict[str, object]:
    """The media, each where the family wants it."""
    placed: dict[str, object] = {}
    taken: Counter[Slot] = Counter()
    for medium in wish.media:
        slot = _slot(medium, wish.model, family, taken)
        taken[slot] += 1
        if slot.needs and slot.needs not in wish.parameters.values:
            option = f"upstream_options.{slot.needs}"
            raise wrong(option, f"missing; say what {wish.model} is to do with `{medium.where}`")
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

    The role that bare ones have on the page is as good as none to a family that has no such type.
    """
    own, role = family.slots_for(medium.kind), medium.role
    if own and role == PLAIN[medium.kind] and role not in {slot.role for slot in own}:
        role = None
    fitting = [slot for slot in own if role in {None, slot.role}]
    for slot in fitting:
        if slot.most is None or taken[slot] < slot.most:
            return slot
    if family.is_open and role:
        return Slot(medium.kind, role)
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


def _added(wish: Wish) -> Fields:
    """The header fields to add. Raises `ProxyError` for one that no client may set."""
    size = sum(len(name) + len(text) for name, text in wish.headers)
    if len(wish.headers) > MOST_FIELDS or size > MOST_FIELD_BYTES:
        most = f"{MOST_FIELDS} fields and {MOST_FIELD_BYTES} bytes"
        raise wrong("headers", f"too many; there may be {most}")
    seen: set[str] = set()
    for name, text in wish.headers:
        where = f"headers.{name}"
        if not _NAME.fullmatch(name) or not is_settable(name):
            raise wrong(where, "may not be set here; set what a native call may carry")
        if not _VALUE.fullmatch(text):
            raise wrong(where, "must be visible ASCII on one line")
        if name.lower() in seen:
            raise wrong(where, "given twice")
        seen.add(name.lower())
    is_oss = any(medium.url.startswith("oss://") for medium in wish.media)
    if is_oss and value_of(wish.headers, OSS_RESOLVE) is None:
        return [*wish.headers, ("X-DashScope-OssResourceResolve", "enable")]
    return wish.headers
