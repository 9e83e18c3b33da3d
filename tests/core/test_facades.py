"""The translation, over any document: a native one of the same model, or a refusal of a field."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proxy.config.routing import PACKAGED, load_routing
from proxy.core.errors import ProxyError
from proxy.core.facades import Native, translate

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
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
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


@given(documents)
def test_any_document(document: dict[str, Any]) -> None:
    """A refusal names its field; what passes is native, strict JSON, and keeps each URL once."""
    raw = json.dumps(document).encode()
    native = translated(raw)
    if isinstance(native, ProxyError):
        assert native.situation.status in {400, 413}
        assert native.param is None or native.message.startswith(f"{native.param}: ")
        return
    told = json.loads(native.body)
    assert told.keys() <= {"model", "input", "parameters"}
    assert (told["model"], bool(told["input"])) == (document["model"], True)
    assert json.loads(raw).get("prompt") == told["input"].get("prompt")
    wished = [
        entry["url"] if isinstance(entry, dict) else entry
        for name in ("image", "images", "image_url", "video", "audio")
        for entry in _listed(document.get(name))
    ]
    sent = json.dumps(told["input"])
    assert all(json.dumps(url) in sent for url in wished)
    assert all(name.isascii() for name, _ in native.headers)


def _listed(value: object) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


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
