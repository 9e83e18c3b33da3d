"""What goes over the wire: the gateway's headers, and every way to break an answer."""

import asyncio
import gzip
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest

from proxy.sandbox import Sandbox

Call: TypeAlias = Callable[..., Awaitable[Any]]
Raw: TypeAlias = Callable[[bytes], Awaitable[bytes]]

BODY = b'{"model":"m","input":{"prompt":"hello"}}'
HEAD = (
    b"POST /api/v1/services/aigc/text-generation/generation HTTP/1.1\r\nHost: h\r\n"
    b"Authorization: Bearer sk-one\r\nConnection: close\r\nContent-Length: %d\r\n" % len(BODY)
)
PLAIN = HEAD + b"\r\n" + BODY
STREAM = HEAD + b"X-DashScope-SSE: enable\r\n\r\n" + BODY


async def test_the_leaky_headers_are_there(call: Call) -> None:
    """Account ids, a sticky cookie and the gateway's marks come with every answer."""
    headers = (await call("GET", "/api/v1/models")).headers
    assert headers["server"] == "istio-envoy"
    assert headers["set-cookie"].startswith("acw_tc=")
    leaks = {name for name in headers if name.startswith("x-dashscope-")}
    assert {"x-dashscope-uid", "x-dashscope-apikeyid"} <= leaks
    assert any(name.startswith("x-dashscope-inner-") for name in leaks)


async def test_a_plain_answer_has_a_length(raw: Raw) -> None:
    """JSON comes with Content-Length, exactly as long as it says."""
    head, _, body = (await raw(PLAIN)).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head


async def test_a_stream_is_chunked_frame_by_frame(raw: Raw) -> None:
    """Each frame is a chunk of its own; the stream ends in the last chunk."""
    head, _, body = (await raw(STREAM)).partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    first_size, _, rest = body.partition(b"\r\n")
    frame = rest[: int(first_size, 16)]
    assert frame.startswith(b"id:1\nevent:result\n:HTTP_STATUS/200\ndata:{")
    assert frame.endswith(b"}\n\n")
    assert body.endswith(b"0\r\n\r\n")


async def test_reset_before(sandbox: Sandbox, raw: Raw) -> None:
    """`before` closes without reading the body or answering."""
    sandbox.faults.add(reset="before")
    assert await raw(PLAIN) == b"<RESET>"
    assert not sandbox.requests[0].complete


async def test_reset_upload(sandbox: Sandbox, raw: Raw) -> None:
    """`upload` closes with a part of the body in hand, and nothing is done."""
    sandbox.faults.add(reset="upload")
    head, _, body = PLAIN.partition(b"\r\n\r\n")
    longer = head.replace(b"Content-Length: %d" % len(body), b"Content-Length: 9999")
    assert longer != head
    assert await raw(longer + b"\r\n\r\n" + body) == b"<RESET>"
    entry = sandbox.requests[0]
    assert (entry.body, entry.complete) == (body, False)


async def test_reset_after_request(sandbox: Sandbox, raw: Raw) -> None:
    """`after_request` does the work, then says nothing: the lost answer of a paid submit."""
    sandbox.faults.add(reset="after_request")
    submit = PLAIN.replace(
        b"text-generation/generation", b"video-generation/video-synthesis"
    ).replace(b"\r\n\r\n", b"\r\nX-DashScope-Async: enable\r\n\r\n")
    assert await raw(submit) == b"<RESET>"
    assert sandbox.tasks.created["sk-one", "m"] == 1
    assert (sandbox.requests[0].complete, sandbox.requests[0].answered) == (True, False)


async def test_reset_headers(sandbox: Sandbox, raw: Raw) -> None:
    """`headers` sends the head and nothing of the body."""
    sandbox.faults.add(reset="headers")
    answer = await raw(PLAIN)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n<RESET>")


@pytest.mark.parametrize("request_bytes", [PLAIN, STREAM])
async def test_reset_body(sandbox: Sandbox, raw: Raw, request_bytes: bytes) -> None:
    """`body` stops halfway, plain or streamed."""
    whole = len((await raw(request_bytes)).partition(b"\r\n\r\n")[2])
    sandbox.faults.add(reset="body")
    answer = await raw(request_bytes)
    half = len(answer.removesuffix(b"<RESET>").partition(b"\r\n\r\n")[2])
    assert answer.endswith(b"<RESET>")
    assert 0.3 < half / whole < 0.7


@pytest.mark.parametrize("headers", [{}, {"X-DashScope-SSE": "enable"}])
async def test_gzip_whether_wanted_or_not(
    call: Call, sandbox: Sandbox, headers: dict[str, str]
) -> None:
    """JSON and SSE can come compressed even to a client that asked for identity."""
    sandbox.faults.add(gzip=True)
    reply = await call(
        "POST",
        "/api/v1/services/aigc/text-generation/generation",
        data=BODY,
        headers={"Accept-Encoding": "identity"} | headers,
    )
    assert reply.headers["content-encoding"] == "gzip"
    assert b"The sandbox heard: hello" in gzip.decompress(reply.body)


async def test_a_body_cut_small(sandbox: Sandbox, raw: Raw) -> None:
    """`chunk_bytes` cuts anywhere, also inside a frame."""
    sandbox.faults.add(chunk_bytes=3)
    _, _, body = (await raw(STREAM)).partition(b"\r\n\r\n")
    assert body.startswith(b"3\r\nid:\r\n3\r\n1\ne\r\n")


async def test_delay(sandbox: Sandbox, raw: Raw) -> None:
    """`delay` is seconds before the head, `chunk_delay` seconds after each piece."""
    sandbox.faults.add(delay=0.05, chunk_bytes=200, chunk_delay=0.01)
    started = time.monotonic()
    await raw(PLAIN)
    assert time.monotonic() - started >= 0.06


async def test_hold(call: Call, sandbox: Sandbox) -> None:
    """`hold` keeps the answer back until the event is set; the work is done by then."""
    go = asyncio.Event()
    sandbox.faults.add(hold=go)
    asking = asyncio.ensure_future(call("GET", "/api/v1/models"))
    entry = await sandbox.received(lambda entry: entry.complete)
    assert not entry.answered
    go.set()
    assert (await asking).status == 200
    assert (await sandbox.received(lambda entry: entry.answered)) is entry


async def test_hold_inside_a_stream(sandbox: Sandbox) -> None:
    """`hold_after` lets that many pieces out first; a client that leaves then is seen."""
    sandbox.faults.add(hold=asyncio.Event(), hold_after=1)
    host, _, port = sandbox.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(STREAM)
    assert (await reader.readuntil(b"}\n\n")).count(b"event:result") == 1
    writer.close()
    entry = await sandbox.received(lambda entry: entry.hung_up)
    assert (entry.complete, entry.answered) == (True, False)


async def test_wire_is_sent_as_it_is(sandbox: Sandbox, raw: Raw) -> None:
    """`wire` is the whole answer, HTTP or not, and the connection ends behind it."""
    sandbox.faults.add(wire=b"HTTP/1.0 299 So be it\r\n\r\nwords")
    assert await raw(PLAIN) == b"HTTP/1.0 299 So be it\r\n\r\nwords"


async def test_pace_stands_between_two_pieces(sandbox: Sandbox, raw: Raw) -> None:
    """`pace` is told how much has gone out, and nothing follows before it has come back."""
    sent: list[int] = []

    async def pace(size: int) -> None:
        sent.append(size)
        await asyncio.sleep(0)

    sandbox.faults.add(pace=pace)
    _, _, body = (await raw(STREAM)).partition(b"\r\n\r\n")
    assert len(sent) == body.count(b"id:") - 1
    assert sent == sorted(set(sent))


async def test_head_has_no_body(raw: Raw) -> None:
    """HEAD is answered with the head of the answer alone, or the next one could not be found."""
    head = PLAIN.replace(b"POST", b"HEAD", 1)
    said = await raw(head)
    assert said.startswith(b"HTTP/1.1 400")
    assert said.endswith(b"\r\n\r\n")
