"""`core.asking`: what a request says about its price, and who listens to it."""

import pytest

from proxy.core.asking import UNREADABLE, asked_lines, input_of, is_there


@pytest.mark.parametrize(
    ("model", "inputs", "lines"),
    [
        ("wan2.7-t2v", {"resolution": '"720P"'}, 720),
        ("wan2.7-t2v", {"resolution": '"480p"', "size": '"1920*1080"'}, 1080),
        ("wan2.7-t2v", {"size": '"1280*720"'}, None),
        ("wan2.7-t2v", {}, None),
        ("wan2.7-t2v", {"resolution": "null"}, None),
        ("wan2.7-t2v", {"resolution": UNREADABLE}, None),
        ("wan2.7-t2v", {"resolution": '"big"'}, None),
        ("wan2.6-t2v", {"size": '"960*960"', "resolution": '"480P"'}, 720),
        ("wan2.6-i2v", {"resolution": '"1080P"', "size": '"832*480"'}, 1080),
        ("kling/kling-v3-video-generation", {"resolution": '"480P"'}, None),
        ("wan2.2-animate-mix", {"resolution": '"480P"'}, None),
        ("MiniMax/MiniMax-H3", {"resolution": '"2K"'}, 1440),
        ("pixverse/pixverse-v6-t2v", {"resolution": '"480P"', "size": '"1280*720"'}, 720),
        ("pixverse/pixverse-v6-t2v", {"resolution": '"480P"', "size": "[]"}, None),
        ("pixverse/pixverse-v6-it2v", {"size": '"640*360"'}, None),
        ("vidu/viduq3-pro_img2video", {"resolution": '"360P"'}, None),
        ("never-heard-of", {"resolution": "720", "size": '"640*360"'}, None),
    ],
)
def test_a_resolution_counts_where_the_family_listens(
    model: str, inputs: dict[str, str], lines: int | None
) -> None:
    """The inputs that decide it are the family's: all of them, where nobody knows which counts.

    Of two the higher; a doubtful one is none. What nobody is known to heed names nothing.
    """
    assert asked_lines(inputs, model) == lines


def test_inputs() -> None:
    """Null is absent; what cannot be read is there and has no value."""
    inputs = {"n": "3", "size": UNREADABLE, "seed": "null", "deep": "[" * 100_000}
    assert input_of(inputs, "n") == 3
    assert [input_of(inputs, name) for name in ("size", "seed", "deep", "none")] == [None] * 4
    assert [is_there(inputs, name) for name in ("n", "size", "seed", "none")] == [
        *(True, True, False, False)
    ]
