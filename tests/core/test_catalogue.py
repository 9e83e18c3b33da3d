"""Lists of models: the caller's filters, our paging, entries as upstream wrote them."""

import json
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.answers import AnswerUnreadableError
from proxy.core.catalogue import (
    GATHER_SIZE,
    LISTS,
    AnthropicList,
    NativeList,
    OpenAIList,
    Page,
    Wanted,
)
from proxy.core.errors import ProxyError, Situation
from proxy.core.routes import Envelope

OUR_PAGE = [("page_no", "1"), ("page_size", str(GATHER_SIZE))]
NATIVE, OPENAI, ANTHROPIC = (
    LISTS[one](None) for one in (Envelope.NATIVE, Envelope.OPENAI, Envelope.ANTHROPIC)
)


def pairs(query: str | None) -> list[tuple[str, str]]:
    return parse_qsl(query or "", keep_blank_values=True)


def page(entries: Sequence[Mapping[str, object]], **more: object) -> Page:
    return Page(more, entries)


def test_every_protocol_lists() -> None:
    """Whatever shape errors have on a route, its models can be listed in it."""
    assert [type(one) for one in (NATIVE, OPENAI, ANTHROPIC)] == [
        NativeList,
        OpenAIList,
        AnthropicList,
    ]


# -- what is asked -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        (None, []),
        ("", []),
        ("page_no=9&page_size=1", []),
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
    assert pairs(NativeList.parse(query).next_query([])) == kept + OUR_PAGE


@given(st.dictionaries(st.text("ab%&=_ "), st.text("ab%&=_ "), max_size=3))
def test_gathering_never_pages_twice(filters: dict[str, str]) -> None:
    """Whatever the caller's filters: one `page_no`, one `page_size`, both ours."""
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    asked = pairs(NativeList.parse(query).next_query([]))
    assert [pair for pair in asked if pair[0] in {"page_no", "page_size"}] == OUR_PAGE


ENTRY: Mapping[str, object] = {
    "model": "wan2.6-t2v",
    "name": "Wan",
    "features": [1.5, None, "视频"],
}


@pytest.mark.parametrize(
    ("sizes", "total", "goes_on"),
    [
        ([100], 250, True),
        ([100, 100, 50], 250, False),
        ([100, 100], None, True),
        ([100, 99], None, False),
        ([7], 8, True),
        ([7, 0], 8, False),
    ],
)
def test_native_pages_are_gathered_by_number(
    sizes: list[int], total: int | None, *, goes_on: bool
) -> None:
    """Until the total is there, or where upstream tells none, until a page is short."""
    pages = [page([ENTRY] * size, output={"total": total}) for size in sizes]
    query = NATIVE.next_query(pages)
    assert (query is not None) is goes_on
    assert query is None or pairs(query)[0] == ("page_no", str(len(pages) + 1))


def test_an_openai_list_is_asked_once() -> None:
    """It has no pages; the caller's query goes up as it is."""
    wanted = OpenAIList.parse("x=%20y&x")
    assert wanted.next_query([]) == "x=%20y&x"
    assert wanted.next_query([page([{"id": "a"}], has_more=True)]) is None


def test_an_anthropic_list_is_gathered_by_id() -> None:
    """As much as upstream gives, from behind the last one, while there is more."""
    wanted = AnthropicList.parse("limit=3&beta=true&after_id=b")
    assert pairs(wanted.next_query([])) == [("beta", "true"), ("limit", "1000")]
    first = page([{"id": "a"}, {"id": "b"}], has_more=True)
    expected = [("beta", "true"), ("limit", "1000"), ("after_id", "b")]
    assert pairs(wanted.next_query([first])) == expected
    for last in (page([{"id": "c"}], has_more=False), page([], has_more=True), page([{"id": "c"}])):
        assert wanted.next_query([first, last]) is None


# -- what is read --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "answer"),
    [
        (NATIVE, {"output": {"models": [ENTRY, "stray", None, {}]}, "request_id": "r"}),
        (OPENAI, {"object": "list", "data": [ENTRY, 7, {}]}),
        (ANTHROPIC, {"data": [[], ENTRY, {}], "has_more": False}),
    ],
)
def test_a_page_gives_its_entries(wanted: Wanted, answer: dict[str, object]) -> None:
    """The answer and its entries, in order; what is no entry is left out."""
    assert wanted.read(answer) == Page(answer, [ENTRY, {}])


NO_LISTS: list[object] = [
    *(None, [], "models", {}, {"models": []}, {"output": None}, {"output": []}, {"output": {}}),
    *({"output": {"models": None}}, {"output": {"models": "x"}}, {"output": {"models": {}}}),
    *({"data": None}, {"data": {}}, {"data": "x"}, {"error": {"message": "no"}}),
]


@pytest.mark.parametrize("answer", NO_LISTS)
def test_what_is_no_list_says_so(answer: object) -> None:
    """An answer of another shape is unreadable, never an empty list."""
    for wanted in (NATIVE, OPENAI, ANTHROPIC):
        with pytest.raises(AnswerUnreadableError):
            wanted.read(answer)


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
    assert NATIVE.name_of(entry) == name
    assert OPENAI.name_of({**entry, "id": name}) == ANTHROPIC.name_of({"id": name}) == name
    assert OPENAI.name_of({"id": 7}) == ""


# -- what is shown -------------------------------------------------------------------------------


@given(st.integers(0, 25), st.integers(1, 8), st.integers(1, 10))
def test_native_pages_are_full(count: int, page_no: int, page_size: int) -> None:
    """The allowed entries, cut into pages anew, inside upstream's own envelope."""
    models: list[Mapping[str, object]] = [{**ENTRY, "model": f"m-{n}"} for n in range(count)]
    last = page(
        [],
        request_id="r",
        success=True,
        code=None,
        output={"total": 999, "page_no": 7, "page_size": 100, "models": ["old"], "more": 1},
    )
    wanted = NativeList.parse(f"page_no={page_no}&page_size={page_size}")
    assert json.loads(wanted.render(last, models)) == {
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


def test_an_openai_list_is_whole() -> None:
    """The allowed entries in upstream's own envelope."""
    shown = OPENAI.render(page([], object="list", data=["old"]), [{"id": "a"}])
    assert json.loads(shown) == {"object": "list", "data": [{"id": "a"}]}


NAMES = [f"m{n}" for n in range(25)]


@pytest.mark.parametrize(
    ("query", "shown", "has_more"),
    [
        (None, NAMES[:20], True),
        ("limit=25", NAMES, False),
        ("limit=24", NAMES[:24], True),
        ("after_id=m19", NAMES[20:], False),
        ("after_id=m3&limit=2", NAMES[4:6], True),
        ("after_id=m24", [], False),
        ("before_id=m5", NAMES[:5], False),
        ("before_id=m5&limit=2", NAMES[3:5], True),
        ("before_id=m0", [], False),
    ],
)
def test_anthropic_pages_lie_between_ids(
    query: str | None, shown: list[str], *, has_more: bool
) -> None:
    """At most `limit`, 20 without one, behind or before an id, as the protocol has it."""
    models = [{"id": name, "type": "model"} for name in NAMES]
    body = AnthropicList.parse(query).render(page([], data=[], first_id="x", has_more=True), models)
    assert json.loads(body) == {
        "data": [{"id": name, "type": "model"} for name in shown],
        "first_id": shown[0] if shown else None,
        "last_id": shown[-1] if shown else None,
        "has_more": has_more,
    }


@pytest.mark.parametrize(
    ("query", "param"),
    [
        *((f"limit={text}", "limit") for text in ("0", "1001", "-1", "x", "1.5", "٣", "9" * 5000)),
        *((f"limit={text}", "limit") for text in ("0000000019999", "1" + "0" * 4400)),
        ("limit=000000001" + "0" * 4400, "limit"),
        ("limit=1&limit=2", "limit"),
        ("after_id=a&before_id=b", "before_id"),
        ("after_id=a&after_id=a", "after_id"),
        ("after_id=nowhere", "after_id"),
        ("before_id=nowhere", "before_id"),
    ],
)
def test_anthropic_paging_that_is_none(query: str, param: str) -> None:
    """The caller's mistake, with the parameter that is at fault."""
    with pytest.raises(ProxyError) as refusal:
        AnthropicList.parse(query).render(page([]), [{"id": "a"}])
    assert (refusal.value.situation, refusal.value.param) == (Situation.ILLEGAL_INPUT, param)


def test_entries_cross_as_they_came() -> None:
    """Order of members and letters of other alphabets are kept."""
    for wanted in (NATIVE, OPENAI, ANTHROPIC):
        body = wanted.render(page([], output=None), [ENTRY])
        assert '{"model":"wan2.6-t2v","name":"Wan","features":[1.5,null,"视频"]}'.encode() in body
