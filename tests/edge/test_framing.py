"""Heads of answers, and where their bodies end. How they cross is shown in `test_replies`."""

import time
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import ProxyError, Situation
from proxy.edge.chunking import LAST_CHUNK
from proxy.edge.framing import Framing

KNOWN = frozenset({"server", "date"})


def head(*fields: tuple[str, str], status: int = 200, reason: str = "OK") -> bytes:
    framing = Framing("GET", status, is_modern=True, is_sized=True)
    framing.keep_alive = True
    return framing.head(status, reason, fields, KNOWN)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", [200, 204, 304, 500])
@pytest.mark.parametrize("is_modern", [True, False])
@pytest.mark.parametrize("is_sized", [True, False])
def test_how_a_client_sees_the_end(
    method: str, status: int, *, is_modern: bool, is_sized: bool
) -> None:
    """By its length, its chunks, by having no body at all, or else by the connection's end."""
    framing = Framing(method, status, is_modern=is_modern, is_sized=is_sized)
    has_body = method != "HEAD" and status not in {204, 304}
    assert framing.is_bodiless is not has_body
    assert framing.is_chunked is (has_body and is_modern and not is_sized)
    assert framing.is_ended is (is_sized or framing.is_chunked or not has_body)
    text = framing.head(status, "Said", [], KNOWN)
    assert text.startswith(b"HTTP/1.%d %d Said\r\n" % (is_modern, status))
    assert (b"Transfer-Encoding: chunked\r\n" in text) is framing.is_chunked


def test_what_is_missing_comes_last() -> None:
    """`Server` and `Date` where upstream sent none; `Connection` where it is not as expected."""
    framing = Framing("GET", 200, is_modern=True, is_sized=True)
    lines = framing.head(200, "OK", [("X-A", "1")], {"x-a"}).split(b"\r\n")
    assert lines[:2] == [b"HTTP/1.1 200 OK", b"X-A: 1"]
    names = [line.partition(b":")[0] for line in lines[2:]]
    assert names == [b"Server", b"Date", b"Connection", b"", b""]


def test_the_date_is_now() -> None:
    """RFC 9110 section 6.6.1: in its own form, of the second in which the answer begins."""
    framing = Framing("GET", 200, is_modern=True, is_sized=True)
    before = int(time.time())
    text = framing.head(200, "OK", [], {"server"}).decode()
    date = text.partition("Date: ")[2].partition("\r\n")[0]
    assert before <= parsedate_to_datetime(date).timestamp() <= time.time()
    assert date.endswith(" GMT")


def test_without_a_body_there_is_no_length() -> None:
    """RFC 9110 section 8.6: a 204 has no `Content-Length`, whatever upstream thinks."""
    fields = (("Content-Length", "0"), ("X-A", "1"))
    assert head(*fields, status=204) == b"HTTP/1.1 204 OK\r\nX-A: 1\r\n\r\n"
    assert b"Content-Length: 0" in head(*fields, status=200)


@given(name=st.text(max_size=8), value=st.text(max_size=8), reason=st.text(max_size=8))
def test_a_head_reads_back_as_itself_or_is_none(name: str, value: str, reason: str) -> None:
    """No name, value or reason makes a second line, or an end: such a head is refused."""
    if {"\r", "\n", "\0"} & set(name + value + reason):
        with pytest.raises(ProxyError) as caught:
            head((name, value), reason=reason)
        assert caught.value.situation is Situation.BAD_GATEWAY
        return
    lines = [f"HTTP/1.1 200 {reason}", f"{name}: {value}", "", ""]
    text = head((name, value), reason=reason)
    assert text.split(b"\r\n") == [line.encode("utf-8", "surrogateescape") for line in lines]


@pytest.mark.parametrize("odd", ["\r\n", "\n", "\r", "\0", "\r\nX: 1\r\n\r\n", "\n\r"])
def test_no_field_is_two(odd: str) -> None:
    """Whatever breaks a line in some reader's eyes, wherever it stands."""
    for fields, reason in (
        ([("X" + odd, "1")], "OK"),
        ([("X", "1" + odd)], "OK"),
        ([("X", odd + "1")], "OK"),
        ([], "OK" + odd),
    ):
        with pytest.raises(ProxyError) as caught:
            head(*fields, reason=reason)
        assert caught.value.situation is Situation.BAD_GATEWAY


@given(st.lists(st.binary(min_size=1, max_size=40)))
def test_chunks_are_told_apart(chunks: list[bytes]) -> None:
    """Each with its size in hexadecimal digits; a body with a length goes out as it is."""
    chunked = Framing("GET", 200, is_modern=True, is_sized=False)
    wire = chunked.wrapped(chunks) + LAST_CHUNK
    read = []
    while not wire.startswith(LAST_CHUNK):
        size, _, rest = wire.partition(b"\r\n")
        read.append(rest[: int(size, 16)])
        wire = rest[int(size, 16) :].removeprefix(b"\r\n")
    assert read == chunks
    assert wire == LAST_CHUNK
    sized = Framing("GET", 200, is_modern=True, is_sized=True)
    assert sized.wrapped(chunks) == b"".join(chunks)
