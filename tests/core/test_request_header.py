"""What a header says, and when that is remembered."""

from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.accounts import Account
from proxy.core.errors import ProxyError, Situation
from proxy.core.headers import asks_async, outbound
from proxy.core.policy import digest_of
from proxy.core.request_header import MOST, MOST_FIELDS, RawFields, RequestHeaders

ACCOUNT = Account("main", "https://upstream.test", "sk-1", workspace="ws-1")
OTHER = Account("other", "https://other.test", "sk-2")

CALL: RawFields = (
    (b"Host", b"h"),
    (b"Authorization", b"Bearer tok-1"),
    (b"Content-Length", b"5"),
    (b"Content-Type", b"application/json"),
    (b"X-Custom", "ä".encode()),
)


def changed(name: bytes, value: bytes) -> RawFields:
    return tuple((key, value if key == name else old) for key, old in CALL)


def test_only_the_length_may_differ() -> None:
    """A header is read once for all requests that say the same, whatever their lengths."""
    request_headers = RequestHeaders()
    first, length = request_headers.read(CALL)
    again, other = request_headers.read(changed(b"Content-Length", b"017"))
    assert again is first
    assert (length, other) == (("Content-Length", "5"), ("Content-Length", "017"))
    assert first.sized(other)[1:4] == [
        ("Authorization", "Bearer tok-1"),
        ("Content-Length", "017"),
        ("Content-Type", "application/json"),
    ]


@pytest.mark.parametrize(
    "raw",
    [
        changed(b"Authorization", b"Bearer tok-2"),
        changed(b"X-Custom", b"b"),
        CALL[:-1],
        CALL[:2],
        (),
        (*CALL, (b"X-More", b"1")),
        (CALL[0], CALL[2], CALL[1], *CALL[3:]),
        ((b"host", b"h"), *CALL[1:]),
        (*CALL[:2], (b"Content-Lengths", b"5"), *CALL[3:]),
        (*CALL[:2], (b"content-length", b"5"), *CALL[3:]),
    ],
)
def test_whatever_else_differs_is_read_anew(raw: RawFields) -> None:
    """A value, a name, its spelling, the order, a field more or less."""
    request_headers = RequestHeaders()
    first, _ = request_headers.read(CALL)
    header, length = request_headers.read(raw)
    text = [(name.decode(), value.decode()) for name, value in raw]
    assert header.sized(length) == text
    assert header.names == {name.lower() for name, _ in text} - {"content-length"}
    assert request_headers.read(CALL)[0].digest(None) == first.digest(None) == digest_of("tok-1")


def test_without_a_length_it_is_the_same_header() -> None:
    """A request without a body may say what one with a body did; its length is none."""
    request_headers = RequestHeaders()
    first, _ = request_headers.read(CALL)
    assert request_headers.read((*CALL[:2], *CALL[3:])) == (first, None)


def test_another_token_is_another_caller() -> None:
    """Who speaks is told by each request, not by its connection."""
    request_headers = RequestHeaders()
    tokens = ["tok-1", "tok-2", "tok-1"]
    raws = [changed(b"Authorization", b"Bearer " + token.encode()) for token in tokens]
    assert [request_headers.read(raw)[0].digest(None) for raw in raws] == list(
        map(digest_of, tokens)
    )


def test_a_refusal_is_not_remembered_as_a_token() -> None:
    """Two tokens are none, as often as they are sent; where the key may stand, the route says."""
    doubled = (*CALL, (b"authorization", b"Bearer tok-1"))
    keyed = (*CALL, (b"X-Api-Key", b"tok-1"))
    request_headers = RequestHeaders()
    for _ in range(2):
        with pytest.raises(ProxyError) as raised:
            request_headers.read(doubled)[0].digest(None)
        assert raised.value.situation is Situation.INVALID_TOKEN
    differing = (*CALL, (b"X-Api-Key", b"tok-2"))
    assert request_headers.read(keyed)[0].digest("x-api-key") == digest_of("tok-1")
    assert request_headers.read(differing)[0].digest(None) == digest_of("tok-1")
    with pytest.raises(ProxyError):
        request_headers.read(differing)[0].digest("x-api-key")


@pytest.mark.parametrize("field", [(b"X-Custom", b"\xff"), (b"X-\xff", b"1")])
def test_what_is_not_utf8_is_refused_each_time(field: tuple[bytes, bytes]) -> None:
    """And what was remembered before it is not told in its place."""
    request_headers = RequestHeaders()
    for _ in range(2):
        request_headers.read(CALL)
        with pytest.raises(ProxyError, match="UTF-8"):
            request_headers.read((*CALL, field))


@pytest.mark.parametrize(
    ("field", "situation"),
    [
        ((b"Content-Encoding", b"gzip"), Situation.COMPRESSED_BODY),
        ((b"Content-Encoding", b"identity"), None),
        ((b"Content-Type", b"application/json; charset=gbk"), Situation.ILLEGAL_INPUT),
    ],
)
def test_an_unreadable_body_stays_unreadable(
    field: tuple[bytes, bytes], situation: Situation | None
) -> None:
    """Whether a header is remembered makes no difference to its verdict."""
    request_headers = RequestHeaders()
    for _ in range(2):
        header, _ = request_headers.read((field, *CALL[:3]))
        with pytest.raises(ProxyError) if situation else nullcontext() as raised:
            header.demand_readable()
        assert situation is (raised and raised.value.situation)


@pytest.mark.parametrize(
    "more", [[(b"X-Large", b"x" * MOST)], [(b"X-%d" % n, b"") for n in range(MOST_FIELDS)]]
)
def test_a_large_header_is_not_kept(more: list[tuple[bytes, bytes]]) -> None:
    """A connection may be idle for minutes: what it holds in the meantime is bounded."""
    request_headers = RequestHeaders()
    large = (*CALL, *more)
    first, _ = request_headers.read(large)
    assert request_headers.read(large)[0] is not first
    usual, _ = request_headers.read(CALL)
    request_headers.read(large)
    assert request_headers.read(CALL)[0] is usual


names = st.sampled_from(
    [
        *("Accept", "Connection", "Content-Type", "content-type", "Content-Length", "Cookie"),
        *("X-DashScope-Async", "X-A", "x_b", "Expect", "Authorization", "TE"),
    ]
)
values = st.sampled_from(["", "1", "application/json", "text/plain", "X-A, content-length", "a\tb"])
headers = st.lists(st.tuples(names, values), max_size=6).filter(
    lambda fields: sum(name == "Content-Length" for name, _ in fields) <= 1
)
flags = st.tuples(st.booleans(), st.booleans(), st.booleans())


@given(st.lists(st.tuples(headers, st.sampled_from([ACCOUNT, OTHER]), flags), max_size=8))
def test_what_is_remembered_says_what_is_read_anew(
    calls: list[tuple[list[tuple[str, str]], Account, tuple[bool, bool, bool]]],
) -> None:
    """Whatever a connection's requests said before."""
    request_headers = RequestHeaders()
    for fields, account, (force_async, claims, as_json) in calls:
        for told in (fields, [(n, "77" if n == "Content-Length" else v) for n, v in fields]):
            raw = tuple((name.encode(), value.encode()) for name, value in told)
            header, length = request_headers.read(raw)
            assert header.sized(length) == told
            assert header.asks_async == asks_async(told)
            sent = header.outbound(
                length, account, force_async=force_async, claims=claims, as_json=as_json
            )
            assert sent == outbound(
                told, account, force_async=force_async, claims=claims, as_json=as_json
            )
