"""`core.capabilities`: what families can come to, and what they heed, as tables."""

from collections.abc import Sequence
from typing import TypeVar

import pytest

from proxy.core.asking import COUNTS, SHAPES
from proxy.core.capabilities import (
    CONTEXT,
    LENGTHS,
    PICTURES,
    TEXTS,
    Length,
    Pictures,
    Text,
    Thinks,
    row_of,
)
from proxy.core.dialects import NATIVE

Row = TypeVar("Row", Length, Pictures, Text)


def is_whole(table: Sequence[Row]) -> bool:
    """It ends with a row for every model, and has no pattern twice or behind its better."""
    pairs = [(pattern, row) for row in table for pattern in row.models]
    reached = all(row_of(table, pattern.replace("*", "")) is row for pattern, row in pairs[:-1])
    return reached and pairs[-1][0] == "*" and len(dict(pairs)) == len(pairs)


def test_the_tables_are_whole() -> None:
    """Every model has a row, and every row a model."""
    assert is_whole(LENGTHS)
    assert is_whole(PICTURES)
    assert is_whole(TEXTS)


def test_rows_name_inputs_that_are_listened_to() -> None:
    """On DashScope's own endpoints: nothing else makes videos and images."""
    for length in LENGTHS:
        assert length.least <= (length.default or length.least) <= length.most
        assert NATIVE.heeds.issuperset(length.resolution)
        assert set(SHAPES).issuperset(length.resolution)
    for pictures in PICTURES:
        assert NATIVE.heeds.issuperset(pictures.counts)
        assert set(COUNTS).issuperset(pictures.counts)


def test_whom_nobody_knows_heeds_nothing() -> None:
    """The last rows promise nothing in anybody's favour."""
    assert (LENGTHS[-1].default, LENGTHS[-1].resolution, PICTURES[-1].counts) == (None, (), ())
    assert (TEXTS[-1].thinks, TEXTS[-1].reads_its_body) == (Thinks.ALWAYS, False)


@pytest.mark.parametrize(
    "model",
    [
        *("qwen2.5-vl-72b-instruct", "qwen-vl-max", "qwen3-vl-plus", "qwen3-vl-8b-thinking"),
        *("qwen2.5-omni-7b", "qwen3-omni-flash", "qwen3-vl-rerank", "qwen3-rerank"),
        *("text-embedding-async-v2", "qwen-long", "qwen-mt-image", "qvq-max", "qwen3.5-plus"),
        *("deepseek-ocr", "glm-4.5v", "MiniMax-M2.1", "qwen3-vl-embedding"),
    ],
)
def test_models_that_may_read_more_than_their_body(model: str) -> None:
    """Those that see, hear, fetch, or read the query once for each document."""
    assert not row_of(TEXTS, model).reads_its_body


@pytest.mark.parametrize(
    ("model", "thinks"),
    [
        *[
            (model, Thinks.ALWAYS)
            for model in (
                *("deepseek-r1", "deepseek-r1-distill-qwen-7b", "qwq-plus", "qvq-max"),
                *("qwen3-235b-a22b-thinking-2507", "qwen3-vl-8b-thinking", "kimi-k2-thinking"),
                *("MiniMax-M2.1", "never-heard-of"),
            )
        ],
        *[(model, Thinks.UNLESS_TOLD) for model in ("qwen3-8b", "qwen3.5-plus", "glm-4.7")],
        *[
            (model, Thinks.WHEN_TOLD)
            for model in ("qwen-plus", "qwen3-max", "deepseek-v3.2", "qwen3-30b-a3b-instruct-2507")
        ],
    ],
)
def test_who_thinks(model: str, thinks: Thinks) -> None:
    """Some cannot help it, some can, some must be told."""
    assert row_of(TEXTS, model).thinks is thinks


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("text-embedding-async-v2", 204_800_000),
        ("qwen-long", 10_000_000),
        ("qwen3-rerank", 120_000),
        ("qwen-plus", CONTEXT),
    ],
)
def test_how_much_is_read_at_most(model: str, tokens: int) -> None:
    """What the models' own pages say: lines of a file, long documents."""
    assert row_of(TEXTS, model).most_read == tokens
