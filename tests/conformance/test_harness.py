"""The comparison itself: it reads what was said, and nothing that differs escapes it."""

from collections.abc import Callable

import pytest
from conformance.differences import DIFFERENCES, explanation
from conformance.explains import error_frame
from conformance.findings import ANSWER, HELD, OWN, REQUEST, VALUE, Finding, compare
from conformance.operations import Operation
from conformance.relay import Tape
from conformance.running import Side
from conformance.table import TABLE
from conformance.wire import Message, answers_in, requests_in

ASKED = (
    b"POST /api/v1/x?a HTTP/1.1\r\nHost: h\r\nX-Tag: a\r\nX-More: b\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
)
TOLD = (
    b"HTTP/1.1 200 OK\r\nx-request-id: 1\r\nX-Tag: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"
)


def side(asked: bytes, told: bytes, *values: object, end: str = "open") -> Side:
    """A run in which this was said on one connection."""
    tape = Tape(bytearray(asked), bytearray(told), [(0, 1)], end)
    exchanges = [exchange for _, exchange in tape.exchanges()]
    return Side(exchanges, exchanges, list(values), {})


def unexplained(other: Side) -> list[str]:
    """What differs from the plain run and is not on the list, where nothing was stated."""
    return [
        f"{found.where} {found.what}"
        for found in compare(side(ASKED, TOLD, 1), other)
        if explanation(found, ()) is None
    ]


def test_the_same_is_the_same() -> None:
    """Two equal runs have no findings."""
    assert compare(side(ASKED, TOLD, 1), side(ASKED, TOLD, 1)) == []


TAMPERED: list[tuple[str, Callable[[], Side]]] = [
    ("request x-tag", lambda: side(ASKED.replace(b"X-Tag: a", b"X-Tag: b"), TOLD, 1)),
    ("request x-tag", lambda: side(ASKED.replace(b"X-Tag", b"x-tag"), TOLD, 1)),
    ("request x-new", lambda: side(ASKED.replace(b"X-Tag", b"X-New: 1\r\nX-Tag"), TOLD, 1)),
    ("request body", lambda: side(ASKED.replace(b"{}", b"[]"), TOLD, 1)),
    ("request count", lambda: side(ASKED.replace(b"?a", b"?b"), TOLD, 1)),
    ("request count", lambda: side(ASKED.replace(b"POST", b"PUT"), TOLD, 1)),
    ("request count", lambda: side(ASKED + ASKED, TOLD + TOLD, 1)),
    (
        "request framing",
        lambda: side(
            ASKED.replace(b"Transfer-Encoding: chunked", b"Content-Length: 2").replace(
                b"2\r\n{}\r\n0\r\n\r\n", b"{}"
            ),
            TOLD,
            1,
        ),
    ),
    ("answer line", lambda: side(ASKED, TOLD.replace(b"200 OK", b"201 OK"), 1)),
    ("answer x-tag", lambda: side(ASKED, TOLD.replace(b"X-Tag: a\r\n", b""), 1)),
    ("answer x-tag", lambda: side(ASKED, TOLD.replace(b"X-Tag: a", b"X-Tag: a\r\nX-Tag: a"), 1)),
    ("answer body", lambda: side(ASKED, TOLD.replace(b"ab", b"ac"), 1)),
    (
        "answer chunks",
        lambda: side(ASKED, TOLD.replace(b"2\r\nab\r\n2\r\ncd", b"4\r\nabcd"), 1),
    ),
    ("answer cut", lambda: side(ASKED, TOLD.removesuffix(b"0\r\n\r\n"), 1, end="closed")),
    ("answer line", lambda: side(ASKED, b"", 1)),
    (
        "request order",
        lambda: side(
            ASKED.replace(b"X-Tag: a\r\nX-More: b", b"X-More: b\r\nX-Tag: a"),
            TOLD,
            1,
        ),
    ),
    (
        "answer order",
        lambda: side(
            ASKED,
            TOLD.replace(b"x-request-id: 1\r\nX-Tag: a", b"X-Tag: a\r\nx-request-id: 1"),
            1,
        ),
    ),
    (
        "request place of host",
        lambda: side(ASKED.replace(b"Host: h\r\nX-Tag: a", b"X-Tag: a\r\nHost: h"), TOLD, 1),
    ),
    ("answer cut", lambda: side(ASKED, TOLD.removesuffix(b"2\r\ncd\r\n0\r\n\r\n"), 1)),
    ("value 0", lambda: side(ASKED, TOLD, 2)),
    ("value count", lambda: side(ASKED, TOLD, 1, 1)),
]


@pytest.mark.parametrize(("what", "tampered"), TAMPERED)
def test_tampering_is_found(what: str, tampered: Callable[[], Side]) -> None:
    """Each thing a proxy could do to a request, an answer or a value is an unexplained finding."""
    assert what in unexplained(tampered())


BYSTANDER = "POST /api/v1/services/x"
POLLED = "GET /api/v1/tasks/t1"


def answer(data: bytes, *, closed: bool = True) -> Message:
    """One answer read from the wire."""
    return answers_in(data, ["GET"], closed=closed)[0]


def plain(body: bytes, status: int = 200, *fields: bytes) -> Message:
    """An answer with a length."""
    head = [b"HTTP/1.1 %d Fine" % status, *fields, b"Content-Length: %d" % len(body)]
    return answer(b"\r\n".join(head) + b"\r\n\r\n" + body)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CUT = answer(CHUNKED + b"2\r\nab\r\n")
WHOLE = answer(CHUNKED + b"2\r\nab\r\n0\r\n\r\n")
PENDING = plain(b'{"output":{"task_id":"t1"}}')
OTHERS = plain(b'{"output":{"task_id":"t2"}}')
LISTED = plain(b'{"object":"list","data":[]}')
REFUSED = plain(b'{"code":"NotFound","message":"m"}', 404)
INVENTED = plain(b'{"code":"Invented","message":"m"}', 404)
CLOSING = plain(b'{"code":"NotFound","message":"m"}', 404, b"Connection: close")

SAID = (8, 1, '{"a":1}')

REAL_FAULTS: list[tuple[str, Finding]] = [
    ("broken", Finding(ANSWER, "cut", CUT, WHOLE, messages=(CUT, WHOLE))),
    ("broken", Finding(ANSWER, "body", "ab", "abX", messages=(CUT, CUT))),
    ("broken", Finding(ANSWER, "chunks", ["ab"], ["a", "b"], messages=(CUT, CUT))),
    ("broken", Finding(ANSWER, "end", "reset", "open", messages=(CUT, CUT))),
    ("broken", Finding(ANSWER, "end", "closed", "reset", messages=(WHOLE, WHOLE))),
    ("error-frame", Finding(ANSWER, "cut", CUT, WHOLE, messages=(CUT, WHOLE))),
    ("refusal", Finding(ANSWER, OWN, PENDING, INVENTED)),
    ("refusal", Finding(ANSWER, OWN, PENDING, CLOSING)),
    ("refusal", Finding(ANSWER, OWN, REFUSED, PENDING)),
    ("refusal", Finding(ANSWER, "line", None, "HTTP/1.1 200 OK")),
    ("refusal", Finding(REQUEST, "count", 0, 1, BYSTANDER)),
    ("refusal", Finding(VALUE, "0", {"code": "a"}, "TypeError")),
    ("held", Finding(ANSWER, HELD, PENDING, OTHERS, POLLED)),
    ("held", Finding(ANSWER, HELD, PENDING, REFUSED, POLLED)),
    ("held", Finding(ANSWER, HELD, PENDING, PENDING, BYSTANDER)),
    ("held", Finding(REQUEST, "count", 1, 0, BYSTANDER)),
    ("held", Finding(REQUEST, "count", 0, 1, POLLED)),
    ("own-models", Finding(ANSWER, OWN, LISTED, PENDING, "GET /api/v1/models")),
    ("own-models", Finding(ANSWER, OWN, REFUSED, REFUSED, "GET /api/v1/models")),
    ("own-models", Finding(ANSWER, OWN, LISTED, LISTED, "GET /api/v1/models/qwen-plus")),
    ("own-tasks", Finding(ANSWER, OWN, LISTED, LISTED, POLLED)),
    ("own-tasks", Finding(VALUE, "0", {"total": 3, "data": []}, {"total": 2, "data": []})),
    ("own-tasks", Finding(VALUE, "0", {"tasks": 3}, "TypeError")),
    ("gathered", Finding(VALUE, "0", 1, 2)),
    ("framing", Finding(ANSWER, "chunks", ["{}"], ["GARBAGE"], messages=(WHOLE, WHOLE))),
    (
        "framing",
        Finding(
            ANSWER,
            "content-length",
            [("Content-Length", "2")],
            [("Content-Length", "99")],
            messages=(PENDING, PENDING),
        ),
    ),
    ("conditions", Finding(REQUEST, "range", [("Range", "0-")], [], BYSTANDER)),
    ("conditions", Finding(REQUEST, "if-match", [("If-Match", "a")], [], "GET /api/v1/files/1")),
    (
        "identity",
        Finding(
            REQUEST,
            "accept-encoding",
            [("Accept-Encoding", "gzip")],
            [("Accept-Encoding", "identity")],
            "POST /api/v1/files",
            (next(requests_in(ASKED))[1],) * 2,
        ),
    ),
    ("version", Finding(REQUEST, "line", "HTTP/1.1", "HTTP/1.0", BYSTANDER)),
    (
        "connection",
        Finding(ANSWER, "connection", [], [("Connection", "close")], messages=(REFUSED, REFUSED)),
    ),
    (
        "async",
        Finding(
            REQUEST,
            "sent x-dashscope-async",
            [],
            ["enable"],
            BYSTANDER,
            (next(requests_in(ASKED))[1],) * 2,
        ),
    ),
    ("key", Finding(REQUEST, "sent authorization", ["Bearer <token>"], ["Bearer sk-other"])),
    ("handshake", Finding(REQUEST, "frames", [SAID], [(8, 1, '{"a": 1}')])),
    ("handshake", Finding(REQUEST, "x-tag", [("X-Tag", "a")], [])),
    ("handshake-answer", Finding(ANSWER, "x-tag", [("X-Tag", "a")], [])),
    ("fragments", Finding(REQUEST, "frames", [(0, 1, "a"), (8, 0, "b")], [(8, 1, "ba")])),
    ("fragments", Finding(REQUEST, "frames", [SAID, SAID], [(8, 1, SAID[2] * 2)])),
    ("pings", Finding(REQUEST, "frames", [(8, 9, "a"), SAID], [])),
    ("no-code", Finding(REQUEST, "frames", [(8, 8, "")], [(8, 8, "\x03\udce9")])),
    ("no-code", Finding(REQUEST, "frames", [(8, 8, "\x03\udce9a")], [(8, 8, "\x03\udce8")])),
    ("goodbye", Finding(ANSWER, "frames", [(8, 8, "\x03\udce8")], [(8, 8, "\x03\udce9a")])),
    ("goodbye", Finding(ANSWER, "frames", [SAID, (8, 8, "\x03\udce8")], [(8, 8, "\x03\udce8a")])),
    ("vanished", Finding(ANSWER, "frames", [SAID], [SAID])),
    ("vanished", Finding(ANSWER, "frames", [SAID], [(8, 8, "\x03\udcf6")])),
    ("vanished", Finding(ANSWER, "frames", [SAID], [SAID, (8, 8, "\x03\udce8")])),
    ("server", Finding(ANSWER, "told date", ["Mon, 01 Jan 2001 00:00:00 GMT"], ["now"])),
]


@pytest.mark.parametrize(("row", "found"), REAL_FAULTS)
def test_no_row_excuses_a_fault(row: str, found: Finding) -> None:
    """What looks like a difference of the list and is none stays unexplained where it is stated."""
    explained = explanation(found, {row})
    assert explained is None, explained.name


FRAME = b'event:error\n:HTTP_STATUS/502\ndata:{"code":"BadGateway","request_id":"1"}\n\n'


@pytest.mark.parametrize(
    ("said", "is_one"),
    [
        (b"", False),
        (FRAME, True),
        (FRAME * 2, False),
        (FRAME.replace(b"error", b"result"), False),
        (FRAME.replace(b"502", b"500"), False),
        (FRAME.removesuffix(b"\n"), False),
        (b"X" + FRAME, False),
    ],
)
def test_an_error_frame_is_exactly_one(said: bytes, is_one: bool) -> None:  # noqa: FBT001 - a column of the table
    """It follows what came before the break, whole and alone, and the answer then ends."""
    chunk = b"%x\r\n%b\r\n" % (len(said), said) if said else b""
    told = answer(CHUNKED + b"2\r\nab\r\n" + chunk + b"0\r\n\r\n")
    for mine in (CUT, WHOLE):
        found = Finding(ANSWER, "cut", mine, told, messages=(mine, told))
        assert error_frame(found) is (is_one and mine is CUT)


def test_a_date_is_upstreams() -> None:
    """The dates of two runs differ; in one, the client hears upstream's own."""
    dated = [
        TOLD.replace(b"X-Tag", b"Date: Mon, 0%d Jan 2001 00:00:00 GMT\r\nX-Tag" % day)
        for day in (1, 2)
    ]
    first, second = (side(ASKED, told, 1) for told in dated)
    assert compare(first, second) == []
    changed = Side(second.front, first.back, [1], {})
    assert [found.what for found in compare(second, changed)] == ["told date"]


def test_the_list_is_in_order() -> None:
    """Every row has a name of its own and a reason, and operations state rows that exist."""
    names = [row.name for row in DIFFERENCES]
    assert len(set(names)) == len(names)
    assert all(row.what and row.how for row in DIFFERENCES)
    stated = {
        name
        for operation in TABLE.values()
        for client in operation.clients
        for name in operation.stated(client)
    }
    assert stated <= set(names)


def test_an_operation_states_by_client() -> None:
    """What all clients show, and what one of them shows besides."""
    operation = Operation({}, differs=["async"], extra={"curl": ["expect"]})
    assert operation.stated("curl") == {"async", "expect"}
    assert operation.stated("bytes") == {"async"}


def test_pipelined_requests_are_told_apart() -> None:
    """Each begins where its predecessor's framing ends."""
    plain = b"GET / HTTP/1.1\r\n\r\n"
    sized = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
    found = list(requests_in(sized + ASKED + plain))
    assert [at for at, _ in found] == [0, len(sized), len(sized + ASKED)]
    assert [message.body for _, message in found] == [b"abc", b"{}", b""]


def test_answers_of_every_framing() -> None:
    """Interim heads, trailers, no body after HEAD, and a body that ends with the connection."""
    data = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"1\r\na\r\n0\r\nX: 1\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
        b"HTTP/1.0 200 OK\r\n\r\nrest"
    )
    first, second, third = answers_in(data, ["GET", "HEAD", "GET"], closed=True)
    assert (first.interim, first.trailers) == (["HTTP/1.1 100 Continue"], [("X", " 1")])
    assert (second.body, second.framing) == (b"", "none")
    assert (third.body, third.framing) == (b"rest", "close")


def test_what_breaks_off_is_cut() -> None:
    """A length that was not reached, and chunks without the last one."""
    sized = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"
    coded = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    for data in (sized, coded):
        (answer,) = answers_in(data, ["GET"], closed=True)
        assert (answer.body, answer.framing) == (b"abc", "cut")


def test_frames_behind_an_upgrade() -> None:
    """Masked or not, of every length; a frame that is not whole yet is left out."""
    asked = b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n\x81\x82\x01\x02\x03\x04\x60\x60"
    ((_, request),) = requests_in(asked)
    assert [(one.bits, one.opcode, one.payload) for one in request.frames] == [(8, 1, b"ab")]
    long = b"\x82\x7e\x00\x80" + bytes(128)
    told = b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + long + b"\x81\x05abc"
    (answer,) = answers_in(told, ["GET"], closed=False)
    assert [(one.opcode, len(one.payload)) for one in answer.frames] == [(2, 128)]
