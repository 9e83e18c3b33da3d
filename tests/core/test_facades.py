"""The translation, over any document: a native one of the same model, or a refusal of a field."""

import json
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proxy.config.routing import PACKAGED, load_routing
from proxy.core.errors import ProxyError
from proxy.core.facades import Native, translate
from proxy.core.inlined import MOST_BESIDE

FAMILIES = load_routing(PACKAGED, {}).table.families
MODELS = [family.models[0].replace("*", "x") for family in FAMILIES] + ["kling-v2-1-turbo"]
FIELDS = [
    *("prompt", "negative_prompt", "image", "images", "image_url", "video", "audio", "ratio"),
    *("aspect_ratio", "resolution", "size", "width", "height", "duration", "seed", "fps", "n"),
    *("headers", "upstream_options", "metadata", "response_format", "user", "other"),
]

urls = st.sampled_from(["https://e.example/a", "oss://b/c", "data:image/png;base64,AA==", ""])
roles = st.sampled_from(["first_frame", "last_frame", "reference_image", "video", "audio", "hat"])
entries = urls | st.fixed_dictionaries({"url": urls}, optional={"type": roles, "more": st.none()})
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
shapes = st.sampled_from(["16:9", "1:1", "720p", "1080P", "1280x720", "adaptive", "url"])
objects = st.dictionaries(st.text() | st.sampled_from(["duration", "size", "X-A"]), scalars)
values = scalars | shapes | entries | st.lists(entries, max_size=3) | objects
documents = st.builds(
    lambda model, rest: {"model": model, **rest},
    st.sampled_from(MODELS),
    st.dictionaries(st.sampled_from(FIELDS), values, max_size=6),
)


def translated(raw: bytes) -> Native | ProxyError:
    try:
        return translate(raw, FAMILIES)
    except ProxyError as error:
        return error


def taken_away(document: dict[str, Any], param: str) -> dict[str, Any]:
    """A document without the top-level field that a refusal is about."""
    name = param.split(".", maxsplit=1)[0].split("[", maxsplit=1)[0]
    return {key: value for key, value in document.items() if key != name}


NEEDED = {"prompt", "width", "height", "upstream_options.function"}
"""Fields that a refusal names because they are not there."""


@given(documents)
def test_any_document(document: dict[str, Any]) -> None:
    """A refusal names the field at fault; what passes is native and has each URL, and no other.

    The field at fault is the one without which there is another refusal, or none.
    """
    raw = json.dumps(document).encode()
    native = translated(raw)
    if isinstance(native, ProxyError):
        assert native.situation.status == 400
        assert native.param is not None
        assert native.message.startswith(f"{native.param}: ")
        root = native.param.split(".")[0].split("[")[0]
        if native.param in NEEDED and document.get(root) is None:
            return
        assert root in document or native.param in NEEDED
        again = translated(json.dumps(taken_away(document, native.param)).encode())
        is_better = not isinstance(again, ProxyError) or again.message != native.message
        assert is_better or native.param in NEEDED
        return
    told = json.loads(native.body)
    assert told.keys() <= {"model", "input", "parameters"}
    assert (told["model"], bool(told["input"])) == (document["model"], True)
    assert document.get("prompt") == told["input"].get("prompt")
    wished = Counter(
        entry["url"] if isinstance(entry, dict) else entry
        for name in ("image", "images", "image_url", "video", "audio")
        for entry in _listed(document.get(name))
    )
    assert Counter(_sent(told["input"])) == wished
    assert all(name.isascii() for name, _ in native.headers)


def _sent(input_: dict[str, Any]) -> list[str]:
    """The URLs in a native body: each place holds one, a list of them, or a list of entries."""
    texts = {"prompt", "negative_prompt", "function"}
    return [
        entry["url"] if isinstance(entry, dict) else entry
        for name, value in input_.items()
        if name not in texts
        for entry in _listed(value)
    ]


def _listed(value: object) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def test_a_bare_picture_has_no_limit_of_its_own() -> None:
    """Base64 without `data:` before it is a medium as well, not a part of the small rest."""
    picture = "iVBORw0KGgo" + "A" * MOST_BESIDE
    raw = json.dumps({"model": "wan2.6-i2v", "image": picture}).encode()
    assert json.loads(translate(raw, FAMILIES).body)["input"] == {"img_url": picture}


def test_what_goes_up_is_compact_and_ordered() -> None:
    """Byte for byte: no blanks, letters as they are; constants of the family before the rest."""
    raw = '{"model": "wanx2.1-vace-plus", "prompt": "ein Kätzchen", "image": "https://a/b"}'
    assert (
        translate(raw.encode(), FAMILIES).body
        == (
            '{"model":"wanx2.1-vace-plus","input":{"function":"image_reference",'
            '"prompt":"ein Kätzchen","ref_images_url":["https://a/b"]}}'
        ).encode()
    )
