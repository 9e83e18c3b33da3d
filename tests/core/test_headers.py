"""Which header fields cross: all but the listed ones, as they came, and no identity but ours."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.accounts import Account
from proxy.core.headers import (
    HOP_BY_HOP,
    REPLY_STOPPED,
    REQUEST_STOPPED,
    Fields,
    Stopped,
    asks_async,
    inbound,
    is_coded,
    outbound,
    unconditional,
    value_of,
    values_of,
)

KEY = "sk-account"
ACCOUNT = Account("main", "https://upstream.example", KEY)
OURS = [("Authorization", f"Bearer {KEY}")]


def up(fields: Fields) -> list[tuple[str, str]]:
    """What crosses to upstream of these fields, without what the proxy adds."""
    sent = list(outbound(fields, ACCOUNT, force_async=False, claims=False))
    assert sent[-1:] == OURS
    return sent[:-1]


def down(fields: Fields) -> list[tuple[str, str]]:
    """What crosses to the client of these fields, without what the proxy adds."""
    sent = list(inbound(fields, "our-id"))
    assert sent[-1] == ("x-proxy-request-id", "our-id")
    return sent[:-1]


def spellings(rows: tuple[Stopped, ...]) -> list[str]:
    """Every stopped name as it stands, as people write it, shouted, and with underscores."""
    names = [name.replace("*", "anything") for row in rows for name in row.names]
    forms = (str.lower, str.title, str.upper, lambda name: name.replace("-", "_"))
    return [form(name) for name in names for form in forms]


@pytest.mark.parametrize("name", spellings(REQUEST_STOPPED))
def test_a_stopped_request_field_never_reaches_upstream(name: str) -> None:
    """In any spelling; underscores count as hyphens, because CGI-like servers read them so."""
    kept = ("X-Kept", "1")
    assert up([(name, "theirs"), kept, (name, "again")]) == [kept]


@pytest.mark.parametrize("name", spellings(REPLY_STOPPED))
def test_a_stopped_reply_field_never_reaches_the_client(name: str) -> None:
    """In any spelling, and however often it stands."""
    kept = ("X-Kept", "1")
    assert down([(name, "theirs"), kept, (name, "again")]) == [kept]


def _names(text: str) -> list[str]:
    return text.split()


# DESIGN section 8 and protocol section 3, whatever the rows are called: the fields by name.
MUST_STOP_UP = _names("""
    Authorization api-key X-Api-Key Cookie X-DashScope-WorkSpace X-DashScope-Workspace
    x-dashscope-uid x-dashscope-apikeyid x-dashscope-inner-anything Host Expect
    X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto Forwarded X-Real-IP Via
    Connection Keep-Alive Proxy-Connection Proxy-Authorization TE Trailer Transfer-Encoding Upgrade
    X-HTTP-Method-Override X-Original-URL X-Rewrite-URL
""")
MUST_STOP_DOWN = _names("""
    Set-Cookie x-dashscope-uid x-dashscope-apikeyid x-dashscope-inner-flow-control
    Connection Keep-Alive Transfer-Encoding Trailer Upgrade Proxy-Authenticate
    Alt-Svc Strict-Transport-Security x-proxy-request-id
""")
MUST_CROSS_UP = _names("""
    Content-Type Content-Length Accept Accept-Encoding User-Agent X-Request-Id
    X-DashScope-Async X-DashScope-SSE X-DashScope-OssResourceResolve X-DashScope-DataInspection
    X-DashScope-EncryptionKey X-DashScope-Wait-Timeout X-DashScope-Plugin X-DashScope-Client
    x-dashscope-sdk-client x-dashscope-sdk-session-id x-dashscope-session-cache
    X-Accel-Buffering Cache-Control traceparent x-dashscope-inner x-dashscope-uids X-Anything
""")
MUST_CROSS_DOWN = _names("""
    Content-Type Content-Length Content-Encoding Vary Date Server
    x-request-id retry-after retry-after-ms x-should-retry
    x-dashscope-call-gateway x-dashscope-timeout x-dashscope-finished req-cost-time req-arrive-time
    resp-start-time x-envoy-upstream-service-time eagleeye-traceid x-dashscope-ptu-overflow
    X-DashScope-OutputEncrypted x-dashscope-inner Location X-Anything
""")


def test_what_the_protocol_names_is_stopped_or_crosses() -> None:
    """The fields that clients and upstream really send, by name, both ways."""
    assert up([(name, "v") for name in MUST_STOP_UP]) == []
    assert down([(name, "v") for name in MUST_STOP_DOWN]) == []
    crossing_up = [(name, "v") for name in MUST_CROSS_UP]
    crossing_down = [(name, "v") for name in MUST_CROSS_DOWN]
    assert up(crossing_up) == crossing_up
    assert down(crossing_down) == crossing_down


def test_every_row_says_why() -> None:
    """The README prints the rows, so each has a reason, and names are in lower case."""
    for row in {*REQUEST_STOPPED, *REPLY_STOPPED}:
        assert row.why
        plain = [name for name in row.names if name != "*_*"]
        assert all(name == name.lower() and "*" not in name[:-1] for name in plain)


@pytest.mark.parametrize(
    "value",
    ["X-Named", "x-named", "close, X-Named", "keep-alive ,x-named,", ",X-NAMED", "a,X-Named,b"],
)
def test_what_connection_names_is_hop_by_hop(value: str) -> None:
    """Fields named by any `Connection` field stop with it, both ways (RFC 9110 section 7.6.1)."""
    fields = [("X-Named", "1"), ("Connection", "other"), ("X-Kept", "2"), ("connection", value)]
    assert up(fields) == [("X-Kept", "2")]
    assert down(fields) == [("X-Kept", "2")]


def test_connection_cannot_take_what_is_ours() -> None:
    """A client that names the proxy's own fields in `Connection` removes only its own."""
    names = "authorization, x-dashscope-async, x-dashscope-workspace, accept-encoding"
    account = Account("main", "https://upstream.example", KEY, workspace="ws-ours")
    sent = outbound([("Connection", names)], account, force_async=True, claims=True)
    assert sent == [
        ("X-DashScope-Async", "enable"),
        ("Accept-Encoding", "identity"),
        *OURS,
        ("X-DashScope-WorkSpace", "ws-ours"),
    ]
    assert inbound([("Connection", "x-proxy-request-id")], "id") == [("x-proxy-request-id", "id")]


@pytest.mark.parametrize("name", ["Content-Length", "Content-Type", "Content-Encoding"])
def test_connection_cannot_take_the_framing(name: str) -> None:
    """What describes the body is end-to-end; a body sent under another description is another."""
    fields = [(name, "1"), ("Connection", f"close, {name}")]
    assert up(fields) == fields[:1]
    assert down(fields) == fields[:1]


def test_order_spelling_and_repeats_are_kept() -> None:
    """Fields that cross are the very same, one by one, however odd."""
    fields = [("b", "2"), ("A", "1"), ("b", "1"), ("B", ""), ("x-é", "ü"), ("a", "1"), ("A", "1")]
    assert up(fields) == fields
    assert down(fields) == fields


field_names = st.sampled_from(MUST_STOP_UP + MUST_STOP_DOWN + MUST_CROSS_UP + MUST_CROSS_DOWN)
values = st.sampled_from(["", "v", "theirs", "close", "X-Anything", "upgrade, te"])


@given(st.lists(st.tuples(field_names, values)))
def test_nothing_is_made_up(fields: list[tuple[str, str]]) -> None:
    """For any header: what crosses is a subsequence of it, and only ours names an identity."""
    for crossed in (up(fields), down(fields)):
        rest = iter(fields)
        assert all(pair in rest for pair in crossed)
    sent = outbound(fields, ACCOUNT, force_async=False, claims=False)
    assert [pair for pair in sent if pair[0].lower() in {"authorization", "cookie"}] == OURS


@pytest.mark.parametrize("theirs", ["disable", "enable", "", "ENABLE"])
def test_a_forced_async_replaces_the_clients(theirs: str) -> None:
    """One `X-DashScope-Async: enable`, whatever the client said; else the client's own."""
    fields = [("x-dashscope-async", theirs), ("X-DashScope-Async", theirs), ("A", "1")]
    forced = outbound(fields, ACCOUNT, force_async=True, claims=False)
    assert forced == [("A", "1"), ("X-DashScope-Async", "enable"), *OURS]
    assert up(fields) == fields


@pytest.mark.parametrize("theirs", ["gzip", "br, gzip;q=0.5", "identity", "*"])
def test_an_answer_that_is_read_comes_plain(theirs: str) -> None:
    """Where task ids are claimed the answer is asked for uncompressed; else as the client asks."""
    fields = [("ACCEPT-ENCODING", theirs), ("A", "1")]
    claimed = outbound(fields, ACCOUNT, force_async=False, claims=True)
    assert claimed == [("A", "1"), ("Accept-Encoding", "identity"), *OURS]
    assert up(fields) == fields


@pytest.mark.parametrize(
    "theirs",
    [
        ["application/x-www-form-urlencoded"],
        ["text/plain;charset=UTF-8"],
        ["multipart/form-data; boundary=x"],
        ["application/jsonx"],
        [""],
        ["application/json, application/x-www-form-urlencoded"],
        ["application/json; a, text/plain"],
        ["application/json", "application/x-www-form-urlencoded"],
        ["application/json", "application/json"],
    ],
)
def test_what_was_judged_as_json_is_called_so(theirs: list[str]) -> None:
    """Upstream must not read another model from the same bytes, as a form or as anything else."""
    fields = [("A", "1"), *(("content-type", value) for value in theirs), ("B", "2")]
    judged = outbound(fields, ACCOUNT, force_async=False, claims=False, as_json=True)
    assert judged == [("A", "1"), ("Content-Type", "application/json"), ("B", "2"), *OURS]
    assert up(fields) == fields


@pytest.mark.parametrize(
    "theirs",
    [None, "application/json", "Application/JSON ; charset=utf-8", "application/vnd.a+json;x=y"],
)
def test_json_keeps_the_name_it_has(theirs: str | None) -> None:
    """Its own spelling and parameters; who names nothing is not told for."""
    fields = [("Content-type", theirs)] if theirs else [("A", "1")]
    judged = outbound(fields, ACCOUNT, force_async=False, claims=False, as_json=True)
    assert judged == [*fields, *OURS]


def test_the_identity_upstream_is_the_accounts() -> None:
    """Key and workspace are the account's; without a workspace none is named."""
    fields = [("Authorization", "Bearer theirs"), ("X-DashScope-WorkSpace", "theirs")]
    assert outbound(fields, ACCOUNT, force_async=False, claims=False) == OURS
    elsewhere = Account("main", "https://upstream.example", KEY, workspace="ours")
    assert outbound(fields, elsewhere, force_async=False, claims=False) == [
        *OURS,
        ("X-DashScope-WorkSpace", "ours"),
    ]


def test_asking_for_a_task_is_what_upstream_hears() -> None:
    """A wish for async counts when it crosses, in any spelling of the name."""
    assert asks_async([("x-dashscope-ASYNC", "enable")])
    assert not asks_async([("X-DashScope-SSE", "enable")])
    assert not asks_async([("X-DashScope-Async", "enable"), ("Connection", "x-dashscope-async")])


def test_fields_are_found_by_lower_case_name() -> None:
    """The first value or all of them, in order; None or none when there are none."""
    fields = [("A", "1"), ("b", "2"), ("a", "3")]
    assert (value_of(fields, "a"), values_of(fields, "a")) == ("1", ["1", "3"])
    assert (value_of(fields, "c"), values_of(fields, "c")) == (None, [])


def test_hop_by_hop_is_the_same_list_both_ways() -> None:
    """One list, so that neither direction forgets a field."""
    assert HOP_BY_HOP in REQUEST_STOPPED
    assert HOP_BY_HOP in REPLY_STOPPED


@pytest.mark.parametrize(
    ("told", "coded"),
    [
        ([], False),
        (["chunked"], False),
        (["Chunked ,"], False),
        (["gzip, chunked"], True),
        (["gzip", "chunked"], True),
        (["deflate"], True),
    ],
)
def test_a_transfer_coding_is_seen(told: list[str], *, coded: bool) -> None:
    """`chunked` alone is framing; in any field, beside it or without it, the rest is a coding."""
    assert is_coded([("Transfer-Encoding", value) for value in told]) is coded


def test_a_whole_answer_is_asked_for() -> None:
    """Conditions and ranges go, in any spelling; what only begins like a word of theirs stays."""
    fields = [
        ("If-None-Match", "*"),
        ("if-modified-since", "x"),
        ("IF-RANGE", "x"),
        ("Range", "bytes=0-1"),
        ("X-If-Match", "1"),
        ("Identity", "1"),
    ]
    assert unconditional(fields) == fields[4:]


def test_upstreams_limits_do_not_cross_beside_ours() -> None:
    """What upstream says of its own limits is dropped where the proxy tells of a client's."""
    theirs = [("X-RateLimit-Limit-Requests", "99"), ("x-ratelimit-reset-tokens", "1s")]
    ours = [("x-ratelimit-limit-tasks", "3")]
    own_id = ("x-proxy-request-id", "id")
    assert inbound([*theirs, ("X-Kept", "1")], "id", ours) == [("X-Kept", "1"), own_id, *ours]
    assert inbound(theirs, "id", [("X-Other", "1")]) == [*theirs, own_id, ("X-Other", "1")]


def test_no_caller_fills_memory_with_names() -> None:
    """Names that are long cross as others do, and are not remembered."""
    out = up([("X-First", "1")])
    tracemalloc.start()
    try:
        for number in range(200):
            name = f"X-{number}-" + "y" * 10_000
            out = up([(name, "1")])
            assert out == [(name, "1")]
        assert tracemalloc.get_traced_memory()[0] < 200_000
    finally:
        tracemalloc.stop()
