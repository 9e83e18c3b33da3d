"""A unified request, read: every spelling of a field, sorted."""

import pytest

from proxy.core.errors import ProxyError
from proxy.core.unified import OPTIONS, Given, read_wish


def test_all_spellings_mean_the_same() -> None:
    """51kik's words, Crazyrouter's and new-api's come to one wish."""
    kik = read_wish({"model": "m", "image": ["u"], "ratio": "16:9", "resolution": "720p"})
    router = read_wish({"model": "m", "images": ["u"], "aspect_ratio": "16:9", "resolution": "720"})
    assert kik.media[0].url == router.media[0].url == "u"
    assert kik.shape.values == router.shape.values == {"ratio": "16:9", "resolution": "720P"}
    sized: list[dict[str, object]] = [{"size": "1280x720"}, {"size": "1280*720"}]
    sized.append({"width": 1280, "height": 720})
    assert {read_wish({"model": "m", **one}).shape.text("size") for one in sized} == {"1280*720"}


def test_options_of_both_names() -> None:
    """`metadata` is `upstream_options`, but for the negative prompt; unknown ones cross."""
    wish = read_wish(
        {
            "model": "m",
            "duration": 5,
            "upstream_options": {"duration": 5, "seed": None, "shot_type": None},
            "metadata": {"negative_prompt": "dogs", "style": "noir"},
            "user": "u-1",
            "response_format": "url",
            "video": None,
        }
    )
    assert wish.parameters.values == {"duration": 5, "shot_type": None, "style": "noir"}
    assert wish.input.values == {"negative_prompt": "dogs"}
    assert not wish.media


def test_media_know_where_they_stood() -> None:
    """For a refusal that names the entry; a type is kept, as is the rest of its object."""
    entry = {"type": "reference_video", "url": "v", "reference_voice": "s"}
    wish = read_wish({"model": "m", "image": "a", "video": [entry]})
    assert [(one.where, one.kind, one.role) for one in wish.media] == [
        ("image", "image", None),
        ("video[0]", "video", "reference_video"),
    ]
    assert wish.media[1].more == {"reference_voice": "s"}


def test_two_values_for_one_name() -> None:
    """Equal ones are one; others are refused, naming both fields."""
    named = Given()
    named.put("duration", 5, "duration")
    named.put("duration", 5, "upstream_options.duration")
    with pytest.raises(ProxyError, match=r"metadata\.duration: says otherwise than `duration`"):
        named.put("duration", 6, "metadata.duration")
    assert (named.field("duration"), named.field("other")) == ("duration", "other")
    assert named.text("duration") is None


@pytest.mark.parametrize("option", OPTIONS)
def test_each_option_has_a_kind(option: str) -> None:
    """An object is no duration, no watermark, no seed, no audio setting."""
    with pytest.raises(ProxyError, match=f"^upstream_options.{option}: must be "):
        read_wish({"model": "m", "upstream_options": {option: {}}})


def test_a_shape_is_spelt_alike_everywhere() -> None:
    """An option says the same as the field of its name; what is no text crosses as it is."""
    shapes = {"resolution": "720p", "ratio": "Adaptive", "size": "1280x720"}
    wish = read_wish({"model": "m", "upstream_options": shapes, "metadata": {"resolution": "720P"}})
    assert wish.parameters.values == {
        "resolution": "720P",
        "ratio": "adaptive",
        "size": "1280*720",
    }
    odd: dict[str, object] = {"resolution": 720, "ratio": None, "size": "x" * 65}
    assert read_wish({"model": "m", "upstream_options": odd}).parameters.values == odd


@pytest.mark.parametrize("model", [None, "", 7])
def test_a_wish_has_a_model(model: object) -> None:
    """There is no wish without one."""
    with pytest.raises(ProxyError, match=r"^model: must be a text"):
        read_wish({"model": model, "prompt": "a cat"})
