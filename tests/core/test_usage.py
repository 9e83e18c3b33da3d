"""`core.usage`: whatever an answer holds, read in one way; the corpus is in `usage_corpus`."""

import json
from decimal import Decimal

import pytest
from core.usage_corpus import CASES, Case
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.money import text_of
from proxy.core.quantities import MOST
from proxy.core.usage import NOTHING_USED, Used, read_usage

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
USAGE = st.dictionaries(
    st.sampled_from(
        [
            *(
                "duration",
                "video_duration",
                "SR",
                "size",
                "video_ratio",
                "width",
                "height",
                "models",
            ),
            *("image_count", "count", "total_tokens", "input_tokens", "output_tokens"),
            *("cache_read_input_tokens", "characters", "video_count", "models"),
        ]
    ),
    JSON,
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_row_of_the_table(case: Case) -> None:
    """Seconds, resolution and price of each are what a person works out by hand."""
    used = read_usage(case.whole, case.inputs, case.model)
    assert used == case.used
    if used is not None:
        assert case.price.is_told(used)
        assert text_of(case.price.cost(used)) == case.amount


@pytest.mark.parametrize(
    ("told", "used"),
    [
        ({"duration": 5, "resolution": "720P"}, Used(seconds=Decimal(5), lines=720)),
        ({"duration": 5, "resolution": "720p", "SR": 480}, Used(seconds=Decimal(5), lines=480)),
        ({"duration": 5, "resolution": "1280*720"}, Used(seconds=Decimal(5), lines=720)),
        ({"duration": 0, "output_video_duration": 5}, Used(seconds=Decimal(5), lines=1080)),
        ({"duration": 0, "SR": 720}, Used(seconds=Decimal(0), lines=720)),
        ({"models": [], "input_tokens": 9}, Used(input_tokens=9)),
        ({"models": ["?"], "input_tokens": 9, "output_tokens": 1}, Used(None, None, None, 9, 1)),
    ],
)
def test_odd_ends(told: dict[str, object], used: Used) -> None:
    """A resolution as those who resell it call it; a 0 beside a number; a list of no models."""
    assert read_usage({"usage": told}, {"resolution": '"1080P"'}, "wan2.7-t2v") == used


def test_a_usage_without_an_amount_hides_no_other() -> None:
    """The one beside the results has the seconds that the first is silent about."""
    answer = {"usage": {"video_count": 1}, "output": {"usage": {"duration": 3}}}
    asked = {"duration": "10"}
    assert read_usage(answer, asked, "wan2.7-t2v") == Used(seconds=Decimal(3))


@pytest.mark.parametrize(
    ("model", "more", "tokens"),
    [
        ("multimodal-embedding-v1", {}, 906),
        ("tongyi-embedding-vision-plus", {"total_tokens": 906}, 906),
        ("qwen-vl-max", {}, 10),
    ],
)
def test_tokens_of_images(model: str, more: dict[str, int], tokens: int) -> None:
    """Embeddings tell them beside those of texts, everybody else among them."""
    answer = {"usage": {"input_tokens": 10, "image_tokens": 896, **more}}
    assert read_usage(answer, {}, model) == Used(input_tokens=tokens)


PARTS = st.integers(0, MOST)


@pytest.mark.parametrize(
    "answer",
    [
        *(None, 5, "usage", [], [{"usage": {"duration": 5}}], {}, {"usage": None}, {"usage": 16}),
        *({"usage": "5"}, {"usage": []}, {"usage": {}}, {"usage": [{"duration": 5}]}),
        {"usage": {"image_num": 0}},
        {"usage": {"duration": None, "video_count": 1}},
        {"usage": {"duration": True}},
        {"usage": {"duration": -5}},
        {"usage": {"duration": float("nan")}},
        {"usage": {"duration": 1e300}},
        {"usage": {"SR": 720}},
        {"payload": {"usage": None}},
    ],
    ids=lambda answer: json.dumps(answer)[:50],
)
def test_an_answer_that_tells_no_usage(answer: object) -> None:
    """None, so that nobody takes it for a usage of nothing."""
    assert read_usage(answer, {}, "wan2.7-t2v") is None


@given(JSON | USAGE.map(lambda usage: {"usage": usage}), st.dictionaries(st.text(), st.text()))
def test_nothing_raises(answer: object, inputs: dict[str, str]) -> None:
    """Answers are upstream's, inputs are anybody's."""
    used = read_usage(answer, inputs, "wan2.7-t2v")
    assert used != NOTHING_USED


def test_depth_is_no_matter() -> None:
    """An answer nested as deep as a parser takes is read, not fallen into."""
    deep: dict[str, object] = {"input_tokens": 1}
    for _ in range(100_000):
        deep = {"models": [deep]}
    assert read_usage({"usage": deep}, {}, "app") is None


@pytest.mark.parametrize(
    ("inputs", "used"),
    [
        ({}, None),
        ({"duration": "10"}, Used(seconds=Decimal(10))),
        ({"duration": '"10"', "resolution": '"720P"'}, Used(seconds=Decimal(10), lines=720)),
        ({"duration": "-1", "resolution": '"720P"'}, None),
        ({"duration": "true"}, None),
        ({"duration": ""}, None),
        ({"duration": "[" * 100_000}, None),
    ],
)
def test_the_request_counts_where_the_answer_is_silent(
    inputs: dict[str, str], used: Used | None
) -> None:
    """It says that there is a video, and not how long: as long as it was asked for."""
    assert read_usage({"usage": {"video_count": 1}}, inputs, "wan2.7-t2v") == used


def test_the_answer_is_believed_before_the_request() -> None:
    """Asked for 10 s in 1080P, made 5 s in 720P."""
    asked = {"duration": "10", "resolution": '"1080P"'}
    answer = {"usage": {"duration": 5, "SR": "720"}}
    assert read_usage(answer, asked, "wan2.7-t2v") == Used(seconds=Decimal(5), lines=720)
    tokens = {"usage": {"total_tokens": 5}}
    assert read_usage(tokens, asked, "wan2.7-t2v") == Used(input_tokens=5)


def test_a_family_that_ignores_a_resolution_is_not_billed_by_it() -> None:
    """`wan2.2-animate` reports `standard`; a `resolution` beside it would be a client's wish."""
    answer = {"usage": {"video_duration": 5.2, "video_ratio": "standard"}}
    asked = {"resolution": '"480P"'}
    used = read_usage(answer, asked, "wan2.2-animate-mix")
    assert used == Used(seconds=Decimal("5.2"))
