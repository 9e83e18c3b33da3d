"""Long media out of a document and back into it, byte for byte."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import ProxyError, Situation
from proxy.core.inlined import LONG, MOST_BESIDE, Inlined

PICTURE = "data:image/png;base64," + "A" * LONG


def test_a_picture_is_taken_out() -> None:
    """What is left is small and still JSON; short ones stay."""
    raw = json.dumps({"a": PICTURE, "b": "data:,x", "c": [PICTURE]}).encode()
    inlined = Inlined(raw)
    assert len(inlined.rest) < 200
    assert json.loads(inlined.rest)["b"] == "data:,x"
    assert inlined.put_back(inlined.rest) == raw


def test_nobody_can_forge_a_place() -> None:
    """The same place in another document, plain or spelt with escapes, is text like any other."""
    place = json.loads(Inlined(json.dumps({"b": PICTURE}).encode()).rest)["b"]
    for forged in (place, place.replace("-0;", "-7;")):
        spelt = json.dumps(forged).replace(":", "\\u003a")
        raw = f'{{"b":{json.dumps(PICTURE)},"a":{spelt}}}'.encode()
        inlined = Inlined(raw)
        again = json.dumps(json.loads(inlined.rest)).encode()
        assert json.loads(inlined.put_back(again)) == {"b": PICTURE, "a": forged}


texts = st.sampled_from([PICTURE, PICTURE + '"', "\\" + PICTURE, '"' + PICTURE, "data:,x", "\\"])


@given(st.recursive(texts | st.text(), lambda inner: st.lists(inner, max_size=4), max_leaves=6))
def test_any_document(value: object) -> None:
    """Wherever quotes and backslashes stand: what is read of the rest is the document."""
    raw = json.dumps({"a": value}).encode()
    inlined = Inlined(raw)
    again = json.dumps(json.loads(inlined.rest)).encode()
    assert json.loads(inlined.put_back(again)) == {"a": value}


def test_the_rest_has_a_limit() -> None:
    """A text that is no medium counts, and so does one with escapes in it."""
    for text in ("x" * MOST_BESIDE, "data:\\n" * MOST_BESIDE):
        with pytest.raises(ProxyError) as caught:
            Inlined(json.dumps({"a": text}).encode())
        assert caught.value.situation is Situation.TOO_LARGE
    assert Inlined(json.dumps({"a": "data:" + "x" * 5 * MOST_BESIDE}).encode()).rest
