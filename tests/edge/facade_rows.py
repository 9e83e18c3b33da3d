"""What façades are asked for, and what must come of it: bodies, native members, refusals."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

UNIFIED, COMPAT = "/video/v1/generations", "/v1/video/generations"
VIDEO = "/api/v1/services/aigc/video-generation/video-synthesis"
FRAMES = "/api/v1/services/aigc/image2video/video-synthesis"

A, B = "https://example.com/a.png", "https://example.com/b.png"
CLIP, SOUND = "https://example.com/c.mp4", "https://example.com/d.mp3"
LONG = "data:" + "a" * 20_000
T2V = {"model": "wan2.1-t2v-turbo", "prompt": "a cat"}


@dataclass(frozen=True)
class Row:
    """A unified body (without prompt) and the native members that must come of it."""

    model: str
    given: Mapping[str, object]
    input: Mapping[str, object] = field(default_factory=dict)
    parameters: Mapping[str, object] = field(default_factory=dict)
    path: str = VIDEO

    def __str__(self) -> str:
        return f"{self.model} {json.dumps(self.given)}"


def media(*entries: tuple[str, str]) -> dict[str, object]:
    return {"media": [{"type": role, "url": url} for role, url in entries]}


FIRST = {"type": "first_frame", "url": A}
LAST = {"type": "last_frame", "url": B}

# The mapping of 51kik's page for a model of no family, which is what the page says of every model.
PAGE = [
    Row("kling-v2-1-turbo", {"image": A}, media(("reference_image", A))),
    Row("kling-v2-1-turbo", {"image": FIRST}, media(("first_frame", A))),
    Row("kling-v2-1-turbo", {"video": CLIP}, media(("video", CLIP))),
    Row("kling-v2-1-turbo", {"video": {"type": "video", "url": CLIP}}, media(("video", CLIP))),
    Row("kling-v2-1-turbo", {"audio": SOUND}, media(("audio", SOUND))),
    Row("kling-v2-1-turbo", {"audio": {"type": "audio", "url": SOUND}}, media(("audio", SOUND))),
    Row(
        "kling-v2-1-turbo",
        {"image": [A, LAST], "video": [CLIP], "audio": SOUND},
        media(("reference_image", A), ("last_frame", B), ("video", CLIP), ("audio", SOUND)),
    ),
    Row("kling-v2-1-turbo", {"ratio": "9:16"}, {}, {"ratio": "9:16"}),
    Row("kling-v2-1-turbo", {"resolution": "1080p"}, {}, {"resolution": "1080P"}),
    Row(
        "kling-v2-1-turbo",
        {
            "upstream_options": {
                "duration": 7.5,
                "watermark": True,
                "seed": 7,
                "audio_setting": "origin",
                "shot_type": "multi",
                "element_list": [{"element_id": 1}],
            }
        },
        {},
        {
            "duration": 7.5,
            "watermark": True,
            "seed": 7,
            "audio_setting": "origin",
            "shot_type": "multi",
            "element_list": [{"element_id": 1}],
        },
    ),
]

# What the page leaves open, as protocol section 8 has it.
FAMILIES = [
    Row("wan2.1-t2v-turbo", {"ratio": "9:16"}, {}, {"size": "720*1280"}),
    Row("wan2.1-t2v-turbo", {"resolution": "480p"}, {}, {"size": "832*480"}),
    Row("wanx2.1-t2v-plus", {"ratio": "4:3", "resolution": "720p"}, {}, {"size": "1088*832"}),
    Row("wanx2.1-i2v-turbo", {"image": A}, {"img_url": A}),
    Row("wan2.2-t2v-plus", {"ratio": "1:1", "resolution": "480P"}, {}, {"size": "624*624"}),
    Row(
        "wan2.5-t2v-preview",
        {"ratio": "3:4", "resolution": "1080p", "audio": SOUND},
        {"audio_url": SOUND},
        {"size": "1248*1632"},
    ),
    Row("wan2.5-t2v-preview", {"ratio": "16:9"}, {}, {"size": "1920*1080"}),
    Row("wan2.5-t2v-preview", {"size": "1280x720"}, {}, {"size": "1280*720"}),
    Row("wan2.5-t2v-preview", {"width": 720, "height": 1280}, {}, {"size": "720*1280"}),
    Row(
        "wan2.5-i2v-preview",
        {"image": A, "audio": SOUND, "resolution": "480p"},
        {"img_url": A, "audio_url": SOUND},
        {"resolution": "480P"},
    ),
    Row("wan2.5-i2v-preview", {"image": {"type": "reference_image", "url": A}}, {"img_url": A}),
    Row("wan2.6-t2v", {"ratio": "16:9", "resolution": "720p"}, {}, {"size": "1280*720"}),
    Row("wan2.6-i2v-flash", {"image": [FIRST]}, {"img_url": A}),
    Row("wan2.6-r2v", {"video": [CLIP], "image": A}, {"reference_urls": [CLIP, A]}),
    Row(
        "wan2.7-t2v",
        {"ratio": "16:9", "size": "1280x720"},
        {},
        {"resolution": "720P", "ratio": "16:9"},
    ),
    Row(
        "wan2.7-i2v",
        {"image": [A, B], "audio": SOUND},
        media(("first_frame", A), ("last_frame", B), ("driving_audio", SOUND)),
    ),
    Row(
        "wan2.7-i2v", {"image": LAST, "video": CLIP}, media(("last_frame", B), ("first_clip", CLIP))
    ),
    Row("wan2.7-r2v", {"image": [A, B]}, media(("reference_image", A), ("reference_image", B))),
    Row(
        "wan2.7-r2v",
        {"video": {"type": "reference_video", "url": CLIP, "reference_voice": SOUND}},
        {"media": [{"type": "reference_video", "url": CLIP, "reference_voice": SOUND}]},
    ),
    Row(
        "wan2.7-videoedit",
        {"video": CLIP, "image": A},
        media(("video", CLIP), ("reference_image", A)),
    ),
    Row(
        "wan3.0-video",
        {
            "image": [A, FIRST],
            "video": CLIP,
            "audio": SOUND,
            "ratio": "adaptive",
            "resolution": "1080p",
        },
        media(
            ("reference_image", A),
            ("first_frame", A),
            ("reference_video", CLIP),
            ("reference_audio", SOUND),
        ),
        {"resolution": "1080P", "ratio": "adaptive"},
    ),
    Row("wan3.0-video", {"video": {"type": "file", "url": CLIP}}, media(("file", CLIP))),
    Row(
        "kling/kling-v3-video-generation",
        {"image": [A, B], "aspect_ratio": "1:1", "resolution": "1080p", "duration": 10},
        media(("first_frame", A), ("last_frame", B)),
        {"mode": "pro", "aspect_ratio": "1:1", "duration": 10},
    ),
    Row(
        "kling/kling-v3-omni-video-generation",
        {"images": [A], "video": CLIP},
        media(("refer", A), ("base", CLIP)),
    ),
    Row(
        "wan2.2-kf2v-flash",
        {"image": [A, B], "resolution": "720p"},
        {"first_frame_url": A, "last_frame_url": B},
        {"resolution": "720P"},
        FRAMES,
    ),
    Row(
        "wanx2.1-kf2v-plus",
        {"image": [LAST, FIRST]},
        {"first_frame_url": A, "last_frame_url": B},
        {},
        FRAMES,
    ),
    Row(
        "wan2.2-animate-move",
        {"image": A, "video": CLIP},
        {"image_url": A, "video_url": CLIP},
        {},
        FRAMES,
    ),
    Row(
        "wan2.2-s2v", {"image": A, "audio": SOUND}, {"image_url": A, "audio_url": SOUND}, {}, FRAMES
    ),
    Row(
        "wanx2.1-vace-plus", {"image": [A]}, {"function": "image_reference", "ref_images_url": [A]}
    ),
    Row(
        "wanx2.1-vace-plus",
        {
            "video": CLIP,
            "upstream_options": {"function": "video_edit", "mask_image_url": A, "mask_type": "box"},
        },
        {"function": "video_edit", "video_url": CLIP, "mask_image_url": A},
        {"mask_type": "box"},
    ),
    Row(
        "emoji-v1",
        {"image": A, "metadata": {"driven_id": "mengwa_kaixin", "face_bbox": [1, 2, 3, 4]}},
        {"image_url": A, "driven_id": "mengwa_kaixin", "face_bbox": [1, 2, 3, 4]},
        {},
        FRAMES,
    ),
    Row(
        "animate-anyone-gen2",
        {"image": A, "upstream_options": {"template_id": "t", "video_ratio": "9:16"}},
        {"image_url": A, "template_id": "t"},
        {"video_ratio": "9:16"},
        FRAMES,
    ),
    Row("wan2.2-s2v-2026-01-01", {"image": A}, {"image_url": A}, {}, FRAMES),
]

# The page's own types, where a family has none of that name: as good as the bare URL.
OF_THE_PAGE = [
    Row(
        "wan2.7-i2v",
        {"image": {"type": "reference_image", "url": A}, "video": {"type": "video", "url": CLIP}},
        media(("first_frame", A), ("first_clip", CLIP)),
    ),
    Row("wan2.7-i2v", {"audio": {"type": "audio", "url": SOUND}}, media(("driving_audio", SOUND))),
    Row(
        "wan2.7-r2v",
        {"video": [{"type": "video", "url": CLIP, "reference_voice": SOUND}]},
        {"media": [{"type": "reference_video", "url": CLIP, "reference_voice": SOUND}]},
    ),
    Row(
        "kling/kling-v3-omni-video-generation",
        {"image": {"type": "reference_image", "url": A}, "video": {"type": "video", "url": CLIP}},
        media(("refer", A), ("base", CLIP)),
    ),
    Row(
        "wan3.0-video",
        {"video": {"type": "video", "url": CLIP}, "audio": {"type": "audio", "url": SOUND}},
        media(("reference_video", CLIP), ("reference_audio", SOUND)),
    ),
    Row(
        "wan2.7-t2v",
        {"resolution": "720p", "upstream_options": {"resolution": "720p"}},
        {},
        {"resolution": "720P"},
    ),
]


WRONG = [
    ({"prompt": 7}, "prompt", "must be a text"),
    ({"prompt": ""}, "prompt", "must be a text"),
    ({"prompt": None}, "prompt", "missing"),
    ({"promt": "x"}, "promt", "did you mean `prompt`?"),
    ({"ratio": 1.5}, "ratio", "must be a text"),
    ({"ratio": "5:4"}, "ratio", "720P 16:9, 9:16, 1:1, 4:3, 3:4"),
    ({"resolution": "8k"}, "resolution", "720P"),
    ({"size": "big"}, "size", "width*height"),
    ({"width": 1280}, "height", "go together"),
    ({"height": 0, "width": 1}, "height", "whole number over 0"),
    ({"ratio": "16:9", "aspect_ratio": "9:16"}, "aspect_ratio", "`ratio`"),
    (
        {"duration": 5, "upstream_options": {"duration": 6}},
        "upstream_options.duration",
        "`duration`",
    ),
    ({"duration": "5"}, "duration", "must be a number"),
    ({"upstream_options": []}, "upstream_options", "must be an object"),
    ({"upstream_options": {"duration": True}}, "upstream_options.duration", "must be a number"),
    ({"upstream_options": {"watermark": "no"}}, "upstream_options.watermark", "true or false"),
    ({"upstream_options": {"seed": 1.5}}, "upstream_options.seed", "whole number"),
    ({"upstream_options": {"audio_setting": 1}}, "upstream_options.audio_setting", "a text"),
    ({"ratio": "1:1", "upstream_options": {"size": "1*1"}}, "ratio", "`upstream_options.size`"),
    ({"image": A}, "image", "takes no image"),
    ({"video": [CLIP]}, "video[0]", "wan2.1-t2v-turbo takes no video"),
    ({"model": "wan2.7-t2v", "video": CLIP}, "video", "only audio"),
    ({"model": "wan2.7-i2v", "image": 7}, "image", "must be a URL"),
    ({"model": "wan2.7-i2v", "image": [{"type": "first_frame"}]}, "image[0].url", "must be a text"),
    ({"model": "wan2.7-i2v", "image": {"url": A, "type": 1}}, "image.type", "must be a text"),
    ({"model": "wan2.7-i2v", "image": [FIRST, FIRST]}, "image[1]", "one too many"),
    ({"model": "wan2.7-i2v", "image": {"type": "hat", "url": A}}, "image.type", "first_frame"),
    ({"model": "wan2.5-i2v-preview", "image": [A, B]}, "image[1]", "first_frame (1 at most)"),
    ({"model": "wan2.5-i2v-preview", "image": {"url": A, "x": 1}}, "image.x", "nothing with it"),
    ({"model": "kling/kling-v3", "resolution": "480p"}, "resolution", "720P or 1080P"),
    ({"model": "wan2.7-t2v", "size": "100x7"}, "size", "resolution and ratio"),
    ({"headers": {"Authorization": "Bearer x"}}, "headers.Authorization", "may not be set"),
    ({"headers": {"HOST": "x"}}, "headers.HOST", "may not be set"),
    ({"headers": {"Content-Length": "1"}}, "headers.Content-Length", "may not be set"),
    ({"headers": {"Transfer-Encoding": "chunked"}}, "headers.Transfer-Encoding", "may not be set"),
    ({"headers": {"Idempotency-Key": "x"}}, "headers.Idempotency-Key", "may not be set"),
    (
        {"headers": {"X-DashScope-WorkSpace": "w"}},
        "headers.X-DashScope-WorkSpace",
        "may not be set",
    ),
    ({"headers": {"x_dashscope_async": "w"}}, "headers.x_dashscope_async", "may not be set"),
    ({"headers": {"Cookie": "a"}}, "headers.Cookie", "may not be set"),
    ({"headers": {"a b": "x"}}, "headers.a b", "may not be set"),
    ({"headers": {"X-A": "a\r\nHost: b"}}, "headers.X-A", "one line"),
    ({"headers": {"X-A": 1}}, "headers.X-A", "must be a text"),
    ({"headers": {"X-A": "1", "x-a": "2"}}, "headers.x-a", "given twice"),
    ({"headers": {"Content-MD5": "1"}}, "headers.Content-MD5", "may not be set"),
    ({"headers": {"Digest": "1"}}, "headers.Digest", "may not be set"),
    ({"headers": {"Repr-Digest": "1"}}, "headers.Repr-Digest", "may not be set"),
    ({"headers": {f"X-{n}": "1" for n in range(65)}}, "headers", "64 fields"),
    ({"headers": {f"X-{n}": "1" * 4000 for n in range(5)}}, "headers", "16384 bytes"),
    ({"response_format": "b64_json"}, "response_format", "must be url"),
    (
        {"model": "kling/k", "ratio": "16:9", "resolution": "720p", "metadata": {"mode": "pro"}},
        "resolution",
        "`metadata.mode`",
    ),
    ({"model": "wan2.6-r2v", "ratio": "16:9", "resolution": "480p"}, "resolution", "1080P 16:9"),
    ({"model": "wanx2.1-vace-plus", "video": CLIP}, "upstream_options.function", "`video`"),
    ({"model": "wan2.7-i2v", "image": {"type": "x" * 65, "url": A}}, "image.type", "64 characters"),
    ({"x" * 900: 1}, "x" * 64, "no field"),
    ({"headers": {"X-A": LONG}}, "headers", "no inlined media"),
    ({"resolution": LONG}, "resolution", "no inlined media"),
    ({"ratio": LONG[5:]}, "ratio", "no inlined media"),
    ({"model": "wan2.7-i2v", "image": {"type": LONG, "url": A}}, "image.type", "64 characters"),
    (
        {"upstream_options": {"Prompt_Extend_Model": "x"}},
        "upstream_options.Prompt_Extend_Model",
        "plainly",
    ),
]


GATED = [
    (b'{"model":"wan2.1-t2v-turbo","model":"x","prompt":"a"}', 400, "BadRequest.IllegalInput"),
    (b'{"model":"wan2.1-t2v-turbo","Model":"x","prompt":"a"}', 400, "BadRequest.IllegalInput"),
    (b'{"model":"wan2.1-t2v-turbo","prompt":"a","prompt":"b"}', 400, "BadRequest.IllegalInput"),
    (b'{"model":"wan2.1-t2v-turbo","prompt":"a"} x', 400, "BadRequest.IllegalInput"),
    (b'{"model":"wan2.1-t2v-turbo","prompt":"\\ud800"}', 400, "BadRequest.IllegalInput"),
    (b'{"model":"wan2.1-t2v-turbo","duration":1e999,"prompt":"a"}', 400, "BadRequest.IllegalInput"),
    (b"\xef\xbb\xbf{}", 400, "BadRequest.IllegalInput"),
    (b'{"prompt":"a"}', 400, "BadRequest.EmptyModel"),
    (b'{"model":"other","prompt":"a"}', 403, "model_not_found"),
    (
        b'{"model":"wan2.1-t2v-turbo","upstream_options":{"prompt_extend_model":"other"},"prompt":"a"}',
        403,
        "model_not_found",
    ),
    (
        b'{"model":"wan2.1-t2v-turbo","prompt":"a","metadata":{"Prompt_Extend_Model":"other"}}',
        400,
        "BadRequest.IllegalInput",
    ),
]
