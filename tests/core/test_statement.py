"""`core.statement`: totals of a store, added up as somebody asks."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.statement import COLUMNS, Query, QueryError, Total, read_query, state

NAMES = {"tok_1": "alice", "tok_2": "bob"}


USED = Total(
    day="2026-11-20",
    tenant="studio",
    token="tok_1",
    model="wan2.6-t2v",
    currency="CNY",
    records=1,
    amount=1_500_000_000,
    seconds="5",
    images=1,
    input_tokens=10,
    output_tokens=20,
    characters=30,
)


def asked(**given: str) -> Query:
    return read_query({name: [text] for name, text in given.items()}, "2026-11-20")


def test_lines_are_sums_by_what_is_asked() -> None:
    """One line for each value, in order, with the token's name, and a sum of all."""
    totals = [USED, USED._replace(token="tok_2"), USED._replace(day="2026-11-19", seconds="2.5")]
    found = state(totals, asked(), NAMES)
    alice, bob = found.lines
    assert (alice.keys, alice.name, alice.records, alice.amount) == (
        ("tok_1",),
        "alice",
        2,
        3_000_000_000,
    )
    assert str(alice.seconds) == "7.5"
    assert (bob.keys, bob.name, bob.images) == (("tok_2",), "bob", 1)
    (whole,) = found.sums
    assert (whole.keys, whole.name, whole.records, whole.amount) == ((), "", 3, 4_500_000_000)
    assert (whole.input_tokens, whole.output_tokens, whole.characters) == (30, 60, 90)


def test_what_has_no_price_stands_apart() -> None:
    """Neither it nor another currency is added to an amount it is no part of."""
    totals = [USED, USED._replace(currency="", amount=0), USED._replace(currency="USD")]
    found = state(totals, asked(), NAMES)
    assert [(line.currency, line.records) for line in found.lines] == [
        ("", 1),
        ("CNY", 1),
        ("USD", 1),
    ]
    assert [line.currency for line in found.sums] == ["", "CNY", "USD"]


def test_nothing_used_is_no_line() -> None:
    """And no sum: there is no currency it would be nothing of."""
    found = state([], asked(), NAMES)
    assert (found.lines, found.sums) == ((), ())


FILTERS = [
    ({"token": "tok_1"}, "a"),
    ({"token": "alice"}, "a"),
    ({"token": "tok_gone"}, "c"),
    ({"token": "nobody"}, ""),
    ({"tenant": "other"}, "b"),
    ({"model": "wan*"}, "ab"),
    ({"model": "qwen-plus"}, "c"),
    ({"model": "qwen"}, ""),
    ({"since": "2026-11-20"}, "ab"),
    ({"until": "2026-11-19"}, "c"),
]


@pytest.mark.parametrize(("words", "left"), FILTERS, ids=str)
def test_filters(words: dict[str, str], left: str) -> None:
    """A token goes by id or name, a revoked one by its id; a model by a pattern; days are in."""
    totals = {
        "a": USED,
        "b": USED._replace(token="tok_2", tenant="other"),
        "c": USED._replace(token="tok_gone", model="qwen-plus", day="2026-11-19"),
    }
    query = read_query({"by": ["token"]} | {k: [v] for k, v in words.items()}, "2026-11-20")
    found = state(totals.values(), query, NAMES)
    assert {line.keys[0] for line in found.lines} == {totals[one].token for one in left}


days = st.dates().map(lambda day: f"{day:%Y-%m-%d}".zfill(10))
anything = st.builds(
    Total,
    days,
    *(st.sampled_from(["x", "y"]) for _ in range(3)),
    st.sampled_from(["", "CNY"]),
    *(st.integers(0, 10**18) for _ in range(2)),
    st.decimals(0, 10**9, places=3).map(str),
    *(st.integers(0, 10**12) for _ in range(4)),
)


@given(st.lists(anything, max_size=20), st.permutations(COLUMNS), st.integers(1, 4))
def test_lines_always_come_to_the_sums(totals: list[Total], columns: list[str], some: int) -> None:
    """However it is added up, nothing is lost and nothing counted twice."""
    query = Query("0000-01-01", "9999-12-31", tuple(columns[:some]))
    found = state(totals, query, {})
    places = [(line.keys, line.currency) for line in found.lines]
    assert places == sorted(set(places))
    for column in ("records", "amount", "seconds", "images", "characters"):
        by_line: Counter[str] = Counter()
        for line in found.lines:
            by_line[line.currency] += getattr(line, column)
        assert {line.currency: getattr(line, column) for line in found.sums} == dict(by_line)


def test_without_days_it_is_this_month() -> None:
    """From its first day to the one that is given as today; with a last day alone, its month."""
    assert asked() == Query("2026-11-01", "2026-11-20", ("token",))
    query = asked(until="2026-02-28")
    assert (query.first_day, query.last_day) == ("2026-02-01", "2026-02-28")


def test_names_are_needed_for_tokens_only() -> None:
    """To tell them, or to find one by its name."""
    assert asked().needs_names
    assert asked(by="day", token="alice").needs_names
    assert not asked(by="day,model", tenant="studio").needs_names


def test_several_columns_in_either_way() -> None:
    """Repeated or listed; what is asked for twice is there once, in the order asked for."""
    assert read_query({"by": ["day,token", "model", "day"]}, "2026-11-20").by == (
        "day",
        "token",
        "model",
    )


WRONG = [
    ({"by": ["colour"]}, "by", "'colour' is not one of day, tenant, token, model"),
    ({"by": [""]}, "by", "'' is not one of"),
    ({"since": ["yesterday"]}, "since", "'yesterday' is no day, as in 2026-11-20"),
    ({"since": ["20261101"]}, "since", "is no day"),
    ({"since": ["2026-W47-5"]}, "since", "is no day"),
    ({"since": [""]}, "since", "'' is no day"),
    ({"until": ["2026-02-30"]}, "until", "is no day"),
    ({"since": ["2026-11-01", "2026-11-02"]}, "since", "is given more than once"),
    ({"since": ["2026-11-21"]}, "since", "2026-11-21 is after 2026-11-20"),
    ({"from": ["2026-11-21"]}, "from", "is not one of by, since, until, tenant, token, model"),
]


@pytest.mark.parametrize(("given", "field", "problem"), WRONG, ids=str)
def test_a_question_that_makes_no_sense(
    given: dict[str, list[str]], field: str, problem: str
) -> None:
    """What is wrong is named, and what would be right."""
    with pytest.raises(QueryError) as caught:
        read_query(given, "2026-11-20")
    assert caught.value.field == field
    assert problem in caught.value.problem
