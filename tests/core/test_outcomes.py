"""`core.outcomes`: the most that a request could come to use."""

from decimal import Decimal

import pytest

from proxy.core import asking
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
    ],
)
def test_videos_given_are_billed_too(model: str, videos: str | None, seconds: int) -> None:
    """Where a family bills what goes in, as much of each as it may be."""
    inputs = {"duration": "4"} | ({} if videos is None else {"videos": videos})
    assert dearest_outcome(model, inputs, 100, UNBOUNDED).seconds == seconds
    known = dearest_outcome(model, inputs, 100, Bounds(seconds=20)).seconds
    assert known == min(seconds, 20)


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
        ("qwen-plus", {}, None, asking.MOST_INPUT_TOKENS),
        ("qwen-plus", {"enable_search": "true"}, 300, asking.MOST_INPUT_TOKENS),
        ("qwen-plus", {"previous_response_id": '"x"'}, 300, asking.MOST_INPUT_TOKENS),
        ("qwen-vl-max", {}, 300, asking.MOST_INPUT_TOKENS),
        ("never-heard-of", {}, 300, asking.MOST_INPUT_TOKENS),
    ],
)
def test_input_tokens(model: str, inputs: dict[str, str], size: int | None, tokens: int) -> None:
    """The body's bytes, where all that the model reads is in it."""
    assert dearest_outcome(model, inputs, size, UNBOUNDED).input_tokens == tokens


MOST = asking.MOST_OUTPUT_TOKENS
THOUGHTS = asking.MOST_THINKING_TOKENS


@pytest.mark.parametrize(
    ("model", "inputs", "tokens"),
    [
        ("qwen-plus", {}, MOST),
        ("qwen-plus", {"max_tokens": "100"}, 100),
        ("qwen-plus", {"max_output_tokens": "100"}, 100),
        ("qwen-plus", {"max_tokens": "100", "max_completion_tokens": "200"}, 200),
        ("qwen-plus", {"max_tokens": "100", "max_completion_tokens": ""}, MOST),
        ("qwen-plus", {"max_tokens": "0"}, MOST),
        ("qwen-plus", {"max_tokens": "100", "n": "4"}, 400),
        ("qwen-plus", {"max_tokens": "100", "n": ""}, 100 * asking.MOST_ANSWERS),
        ("qwen-plus", {"max_tokens": "100", "enable_thinking": "true"}, 100 + THOUGHTS),
        ("qwen-plus", {"max_tokens": "100", "thinking_budget": "50"}, 150),
        ("qwen-plus", {"max_tokens": "100", "thinking": ""}, 100 + THOUGHTS),
        ("qwq-plus", {"max_tokens": "100"}, 100 + THOUGHTS),
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
    assert dearest_outcome("cosyvoice-v2", {}, None, UNBOUNDED).characters == asking.MOST_CHARACTERS


def test_whoever_sets_prices_may_know_better() -> None:
    """Their bounds stand in for the tables', and hold back what no limit of the request does."""
    bounds = Bounds(7, 2, 1000, 500, 50, 80)
    most = dearest_outcome("qwq-vl-r2v", {}, None, bounds)
    assert most.seconds == Decimal(7)
    assert (most.images, most.input_tokens, most.output_tokens) == (2, 1000, 550)
    assert most.characters == 80
    asked = {"duration": "9", "n": "3", "max_tokens": "600"}
    more = dearest_outcome("wan2.7-t2v", asked, 10_000, bounds)
    assert more.seconds == Decimal(9)
    assert (more.images, more.output_tokens) == (3, 1800)
    assert dearest_outcome("qwen-plus", {}, 10, bounds).input_tokens == 10
