"""What finished videos report as used."""

from typing import Any

import pytest

from proxy.sandbox.usage import video_usage

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
