"""A small document as values: nothing twice, nothing vague."""

import pytest

from proxy.core.documents import MOST_VALUES, parse, wrong
from proxy.core.errors import ProxyError, Situation


def test_a_document() -> None:
    """What JSON says, as it says it."""
    assert parse(b'{"a":[1,2.5,null,true,"x"],"b":{}}') == {"a": [1, 2.5, None, True, "x"], "b": {}}


BAD = [
    (b'{"a":1,"a":1}', Situation.ILLEGAL_INPUT, "a: given twice."),
    (b'{"x":{"b":1,"b":2}}', Situation.ILLEGAL_INPUT, "x.b: given twice."),
    (b'{"x":1,"y":[0,[{"b":{},"c":2,"c":2}]]}', Situation.ILLEGAL_INPUT, "y[1][0].c: given twice."),
    (b'{"a":{"b":1,"b":2},"a":3}', Situation.ILLEGAL_INPUT, "a: given twice."),
    (b'{"a":-1e999}', Situation.ILLEGAL_INPUT, "The body has a number too large for JSON."),
    (
        b'{"a":[%b0]}' % (b"0," * MOST_VALUES),
        Situation.TOO_LARGE,
        f"The body has more than {MOST_VALUES} values.",
    ),
]


@pytest.mark.parametrize(("raw", "situation", "message"), BAD, ids=lambda value: str(value)[:20])
def test_what_is_refused(raw: bytes, situation: Situation, message: str) -> None:
    """Doubles, infinities, and what would take many times its bytes to hold."""
    with pytest.raises(ProxyError) as caught:
        parse(raw)
    assert (caught.value.situation, caught.value.message) == (situation, message)


def test_a_refusal_ends_as_a_sentence() -> None:
    """The field before it, one mark behind it."""
    assert wrong("a.b", "no").message == "a.b: no."
    assert wrong("a.b", "no?").message == "a.b: no?"
    assert wrong("a.b", "no").param == "a.b"


def test_a_refusal_is_short() -> None:
    """What a caller made up is cut, in the field and in the problem, however deep it stands."""
    error = wrong("a" * 10_000, "b" * 10_000)
    assert (len(error.param or ""), len(error.message)) == (129, 733)
    name = b"n" * 100_000
    with pytest.raises(ProxyError) as caught:
        parse(b'{"%b":{"%b":{"c":1,"c":2}}}' % (name, name))
    assert len(caught.value.message) < 200
