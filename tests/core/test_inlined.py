"""Long media out of a document and back into it, byte for byte."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import ProxyError, Situation
from proxy.core.inlined import LONG, MOST_BESIDE, Inlined

PICTURE = "data:image/png;base64," + "A" * LONG
BARE = "iVBORw0KGgo" + "A" * LONG + "=="


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


MEDIA = [PICTURE, BARE]
ODD = ['{}"', "\\{}", '"{}', "{}\\", "{}/", "/{}", " {}"]
texts = st.sampled_from(
    [*MEDIA, *(odd.format(one) for odd in ODD for one in MEDIA), "data:,x", "\\", " " * LONG]
)


@given(st.recursive(texts | st.text(), lambda inner: st.lists(inner, max_size=4), max_leaves=6))
def test_any_document(value: object) -> None:
    """Wherever quotes and backslashes stand: what is read of the rest is the document."""
    raw = json.dumps({"a": value}).encode()
    inlined = Inlined(raw)
    again = json.dumps(json.loads(inlined.rest)).encode()
    assert json.loads(inlined.put_back(again)) == {"a": value}


def test_the_rest_has_a_limit() -> None:
    """A text that is no medium counts, and so does one with escapes in it."""
    for text in ("a cat. " * MOST_BESIDE, "data:\\n" * MOST_BESIDE, "A" * MOST_BESIDE + " "):
        with pytest.raises(ProxyError) as caught:
            Inlined(json.dumps({"a": text}).encode())
        assert caught.value.situation is Situation.TOO_LARGE
    assert Inlined(json.dumps({"a": "data:" + "x" * 5 * MOST_BESIDE}).encode()).rest


@pytest.mark.parametrize("before", ["", "data:image/png;base64,"])
@pytest.mark.parametrize("slash", ["/", "\\/"])
@pytest.mark.parametrize("blanks", [0, 1, LONG - 1, LONG, 3 * LONG])
def test_base64_is_a_medium(before: str, slash: str, blanks: int) -> None:
    """With `data:` before it or bare, as PHP escapes it too, wherever in the body it stands."""
    medium = f"{before}{slash}9j{slash}4AAQ".replace("image/", f"image{slash}") + "A+" * LONG + "=="
    raw = f'{{{" " * blanks}"a":"{medium}","b":["{medium}","x"]}}'.encode()
    inlined = Inlined(raw)
    assert len(inlined.rest) < blanks + 250
    assert inlined.put_back(inlined.rest) == raw


def test_a_medium_is_found_where_it_stands() -> None:
    """In a value at any depth, or in a name; equal media stand for each other."""
    raw = json.dumps({"a": [{"b": PICTURE}], PICTURE: 1, "c": PICTURE, "d": "data:x"}).encode()
    inlined = Inlined(raw)
    rest = json.loads(inlined.rest)
    assert rest["a"][0]["b"] == rest["c"]
    assert inlined.stands_in(rest["a"])
    assert inlined.stands_in({rest["c"]: 1})
    assert not inlined.stands_in([rest["d"], {"x": None}])
    assert not Inlined(b'{"a":"data:x"}').stands_in("data:x")
