"""The wire protocol row by row, spoken without an SDK (protocol sections 1, 3, 4 and 6)."""

import base64
import json
from collections.abc import Mapping
from dataclasses import replace

from conformance.clients import BYTES, CHUNKED, CURL
from conformance.families import CALLS, COMPATIBLE, TASKS, VIDEO
from conformance.http import Script, Step, get, played, post
from conformance.operations import Operation

PLAIN = "services/aigc/text-generation/generation"
HELLO = {"model": "qwen-plus", "input": {"prompt": "hello"}}
CAT = {"model": "wan2.6-t2v", "input": {"prompt": "a cat"}, "parameters": {"duration": 5}}
DOOMED = {"model": "qwen-plus", "input": {"prompt": "sandbox:inspect"}}

COMMENTED = b'{"model":"qwen-plus",/* so */"input":{"prompt":"a"}// end\n}'
BLANKED = b'{"model":"qwen-plus",        "input":{"prompt":"a"}      \n}'

ASYNC = {"X-DashScope-Async": "enable"}
SSE = {"X-DashScope-SSE": "enable", "Accept": "text/event-stream"}
JAVA = {
    "Content-Type": "application/json",
    "Accept-Encoding": "gzip",
    "User-Agent": "dashscope/2.22.29; java/17",
}
SUBMIT = Step("POST", VIDEO, json.dumps(CAT).encode(), ASYNC)
POLL = get("tasks/{task}")
CANCEL = Step("POST", "tasks/{task}/cancel", b"")

BROKEN = (
    b"HTTP/1.1 200 OK\r\nx-request-id: 1\r\nContent-Type: text/event-stream\r\n"
    b'Transfer-Encoding: chunked\r\n\r\n13\r\nid:1\ndata:{"a":1}\n\n\r\n'
)

PICTURE = base64.b64encode(bytes(range(256)) * 16 * 1024).decode()
"""A few MiB on the wire."""


def task(path: str, body: object) -> Script:
    """Submit, and poll until it has ended."""
    return [replace(post(path, body), headers=ASYNC), POLL, POLL]


FAMILIES: Mapping[str, Operation] = {
    **{
        f"task: {name}": Operation(played(task(*how), BYTES, CHUNKED))
        for name, how in TASKS.items()
    },
    **{
        f"call: {name}": Operation(played([post(*how)], BYTES, CHUNKED))
        for name, how in CALLS.items()
    },
    **{
        f"compatible: {name}": Operation(played([post(*how)], BYTES, CURL))
        for name, how in COMPATIBLE.items()
    },
}

TASK_LIFE: Mapping[str, Operation] = {
    "task: whole life": Operation(played([SUBMIT, POLL, POLL, CANCEL])),
    "task: cancelled": Operation(played([SUBMIT, CANCEL, POLL])),
    "task: slashes behind": Operation(
        played(
            [
                SUBMIT,
                get("tasks/{task}/"),
                Step(
                    "POST",
                    "tasks/{task}/cancel/",
                    b'{"model":"","parameters":{},"input":""}',
                ),
            ]
        )
    ),
    "task: fails": Operation(
        played(task(VIDEO, {"model": "wan2.6-t2v", "input": {"prompt": "sandbox:fail"}}))
    ),
    "task: short routes": Operation(
        played(
            [
                replace(SUBMIT, alias="/task/bailian/text2video", headers={}, direct=ASYNC),
                get("tasks/{task}", alias="/task/{task}"),
                get("tasks/{task}", alias="/task/bailian/{task}"),
            ]
        ),
        differs=["async"],
    ),
    "task: short route of key frames": Operation(
        played(
            [
                replace(post(*TASKS["kf2v"], alias="/task/bailian/image2video"), direct=ASYNC),
                POLL,
            ]
        ),
        differs=["async"],
    ),
    "task: conditions of a poll": Operation(
        played([SUBMIT, get("tasks/{task}", If_None_Match='"x"', Range="bytes=0-1")]),
        differs=["conditions"],
    ),
    "task: state held": Operation(
        played([SUBMIT, POLL, POLL]), env={"PROXY_POLL_HOLD": "60"}, differs=["held"]
    ),
    "task: state kept": Operation(played([SUBMIT, POLL, POLL, POLL]), differs=["held"]),
    "task: of nobody": Operation(played([get("tasks/none")]), differs=["refusal"]),
    "task: list": Operation(
        played([SUBMIT, get("tasks?page_no=1&page_size=5")]), differs=["own-tasks"]
    ),
}

BODIES: Mapping[str, Operation] = {
    "body: large": Operation(
        played([post(PLAIN, {**HELLO, "input": {"messages": [], "file": PICTURE}})]),
        extra={CURL: ["expect"]},
    ),
    "body: model behind a large input": Operation(
        played([post(PLAIN, {"input": {"prompt": "a", "file": PICTURE}, "model": "qwen-plus"})]),
        extra={CURL: ["expect"]},
    ),
    "body: comments": Operation(
        played([replace(post(PLAIN, COMMENTED), direct_body=BLANKED)]), differs=["comments"]
    ),
    "body: spelled otherwise": Operation(
        played(
            [
                post(
                    PLAIN,
                    b' \r\n{ "input" : {"prompt":"\\u00e9\\ud83d\\ude00", "n":1e400},'
                    b'"x":[1.0,12345678901234567890123], "model" :"qwen-plus"}\n',
                )
            ]
        ),
    ),
    "body: encrypted input": Operation(
        played(
            [
                post(
                    PLAIN,
                    {"model": "qwen-plus", "input": "c2VhbGVk"},
                    X_DashScope_EncryptionKey='{"public_key_id":"1","iv":"aXY="}',
                )
            ]
        )
    ),
    "body: called a form": Operation(
        played([post(PLAIN, HELLO, Content_Type="application/x-www-form-urlencoded")]),
        differs=["json"],
    ),
    "body: no input": Operation(played([post(PLAIN, {"model": "qwen-plus"})])),
    "body: no model": Operation(played([post(PLAIN, {"input": {}})]), differs=["refusal"]),
    "body: no JSON": Operation(played([post(PLAIN, b"model=qwen-plus")]), differs=["refusal"]),
}

TARGETS: Mapping[str, Operation] = {
    "target: empty query": Operation(played([post(f"{PLAIN}?", HELLO)])),
    "target: unknown parameters": Operation(
        played([post(f"{PLAIN}?a=1&a=%2F&b=%E7%8C%AB+c", HELLO)])
    ),
    "target: no such service": Operation(played([post("services/aigc/none/none", HELLO)])),
    "target: no such path": Operation(
        played([get("nothing/here")]), scopes=["inference", "account"]
    ),
    "target: wrong method": Operation(
        played([get(PLAIN)]), scopes=["inference", "account"], differs=["refusal"]
    ),
    "target: HEAD": Operation(played([Step("HEAD", "models/qwen-plus")]), differs=["refusal"]),
    "upload policy": Operation(played([get("uploads?action=getPolicy&model=qwen-vl-plus")])),
    "model": Operation(played([get("models/qwen-plus")])),
    "model with a slash": Operation(played([get("models/kling/kling-v3-video-generation")])),
    "models": Operation(played([get("models?page_no=1&page_size=3")]), differs=["own-models"]),
}

HEADERS: Mapping[str, Operation] = {
    "headers: dashscope": Operation(
        played(
            [
                post(
                    PLAIN,
                    HELLO,
                    X_DashScope_DataInspection='{"input":"cip","output":"cip"}',
                    X_DashScope_OssResourceResolve="enable",
                    X_DashScope_Wait_Timeout="30",
                    x_dashscope_session_cache="enable",
                    X_DashScope_Plugin="p",
                    X_DashScope_Client="c",
                    x_dashscope_sdk_client="python-sdk/2.0.2/aigc",
                )
            ]
        )
    ),
    "headers: own": Operation(
        played([post(PLAIN, HELLO, X_Mine="1", x_MINE="2", traceparent="00-1-2-01", Range="0-")])
    ),
    "headers: as the Java SDK": Operation(
        played(
            [
                replace(SUBMIT, headers={**ASYNC, **JAVA}),
                replace(POLL, headers=JAVA),
                replace(post(PLAIN, HELLO), headers={**SSE, **JAVA, "Cache-Control": "no-cache"}),
            ]
        )
    ),
    "headers: types": Operation(
        played([post(PLAIN, HELLO, Content_Type="application/json; charset=utf-8", Accept="*/*")])
    ),
}

ANSWERS: Mapping[str, Operation] = {
    "answer: SSE": Operation(played([replace(post(PLAIN, HELLO), headers=SSE)])),
    "answer: SSE by Accept": Operation(played([post(PLAIN, HELLO, Accept="text/event-stream")])),
    "answer: SSE, gzip": Operation(
        played([replace(post(PLAIN, HELLO), headers=SSE)]), faults=[{"gzip": True}]
    ),
    "answer: SSE in shreds": Operation(
        played([replace(post(PLAIN, HELLO), headers=SSE)]), faults=[{"chunk_bytes": 29}]
    ),
    "answer: SSE that fails": Operation(played([replace(post(PLAIN, DOOMED), headers=SSE)])),
    "answer: gzip": Operation(played([post(PLAIN, HELLO)]), faults=[{"gzip": True}]),
    "answer: chunked JSON": Operation(played([post(PLAIN, HELLO)]), faults=[{"chunk_bytes": 50}]),
    "answer: gzip of a submit": Operation(
        played([SUBMIT]), faults=[{"gzip": True, "pace": None}], differs=["gathered"]
    ),
    "answer: headers": Operation(
        played([post(PLAIN, HELLO)]),
        faults=[
            {
                "headers": {
                    "x-dashscope-ptu-overflow": "true",
                    "X-DashScope-OutputEncrypted": "true",
                    "Retry-After": "3",
                    "X-Mixed-Case": "é",
                }
            }
        ],
    ),
    "answer: redirect": Operation(
        played([post(PLAIN, HELLO)]),
        faults=[{"status": 307, "body": "", "headers": {"Location": "/elsewhere"}}],
    ),
    "answer: breaks off": Operation(
        played([replace(post(PLAIN, HELLO), headers=SSE)]),
        faults=[{"reset": "body"}],
        differs=["broken"],
    ),
    "answer: breaks off between frames": Operation(
        played([replace(post(PLAIN, HELLO), headers=SSE)]),
        faults=[{"wire": BROKEN}],
        differs=["error-frame", "server"],
    ),
}

WIRE: Mapping[str, Operation] = {
    **FAMILIES,
    **TASK_LIFE,
    **BODIES,
    **TARGETS,
    **HEADERS,
    **ANSWERS,
    "token: model not allowed": Operation(
        played([post(PLAIN, HELLO)]), models=["wan*"], differs=["refusal"]
    ),
    "token: none": Operation(
        played([Step("POST", PLAIN, b"{}", {"Authorization": ""})]), differs=["refusal"]
    ),
}
