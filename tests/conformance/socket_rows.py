"""WebSockets, frame by frame: several tasks on one socket, binary both ways, a realtime session."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import aiohttp
from conformance.clients import BY_HAND
from conformance.frames import BINARY, CLOSE, PING, TEXT, closing, frame, framed
from conformance.operations import Answers, Operation, Place, Run

Said: TypeAlias = Mapping[str, Any] | bytes

INFERENCE = "/api-ws/v1/inference"
REALTIME = "/api-ws/v1/realtime?model=qwen-omni-turbo-realtime"


def task(task_id: str, action: str, **payload: object) -> Said:
    header = {"action": action, "task_id": task_id, "streaming": "duplex"}
    return {"header": header, "payload": {"input": {}, **payload}}


def begun(task_id: str, model: str, function: str) -> Said:
    group = {"task_group": "audio", "task": function[:3], "function": function}
    return task(task_id, "run-task", model=model, parameters={"sample_rate": 16000}, **group)


def socket(path: str, said: Sequence[tuple[Said, str]]) -> dict[str, Run]:
    """Say each, and go on when a text message with the word has come; "" waits for none."""

    async def run(at: Place) -> Answers:
        url = at.root + ("/alibailian" if at.alias else "") + path
        headers = {"Authorization": f"Bearer {at.key}"}
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(url, headers=headers, timeout=CLOSING) as end:
                heard: list[object] = []
                for what, word in said:
                    await _say(end, what)
                    heard += await _hear(end, word)
            return [*heard, end.close_code]

    return {BY_HAND: run}


CLOSING = aiohttp.ClientWSTimeout(ws_close=10)

_Socket: TypeAlias = aiohttp.ClientWebSocketResponse


async def _say(end: _Socket, what: Said) -> None:
    if isinstance(what, bytes):
        await end.send_bytes(what)
    else:
        await end.send_str(json.dumps(what))


async def _hear(end: _Socket, word: str) -> list[object]:
    heard: list[object] = []
    while word:
        message = await end.receive(timeout=20)
        heard.append((message.type.name, len(message.data)))
        if message.type is aiohttp.WSMsgType.TEXT and word in message.data:
            break
    return heard


SPEECH = [
    (begun("t1", "cosyvoice-v2", "SpeechSynthesizer"), "task-started"),
    (task("t1", "continue-task", input={"text": "Good morning"}), ""),
    (task("t1", "finish-task"), "task-finished"),
]
RECOGNITION = [
    (begun("t2", "paraformer-realtime-v2", "recognition"), "task-started"),
    (bytes(3200), ""),
    (bytes(range(256)) * 4, ""),
    (task("t2", "finish-task"), "task-finished"),
]

RUN = (
    '{ "payload":{"model":"cosyvoice-v2" , "input":{},"task_group":"audio","task":"tts",'
    '"function":"SpeechSynthesizer","parameters":{"x":1.0,"\\u00e9":[ ]}},\n'
    '\t"header":{"streaming":"duplex","action":"run-task","task_id":"t1"} } '
)
GO_ON = (
    '{"header":{"task_id":"t1","action":"continue-task"} ,'
    '"payload":{"input":{"text":"caf\\u00e9 猫"}}}'
)
FINISH = '{"header":{"action":"finish-task","task_id":"t1"}, "payload":{ "input":{}}}'
BEGIN = (frame(TEXT, RUN), b"task-started")
WHOLE = [BEGIN, (frame(TEXT, GO_ON), b""), (frame(TEXT, FINISH), b"task-finished")]
UPDATE = '{ "type":"session.update","session":{"voice":"a"},"event_id":"e1" }'
OWN = ["handshake"]

BY_FRAMES: Mapping[str, Operation] = {
    "frames: as they are": Operation(
        framed(INFERENCE, [*WHOLE, (closing(4000, "bye — 猫"), b"")]),
        differs=[*OWN, "goodbye"],
    ),
    "frames: realtime": Operation(
        framed(REALTIME, [(frame(TEXT, UPDATE), b"session.updated"), (closing(3001, "b"), b"")]),
        differs=[*OWN, "goodbye"],
    ),
    "frames: binary": Operation(
        framed(
            INFERENCE,
            [
                (frame(TEXT, RUN), b"task-started"),
                (frame(BINARY, bytes(range(256)) * 4), b""),
                (frame(BINARY, b""), b""),
                (frame(TEXT, FINISH), b"task-finished"),
                (closing(1000, ""), b""),
            ],
        ),
        differs=OWN,
    ),
    "frames: upstream's goodbye": Operation(
        framed(INFERENCE, [BEGIN, (frame(TEXT, GO_ON), b"told to fail")]),
        faults=[{"path": INFERENCE, "close_code": 4123, "after_frames": 2}],
        differs=OWN,
    ),
    "frames: fragments": Operation(
        framed(
            INFERENCE,
            [
                (frame(TEXT, RUN[:50], is_last=False) + frame(0, RUN[50:]), b"task-started"),
                *WHOLE[1:],
                (closing(1000, ""), b""),
            ],
        ),
        differs=[*OWN, "fragments"],
    ),
    "frames: pings": Operation(
        framed(INFERENCE, [(frame(PING, b"hello?"), b"hello?"), *WHOLE, (closing(1000, ""), b"")]),
        differs=[*OWN, "pings"],
    ),
    "frames: no code": Operation(
        framed(INFERENCE, [*WHOLE, (frame(CLOSE), b"")]), differs=[*OWN, "no-code"]
    ),
    "frames: upstream is gone": Operation(
        framed(INFERENCE, [BEGIN, (frame(TEXT, GO_ON), b"BadGateway")]),
        faults=[{"path": INFERENCE, "close_code": 0, "after_frames": 2}],
        differs=[*OWN, "vanished"],
    ),
}

SOCKETS: Mapping[str, Operation] = {
    **BY_FRAMES,
    "socket: speech": Operation(
        socket(INFERENCE, SPEECH), differs=["handshake", "handshake-answer"]
    ),
    "socket: recognition": Operation(
        socket(INFERENCE, RECOGNITION), differs=["handshake", "handshake-answer"]
    ),
    "socket: two tasks": Operation(
        socket(f"{INFERENCE}/", SPEECH + RECOGNITION), differs=["handshake", "handshake-answer"]
    ),
    "socket: realtime": Operation(
        socket(REALTIME, [({"type": "session.update", "session": {}}, "session.updated")]),
        differs=["handshake", "handshake-answer"],
    ),
}
