"""What finished videos report as used."""

import json
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

import pytest
from core.usage_corpus import CASES as CORPUS
from core.usage_corpus import Case
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.gate import Gate
from proxy.core.places import places_of
from proxy.core.prices import Price, Tier
from proxy.core.usage import read_usage
from proxy.sandbox.usage import FAMILIES, image_usage, video_usage, videos_in

HD = {"resolution": "720P", "duration": 4}

CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("wan2.7-t2v", HD, {"duration": 4, "SR": 720, "ratio": "16:9", "output_video_duration": 4}),
    ("wan2.7-i2v-2026-04-25", {}, {"duration": 5, "SR": 1080}),
    ("wan3.0-video", {"duration": -1, "resolution": "480P"}, {"duration": 5, "SR": 480}),
    ("happyhorse-1.1-t2v", {"duration": "7"}, {"duration": 7, "SR": 720}),
    ("wan2.6-i2v", HD, {"duration": 4, "size": "1280*720", "SR": 720, "video_count": 1}),
    ("wan2.5-t2v-preview", {"size": "832*480"}, {"size": "832*480", "SR": 480}),
    ("wanx2.1-t2v-turbo", {"size": "832*480"}, {"video_duration": 5, "video_ratio": "832*480"}),
    ("wanx2.1-vace-plus", {}, {"video_duration": 5, "video_count": 1}),
    ("wan2.2-kf2v-flash", HD, {"video_duration": 4, "video_count": 1, "SR": 720}),
    ("wan2.2-animate-mix", {}, {"video_duration": 5.2, "video_ratio": "standard"}),
    ("wan2.2-s2v", HD, {"duration": 5.2, "SR": 720}),
    ("emo-v1", {}, {"video_duration": 5.2}),
    ("kling/kling-v3-video-generation", HD, {"SR": "720", "audio": True, "fps": 24}),
    ("pixverse/pixverse-v6-kf2v", {"audio": False}, {"audio": False, "SR": "720"}),
    ("MiniMax/MiniMax-H3", {"resolution": "2K"}, {"SR": "1440", "total_seconds": 5}),
    ("video-style-transform", HD, {"duration": 4, "SR": 720}),
    ("never-heard-of", {"duration": 2.5}, {"video_duration": 2.5}),
]


@pytest.mark.parametrize(("model", "parameters", "expected"), CASES, ids=[c[0] for c in CASES])
def test_families(model: str, parameters: dict[str, Any], expected: dict[str, Any]) -> None:
    """Each family names and types its usage its own way (protocol section 5)."""
    usage = video_usage(model, parameters)
    assert {name: usage.get(name) for name in expected} == expected
    assert all(type(usage[name]) is type(value) for name, value in expected.items())


@pytest.mark.parametrize("duration", ["five", None, [], 0, -3, float("nan"), 10**9])
def test_odd_durations_read_as_the_default(duration: object) -> None:
    """A duration nobody can bill is five seconds."""
    assert video_usage("wan2.6-t2v", {"duration": duration})["duration"] == 5


MADE = [case for case in CORPUS if case.made_by is not None]


@pytest.mark.parametrize("case", MADE, ids=str)
def test_the_sandbox_reports_what_the_corpus_holds(case: Case) -> None:
    """Whoever reads usage is proved with the same answers, by hand and over HTTP."""
    assert case.made_by is not None
    usage = video_usage(case.model, *case.made_by)
    assert usage == case.usage
    assert isinstance(case.usage, dict)
    assert {name: type(value) for name, value in usage.items()} == {
        name: type(value) for name, value in case.usage.items()
    }


def test_every_family_is_in_the_corpus() -> None:
    """A family that the sandbox knows has an answer in the corpus."""
    patterns = {pattern for pattern, _ in FAMILIES}
    met = {next(p for p, _ in FAMILIES if fnmatchcase(case.model, p)) for case in MADE}
    assert patterns - met == {"vidu/*"}, "reports as kling and pixverse do"


IMAGES = [
    ("qwen-image-2.0-pro", {"size": "1024*1024"}, 2, 3),
    ("qwen-image-plus", {"size": "1328*1328"}, 1, 0),
    ("kling/kling-v3-image-generation", {"size": "1024*1024"}, 1, 0),
    ("wan2.7-image", {}, 2, 0),
]


@pytest.mark.parametrize(("model", "parameters", "count", "given"), IMAGES)
def test_images_are_reported_as_in_the_corpus(
    model: str, parameters: dict[str, Any], count: int, given: int
) -> None:
    """The same names and numbers; strays are left to the corpus."""
    (case,) = (case for case in CORPUS if case.model == model)
    assert isinstance(case.usage, dict)
    usage = image_usage(model, parameters, count, given)
    assert usage == {name: case.usage[name] for name in usage}


DURATIONS: st.SearchStrategy[object] = st.sampled_from(
    [1, 2, 4, 4.5, 5, 10, 15, "7", "4.5", -1, 0, None, "x", [], True]
)
PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        "duration": DURATIONS,
        "resolution": st.sampled_from(["480P", "720p", "1080P", "2K", 7, None]),
        "size": st.sampled_from(["832*480", "960*960", "1280*720", "1920*1080", "x", None]),
        "audio": st.booleans(),
    },
)
MODELS = st.sampled_from(sorted({case.model for case in MADE}))
MEDIA = st.lists(st.sampled_from(["first_frame", "reference_video", "video"]), max_size=5)
PRICE = Price(
    ("*",),
    per_second=(Tier(480, Decimal("0.3")), Tier(720, Decimal("0.6")), Tier(None, Decimal(1))),
)


@given(MODELS, PARAMETERS, MEDIA)
def test_no_video_costs_more_than_what_is_reserved_for_it(
    model: str, parameters: dict[str, Any], media: list[str]
) -> None:
    """From the body's bytes to the bill: the hold is at least what the answer comes to cost."""
    given_ = {"media": [{"type": kind, "url": "x"} for kind in media]}
    body = json.dumps({"model": model, "input": given_, "parameters": parameters}).encode()
    gate = Gate(places_of([("model",)]), lambda *_: None)
    gate.feed(body)
    gate.finish()
    usage = video_usage(model, parameters, videos_in(given_))
    used = read_usage({"usage": usage}, gate.noted, model)
    assert used is not None
    assert PRICE.cost(used) <= PRICE.dearest(model, gate.noted, len(body))
