"""What a finished video or image reports as used, by family (protocol section 5, the table).

The families disagree on names and types, and that is the point: whoever meters must cope.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeAlias

from proxy.sandbox.answers import Payload
from proxy.sandbox.ask import items_of

DEFAULT_SECONDS = 5
"""Duration when the request names none, or the smart length -1."""

GIVEN_SECONDS = 3
"""Length of each video that a request gives to work on, whatever it is."""

WIDTHS = {480: 832, 720: 1280, 768: 1366, 1080: 1920, 1440: 2560}
"""Width at 16:9 by resolution."""


LISTED = {
    **dict.fromkeys(("624*624",), 480),
    **dict.fromkeys(("960*960", "1088*832", "832*1088"), 720),
    **dict.fromkeys(("1440*1440", "1632*1248", "1248*1632"), 1080),
}
"""Sizes that are not 16:9, by the resolution under which upstream's documents list them."""


@dataclass(frozen=True, slots=True)
class Made:
    """The facts of one video: seconds, lines of resolution, width*height, sound or not.

    `given` are the seconds of the videos it was made from.
    """

    seconds: float
    lines: int
    size: str
    audio: bool
    given: float = 0


Report: TypeAlias = Callable[[Made], Payload]


def video_usage(model: str, parameters: Payload, videos: int = 0) -> Payload:
    """The `usage` object of a video task that succeeded, made from so many other videos."""
    made = _made(model, parameters, videos * GIVEN_SECONDS)
    return next(report for pattern, report in FAMILIES if fnmatchcase(model, pattern))(made)


def _newest(made: Made) -> Payload:
    return {
        "duration": made.seconds + made.given,
        "input_video_duration": made.given,
        "output_video_duration": made.seconds,
        "video_count": 1,
        "SR": made.lines,
        "ratio": "16:9",
    }


def _middle(made: Made) -> Payload:
    return {"duration": made.seconds, "size": made.size, "video_count": 1, "SR": made.lines}


def _oldest(made: Made) -> Payload:
    return {
        "video_duration": made.seconds,
        "video_ratio": made.size,
        "video_count": 1,
    }


def _frames(made: Made) -> Payload:
    return {"video_duration": made.seconds, "video_count": 1, "SR": made.lines}


def _portrait(_made: Made) -> Payload:
    """The length follows the sound given, not a parameter: a float."""
    return {"video_duration": 5.2, "video_ratio": "standard"}


def _speech(made: Made) -> Payload:
    return {"duration": 5.2, "SR": made.lines}


def _partner(made: Made) -> Payload:
    """`SR` is a string here."""
    return {
        "duration": made.seconds,
        "size": made.size,
        "fps": 24,
        "video_count": 1,
        "audio": made.audio,
        "SR": str(made.lines),
    }


def _minimax(made: Made) -> Payload:
    return {
        "SR": str(made.lines),
        "duration": made.seconds + made.given,
        "input_seconds": made.given,
        "output_seconds": made.seconds,
        "total_seconds": made.seconds + made.given,
        "image_count": 0,
        "size": made.size,
        "video_count": 1,
    }


def _style(made: Made) -> Payload:
    return {"duration": made.seconds, "SR": made.lines}


FAMILIES: tuple[tuple[str, Report], ...] = (
    ("kling/*", _partner),
    ("pixverse/*", _partner),
    ("vidu/*", _partner),
    ("MiniMax/*", _minimax),
    ("wan2.7-*", _newest),
    ("wan3.0-*", _newest),
    ("happyhorse-*", _newest),
    ("wan*-kf2v-*", _frames),
    ("wan2.2-s2v*", _speech),
    ("*animate*", _portrait),
    ("emo*", _portrait),
    ("liveportrait*", _portrait),
    ("videoretalk*", _portrait),
    ("video-style-transform", _style),
    ("wan2.5-*", _middle),
    ("wan2.6-*", _middle),
    ("*", _oldest),
)
"""The first pattern that matches names the family."""


def videos_in(given: Payload) -> int:
    """How many videos an input gives to work on."""
    media = [item for item in items_of(given, "media") if isinstance(item, dict)]
    return sum("video" in str(item.get("type")) for item in media)


def images_in(given: Payload) -> int:
    """How many images the messages of an input give to work on."""
    messages = [item for item in items_of(given, "messages") if isinstance(item, dict)]
    parts = [part for message in messages for part in items_of(message, "content")]
    return sum(isinstance(part, dict) and "image" in part for part in parts)


def image_usage(model: str, parameters: Payload, count: int, given: int) -> Payload:
    """The `usage` object of images made, out of so many given."""
    size = str(parameters.get("size") or "1280*1280")
    width, height = (int(side) for side in (*re.findall(r"[0-9]+", size), "0", "0")[:2])
    report: Payload
    if fnmatchcase(model, "qwen-image-2*"):
        report = {"input_image_count": given, "output_image_count": count}
    elif fnmatchcase(model, "qwen-image*"):
        report = {"image_count": count}
    elif fnmatchcase(model, "kling/*"):
        return {"image_count": count, "size": size, "SR": str(min(width, height))}
    else:
        tokens = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
        return {"image_count": count, "size": size, **tokens}
    return report | {"width": width, "height": height}


def _made(model: str, parameters: Payload, given: float) -> Made:
    lines = _lines(model, parameters)
    size = str(parameters.get("size") or f"{WIDTHS.get(lines, 1280)}*{lines}")
    audio = bool(parameters.get("audio", True))
    return Made(_seconds(parameters), lines, size, audio, given)


def _seconds(parameters: Payload) -> float:
    """Clients send integers, floats, strings and -1."""
    try:
        seconds = float(parameters.get("duration", DEFAULT_SECONDS))
    except (TypeError, ValueError):
        return DEFAULT_SECONDS
    if not 0 < seconds < 3600:  # noqa: PLR2004 - an hour is more than any model makes; also NaN
        return DEFAULT_SECONDS
    return int(seconds) if seconds.is_integer() else seconds


def _lines(model: str, parameters: Payload) -> int:
    """`resolution` ("720P", "2K"), else what `size` is listed under, else the family's default."""
    named = re.match(r"(\d+)", str(parameters.get("resolution", "")))
    if named:
        return {"2": 1440, "4": 2160}.get(named[1]) or int(named[1])
    sides = re.findall(r"\d+", str(parameters.get("size", "")))
    if sides:
        return LISTED.get("*".join(sides)) or min(map(int, sides))
    return 1080 if model.startswith(("wan2.7-", "wan3.0-")) else 720
