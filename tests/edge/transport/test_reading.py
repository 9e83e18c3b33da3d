"""What comes off the wire, fed byte by byte if need be: which answers it makes, and which none."""

from typing import Self

import pytest
from edge.rig import chunked

from proxy.core.errors import ProxyError
from proxy.edge.transport.answers import Answer
from proxy.edge.transport.reading import MAX_HEAD, Reader, UnreadableError

OK = b"HTTP/1.1 200 OK\r\n"
EMPTY = OK + b"Content-Length: 0\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


class Desk:
    """A reader, and the answers it made."""

    def __init__(self, *, is_head: bool = False) -> None:
        self.answers = list[Answer]()
        self.reader = Reader(self, self.answers.append)
        self.reader.expect(is_head=is_head)

    def hold_back(self) -> None: ...

    def go_on(self) -> None: ...

    def feed(self, *parts: bytes) -> Self:
        for part in parts:
            self.reader.feed(part)
        return self

    async def chunks(self) -> list[bytes]:
        """Those of the one answer there is."""
        (answer,) = self.answers
        return [chunk async for chunk in answer.chunks()]


def split(wire: bytes) -> list[bytes]:
    return [wire[at : at + 1] for at in range(len(wire))]


WHOLE = [
    (OK + b"Content-Length: 5\r\n\r\nhello", [b"hello"]),
    (CHUNKED + chunked(b"hello", b"you"), [b"hello", b"you"]),
    (CHUNKED + b"5;name=value\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", [b"hello"]),
    (b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", []),
    (b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", []),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + EMPTY, []),
    (OK + b"Connection: upgrade\r\nUpgrade: h2\r\nContent-Length: 2\r\n\r\n{}", [b"{}"]),
    (b"\r\n" + EMPTY, []),
]


@pytest.mark.parametrize(("wire", "chunks"), WHOLE)
async def test_whole_answers(wire: bytes, chunks: list[bytes]) -> None:
    """Read at once or byte by byte, an answer is the same, and its connection can be used again."""
    for parts in ([wire], split(wire)):
        desk = Desk().feed(*parts)
        assert (desk.reader.is_over, desk.reader.is_reusable) == (True, True)
        found = await desk.chunks()
        assert b"".join(found) == b"".join(chunks)
        assert found == chunks or (len(parts) > 1 and b"Content-Length" in wire)


async def test_a_head_keeps_its_bytes() -> None:
    """Order, spelling, repeats; white space around a value is none of it."""
    wire = b"HTTP/1.1 418 I'm a  pot\r\nX-b: 1\r\nx-A:\t\xfc \r\nX-B:\r\nContent-Length: 0\r\n\r\n"
    for parts in ([wire], split(wire)):
        (answer,) = Desk().feed(*parts).answers
        assert (answer.status, answer.reason) == (418, "I'm a  pot")
        fields = [
            (name, value.encode("utf-8", "surrogateescape")) for name, value in answer.headers
        ]
        assert fields == [("X-b", b"1"), ("x-A", b"\xfc"), ("X-B", b""), ("Content-Length", b"0")]


async def test_a_trailer_is_no_part_of_the_head() -> None:
    """It does not cross: nobody said that it would come."""
    (answer,) = Desk().feed(CHUNKED, b"0\r\nX-Sum: 1\r\n\r\n").answers
    assert [name for name, _ in answer.headers] == ["Transfer-Encoding"]


UNREADABLE = [
    b"hello\r\n\r\n",
    b"HTTP/1.1 2000 OK\r\n\r\n",
    b"HTTP/1.1 099 Low\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\nContent-Length: 3\r\n\r\nabc" + EMPTY,
    b"HTTP/1.1 199 Odd\r\nContent-Length: 3\r\n\r\nabc" + EMPTY,
    OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"{}"),
    OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n" + chunked(b"{}"),
    OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    OK + b"Content-Length: +2\r\n\r\n{}",
    OK + b"Content-Length: 2, 2\r\n\r\n{}",
    OK + b"Content-Length: 99999999999999999999\r\n\r\n",
    OK + b"X-A : 1\r\n\r\n",
    OK + b"Content-Length : 2\r\n\r\n{}",
    OK + b"Transfer-Encoding : chunked\r\n\r\n" + chunked(b"{}"),
    OK + b"Connection : close\r\nContent-Length: 0\r\n\r\n",
    OK + b"X\0A: 1\r\n\r\n",
    OK + b"X-A: 1\0\r\n\r\n",
    OK + b"X-A: 1\rX-B: 2\r\n\r\n",
    OK + b"X-A: 1\nX-B: 2\r\n\r\n",
    CHUNKED + b"0x2\r\n{}\r\n",
    CHUNKED + b"-2\r\n{}\r\n",
    CHUNKED + b"2 \r\n{}\r\n",
    CHUNKED + b"2\n{}\n",
    CHUNKED + b"2\r\n{}abc\r\n",
    CHUNKED + b"fffffffffffffffff\r\n{}",
]


@pytest.mark.parametrize("wire", UNREADABLE)
def test_what_can_be_read_in_two_ways_is_not_read(wire: bytes) -> None:
    """At once or byte by byte: it is broken, and so is its connection."""
    for parts in ([wire], split(wire)):
        desk = Desk()
        with pytest.raises(UnreadableError):
            desk.feed(*parts)
        assert not desk.reader.is_reusable


@pytest.mark.parametrize(
    ("wire", "text"),
    [
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n!", "protocol"),
        (b"HTTP/1.1 101 Switching\r\n\r\n", "protocol"),
        (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n", "coding"),
        (OK + b"Transfer-Encoding: identity\r\n\r\n", "coding"),
    ],
)
def test_answers_of_the_wrong_kind(wire: bytes, text: str) -> None:
    """Another protocol, another coding: that is said."""
    for parts in ([wire], split(wire)):
        with pytest.raises(ProxyError, match=text):
            Desk().feed(*parts)


def test_an_answer_to_head_ends_with_its_head() -> None:
    """Whatever its length says; and as a body may come all the same, its connection ends too."""
    for framing in (b"Content-Length: 9", b"Transfer-Encoding: chunked", b"X-A: 1"):
        desk = Desk(is_head=True).feed(OK + framing + b"\r\n\r\n")
        assert (desk.reader.is_over, desk.reader.is_reusable) == (True, False)
        desk.feed(b"123456789")


@pytest.mark.parametrize("rubbish", [b"x", b"HTTP/1.1 200 OK\r\n\r\n", EMPTY, b"\0"])
async def test_what_comes_behind_an_answer_ends_the_connection(rubbish: bytes) -> None:
    """The answer is good; but what is behind it would be taken for the next one."""
    for wire in (EMPTY, CHUNKED + chunked(b"a"), OK + b"Content-Length: 1\r\n\r\na"):
        desk = Desk().feed(wire + rubbish)
        assert (desk.reader.is_over, desk.reader.is_reusable) == (True, False)
        assert b"".join(await desk.chunks()) in {b"", b"a"}


def test_upstream_may_want_the_connection_to_end() -> None:
    """By saying so, or by an old version."""
    for wire in (
        OK + b"Connection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ):
        assert not Desk().feed(wire).reader.is_reusable


async def test_an_end_may_be_the_end() -> None:
    """Of an answer that has neither length nor chunks; of no other, and of none before its head."""
    desk = Desk().feed(OK + b"\r\nabc", b"def")
    assert desk.reader.finish()
    assert b"".join(await desk.chunks()) == b"abcdef"
    assert not desk.reader.is_reusable
    for wire in (b"", OK, CHUNKED + b"1\r\na\r\n", OK + b"Content-Length: 2\r\n\r\na"):
        assert not Desk().feed(wire).reader.finish()


LARGE = b"X-A: " + bytes(MAX_HEAD).replace(b"\0", b"a") + b"\r\n"


@pytest.mark.parametrize(
    "wire",
    [
        OK + LARGE + b"\r\n",
        OK + b"X-Aaa: aaaaaaaa\r\n" * (MAX_HEAD // 12) + b"\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * (MAX_HEAD // 20),
        CHUNKED + b"0\r\n" + LARGE * 2,
        CHUNKED + b"1;" + LARGE * 2,
    ],
    ids=["field", "fields", "interim", "trailer", "extension"],
)
def test_what_is_no_body_has_its_limit(wire: bytes) -> None:
    """A head, interim ones, a trailer: memory is not upstream's to fill."""
    desk = Desk()
    with pytest.raises(UnreadableError):
        desk.feed(*(wire[at : at + 1000] for at in range(0, len(wire), 1000)))


def test_a_large_head_in_one_read_has_the_same_limit() -> None:
    """And a large body behind a small head has none."""
    with pytest.raises(UnreadableError):
        Desk().feed(OK + LARGE + b"Content-Length: 0\r\n\r\n")
    with pytest.raises(UnreadableError):
        Desk().feed(OK[:-2] + LARGE + b"Content-Length: 0\r\n\r\n")
    assert Desk().feed(OK + b"Content-Length: 200000\r\n\r\n" + bytes(200_000)).reader.is_over


async def test_one_reader_reads_many_answers() -> None:
    """One after the other, each as if it were the first."""
    desk = Desk()
    for body in (b"one", b"two"):
        for framed in (CHUNKED + chunked(body), OK + b"Content-Length: 3\r\n\r\n" + body):
            desk.answers.clear()
            desk.reader.expect(is_head=False)
            desk.feed(framed)
            assert await desk.chunks() == [body]


def test_it_knows_whether_anything_came() -> None:
    """A request may be sent again where not a byte of an answer did."""
    assert [Desk().reader.has_heard, Desk().feed(b"H").reader.has_heard] == [False, True]
