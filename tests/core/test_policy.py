"""Who may do what: patterns match whole names literally, grants are read strictly or not at all."""

import hashlib
import math
import re
from fnmatch import fnmatchcase
from time import process_time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.policy import (
    ACCOUNT,
    INFERENCE,
    SCOPES,
    Grant,
    GrantUnreadableError,
    digest_of,
    grant_from_fields,
    grant_to_fields,
    has_scope,
    is_active,
    matches,
    may_come_from,
    may_see,
    may_use,
    selling,
)

DIGEST = "0123456789abcdef" * 4

# Patterns, a model, and whether they match.
PATTERNS = [
    ("wan2.6-t2v", "wan2.6-t2v", True),
    ("wan2.6-t2v", "WAN2.6-T2V", False),
    ("wan2.6-t2v", "wan2.6-t2v ", False),
    ("wan2.6-t2v", " wan2.6-t2v", False),
    ("wan2.6-t2v", "wan2.6-t2v\n", False),
    ("wan2.6-t2v", "wan2.6-t2v-flash", False),
    ("wan2.6-t2v", "xwan2.6-t2v", False),
    ("wan2.6-t2v", "", False),
    ("wan2.6", "wan2x6", False),
    ("wan+", "wann", False),
    ("[a-z]+", "wan", False),
    ("a|b", "a", False),
    ("a|b", "a|b", True),
    ("(a)", "(a)", True),
    ("(?i)a", "A", False),
    ("a?", "a", False),
    ("a?", "ab", False),
    ("a?", "a?", True),
    ("^a$", "a", False),
    ("\\w", "a", False),
    ("\\w", "\\w", True),
    ("a{2}", "aa", False),
    ("*", "", True),
    ("*", "anything/at all\n", True),
    ("wan*", "wan", True),
    ("wan*", "wan2.6/x", True),
    ("wan*", "qwan", False),
    ("*-t2v", "wan2.6-t2v", True),
    ("*-t2v", "wan2.6-t2v-x", False),
    ("kling/*", "kling/kling-v3-video-generation", True),
    ("kling/*", "kling", False),
    ("*/*", "kling/v3", True),
    ("*/*", "kling", False),
    ("wan*-kf2v-*", "wan2.2-kf2v-flash", True),
    ("wan*-kf2v-*", "wan-kf2v-", True),
    ("wan*-kf2v-*", "wankf2v-flash", False),
    ("wan*-kf2v-*", "wan-kf2v", False),
    ("a*a", "a", False),
    ("a*a", "aa", True),
    ("a**b", "ab", True),
    ("*ab*ab", "ab", False),
    ("*ab*ab", "abab", True),
    ("*ab*ab", "abxabab", True),
    ("视频*", "视频-1", True),
]


@pytest.mark.parametrize(("pattern", "model", "expected"), PATTERNS)
def test_a_pattern_matches_whole_names(pattern: str, model: str, *, expected: bool) -> None:
    """Only `*` is special; all else is literal, case counts, and the whole name must match."""
    assert matches((pattern,), model) is expected
    grant = Grant("i", "n", "t", (pattern,))
    assert may_use(grant, model) is expected


def test_any_of_several_patterns_will_do() -> None:
    """Patterns are alternatives, each for the whole name; none at all matches nothing."""
    assert matches(("a", "b*c"), "a")
    assert matches(("a", "b*c"), "bc")
    assert not matches(("a", "b*c"), "ab")
    assert not matches(("a", "b"), "a|b")
    assert not matches((), "")
    assert not matches((), "a")


@given(st.lists(st.text("ab/*.", max_size=8)), st.text("ab/.", max_size=12))
@example(["a*ba"], "abba")
@example(["*a*", "b"], "b")
def test_patterns_mean_what_shells_mean(patterns: list[str], model: str) -> None:
    """Against an independent reading: `*` is any run, `/` included."""
    expected = any(fnmatchcase(model, pattern) for pattern in patterns)
    assert matches(tuple(patterns), model) is expected


def test_matching_takes_no_longer_for_stars() -> None:
    """A tenant picks the name, so no name may be expensive: no backtracking between stars."""
    begin = process_time()
    assert not matches(("*-*-*-preview",), "-" * 800)
    assert process_time() - begin < 0.1  # cubic backtracking took half a second here


def test_a_token_is_remembered_as_its_digest() -> None:
    """SHA-256 in lower-case hex, as `sha256sum` prints it; stray bytes are no exception."""
    assert digest_of("sk-x") == hashlib.sha256(b"sk-x").hexdigest()
    assert digest_of("\udcff") == hashlib.sha256(b"\xff").hexdigest()


@pytest.mark.parametrize(
    ("grant", "active"),
    [
        (Grant("i", "n", "t", ()), True),
        (Grant("i", "n", "t", (), expires=100.5), True),
        (Grant("i", "n", "t", (), expires=100), False),
        (Grant("i", "n", "t", (), expires=99), False),
        (Grant("i", "n", "t", (), expires=0), False),
        (Grant("i", "n", "t", (), enabled=False), False),
        (Grant("i", "n", "t", (), enabled=False, expires=1e9), False),
    ],
)
def test_a_grant_counts_until_it_expires(grant: Grant, *, active: bool) -> None:
    """Enabled and before its end; the very second of `expires` is already too late."""
    assert is_active(grant, 100.0) is active


def test_ownership_is_the_tenant() -> None:
    """What a tenant owns is seen by the same tenant's grants, by nobody else's."""
    grant = Grant("i", "n", "acme", ("*",), frozenset(SCOPES))
    assert may_see(grant, "acme")
    assert not may_see(grant, "Acme")
    assert not may_see(grant, "acme ")
    assert not may_see(grant, "i")
    assert not may_see(grant, "")


def test_scopes_are_told_apart() -> None:
    """`inference` is the default, and it is not `account`; neither holds the other."""
    assert has_scope(Grant("i", "n", "t", ()), INFERENCE)
    assert not has_scope(Grant("i", "n", "t", ()), ACCOUNT)
    assert not has_scope(Grant("i", "n", "t", (), frozenset({ACCOUNT})), INFERENCE)


def test_models_alone_make_a_grant() -> None:
    """`redis-cli HSET dsp:token:<digest> models 'wan*'` is enough: the rest has safe defaults."""
    assert grant_from_fields(DIGEST, {"models": "wan*"}) == Grant(
        id=DIGEST[:16],
        name=DIGEST[:16],
        tenant=DIGEST[:16],
        models=("wan*",),
        scopes=frozenset({INFERENCE}),
        expires=None,
        enabled=True,
        created=0,
    )


# Stored fields, and what becomes of them.
FIELDS: list[tuple[dict[str, str], dict[str, object]]] = [
    ({}, {"models": ()}),
    ({"models": ""}, {"models": ()}),
    ({"models": " a,b ,\tc/d\n*"}, {"models": ("a", "b", "c/d", "*")}),
    ({"id": "x"}, {"id": "x", "name": "x", "tenant": "x"}),
    ({"id": "x", "name": "y"}, {"name": "y", "tenant": "x"}),
    ({"id": "", "tenant": ""}, {"id": DIGEST[:16], "tenant": DIGEST[:16]}),
    ({"scopes": ""}, {"scopes": frozenset()}),
    ({"scopes": "inference,account"}, {"scopes": SCOPES}),
    ({"enabled": "0"}, {"enabled": False}),
    ({"enabled": "False"}, {"enabled": False}),
    ({"enabled": " no "}, {"enabled": False}),
    ({"enabled": "yes"}, {"enabled": True}),
    ({"expires": "1700000000"}, {"expires": 1.7e9}),
    ({"expires": "0"}, {"expires": 0.0}),
    ({"created": "1.5"}, {"created": 1.5}),
    ({"some_later_field": "x"}, {"models": ()}),
]


@pytest.mark.parametrize(("fields", "expected"), FIELDS)
def test_stored_fields_are_read(fields: dict[str, str], expected: dict[str, object]) -> None:
    """Lists by blanks or commas, truth as people write it, unknown fields left for later."""
    grant = grant_from_fields(DIGEST, fields)
    assert {name: getattr(grant, name) for name in expected} == expected


UNREADABLE = [
    *(("enabled", text) for text in ("", "2", "on", "maybe", "-1", "1 0")),
    *(("expires", text) for text in ("nan", "inf", "-1", "1e9", "tomorrow", "1_000", " ", "1 ")),
    *(("expires", text) for text in ("2026-01-01", "0x10", "1.", ".5", "9" * 13, "\u0661", "١٢")),
    *(("created", text) for text in ("", "nan", "-1", "yesterday")),
    *(("scopes", text) for text in ("Inference", "admin", "inference admin", "*")),
]


@pytest.mark.parametrize(("field", "text"), UNREADABLE)
def test_an_unreadable_field_spoils_the_grant(field: str, text: str) -> None:
    """What cannot be understood grants nothing, and the error names the field."""
    with pytest.raises(GrantUnreadableError, match=f"^{field}: "):
        grant_from_fields(DIGEST, {"models": "*", field: text})


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("models", {"models": ("free *",)}),
        ("models", {"models": ("a,*",)}),
        ("models", {"models": ("a\n*",)}),
        ("models", {"models": ("",)}),
        ("scopes", {"scopes": frozenset({"root"})}),
        ("expires", {"expires": math.nan}),
        ("expires", {"expires": math.inf}),
        ("expires", {"expires": -1.0}),
        ("expires", {"expires": 1e12}),
        ("created", {"created": math.nan}),
        ("created", {"created": -0.5}),
    ],
)
def test_no_grant_is_made_that_reads_otherwise(field: str, values: dict[str, object]) -> None:
    """What the stored form cannot say is refused when it is made: `free *` would read as `*`."""
    whole: dict[str, object] = {"id": "i", "name": "n", "tenant": "t", "models": ("a",), **values}
    with pytest.raises(GrantUnreadableError, match=f"^{field}: "):
        Grant(**whole)  # type: ignore[arg-type]


words = st.text(min_size=1).filter(lambda text: not re.search(r"[\s,]", text))
seconds = st.integers(0, 10**12 - 1).map(float) | st.integers(0, 10**15).map(lambda n: n / 10**6)


@given(
    st.builds(
        Grant,
        id=st.text(min_size=1),
        name=st.text(min_size=1),
        tenant=st.text(min_size=1),
        models=st.lists(words).map(tuple),
        scopes=st.frozensets(st.sampled_from(sorted(SCOPES))),
        expires=st.none() | seconds,
        enabled=st.booleans(),
        created=seconds,
    )
)
@example(Grant("i", "n", "t", ("*", "a/b"), expires=0.0, created=1700000000.123456))
def test_what_is_stored_reads_the_same(grant: Grant) -> None:
    """Fields and back is the same grant, and every field is text."""
    fields = grant_to_fields(grant)
    assert all(isinstance(value, str) for value in fields.values())
    assert grant_from_fields(DIGEST, fields) == grant


@pytest.mark.parametrize(
    ("networks", "address", "may"),
    [
        ("", None, True),
        ("", "203.0.113.9", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8 203.0.113.9", "203.0.113.9", True),
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("2001:db8::/32", "2001:db8::1", True),
        ("2001:db8::/32", "10.1.2.3", False),
        ("10.0.0.0/8", None, False),
        ("10.0.0.0/8", "unix:", False),
    ],
)
def test_a_token_keeps_to_its_networks(networks: str, address: str | None, *, may: bool) -> None:
    """One list of addresses and networks; who has no readable address is outside of all."""
    grant = grant_from_fields(DIGEST, {"models": "*", "allow_ips": networks})
    assert may_come_from(grant, address) is may
    assert grant_from_fields(DIGEST, grant_to_fields(grant)) == grant


@pytest.mark.parametrize("text", ["10.0.0.0/33", "10.1.2.3/8", "example.com", "1"])
def test_a_network_that_cannot_be_read_spoils_the_grant(text: str) -> None:
    """Host bits in a network are a mistake: nobody can tell what was meant."""
    with pytest.raises(GrantUnreadableError, match="allow_ips"):
        grant_from_fields(DIGEST, {"allow_ips": text})


def test_only_what_is_sold_may_be_used() -> None:
    """Where a price is required, a model without one is as good as none."""
    grant = grant_from_fields(DIGEST, {"models": "wan* qwen-plus"})
    sold = selling(grant, ("wan2.6-*", "other"))
    assert [may_use(sold, name) for name in ("wan2.6-t2v", "wan2.5-t2v", "qwen-plus", "other")] == [
        True,
        False,
        False,
        False,
    ]


def test_a_grant_is_narrowed_once() -> None:
    """Equal grants are one to whatever is memorised by them; any difference makes another."""
    grants = [Grant("id", "name", "tenant", ("*",)) for _ in range(2)]
    assert selling(grants[0], ("a",)) is selling(grants[1], ("a",))
    other = Grant("id", "name", "tenant", ("b*",))
    assert selling(other, ("a",)).models == ("b*",)
    assert selling(grants[0], ("c",)).sold == ("c",)
