"""`GET models` narrowed: the caller's filters, our paging, entries as upstream wrote them."""

import json
from collections.abc import Mapping
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.answers import AnswerUnreadableError
from proxy.core.catalogue import GATHER_SIZE, gather_query, models_of, name_of, narrowed

OUR_PAGE = [("page_no", "3"), ("page_size", str(GATHER_SIZE))]


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        (None, []),
        ("", []),
        ("page_no=9&page_size=1", []),
        ("page_no=9&page_no=8&page%5Fsize=1", []),
        ("a=1&page_no=9&b=2&b=3", [("a", "1"), ("b", "2"), ("b", "3")]),
        ("name=", [("name", "")]),
        ("name=a%26page_no%3D7", [("name", "a&page_no=7")]),
        ("name=%E8%A7%86+x", [("name", "视 x")]),
    ],
)
def test_gathering_keeps_the_callers_filters(
    query: str | None, kept: list[tuple[str, str]]
) -> None:
    """Filters go up, repeated ones too; paging is the proxy's own and stands once."""
    assert parse_qsl(gather_query(query, 3), keep_blank_values=True) == kept + OUR_PAGE


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_gathering_never_pages_twice(query: str) -> None:
    """Whatever the caller's query: one `page_no`, one `page_size`, both ours."""
    asked = parse_qsl(gather_query(query, 3), keep_blank_values=True)
    assert [pair for pair in asked if pair[0] in {"page_no", "page_size"}] == OUR_PAGE


ENTRY: Mapping[str, object] = {
    "model": "wan2.6-t2v",
    "name": "Wan",
    "features": [1.5, None, "视频"],
}


def test_a_page_gives_its_entries() -> None:
    """The answer and its entries, in order; what is no entry is left out."""
    answer = {"output": {"models": [ENTRY, "stray", None, {}]}, "request_id": "r"}
    assert models_of(answer) == (answer, [ENTRY, {}])


NO_CATALOGUES: list[object] = [
    *(None, [], "models", {}, {"models": []}, {"output": None}, {"output": []}, {"output": {}}),
    *({"output": {"models": None}}, {"output": {"models": "x"}}, {"output": {"models": {}}}),
]


@pytest.mark.parametrize("answer", NO_CATALOGUES)
def test_what_is_no_catalogue_says_so(answer: object) -> None:
    """An answer of another shape is unreadable, never an empty catalogue."""
    with pytest.raises(AnswerUnreadableError):
        models_of(answer)


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        (ENTRY, "wan2.6-t2v"),
        ({"name": "qwen-plus"}, "qwen-plus"),
        ({"model": "", "name": "qwen-plus"}, "qwen-plus"),
        ({"model": None, "name": "qwen-plus"}, "qwen-plus"),
        ({"model": ["wan"], "name": "qwen-plus"}, ""),
        ({"name": 5}, ""),
        ({"Model": "wan"}, ""),
        ({}, ""),
    ],
)
def test_a_name_is_what_a_request_would_say(entry: dict[str, object], name: str) -> None:
    """`model` before the display name; what is no text names nothing, and so is never allowed."""
    assert name_of(entry) == name


@given(st.integers(0, 25), st.integers(1, 8), st.integers(1, 10))
def test_pages_are_full(count: int, page_no: int, page_size: int) -> None:
    """The allowed entries, cut into pages anew, inside upstream's own envelope."""
    models: list[Mapping[str, object]] = [{**ENTRY, "model": f"m-{n}"} for n in range(count)]
    envelope = {
        "request_id": "r",
        "success": True,
        "code": None,
        "output": {"total": 999, "page_no": 7, "page_size": 100, "models": ["old"], "more": 1},
    }
    told = json.loads(narrowed(envelope, models, page_no, page_size))
    assert told == {
        "request_id": "r",
        "success": True,
        "code": None,
        "output": {
            "total": count,
            "page_no": page_no,
            "page_size": page_size,
            "models": models[(page_no - 1) * page_size : page_no * page_size],
            "more": 1,
        },
    }


def test_entries_cross_as_they_came() -> None:
    """Order of members and letters of other alphabets are kept."""
    body = narrowed({"output": None}, [ENTRY], 1, 10)
    assert '{"model":"wan2.6-t2v","name":"Wan","features":[1.5,null,"视频"]}'.encode() in body
