"""Legal HTTP that is seldom spoken, and what does not cross."""

import json
from collections.abc import Mapping

from conformance.odd import by_hand, chunked, coded, request
from conformance.operations import Operation
from conformance.wire_rows import HELLO, PLAIN

BODY = json.dumps(HELLO).encode()
POST = request("POST", PLAIN, body=BODY)

STOPPED: Mapping[str, str] = {
    "credentials": "X-Api-Key: mine\r\nCookie: acw_tc=mine",
    "identity-claims": "X-DashScope-WorkSpace: ws\r\nx-dashscope-uid: 1",
    "client-address": "X-Forwarded-For: 10.0.0.1\r\nVia: 1.1 nginx",
    "rerouting": "X-HTTP-Method-Override: GET\r\nX-Original-URL: /api/v1/tokens",
    "idempotency": "Idempotency-Key: mine",
    "envoy": "x-envoy-max-retries: 3",
    "underscore": "x_dashscope_uid: 1",
}
"""Request fields that stop here, by the row that says so."""

TOLD: Mapping[str, Mapping[str, str]] = {
    "host-promises": {"Alt-Svc": 'h3=":443"', "Strict-Transport-Security": "max-age=1"},
    "own-id": {"x-proxy-request-id": "forged", "x-proxy-replayed": "true"},
    "answer-hop-by-hop": {"Keep-Alive": "timeout=5"},
}
"""Answer fields that stop here."""

_OK = b"HTTP/1.1 200 OK\r\nx-request-id: 1\r\nServer: s\r\nDate: d\r\n"

CHUNKS = (
    _OK
    + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"".join(
        b"%x\r\n%b\r\n" % (len(part), part)
        for part in (
            b"data:1\n\n",
            b":\n\n",
            b"da",
            b"ta:2\n",
            b"\n",
            b"data:3\n\ndata:4\n\n",
            b"\n" * 99,
        )
    )
    + b"0\r\n\r\n"
)
"""Chunks of all sizes that upstream sends at once, so that nobody paces them: each arrives as it
was cut, a comment, a part of a frame and two frames alike."""

ODDITIES: Mapping[str, Operation] = {
    **{
        f"stops: {name}": Operation(
            by_hand(request("POST", PLAIN, fields.encode(), body=BODY)), differs=[name]
        )
        for name, fields in STOPPED.items()
    },
    **{
        f"stops: {name}": Operation(by_hand(POST), faults=[{"headers": fields}], differs=[name])
        for name, fields in TOLD.items()
    },
    "hand: keep-alive": Operation(by_hand(POST, POST, POST)),
    "hand: pipelined": Operation(by_hand(POST, POST, POST, at_once=True)),
    "hand: mixed case": Operation(
        by_hand(request("POST", PLAIN, b"X-DASHSCOPE-sse: enable", b"aCCept: */*", body=BODY))
    ),
    "hand: a field twice": Operation(
        by_hand(request("POST", PLAIN, b"X-Tag: a", b"X-Tag: b", b"x-tag: a", body=BODY))
    ),
    "hand: blanks": Operation(
        by_hand(request("POST", PLAIN, b"X-Tag:a", b"X-Other: \t b \t", b"X-Empty:", body=BODY)),
        differs=["version"],
    ),
    "hand: UTF-8 in a field": Operation(
        by_hand(request("POST", PLAIN, "X-Tag: 猫".encode(), body=BODY))
    ),
    "hand: HTTP/1.0": Operation(
        by_hand(request("POST", PLAIN, body=BODY, version="1.0")), differs=["version"]
    ),
    "hand: HTTP/1.0 keep-alive": Operation(
        by_hand(*[request("POST", PLAIN, b"Connection: keep-alive", body=BODY, version="1.0")] * 2),
        differs=["version"],
    ),
    "hand: close": Operation(by_hand(request("POST", PLAIN, b"Connection: close", body=BODY))),
    "hand: absolute form": Operation(by_hand(POST.replace(b" %BASE%", b" http://%HOST%%BASE%", 1))),
    "hand: expect": Operation(
        by_hand(request("POST", PLAIN, b"Expect: 100-continue", body=BODY)), differs=["expect"]
    ),
    "hand: coding in front": Operation(
        by_hand(
            b"POST %BASE%/services/aigc/text-generation/generation HTTP/1.1\r\n"
            b"Transfer-Encoding: chunked\r\nAuthorization: Bearer %KEY%\r\nHost: %HOST%\r\n"
            b"Content-Type: application/json\r\nX-Tag: a\r\n\r\n" + b"".join(coded(BODY)) + b"\r\n"
        )
    ),
    "hand: chunk extensions": Operation(
        by_hand(chunked(PLAIN, b"%x;a=b\r\n%b\r\n0;c\r\n\r\n" % (len(BODY), BODY)))
    ),
    "hand: trailers": Operation(
        by_hand(chunked(PLAIN, *coded(BODY), b"X-Sum: 1\r\n\r\n")), differs=["trailers"]
    ),
    "hand: answer without framing": Operation(
        by_hand(POST),
        faults=[{"wire": b"HTTP/1.0 200 Fine\r\nConnection: close\r\nx-request-id: 1\r\n\r\n{}"}],
        differs=["server", "connection", "framing", "status-line"],
    ),
    "hand: answer with trailers": Operation(
        by_hand(POST),
        faults=[
            {
                "wire": b"HTTP/1.1 103 Early Hints\r\n\r\n"
                + _OK
                + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n"
            }
        ],
        differs=["framing"],
    ),
    "hand: answer with a date of its own": Operation(
        by_hand(POST), faults=[{"headers": {"Date": "Mon, 01 Jan 2001 00:00:00 GMT"}}]
    ),
    "hand: chunks of one write": Operation(by_hand(POST), faults=[{"wire": CHUNKS}]),
    "hand: a stream's chunks of one write": Operation(
        by_hand(POST),
        faults=[{"wire": CHUNKS.replace(b"application/json", b"text/event-stream")}],
    ),
    "hand: answer 204 with a length": Operation(
        by_hand(POST),
        faults=[{"wire": b"HTTP/1.1 204 Gone\r\nx-request-id: 1\r\nContent-Length: 0\r\n\r\n"}],
        differs=["framing"],
    ),
}
