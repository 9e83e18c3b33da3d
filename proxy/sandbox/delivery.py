"""How an answer goes over the wire, with the real gateway's headers and the faults on the way.

The headers are the real gateway's, the leaky ones included: account ids, a sticky cookie,
flow-control metadata (protocol section 3). A proxy is expected to keep them to itself.
"""

import asyncio
import socket
import struct
import zlib
from collections.abc import Iterator
from typing import cast

from aiohttp import web

from proxy.sandbox.answers import Answer
from proxy.sandbox.ask import fingerprint
from proxy.sandbox.faults import Fault

COMPRESSION = 16 + zlib.MAX_WBITS
"""zlib's spelling of gzip."""


def gateway_headers(request_id: str, account: str | None, now: float) -> dict[str, str]:
    """What the real gateway adds to every answer; `now` is Unix seconds."""
    millis = int(now * 1000)
    headers = {
        "x-request-id": request_id,
        "x-dashscope-call-gateway": "true",
        "x-dashscope-timeout": "298",
        "x-dashscope-finished": "true",
        "req-cost-time": "12",
        "req-arrive-time": str(millis),
        "resp-start-time": str(millis + 12),
        "x-envoy-upstream-service-time": "11",
        "eagleeye-traceid": request_id.replace("-", ""),
        "vary": "Origin,Access-Control-Request-Method,Accept-Encoding",
        "server": "istio-envoy",
        "Set-Cookie": f"acw_tc={request_id};path=/;HttpOnly;Max-Age=1800",
    }
    if account is not None:
        uid = fingerprint(account)
        headers["x-dashscope-uid"] = uid
        headers["x-dashscope-apikeyid"] = uid[:7]
        headers["x-dashscope-inner-caller-parent-id"] = uid
        headers["x-dashscope-inner-flow-control"] = f'{{"uid":"{uid}","qps":20}}'
    return headers


async def deliver(
    request: web.BaseRequest, answer: Answer, headers: dict[str, str], fault: Fault
) -> web.StreamResponse:
    """Send the answer, or as much of it as the fault lets through.

    Raises `ConnectionError` when the client is gone.
    """
    await asyncio.sleep(fault.delay)
    await _hold(fault, 0)
    if fault.wire is not None:
        return _send_wire(request, fault.wire)
    response = _head(answer, headers, fault)
    if fault.reset == "after_request":
        return abort(request, response)
    await response.prepare(request)
    if fault.reset == "headers":
        return abort(request, response)
    if request.method == "HEAD":  # a body would be taken for the next answer
        await response.write_eof()
        return response
    left, sent = _limit(answer, fault), 0
    for number, piece in enumerate(_pieces(answer, fault), start=1):
        await response.write(piece[:left])
        left, sent = left - len(piece), sent + len(piece)
        if left <= 0 and fault.reset == "body":
            return abort(request, response)
        await _hold(fault, number)
        if fault.pace is not None and left > 0:
            await fault.pace(sent)
        await asyncio.sleep(fault.chunk_delay)
    await response.write_eof()
    return response


def abort(request: web.BaseRequest, response: web.StreamResponse) -> web.StreamResponse:
    """Break the connection with a reset, so that nobody can take it for the end of the answer."""
    transport = request.transport
    if transport is not None:
        connection = cast("socket.socket | None", transport.get_extra_info("socket"))
        if connection is not None:
            # A zero linger turns the close into RST; without it an idle socket says FIN.
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
    return response


def _send_wire(request: web.BaseRequest, data: bytes) -> web.StreamResponse:
    """These bytes and the end of the connection."""
    if request.transport is not None:
        request.transport.write(data)
        request.transport.close()
    return web.StreamResponse()


def _head(answer: Answer, headers: dict[str, str], fault: Fault) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=headers)
    response.headers["Content-Type"] = answer.content_type
    response.headers.update(fault.headers)
    if fault.gzip:
        response.headers["content-encoding"] = "gzip"
    if answer.streamed or fault.chunk_bytes or fault.gzip:
        response.enable_chunked_encoding()
    else:
        response.content_length = sum(map(len, answer.pieces))
    return response


def _pieces(answer: Answer, fault: Fault) -> Iterator[bytes]:
    """The body in the pieces in which it is written, compressed and cut as the fault says."""
    pieces = _zipped(answer) if fault.gzip else iter(answer.pieces)
    if not fault.chunk_bytes:
        yield from pieces
        return
    body = b"".join(pieces)
    for start in range(0, len(body), fault.chunk_bytes):
        yield body[start : start + fault.chunk_bytes]


def _zipped(answer: Answer) -> Iterator[bytes]:
    """Each piece flushed, as a gateway must do with a stream."""
    packer = zlib.compressobj(wbits=COMPRESSION)
    for piece in answer.pieces:
        yield packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH)
    yield packer.flush()


def _limit(answer: Answer, fault: Fault) -> int:
    """How many body bytes may leave: half of them when the body is to break, else all."""
    size = sum(map(len, _pieces(answer, fault)))
    return size // 2 if fault.reset == "body" else size


async def _hold(fault: Fault, number: int) -> None:
    if fault.hold is not None and fault.hold_after == number:
        await fault.hold.wait()
