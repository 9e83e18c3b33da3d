"""The operations: one table, a row each, with every client that can do it."""

import json
from collections.abc import Mapping
from dataclasses import replace

from conformance.clients import AIO, V1, V2, V2_AIO
from conformance.dashscope_rows import OPERATIONS
from conformance.http import Step, get, played, post
from conformance.odd import by_hand, chunked, coded, request
from conformance.operations import Operation

PLAIN = "services/aigc/text-generation/generation"
VIDEO = "services/aigc/video-generation/video-synthesis"
COMMENTED = b'{"model":"qwen-plus",/* so */"input":{"prompt":"a"}// end\n}'
BLANKED = b'{"model":"qwen-plus",        "input":{"prompt":"a"}      \n}'
HELLO = {"model": "qwen-plus", "input": {"prompt": "hello"}}
CAT = {"model": "wan2.6-t2v", "input": {"prompt": "a cat"}, "parameters": {"duration": 5}}


def _client_of(name: str) -> str:
    prefixes = {"Aio": AIO, "Client.": V2, "AsyncClient.": V2_AIO}
    return next((client for prefix, client in prefixes.items() if name.startswith(prefix)), V1)


SDK = {name: Operation({_client_of(name): run}, gist) for name, (run, gist) in OPERATIONS.items()}

HTTP = {
    "text": Operation(played([post(PLAIN, HELLO)])),
    "text, SSE": Operation(played([post(PLAIN, HELLO, X_DashScope_SSE="enable")])),
    "text, SSE, gzip": Operation(
        played([post(PLAIN, HELLO, X_DashScope_SSE="enable")]), faults=[{"gzip": True}]
    ),
    "text, gzip": Operation(played([post(PLAIN, HELLO)]), faults=[{"gzip": True}]),
    "video": Operation(
        played(
            [
                post(VIDEO, CAT, X_DashScope_Async="enable"),
                get("tasks/{task}"),
                get("tasks/{task}/", If_None_Match='"x"'),
                get("tasks/{task}"),
            ]
        )
    ),
    "video, short routes": Operation(
        played(
            [
                replace(
                    post(VIDEO, CAT, alias="/task/bailian/text2video"),
                    direct={"X-DashScope-Async": "enable"},
                ),
                get("tasks/{task}", alias="/task/{task}"),
                get("tasks/{task}", alias="/task/bailian/{task}"),
            ]
        ),
        differs=["async"],
    ),
    "list of tasks": Operation(
        played([post(VIDEO, CAT, X_DashScope_Async="enable"), get("tasks")]),
        differs=["own-tasks"],
    ),
    "list of models": Operation(played([get("models")]), differs=["own-models"]),
    "forbidden model": Operation(
        played([post(PLAIN, HELLO)]), models=["wan*"], differs=["refusal"]
    ),
    "comments in a body": Operation(
        played([replace(post(PLAIN, COMMENTED), direct_body=BLANKED)]), differs=["comments"]
    ),
}

STOPPED = {
    "X-Api-Key": "mine",
    "Cookie": "acw_tc=mine",
    "X-DashScope-WorkSpace": "ws",
    "x-dashscope-uid": "1",
    "X-Forwarded-For": "10.0.0.1",
    "X-HTTP-Method-Override": "GET",
    "Idempotency-Key": "mine",
    "x-envoy-max-retries": "3",
    "x_dashscope_uid": "1",
}

ODDITIES = {
    "headers that stop here": Operation(
        played([Step("POST", PLAIN, json.dumps(HELLO).encode(), STOPPED)]),
        differs=[
            "credentials",
            "identity-claims",
            "client-address",
            "rerouting",
            "idempotency",
            "envoy",
            "underscore",
        ],
    ),
    "answer headers that stop here": Operation(
        played([post(PLAIN, HELLO)]),
        faults=[
            {
                "headers": {
                    "Alt-Svc": 'h3=":443"',
                    "Strict-Transport-Security": "max-age=1",
                    "x-proxy-request-id": "forged",
                    "x-proxy-replayed": "true",
                    "Keep-Alive": "timeout=5",
                }
            }
        ],
        differs=["host-promises", "own-id", "answer-hop-by-hop"],
    ),
    "expect": Operation(
        by_hand(request("POST", PLAIN, b"Expect: 100-continue", body=json.dumps(HELLO).encode())),
        differs=["expect"],
    ),
    "expect, not awaited": Operation(
        by_hand(request("POST", PLAIN, b"expect: 100-continue", body=json.dumps(HELLO).encode())),
        differs=["expect", "framing"],
    ),
    "unknown task": Operation(played([get("tasks/none")]), differs=["refusal"]),
    "keep-alive": Operation(
        by_hand(*[request("POST", PLAIN, body=json.dumps(HELLO).encode())] * 3)
    ),
    "pipelined": Operation(
        by_hand(*[request("POST", PLAIN, body=json.dumps(HELLO).encode())] * 3, at_once=True)
    ),
    "HTTP/1.0": Operation(
        by_hand(request("POST", PLAIN, body=json.dumps(HELLO).encode(), version="1.0")),
        differs=["version"],
    ),
    "trailers": Operation(
        by_hand(chunked(PLAIN, *coded(json.dumps(HELLO).encode()), b"X-Sum: 1\r\n\r\n")),
        differs=["trailers"],
    ),
    "answer without framing": Operation(
        by_hand(request("POST", PLAIN, body=json.dumps(HELLO).encode())),
        faults=[{"wire": b"HTTP/1.0 200 Fine\r\nConnection: close\r\nx-request-id: 1\r\n\r\n{}"}],
        differs=["server", "connection", "framing", "status-line"],
    ),
    "answer with trailers": Operation(
        by_hand(request("POST", PLAIN, body=json.dumps(HELLO).encode())),
        faults=[
            {
                "wire": b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nx-request-id: 1\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n"
            }
        ],
        differs=["framing"],
    ),
}

TABLE: Mapping[str, Operation] = SDK | HTTP | ODDITIES
