"""What families of models can come to, and which inputs of a request they heed.

An input lowers what is held only where the family is known to heed it under that very name, on
an endpoint that does (`core/dialects`). All else is bounded by the family's most, or by what the
price knows better. So a row says what is known, and the rows of `*`, for whoever nobody knows,
heed nothing. Of each table the first row that matches counts (protocol section 8, and the
models' own pages).
"""

from collections.abc import Iterable
from enum import Enum
from functools import lru_cache
from typing import NamedTuple, TypeVar

from proxy.core.policy import matches

Patterns = tuple[str, ...]


class Length(NamedTuple):
    """How long videos and sounds of a family are, in seconds.

    `default` is what comes when the request names no length; None where the length follows
    something else than the request (what it was given to work on), and may always be `most`.
    `given` is the most that is billed of each video given, where that is billed as well.
    `resolution` are the inputs that decide it: where they are two, nobody knows which.
    """

    models: Patterns
    least: int
    default: int | None
    most: int
    resolution: tuple[str, ...] = ()
    given: int = 0


_RESOLUTION = ("resolution",)
_SIZE = ("size",)
_BOTH = ("resolution", "size")
_RECORDING = 12 * 3600

LENGTHS = (
    Length(("pixverse/*-lipsync", "pixverse/*-upscale"), 1, None, 120),
    Length(("pixverse/*-motioncontrol",), 1, None, 60),
    Length(("pixverse/*",), 1, 5, 15, _BOTH, given=30),
    Length(("vidu/*",), 1, 5, 16, _BOTH, given=30),
    Length(("kling/*",), 3, 5, 15, given=30),  # its `mode` decides the resolution
    Length(("MiniMax/*",), 4, 6, 30, _RESOLUTION, given=30),
    Length(("wan3.0-*",), 2, 5, 30, _RESOLUTION, given=30),
    Length(("happyhorse-*edit*",), 3, None, 75, _RESOLUTION),
    Length(("happyhorse-*",), 3, 5, 15, _RESOLUTION, given=60),
    Length(("wan2.7-*edit*",), 2, None, 60, _RESOLUTION),
    Length(("wan2.7-*",), 2, 5, 15, _RESOLUTION, given=30),
    Length(("wan2.6-r2v*",), 2, None, 30, _SIZE),
    Length(("wan2.6-t2v*",), 2, 5, 15, _SIZE),
    Length(("wan2.6-*",), 2, 5, 15, _RESOLUTION),
    Length(("wan2.5-t2v*",), 5, 5, 10, _SIZE),
    Length(("wan2.5-*",), 5, 5, 10, _RESOLUTION),
    Length(("*animate*", "emo*"), 1, None, 60),
    Length(("*-s2v*",), 1, None, 30, _RESOLUTION),
    Length(("liveportrait*",), 1, None, 180),
    Length(("videoretalk*",), 2, None, 120),
    Length(("video-style-transform",), 1, None, 60),
    Length(("*vace*",), 5, None, 10, _SIZE),
    Length(("wan*-t2v*",), 5, 5, 5, _SIZE),
    Length(("wan*-kf2v*", "wan*-i2v*"), 5, 5, 5, _RESOLUTION),
    Length(("*music*",), 1, None, 600),
    Length(("*asr*", "*filetrans*", "paraformer*", "gummy*"), 1, None, _RECORDING),
    Length(("*",), 1, None, 30),
)


class Pictures(NamedTuple):
    """How many images come: `usual` where the request does not say.

    `counts` are the inputs that may decide it, according to others: the greatest counts, and
    each that is absent is the usual.
    """

    models: Patterns
    usual: int
    counts: tuple[str, ...] = ()


_N = ("n",)

PICTURES = (
    Pictures(("wan2.7-image*",), 12, _N),  # a series of them
    Pictures(("wan2.6-image*",), 5, ("n", "max_images")),  # text and pictures in turns
    Pictures(("kling/*image*",), 9, ("n", "series_amount")),
    Pictures(("wanx-poster*",), 4),  # its `generate_num` stands beside the prompt
    Pictures(("wan*", "stable-diffusion*", "wordart*"), 4, _N),
    Pictures(("qwen-image*",), 1, _N),
    Pictures(("z-image*", "qwen-mt-image*", "aitryon*", "tripo/*", "*detect*"), 1),
    Pictures(("image-*", "flux*"), 1, _N),
    Pictures(("*",), 12),
)


class Thinks(Enum):
    """When a model thinks; no limit of what it says bounds its thoughts."""

    ALWAYS = "always"
    UNLESS_TOLD = "unless told not to"
    WHEN_TOLD = "when told to"


CONTEXT = 1_000_000
"""Tokens that a model reads at most, where its own page says no other number."""


class Text(NamedTuple):
    """How models of a family read and think.

    Where one `reads_its_body`, all that it reads stands there; others may be given links, or read
    the body more than once. `most_read` is tokens.
    """

    models: Patterns
    thinks: Thinks
    reads_its_body: bool = False
    most_read: int = CONTEXT


TEXTS = (
    Text(("*embedding-async*",), Thinks.WHEN_TOLD, most_read=100_000 * 2_048),  # lines of a file
    Text(("text-embedding-v*",), Thinks.WHEN_TOLD, reads_its_body=True),
    Text(("qwen3-rerank", "gte-rerank*"), Thinks.WHEN_TOLD, most_read=120_000),  # query by query
    Text(("*rerank*", "*embedding*"), Thinks.WHEN_TOLD),
    Text(("qwen-long*",), Thinks.WHEN_TOLD, most_read=10_000_000),
    Text(("qwen3-235b-a22b-thinking-2507",), Thinks.ALWAYS, reads_its_body=True),
    Text(("qwen3-30b-a3b-thinking-2507",), Thinks.ALWAYS, reads_its_body=True),
    Text(("qwen3-next-80b-a3b-thinking",), Thinks.ALWAYS, reads_its_body=True),
    Text(("*thinking*", "qvq*"), Thinks.ALWAYS),
    Text(("qwen*-vl*", "qwen*-omni*", "qwen*-ocr*", "qwen*-audio*"), Thinks.WHEN_TOLD),
    Text(("qwen-mt-image*",), Thinks.WHEN_TOLD),
    Text(
        (
            *("qwen-max", "qwen-max-*", "qwen-plus", "qwen-plus-*", "qwen-turbo", "qwen-turbo-*"),
            *("qwen-flash", "qwen-flash-*", "qwen3-max", "qwen3-max-*", "qwen3-coder-*"),
            *("qwen2.5-*b-instruct*", "qwen3-*b-instruct*", "qwen-mt-*", "deepseek-v3*"),
        ),
        Thinks.WHEN_TOLD,
        reads_its_body=True,
    ),
    Text(("qwq*", "deepseek-r1*"), Thinks.ALWAYS, reads_its_body=True),
    Text(("qwen3-*b",), Thinks.UNLESS_TOLD, reads_its_body=True),
    Text(("qwen3.*", "glm-*", "kimi-*"), Thinks.UNLESS_TOLD),
    Text(("*",), Thinks.ALWAYS),
)

MOST_VIDEOS = 5
MOST_FILES = 100
MOST_IMAGES = 100
MOST_ANSWERS = 10
MOST_OUTPUT_TOKENS = 65_536
MOST_THINKING_TOKENS = 81_920
MOST_CHARACTERS = 200_000
"""What a call may come to where nothing bounds it; a price may know better."""

_Row = TypeVar("_Row", Length, Pictures, Text)


def row_of(table: Iterable[_Row], model: str) -> _Row:
    """The first row that matches the model. Each table has one of `*`."""
    return next(row for row in table if matches(row.models, model))


_MODELS = 1024
"""Models whose rows are remembered: a call asks for them several times."""


@lru_cache(_MODELS)
def length_of(model: str) -> Length:
    """The model's row of `LENGTHS`."""
    return row_of(LENGTHS, model)


@lru_cache(_MODELS)
def pictures_of(model: str) -> Pictures:
    """The model's row of `PICTURES`."""
    return row_of(PICTURES, model)


@lru_cache(_MODELS)
def text_of(model: str) -> Text:
    """The model's row of `TEXTS`."""
    return row_of(TEXTS, model)
