"""`WireUpstream` against `SessionUpstream`: whatever upstream does, a client hears the same.

Answers are put together from good and bad parts, cut off somewhere, sent in pieces, and ended in
one way or another; both read them, one after the other. Where the two are known to differ, the
rule stands at the end with what each does.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import pytest
from edge.contract import Opened, call
from edge.rig import Conversation, Script, ScriptedUpstream, answering, ok, scripted
from edge.session.upstream import SessionUpstream
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.core.errors import ProxyError, Situation
from proxy.edge.transport import WireUpstream
from proxy.ports import Call, Headers

BOTH = (SessionUpstream, WireUpstream)


@dataclass
class Seen:
    """What a client heard: a head, pieces, and the way it failed, if it did."""

    head: tuple[int, str, Headers] | None = None
    pieces: list[bytes] = field(default_factory=list)
    failure: Situation | None = None

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def ends(self) -> set[int]:
        """Where the pieces end."""
        return set(accumulate(map(len, self.pieces)))


async def hear(upstream: Opened, made: Call) -> Seen:
    seen = Seen()
    try:
        async with upstream.send(made) as reply:
            seen.head = (reply.status, reply.reason, list(reply.headers))
            async for piece in reply.chunks():
                seen.pieces.append(piece)
    except ProxyError as error:
        seen.failure = error.situation
    return seen


# -- what upstream may do ------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """What upstream says: `wire`, in pieces that end at `cuts`; then it breaks off in some way.

    `chunks` are those of its body, where that is chunked.
    """

    wire: bytes
    cuts: Sequence[int]
    resets: bool
    chunks: Sequence[bytes] = ()

    def script(self) -> Script:
        ends = sorted({0, *(cut % (len(self.wire) + 1) for cut in self.cuts), len(self.wire)})

        async def script(told: Conversation) -> None:
            await told.whole()
            for begin, end in pairwise(ends):
                await told.send(self.wire[begin:end])
                await asyncio.sleep(0)
            if self.resets:
                told.reset()
            else:
                told.writer.close()

        return script


VERSIONS = [b"HTTP/1.1"] * 8 + [b"HTTP/1.0", b"HTTP/9.1", b"HTP/1.1"]
STATUSES = [b"200 OK", b"404 Not  here", b"299 ", b"500", b"204 None", b"304 Same", b"20 Low"]
INTERIM = [b"", b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n"]
GOOD = [
    *(b"X-A: 1", b"x-a: 2", b"X-B:\t\xfc ", b"X-C:", b"Set-Cookie: a=1; path=/", b"Vary: a, b"),
    *(b"Connection: close", b"Connection: keep-alive", b"Keep-Alive: timeout=5", b"X-D: a\x01b"),
    *(b"Content-Encoding: gzip", b"Content-Type: text/event-stream", b"X-E: \xe4\xbd\xa0"),
]
BAD = [b"X A: 1", b"nonsense", b": x", b"X\0: 1", b"X-N: \0", b"Content-Length: x"]
CODING = b"Transfer-Encoding: chunked"
DEFECTS = [b"zz\r\n", b"-1\r\n", b"\r\n", b"5\r\nhello!\r\n", b"ffffffffffffffffff\r\n"]

bodies = st.lists(st.sampled_from([b"a", b"hello", b"\r\n", b"0\r\n\r\n", b"x" * 3000]), max_size=4)
heads = st.builds(
    lambda interim, version, status, fields: (interim + version + b" " + status, fields),
    st.sampled_from(INTERIM),
    st.sampled_from(VERSIONS),
    st.sampled_from(STATUSES),
    st.lists(st.sampled_from(GOOD * 2 + BAD), max_size=4, unique=True),
)


def in_chunks(body: Sequence[bytes], extension: bytes, defect: bytes, trailer: bytes) -> bytes:
    coded = b"".join(b"%x%b\r\n%b\r\n" % (len(one), extension, one) for one in body)
    return coded + defect + b"0\r\n" + trailer + b"\r\n"


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    line, fields = draw(heads)
    body = draw(bodies)
    chunks: Sequence[bytes] = ()
    resets = draw(st.booleans())
    match draw(st.sampled_from(["length", "length", "chunks", "chunks", "end", "short", "two"])):
        case "length":
            framing, wire = b"Content-Length: %d" % len(b"".join(body)), b"".join(body)
        case "chunks":
            chunks = body
            extension = draw(st.sampled_from([b"", b"", b";a=b"]))
            defect = draw(st.sampled_from([b"", b"", b"", *DEFECTS]))
            trailer = draw(st.sampled_from([b"", b"", b"X-Sum: 1\r\n", b"nonsense\r\n"]))
            framing = draw(
                st.sampled_from([b"Transfer-Encoding: chunked", b"transfer-encoding:Chunked"])
            )
            wire = in_chunks(body, extension, defect, trailer)
        case "end":
            framing, wire = b"X-End: 1", b"".join(body)
            resets = False  # see `DIFFERENT`
        case "short":
            framing, wire = b"Content-Length: 9999", b"".join(body)
        case _:
            framing = b"Content-Length: 2\r\nTransfer-Encoding: chunked"
            wire = in_chunks(body, b"", b"", b"")
    if line.endswith((b"204 None", b"304 Same")):  # a body would be rubbish behind: see `DIFFERENT`
        chunks, wire = (), b""
    whole = line + b"\r\n" + b"".join(one + b"\r\n" for one in [*fields, framing]) + b"\r\n" + wire
    cut = draw(st.none() | st.integers(0, len(whole)))
    cuts = draw(st.lists(st.integers(0, 10_000), max_size=5))
    return Plan(whole[:cut], cuts, resets, chunks)


# -- what both make of it ------------------------------------------------------------------------


async def both_hear(server: ScriptedUpstream, plan: Plan) -> list[Seen]:
    """What each makes of the plan; and then each gets a good answer to its next call.

    That one is a GET: a POST may meet the old connection's end, and is not sent again.
    """
    heard = []
    for make in BOTH:
        async with opened(make) as upstream:
            server.script = plan.script()
            heard.append(await hear(upstream, call(server.url)))
            server.script = answering(ok(b"next"))
            following = call(server.url, method="GET", headers=(), body=None)
            assert (await hear(upstream, following)).body == b"next"
    return heard


@asynccontextmanager
async def opened(make: Callable[[float], Opened]) -> AsyncIterator[Opened]:
    upstream = make(10)
    await upstream.open()
    try:
        yield upstream
    finally:
        await upstream.close()


@settings(
    max_examples=150,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(plan=plans())
async def test_both_hear_the_same(plan: Plan) -> None:
    """The same head and body, or the same kind of failure behind no more than upstream said."""
    async with scripted(answering(ok())) as server:
        session, wire = await both_hear(server, plan)
    assert wire.failure is session.failure
    if session.failure is None:
        assert wire.head == session.head
        assert wire.body == session.body
    elif (
        session.head is not None and wire.head is not None
    ):  # aiohttp may lose a head to what follows
        assert wire.head == session.head
        assert wire.body.startswith(session.body) or session.body.startswith(wire.body)


@settings(
    max_examples=50,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(plan=plans().filter(lambda plan: bool(plan.chunks)))
async def test_chunks_are_never_joined(plan: Plan) -> None:
    """Wherever reads end: where one of upstream's chunks ends, so does one of ours."""
    ends = set(accumulate(map(len, plan.chunks)))
    async with scripted(answering(ok())) as server:
        for seen in await both_hear(server, plan):
            assert {end for end in ends if end <= len(seen.body)} <= seen.ends


DIFFERENT = {
    "a bare line feed ends a line": (
        Plan(b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}", (), resets=False),
        b"{}",
        None,
    ),
    "a space behind a chunk's size": (
        Plan(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2 \r\n{}\r\n0\r\n\r\n",
            (),
            resets=False,
        ),
        b"{}",
        None,
    ),
    "a space behind a name": (
        Plan(b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n{}", (), resets=False),
        b"{}",
        None,
    ),
    "rubbish behind an answer": (
        Plan(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}x", (), resets=False),
        None,
        b"{}",
    ),
    "a reset where only the end ends": (
        Plan(b"HTTP/1.1 200 OK\r\n\r\n{}", (), resets=True),
        b"{}",
        None,
    ),
}


@pytest.mark.parametrize("name", DIFFERENT)
async def test_where_they_differ(name: str) -> None:
    """Ours is strict with names, line ends, sizes and ends.

    What follows a good answer does not spoil it. A reset may come at any byte, so what it ends is
    no whole answer.
    """
    plan, *expected = DIFFERENT[name]
    async with scripted(answering(ok())) as server:
        found = await both_hear(server, plan)
    assert [None if seen.failure else seen.body for seen in found] == expected
