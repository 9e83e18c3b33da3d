"""Answers as upstream gives them, for every row of protocol section 5's table, and their bills.

What stands in `used` and `amount` was worked out by hand, from the answer and the prices below,
and the reckoning stands beside it. `made_by` are the parameters and the videos given with which
the sandbox reports just this.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from proxy.core.prices import Price, Tier
from proxy.core.usage import Used

ANY = ("*",)
VIDEO = Price(
    ANY,
    per_second=(
        Tier(480, Decimal("0.3")),
        Tier(720, Decimal("0.6")),
        Tier(None, Decimal(1)),
    ),
)
FLAT = Price(ANY, per_second=(Tier(None, Decimal("0.1")),))
IMAGE = Price(ANY, per_image=Decimal("0.2"))
MODEL_3D = Price(ANY, per_image=Decimal("2.5"))
SPEECH = Price(ANY, per_1k_characters=Decimal("0.8"))
TEXT = Price(ANY, per_1k_input_tokens=Decimal("0.0008"), per_1k_output_tokens=Decimal("0.002"))


@dataclass(frozen=True)
class Case:
    """One answer. `usage` stands in it, unless there is an `answer` of another shape."""

    row: str
    model: str
    usage: object
    used: Used | None
    price: Price = VIDEO
    amount: str = ""
    inputs: dict[str, str] = field(default_factory=dict)
    answer: dict[str, Any] | None = None
    made_by: tuple[dict[str, Any], int] | None = None

    @property
    def whole(self) -> dict[str, Any]:
        """The answer that a client gets."""
        if self.answer is not None:
            return self.answer
        output = {"task_id": "0385dc79-5ff8-4d82-bcb6-1c2d3e4f5a6b", "task_status": "SUCCEEDED"}
        return {"request_id": "c1209113", "output": output, "usage": self.usage}

    def __str__(self) -> str:
        return f"{self.row}: {self.model}"


def video(seconds: str, lines: int | None) -> Used:
    return Used(seconds=Decimal(seconds), lines=lines)


NEWEST = [
    Case(
        "newest video",
        "wan2.7-t2v",
        {
            "duration": 4,
            "input_video_duration": 0,
            "output_video_duration": 4,
            "video_count": 1,
            "SR": 720,
            "ratio": "16:9",
        },
        video("4", 720),
        amount="2.4",  # 4 s x 0.6
        made_by=({"resolution": "720P", "duration": 4}, 0),
    ),
    Case(
        "newest video",
        "wan2.7-i2v-2026-04-25",
        {
            "duration": 5,
            "input_video_duration": 0,
            "output_video_duration": 5,
            "video_count": 1,
            "SR": 1080,
            "ratio": "16:9",
        },
        video("5", 1080),
        amount="5",  # 5 s x 1, the default is 1080P
        made_by=({}, 0),
    ),
    Case(
        "newest video from videos",
        "wan2.7-r2v",
        {
            "duration": 11,
            "input_video_duration": 6,
            "output_video_duration": 5,
            "video_count": 1,
            "SR": 720,
            "ratio": "16:9",
        },
        video("11", 720),
        amount="6.6",  # (6 s in + 5 s out) x 0.6
        made_by=({"resolution": "720P"}, 2),
    ),
    Case(
        "newest video from videos",
        "wan2.7-videoedit",
        {
            "duration": 7.5,
            "input_video_duration": 3,
            "output_video_duration": 4.5,
            "video_count": 1,
            "SR": 480,
            "ratio": "16:9",
        },
        video("7.5", 480),
        amount="2.25",  # (3 s in + 4.5 s out) x 0.3
        made_by=({"resolution": "480P", "duration": 4.5}, 1),
    ),
    Case(
        "newest video",
        "wan3.0-video",
        {
            "duration": 5,
            "input_video_duration": 0,
            "output_video_duration": 5,
            "video_count": 1,
            "SR": 480,
            "ratio": "16:9",
        },
        video("5", 480),
        amount="1.5",  # 5 s x 0.3; asked for -1, upstream chose 5
        inputs={"duration": "-1", "resolution": '"480P"'},
        made_by=({"resolution": "480P", "duration": -1}, 0),
    ),
    Case(
        "newest video",
        "happyhorse-1.1-t2v",
        {
            "duration": 7,
            "input_video_duration": 0,
            "output_video_duration": 7,
            "video_count": 1,
            "SR": 720,
            "ratio": "16:9",
        },
        video("7", 720),
        amount="4.2",  # 7 s x 0.6
        made_by=({"duration": "7"}, 0),
    ),
    Case(
        "newest video, fractions",
        "wan3.0-video-prime",
        {"duration": 5.041667, "output_video_duration": 5.041667, "video_count": 1, "SR": 1080},
        video("5.041667", 1080),
        amount="5.041667",  # 5.041667 s x 1
    ),
]

MIDDLE = [
    Case(
        "wan2.5, wan2.6",
        "wan2.6-t2v",
        {"duration": 10, "size": "1280*720", "video_count": 1, "SR": 720},
        video("10", 720),
        amount="6",  # 10 s x 0.6
        made_by=({"size": "1280*720", "duration": 10}, 0),
    ),
    Case(
        "wan2.5, wan2.6",
        "wan2.5-t2v-preview",
        {"duration": 5, "size": "832*480", "video_count": 1, "SR": 480},
        video("5", 480),
        amount="1.5",  # 5 s x 0.3
        made_by=({"size": "832*480"}, 0),
    ),
    Case(
        "wan2.5, wan2.6",
        "wan2.6-t2v",
        {"duration": 5, "size": "960*960", "video_count": 1, "SR": 720},
        video("5", 720),
        amount="3",  # 5 s x 0.6: a square of 960 is listed under 720P
        made_by=({"size": "960*960"}, 0),
    ),
    Case(
        "wan2.5, wan2.6, silent about SR",
        "wan2.6-i2v",
        {"duration": 5, "size": "1088*832", "video_count": 1},
        video("5", 720),
        amount="3",  # 5 s x 0.6, by the size
    ),
]

OLDER = [
    Case(
        "older video",
        "wanx2.1-t2v-turbo",
        {"video_duration": 5, "video_ratio": "832*480", "video_count": 1},
        video("5", 480),
        amount="1.5",  # 5 s x 0.3
        made_by=({"size": "832*480"}, 0),
    ),
    Case(
        "older video",
        "wanx2.1-i2v-plus",
        {"video_duration": 5, "video_ratio": "standard", "video_count": 1},
        video("5", 720),
        amount="3",  # 5 s x 0.6: `standard` says nothing, the request says 720P
        inputs={"resolution": '"720P"'},
    ),
    Case(
        "older video",
        "wan2.2-i2v-flash",
        {"video_duration": 5, "video_ratio": "standard", "video_count": 1},
        video("5", None),
        amount="5",  # 5 s x 1: nobody says which resolution, so it is the dearest
    ),
    Case(
        "older video, seconds from the request",
        "wanx2.1-t2v-plus",
        {"video_ratio": "1280*720", "video_count": 1},
        video("5", 720),
        amount="3",  # 5 s x 0.6
        inputs={"duration": "5"},
    ),
    Case(
        "kf2v",
        "wan2.2-kf2v-flash",
        {"video_duration": 5, "video_count": 1, "SR": 480},
        video("5", 480),
        amount="1.5",  # 5 s x 0.3
        made_by=({"resolution": "480P"}, 0),
    ),
    Case(
        "kf2v",
        "wanx2.1-kf2v-plus",
        {"video_duration": 5, "video_count": 1, "video_ratio": "1280*720"},
        video("5", 720),
        amount="3",  # 5 s x 0.6
    ),
    Case(
        "vace",
        "wanx2.1-vace-plus",
        {"video_duration": 5, "video_ratio": "1280*720", "video_count": 1},
        video("5", 720),
        amount="3",  # 5 s x 0.6
        made_by=({"size": "1280*720"}, 0),
    ),
]

FOLLOWING = [
    Case(
        "animate",
        "wan2.2-animate-mix",
        {"video_duration": 5.2, "video_ratio": "standard"},
        video("5.2", None),
        price=FLAT,
        amount="0.52",  # 5.2 s x 0.1
        made_by=({}, 0),
    ),
    Case(
        "animate",
        "wan2.2-animate-move",
        {"video_duration": 5.2, "video_ratio": "std"},
        video("5.2", None),
        amount="5.2",  # 5.2 s x 1: `resolution` is nothing that this family listens to
        inputs={"resolution": '"480P"'},
    ),
    Case(
        "s2v",
        "wan2.2-s2v",
        {"duration": 5.2, "SR": 480},
        video("5.2", 480),
        amount="1.56",  # 5.2 s x 0.3
        made_by=({"resolution": "480P"}, 0),
    ),
    Case(
        "emo",
        "emo-v1",
        {"video_duration": 5.2, "video_ratio": "standard"},
        video("5.2", None),
        price=FLAT,
        amount="0.52",  # 5.2 s x 0.1
        made_by=({}, 0),
    ),
    Case(
        "emo",
        "emoji-v1",
        {"video_duration": 12.35, "video_ratio": "1:1"},
        video("12.35", None),
        price=FLAT,
        amount="1.235",  # 12.35 s x 0.1
    ),
    Case(
        "liveportrait",
        "liveportrait",
        {"video_duration": 5.2, "video_ratio": "standard"},
        video("5.2", None),
        price=FLAT,
        amount="0.52",  # 5.2 s x 0.1
        made_by=({}, 0),
    ),
    Case(
        "videoretalk",
        "videoretalk",
        {"video_duration": 5.2, "video_ratio": "standard"},
        video("5.2", None),
        price=FLAT,
        amount="0.52",  # 5.2 s x 0.1
        made_by=({}, 0),
    ),
    Case(
        "style transform",
        "video-style-transform",
        {"duration": 4, "SR": 720},
        video("4", 720),
        amount="2.4",  # 4 s x 0.6
        made_by=({"resolution": "720P", "duration": 4}, 0),
    ),
]

PARTNERS = [
    Case(
        "kling, pixverse, vidu",
        "kling/kling-v3-video-generation",
        {
            "duration": 5,
            "size": "1280*720",
            "fps": 24,
            "video_count": 1,
            "audio": True,
            "SR": "720",
        },
        video("5", 720),
        amount="3",  # 5 s x 0.6: the `SR` is a text, the truth value is no number
        made_by=({}, 0),
    ),
    Case(
        "kling, pixverse, vidu",
        "pixverse/pixverse-v6-kf2v",
        {
            "duration": 8,
            "size": "1920*1080",
            "fps": 24,
            "video_count": 1,
            "audio": False,
            "SR": "1080",
        },
        video("8", 1080),
        amount="8",  # 8 s x 1
        made_by=({"resolution": "1080p", "duration": 8, "audio": False}, 0),
    ),
    Case(
        "kling, pixverse, vidu",
        "vidu/viduq3-pro_text2video",
        {"output_video_duration": "5", "size": "960*540", "video_count": 1, "shot_type": "single"},
        video("5", 540),
        amount="3",  # 5 s x 0.6: 540 lines are above 480
    ),
    Case(
        "MiniMax",
        "MiniMax/MiniMax-H3",
        {
            "SR": "768",
            "duration": 6,
            "input_seconds": 0,
            "output_seconds": 6,
            "total_seconds": 6,
            "image_count": 0,
            "size": "1366*768",
            "video_count": 1,
        },
        Used(seconds=Decimal(6), lines=768, images=0),
        amount="6",  # 6 s x 1: 768 lines are above 720
        made_by=({"resolution": "768P", "duration": 6}, 0),
    ),
    Case(
        "MiniMax",
        "MiniMax/MiniMax-H3",
        {
            "SR": "1440",
            "duration": 9,
            "input_seconds": 3,
            "output_seconds": 6,
            "total_seconds": 9,
            "image_count": 0,
            "size": "2560*1440",
            "video_count": 1,
        },
        Used(seconds=Decimal(9), lines=1440, images=0),
        amount="9",  # (3 s in + 6 s out) x 1
        made_by=({"resolution": "2K", "duration": 6}, 1),
    ),
    Case(
        "MiniMax, 2K",
        "MiniMax/MiniMax-H3",
        {"SR": "2K", "total_seconds": 6, "video_count": 1},
        video("6", 1440),
        amount="6",  # 6 s x 1
    ),
]

IMAGES = [
    Case(
        "images",
        "wan2.2-t2i-flash",
        {"image_count": 3},
        Used(images=3),
        IMAGE,
        "0.6",  # 3 x 0.2; four were asked for, and one came to nothing
        inputs={"n": "4"},
    ),
    Case(
        "images",
        "wan2.7-image",
        {
            "image_count": 2,
            "size": "1280*1280",
            "input_tokens": 0,
            "output_tokens": 0,
            "total_tokens": 0,
        },
        Used(lines=1080, images=2, input_tokens=0, output_tokens=0),
        IMAGE,
        "0.4",  # 2 x 0.2
    ),
    Case(
        "images",
        "qwen-image-plus",
        {"image_count": 1, "width": 1328, "height": 1328, "image_num": 0},
        Used(lines=1080, images=1),
        IMAGE,
        "0.2",  # 1 x 0.2: `image_num` is a stray 0
    ),
    Case(
        "newest qwen-image",
        "qwen-image-2.0-pro",
        {"input_image_count": 3, "output_image_count": 2, "width": 1024, "height": 1024},
        Used(lines=768, images=2),
        IMAGE,
        "0.4",  # 2 made x 0.2; the 3 given are not billed
    ),
    Case(
        "kling images",
        "kling/kling-v3-image-generation",
        {"size": "1024*1024", "image_count": 1, "SR": "1024"},
        Used(lines=1024, images=1),
        IMAGE,
        "0.2",  # 1 x 0.2
    ),
    Case(
        "detection",
        "emo-detect-v1",
        {"image_count": 1},
        Used(images=1),
        IMAGE,
        "0.2",  # 1 x 0.2, whether the face passed or not
        answer={"output": {"check_pass": False, "code": "x"}, "usage": {"image_count": 1}},
    ),
    Case(
        "Tripo 3D",
        "tripo/tripo-v3",
        {"3d_task_type": "text_to_3d", "count": 1, "texture_quality": "standard"},
        Used(images=1),
        MODEL_3D,
        "2.5",  # 1 x 2.5
    ),
]

SOUND = [
    Case("music", "fun-music-v1", {"duration": 61}, video("61", None), FLAT, "6.1"),  # 61 x 0.1
    Case(
        "tts",
        "cosyvoice-v3",
        {"characters": 26},
        Used(characters=26),
        SPEECH,
        "0.0208",  # 26 x 0.8 / 1000
    ),
    Case(
        "tts on a socket",
        "cosyvoice-v2",
        None,
        Used(characters=120),
        SPEECH,
        "0.096",  # 120 x 0.8 / 1000
        answer={
            "header": {"task_id": "t", "event": "task-finished"},
            "payload": {"output": {}, "usage": {"characters": 120}},
        },
    ),
    Case("asr", "paraformer-v2", {"duration": 9}, video("9", None), FLAT, "0.9"),  # 9 x 0.1
    Case(
        "asr", "qwen3-asr-flash-filetrans", {"seconds": 3}, video("3", None), FLAT, "0.3"
    ),  # x 0.1
    Case(
        "asr beside its results",
        "fun-asr",
        None,
        video("2.5", None),
        FLAT,
        "0.25",  # 2.5 x 0.1
        answer={"output": {"task_status": "SUCCEEDED", "usage": {"duration": 2.5}}},
    ),
]

TOKENS = [
    Case(
        "text",
        "qwen-plus",
        {"input_tokens": 1500, "output_tokens": 300, "total_tokens": 1800},
        Used(input_tokens=1500, output_tokens=300),
        TEXT,
        "0.0018",  # 1.5 x 0.0008 + 0.3 x 0.002
    ),
    Case(
        "text, OpenAI",
        "qwen-plus",
        {
            "prompt_tokens": 1500,
            "completion_tokens": 300,
            "total_tokens": 1800,
            "prompt_tokens_details": {"cached_tokens": 1024},
        },
        Used(input_tokens=1500, output_tokens=300),
        TEXT,
        "0.0018",  # the cached ones are among the 1500
    ),
    Case(
        "text, OpenAI's responses",
        "qwen-plus",
        None,
        Used(input_tokens=10, output_tokens=7),
        TEXT,
        "0.000022",  # 0.010 x 0.0008 + 0.007 x 0.002
        answer={
            "type": "response.completed",
            "response": {"usage": {"input_tokens": 10, "output_tokens": 7, "total_tokens": 17}},
        },
    ),
    Case(
        "text, Anthropic",
        "qwen-plus",
        {
            "input_tokens": 100,
            "cache_creation_input_tokens": 400,
            "cache_read_input_tokens": 1000,
            "output_tokens": 300,
        },
        Used(input_tokens=1500, output_tokens=300),
        TEXT,
        "0.0018",  # (100 + 400 + 1000) in, as the same text counts anywhere else
    ),
    Case(
        "embeddings",
        "text-embedding-v4",
        {"total_tokens": 23},
        Used(input_tokens=23),
        TEXT,
        "0.0000184",  # 0.023 x 0.0008
    ),
    Case(
        "embeddings, OpenAI",
        "text-embedding-v4",
        {"prompt_tokens": 23, "total_tokens": 23},
        Used(input_tokens=23),
        TEXT,
        "0.0000184",  # 0.023 x 0.0008
    ),
    Case(
        "apps",
        "qwen-plus",
        {
            "models": [
                {"model_id": "qwen-plus", "input_tokens": 1000, "output_tokens": 100},
                {"model_id": "qwen-max", "input_tokens": 500, "output_tokens": 200},
            ]
        },
        Used(input_tokens=1500, output_tokens=300),
        TEXT,
        "0.0018",  # all its models together
    ),
    Case(
        "batches",
        "qwen-plus",
        {"input_tokens": 3000, "output_tokens": 1000, "total_tokens": 4000},
        Used(input_tokens=3000, output_tokens=1000),
        TEXT,
        "0.0044",  # 3 x 0.0008 + 1 x 0.002
        answer={
            "object": "batch",
            "status": "completed",
            "usage": {"input_tokens": 3000, "output_tokens": 1000, "total_tokens": 4000},
        },
    ),
]

SILENT = [
    Case("usage is null", "wan2.7-t2v", None, None),
    Case("usage is a number", "qwen-plus", 16, None, TEXT),
    Case("usage is empty", "wan2.6-t2v", {}, None),
    Case("no usage at all", "wan2.6-t2v", None, None, answer={"output": {"task_status": "FAILED"}}),
]

CASES = [*NEWEST, *MIDDLE, *OLDER, *FOLLOWING, *PARTNERS, *IMAGES, *SOUND, *TOKENS, *SILENT]
