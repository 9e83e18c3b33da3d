"""Numbers and literals by themselves; how they stand in a document shows `test_jsonscan`."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.jsonatoms import MAX_ATOM, atom_end
from proxy.core.jsontexts import JsonError


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none())
def test_an_atom_ends_where_something_else_follows(value: object) -> None:
    """What any program writes is taken whole; with nothing behind it, it may go on."""
    atom = json.dumps(value).encode()
    for follower in b",]} \n":
        assert atom_end(b"[" + atom + bytes([follower]), 1, 0) == 1 + len(atom)
    assert atom_end(b"[" + atom, 1, 0) == 1


@pytest.mark.parametrize(
    "atom",
    ["01", "-", "1.", ".5", "+1", "1e", "1e+", "NaN", "Infinity", "nul", "True", "0x1", "t."],
)
def test_what_json_does_not_know_is_refused(atom: str) -> None:
    """Other parsers take some of these; the offset is the document's."""
    with pytest.raises(JsonError) as caught:
        atom_end(b"[" + atom.encode() + b"]", 1, 1000)
    assert caught.value.offset == 1001


def test_an_atom_is_bounded() -> None:
    """The longest one passes; one byte more is refused, before its end has come too."""
    assert atom_end(b"1" * MAX_ATOM + b",", 0, 0) == MAX_ATOM
    assert atom_end(b"1" * MAX_ATOM, 0, 0) == 0
    for end in (b"", b","):
        with pytest.raises(JsonError):
            atom_end(b"1" * (MAX_ATOM + 1) + end, 0, 0)
