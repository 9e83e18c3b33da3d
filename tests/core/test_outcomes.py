"""`core.outcomes`: the most that a request could come to use."""

from decimal import Decimal

import pytest

from proxy.core import capabilities
from proxy.core.outcomes import UNBOUNDED, Bounds, dearest_outcome


@pytest.mark.parametrize(
    ("model", "duration", "seconds"),
    [
        ("wan2.7-t2v", "4", 4),
        ("wan2.7-t2v", '"4"', 4),
        ("wan2.7-t2v", "4.2", 5),
        ("wan2.7-t2v", "1", 2),
        ("wan2.7-t2v", "1000", 1000),
        ("wan2.7-t2v", None, 5),
        ("wan2.7-t2v", "null", 5),
        *[("wan2.7-t2v", odd, 15) for odd in ("-1", "0", '"five"', "true", "[]", "", "1e300")],
        ("wan3.0-video", "4", 4),
        ("wan3.0-video", "-1", 30),
        ("wan2.2-t2v-plus", "1", 5),
        *[("happyhorse-1.1-video-edit", odd, 75) for odd in (None, "4", "-1", "")],
        ("happyhorse-1.1-video-edit", "100", 100),
        ("wan2.7-videoedit", "2", 60),
        ("wan2.2-animate-mix", "2", 60),
        ("emo-v1", None, 60),
        ("never-heard-of", "2", 30),
    ],
)
def test_seconds(model: str, duration: str | None, seconds: int) -> None:
    """As asked, rounded up; the family's usual if not; its most where asking decides nothing."""
    inputs = {} if duration is None else {"duration": duration}
    assert dearest_outcome(model, inputs, 100, UNBOUNDED).seconds == seconds


@pytest.mark.parametrize(
    ("model", "videos", "seconds"),
    [
        ("wan2.7-r2v", None, 4),
        ("wan2.7-r2v", "1", 34),
        ("wan2.7-r2v", "3", 94),
        ("wan2.7-r2v", "", 154),
        ("wan3.0-video", "2", 64),
        ("wan2.6-i2v", "2", 4),
        ("kling/kling-v3-omni-video-generation", "1", 34),
        ("vidu/viduq2-pro_reference2video", "1", 34),
        ("pixverse/pixverse-v6-r2v", "1", 34),
    ],
)
def test_videos_given_are_billed_too(model: str, videos: str | None, seconds: int) -> None:
    """Where a family bills what goes in, as much of each as it may be."""
    inputs = {"duration": "4"} | ({} if videos is None else {"videos": videos})
    assert dearest_outcome(model, inputs, 100, UNBOUNDED).seconds == seconds
    known = dearest_outcome(model, inputs, 100, Bounds(seconds=20)).seconds
    assert known == min(seconds, 20)


@pytest.mark.parametrize(("files", "hours"), [(None, 12), ("1", 12), ("100", 1200), ("", 1200)])
def test_each_recording_is_heard_by_itself(files: str | None, hours: int) -> None:
    """A batch may have as many as its links, each as long as any; a price may know the call's."""
    inputs = {} if files is None else {"files": files}
    assert dearest_outcome("paraformer-v2", inputs, 100, UNBOUNDED).seconds == hours * 3600
    assert dearest_outcome("paraformer-v2", inputs, 100, Bounds(seconds=60)).seconds == 60


@pytest.mark.parametrize(
    ("model", "inputs", "images"),
    [
        ("wan2.6-image", {"n": "1"}, 5),
        ("wan2.6-image", {"n": "1", "max_images": "3"}, 3),
        ("wan2.6-image", {"n": "4", "max_images": "1"}, 4),
        ("wan2.6-image", {"n": "1", "max_images": ""}, capabilities.MOST_IMAGES),
        ("kling/kling-v3-omni-image-generation", {"n": "1"}, 9),
        ("kling/kling-v3-image-generation", {"n": "1", "series_amount": "4"}, 4),
        ("wanx-poster-generation-v1", {"n": "1"}, 4),
        ("qwen-image-plus", {"n": "1", "max_images": "3"}, 3),
        ("aitryon", {"n": "1"}, 1),
        ("never-heard-of", {"n": "1"}, 12),
        ("never-heard-of", {"n": "20"}, 20),
    ],
)
def test_images_are_bounded_by_what_the_family_counts_by(
    model: str, inputs: dict[str, str], images: int
) -> None:
    """Of several that may count the greatest; what the family does not heed can only raise it."""
    assert dearest_outcome(model, inputs, 100, UNBOUNDED).images == images


@pytest.mark.parametrize(
    ("model", "n", "images"),
    [
        ("qwen-image-plus", None, 1),
        ("qwen-image-plus", "3", 3),
        ("wan2.2-t2i-flash", None, 4),
        ("wan2.2-t2i-flash", "1", 1),
        ("wan2.7-image", None, 12),
        *[("qwen-image-plus", odd, 100) for odd in ("0", "-1", "1.5", '"many"', "")],
    ],
)
def test_images(model: str, n: str | None, images: int) -> None:
    """As many as asked for, or as come unasked."""
    inputs = {} if n is None else {"n": n}
    assert dearest_outcome(model, inputs, 100, UNBOUNDED).images == images


@pytest.mark.parametrize(
    ("model", "inputs", "size", "tokens"),
    [
        ("qwen-plus", {}, 300, 300),
        ("qwen-plus", {}, None, capabilities.CONTEXT),
        ("qwen-plus", {"enable_search": "true"}, 300, capabilities.CONTEXT),
        ("qwen-plus", {"previous_response_id": '"x"'}, 300, capabilities.CONTEXT),
        ("qwen-vl-max", {}, 300, capabilities.CONTEXT),
        ("qwen-plus", {"tools": "1"}, 300, capabilities.CONTEXT),
        ("qwen-plus", {"tools": ""}, 300, capabilities.CONTEXT),
        ("qwen2.5-vl-72b-instruct", {}, 300, capabilities.CONTEXT),
        ("text-embedding-v4", {}, 300, 300),
        ("text-embedding-async-v2", {}, 300, 100_000 * 2_048),
        ("qwen3-vl-rerank", {}, 300, capabilities.CONTEXT),
        ("qwen3-rerank", {}, 300, 120_000),
        ("qwen-long", {}, 300, 10_000_000),
        ("never-heard-of", {}, 300, capabilities.CONTEXT),
    ],
)
def test_input_tokens(model: str, inputs: dict[str, str], size: int | None, tokens: int) -> None:
    """The body's bytes, where all that the model reads is in it."""
    assert dearest_outcome(model, inputs, size, UNBOUNDED).input_tokens == tokens


MOST = capabilities.MOST_OUTPUT_TOKENS
THOUGHTS = capabilities.MOST_THINKING_TOKENS


@pytest.mark.parametrize(
    ("model", "inputs", "tokens"),
    [
        ("qwen-plus", {}, MOST),
        ("qwen-plus", {"max_tokens": "100"}, 100),
        ("qwen-plus", {"max_output_tokens": "100"}, 100),
        ("qwen-plus", {"max_output_tokens": ""}, MOST),
        ("qwen-plus", {"max_tokens": "100", "max_completion_tokens": "200"}, 200),
        ("qwen-plus", {"max_tokens": "100", "max_completion_tokens": ""}, MOST),
        ("qwen-plus", {"max_tokens": "0"}, MOST),
        ("qwen-plus", {"max_tokens": "100", "n": "4"}, 400),
        ("qwen-plus", {"max_tokens": "100", "n": ""}, 100 * capabilities.MOST_ANSWERS),
        ("qwen-plus", {"max_tokens": "100", "enable_thinking": "true"}, 100 + THOUGHTS),
        ("qwen-plus", {"max_tokens": "100", "thinking_budget": "50"}, 150),
        ("qwen-plus", {"max_tokens": "100", "thinking": ""}, 100 + THOUGHTS),
        ("qwq-plus", {"max_tokens": "100"}, 100 + THOUGHTS),
        ("qwq-plus", {"max_tokens": "100", "thinking_budget": "1"}, 100 + THOUGHTS),
        *[
            (model, {"max_tokens": "100", "enable_thinking": "false"}, 100 + THOUGHTS)
            for model in ("deepseek-r1", "qwen3-235b-a22b-thinking-2507", "MiniMax-M2.1")
        ],
        (
            "qwen-plus",
            {"max_tokens": "100", "enable_thinking": "false", "thinking": ""},
            100 + THOUGHTS,
        ),
        (
            "qwen-plus",
            {"max_tokens": "100", "thinking_budget": "5", "reasoning_effort": '"high"'},
            100 + THOUGHTS,
        ),
        ("qwen-plus", {"max_tokens": "100", "enable_thinking": "false"}, 100),
        ("qwen3-8b", {"max_tokens": "100"}, 100 + THOUGHTS),
        ("qwen3-8b", {"max_tokens": "100", "enable_thinking": "false"}, 100),
        ("qwen3-8b", {"max_tokens": "100", "enable_thinking": '"false"'}, 100 + THOUGHTS),
    ],
)
def test_output_tokens(model: str, inputs: dict[str, str], tokens: int) -> None:
    """What a limit allows, thoughts on top of it, times the answers asked for."""
    assert dearest_outcome(model, inputs, 100, UNBOUNDED).output_tokens == tokens


def test_characters() -> None:
    """Those of the body; of a session nobody knows."""
    assert dearest_outcome("cosyvoice-v2", {}, 120, UNBOUNDED).characters == 120
    unknown = dearest_outcome("cosyvoice-v2", {}, None, UNBOUNDED).characters
    assert unknown == capabilities.MOST_CHARACTERS


def test_whoever_sets_prices_may_know_better() -> None:
    """Their bounds stand in for the tables', and hold back what no limit of the request does."""
    bounds = Bounds(7, 2, 1000, 500, 50, 80)
    most = dearest_outcome("qwq-vl-r2v", {}, None, bounds)
    assert most.seconds == Decimal(7)
    assert (most.images, most.input_tokens, most.output_tokens) == (2, 1000, 550)
    assert most.characters == 80
    asked = {"duration": "9", "n": "3", "max_tokens": "600"}
    more = dearest_outcome("wan2.7-t2v", asked, 10_000, bounds)
    assert (more.seconds, more.images) == (Decimal(9), 3)
    assert dearest_outcome("qwen-plus", asked, 10_000, bounds).output_tokens == 1800
    assert dearest_outcome("qwen-plus", {}, 10, bounds).input_tokens == 10
