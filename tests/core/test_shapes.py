"""Ratio, resolution and size, as a family takes them."""

from collections.abc import Mapping

import pytest

from proxy.config.routing import PACKAGED, load_routing
from proxy.core.errors import ProxyError
from proxy.core.families import PAGE, family_of
from proxy.core.shapes import TIERS, put_shape
from proxy.core.unified import read_wish

FAMILIES = load_routing(PACKAGED, {}).table.families
SIZED = family_of(FAMILIES, "wan2.5-t2v-preview")

ROWS = [
    ("480P", "16:9", "832*480"),
    ("480P", "9:16", "480*832"),
    ("480P", "1:1", "624*624"),
    ("720P", "16:9", "1280*720"),
    ("720P", "9:16", "720*1280"),
    ("720P", "1:1", "960*960"),
    ("720P", "4:3", "1088*832"),
    ("720P", "3:4", "832*1088"),
    ("1080P", "16:9", "1920*1080"),
    ("1080P", "9:16", "1080*1920"),
    ("1080P", "1:1", "1440*1440"),
    ("1080P", "4:3", "1632*1248"),
    ("1080P", "3:4", "1248*1632"),
]
"""The sizes that upstream documents for its text-to-video models."""


def shape(given: Mapping[str, object], model: str = "m") -> dict[str, object]:
    wish = read_wish({"model": model, **given})
    put_shape(wish, family_of(FAMILIES, model))
    return wish.parameters.values


@pytest.mark.parametrize(("resolution", "ratio", "size"), ROWS)
def test_each_documented_size(resolution: str, ratio: str, size: str) -> None:
    """To the size where the endpoint has one, and back where it has the two others."""
    both = {"resolution": resolution, "ratio": ratio}
    assert shape(both, "wan2.5-t2v-preview") == {"size": size}
    assert shape({"size": size}, "wan2.7-t2v") == both
    assert shape({"size": size, **both}, "wan2.5-t2v-preview") == {"size": size}


def test_the_table_is_whole() -> None:
    """What the route file says is what is documented, and nothing else."""
    told = [(tier, ratio, size) for tier, row in SIZED.sizes.items() for ratio, size in row.items()]
    assert sorted(told) == sorted(ROWS)
    assert SIZED.sizes.keys() == TIERS.keys()


def test_what_is_left_out_is_the_default() -> None:
    """Nothing said is nothing sent; half of it is completed by the family's first."""
    assert shape({}, "wan2.5-t2v-preview") == shape({}) == {}
    assert shape({"ratio": "1:1"}, "wan2.5-t2v-preview") == {"size": "1440*1440"}
    assert shape({"ratio": "1:1"}, "wan2.1-t2v-turbo") == {"size": "960*960"}
    assert shape({"resolution": "480p"}, "wan2.5-t2v-preview") == {"size": "832*480"}
    assert shape({"size": "704*544"}, "wan2.1-t2v-plus") == {"size": "704*544"}


def test_names_of_the_endpoint() -> None:
    """Kling's mode and aspect ratio; words that are no ratio cross in lower case."""
    assert shape({"resolution": "1080p", "ratio": "9:16"}, "kling/kling-v3") == {
        "mode": "pro",
        "aspect_ratio": "9:16",
    }
    assert shape({"ratio": "Adaptive", "resolution": "2k"}) == {
        "ratio": "adaptive",
        "resolution": "2K",
    }
    assert PAGE.ratio == "ratio"


@pytest.mark.parametrize(
    ("given", "model", "field"),
    [
        ({"resolution": "480p", "size": "1280*720"}, "wan2.5-t2v-preview", "size"),
        ({"ratio": "4:3", "resolution": "480p"}, "wan2.5-t2v-preview", "ratio"),
        ({"resolution": "2k"}, "wan2.5-t2v-preview", "resolution"),
        ({"resolution": "480p", "size": "1280*720"}, "wan2.7-t2v", "size"),
        ({"size": "1280*100"}, "wan2.7-t2v", "size"),
        ({"size": "0*100"}, "wan2.5-t2v-preview", "size"),
        ({"aspect_ratio": "7:7"}, "wan2.5-t2v-preview", "aspect_ratio"),
        ({"ratio": "16:9", "resolution": "480p"}, "wan2.6-r2v", "resolution"),
        ({"ratio": "7:7", "resolution": "480p"}, "wan2.5-t2v-preview", "ratio"),
        ({"ratio": "16:9", "size": "7*7"}, "wan2.5-t2v-preview", "size"),
    ],
)
def test_what_does_not_fit(given: dict[str, object], model: str, field: str) -> None:
    """Refused at the field that does not go with the others."""
    with pytest.raises(ProxyError) as caught:
        shape(given, model)
    assert caught.value.param == field
