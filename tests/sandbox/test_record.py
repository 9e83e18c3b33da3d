"""The log of requests."""

import asyncio

import pytest

from proxy.sandbox.record import KEPT_BODY, KEPT_ENTRIES, PARSED_BODY, ReceivedRequest, RequestLog

FRAMINGS = [
    ((("Content-Length", "3"),), "content-length"),
    ((("transfer-encoding", "chunked"),), "chunked"),
    ((("Content-Type", "text/plain"),), "none"),
]


@pytest.mark.parametrize(("headers", "framing"), FRAMINGS)
def test_framing(headers: tuple[tuple[str, str], ...], framing: str) -> None:
    """How the body was delimited is read off the headers."""
    assert ReceivedRequest("POST", "/", headers).framing == framing


def test_both_ends_of_a_body_are_held() -> None:
    """Over the parse limit the first and last MiB are at hand, whatever the chunks."""
    entry = ReceivedRequest("POST", "/", ())
    size = 0
    for number in range(40):
        chunk = bytes([number]) * (PARSED_BODY // 16 + number)
        size += len(chunk)
        entry.feed(chunk)
        assert entry.kept <= PARSED_BODY + 2 * KEPT_BODY
    first, last = entry.ends()
    assert (first, last) == (b"\0" * (PARSED_BODY // 16) + first[PARSED_BODY // 16 :], last)
    assert (len(first), len(last), last[-1], entry.size) == (KEPT_BODY, KEPT_BODY, 39, size)
    assert entry.whole() is None
    entry.settle()
    assert entry.kept == KEPT_BODY


def test_json_is_the_object_sent() -> None:
    """`json` gives the object in the body."""
    entry = ReceivedRequest("POST", "/", ())
    entry.feed(b'{"a": 1}')
    assert entry.json() == {"a": 1}


@pytest.mark.parametrize(
    ("body", "why"), [(b"[]", "object"), (b"{", "Expecting"), (b"\xff", "utf-8")]
)
def test_json_is_an_object_or_an_error(body: bytes, why: str) -> None:
    """Anything else is a ValueError."""
    entry = ReceivedRequest("POST", "/", ())
    entry.feed(body)
    with pytest.raises(ValueError, match=why):
        entry.json()


def test_repr_tells_the_state() -> None:
    """A log printed by a failing test can be read."""
    entry = ReceivedRequest("POST", "/x?y", ())
    entry.feed(b"abc")
    assert repr(entry) == "<ReceivedRequest POST /x?y 3 bytes, open>"


def test_the_log_is_bounded() -> None:
    """The oldest entries make room for new ones."""
    log = RequestLog()
    for number in range(KEPT_ENTRIES + 300):
        log.open("GET", f"/{number}", ())
    assert len(log) <= KEPT_ENTRIES + 128
    assert log[-1].target == f"/{KEPT_ENTRIES + 299}"


async def test_waiting_for_a_request() -> None:
    """`wait_for` finds what is there, waits for what comes, and gives up in time."""
    log = RequestLog()
    waiting = asyncio.create_task(log.wait_for(lambda entry: entry.target == "/b", 5))
    first = log.open("GET", "/a", ())
    assert await log.wait_for(lambda entry: entry.target == "/a", 5) is first
    second = log.open("GET", "/b", ())
    assert await waiting is second
    with pytest.raises(TimeoutError):
        await log.wait_for(lambda entry: entry.target == "/c", 0.01)


def test_the_absolute_form_has_a_path() -> None:
    """A target with scheme and host means the same path (RFC 9112 section 3.2.2)."""
    assert ReceivedRequest("GET", "http://h:1/api/v1/models?a=b", ()).path == "/api/v1/models"
    assert ReceivedRequest("GET", "/api/v1/http://h", ()).path == "/api/v1/http://h"
