"""The shortcuts take whole tokens only, and nothing that the grammar does not know."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.jsonruns import ITEMS, MEMBERS, UP

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
INDENT = st.sampled_from([None, 1])


@given(st.lists(VALUES, min_size=1), INDENT)
def test_whatever_a_run_takes_is_good_json(items: list[object], indent: int | None) -> None:
    """Each run begins where the one before ended, behind a comma or at the end of the array."""
    text = json.dumps(items, indent=indent).encode()
    taken, at = 0, 1
    while found := ITEMS.unheard.match(text, at):
        at = found.end()
        taken = len(json.loads(text[: at - 1] + b"]"))
    assert text[at - 1 : at] in {b"[", b",", b"]"}
    assert at < len(text) or taken == len(items)


@pytest.mark.parametrize(
    "text", [b"1", b"1 ", b'"x', b'"x"', b"[1", b"[1]", b"[1,2,", b"tru", b"{"]
)
def test_no_token_is_taken_that_may_go_on(text: bytes) -> None:
    """Without what follows it nobody knows whether it has ended."""
    assert ITEMS.unheard.match(text) is None
    assert ITEMS.flat.match(text) is None
    assert MEMBERS.unheard.match(b'"a":' + text) is None


@pytest.mark.parametrize(
    "text",
    [
        *(b"01,", b"1.,", b"+1,", b"NaN,", b"'a',", b'"\\x",', b'"\\ud800",', b'"\n",', b"[1,],"),
        *(b"[,1],", b'{"a"},', b'{"a":},', b'{"a":1,},', b"{a:1},", b"[}],", b'["a":1],', b"{1},"),
        *(b",", b"]", b"[1}"),
    ],
)
def test_nothing_but_json_is_taken(text: bytes) -> None:
    """What is no value is left to the scanner, which knows what is wrong with it."""
    for run in (ITEMS.unheard, ITEMS.flat, ITEMS.heard):
        found = run.match(text)
        assert found is None or found[0] in {b"[", b"{", b'"'}


def test_a_run_ends_with_its_container() -> None:
    """What follows belongs to another one."""
    for run, text in ((ITEMS, b"1,[2] ] , 3,"), (MEMBERS, b'"a":1,"b":{} } , "c":1,')):
        found = run.unheard.match(text)
        assert found is not None
        assert found.end() == text.index(b" ,")


def _groups(run: re.Pattern[bytes], text: bytes) -> tuple[bytes | None, ...]:
    found = run.match(text)
    assert found is not None
    return found.groups()


def test_what_is_told_of_one_that_is_heard() -> None:
    """Its name and value as they stand, and the way up to the comma; or how it begins."""
    assert _groups(MEMBERS.heard, b' "a" : "x" , "b"') == (b"a", b'"x"', b"", b" ,", None)
    assert _groups(MEMBERS.heard, b'"a":-1.5e3} ],') == (b"a", b"-1.5e3", b"} ]", b",", None)
    assert _groups(MEMBERS.heard, b'"a":{"b"') == (b"a", None, None, None, b"{")
    assert _groups(MEMBERS.heard, b'"a":"' + b"x" * 100) == (b"a", None, None, None, None)
    assert _groups(ITEMS.heard, b"{ },") == (b"", b"{ }", b"", b",", None)


def test_the_way_down_and_up() -> None:
    """Openers with the first names of objects, a value, and the ends of containers to a comma."""
    assert _groups(ITEMS.segment, b'[ {"a" : [ 1 ] }, 2') == (b'[ {"a" : [', b" ] }", b",", None)
    assert _groups(ITEMS.segment, b"[[]],") == (b"[", b"]", b",", None)
    assert _groups(ITEMS.segment, b'["x') == (b"[", None, None, b'"')
    assert _groups(MEMBERS.segment, b'"a":{"b":1') == (b'"a":{"b":', None, None, None)
    assert MEMBERS.segment.match(b'"[":1') is None
    assert _groups(UP, b"] }, 1") == (b"] }", b",")
    assert _groups(UP, b"x") == (b"", None)
