"""WebSockets, frame by frame: several tasks on one socket, binary both ways, a realtime session."""

import base64
import gc
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import aiohttp
import dashscope
from conformance.clients import BY_HAND, V1
from conformance.frames import BINARY, CLOSE, PING, TEXT, closing, frame, framed
from conformance.operations import Answers, Operation, Place, Run
from dashscope.audio.asr import Recognition, RecognitionCallback
from dashscope.audio.qwen_omni import MultiModality, OmniRealtimeCallback, OmniRealtimeConversation
from dashscope.audio.tts_v2 import SpeechSynthesizer

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
BOTH = [*OWN, "handshake-answer"]

CAN_WAIT = 20
"""Seconds."""


def _url(at: Place, path: str) -> str:
    alias = "/alibailian" if at.alias else ""
    return at.root.replace("http", "ws", 1) + alias + path


def speak(at: Place) -> list[object]:
    """The SDK's synthesis: text down, sound up."""
    speaker = SpeechSynthesizer("cosyvoice-v2", "longxiaochun", url=_url(at, INFERENCE))
    sound = speaker.call("Good morning")
    speaker.close()
    return [len(sound)]


def converse(at: Place) -> list[object]:
    """The SDK's realtime session, from its greeting to its end."""
    seen: list[object] = []

    class Callback(OmniRealtimeCallback):  # type: ignore[misc]
        def on_event(self, message: Any) -> None:  # noqa: ANN401 - the SDK's
            seen.append((message["type"], message.get("delta"), message.get("transcript")))

        def on_close(self, close_status_code: object, close_msg: object) -> None:
            seen.append(("closed", close_status_code, close_msg))

    url = _url(at, "/api-ws/v1/realtime")
    talk = OmniRealtimeConversation("qwen3-omni-flash-realtime", Callback(), url=url)
    talk.connect()
    talk.update_session([MultiModality.TEXT, MultiModality.AUDIO], voice="Cherry")
    talk.append_audio(base64.b64encode(b"hello").decode())
    talk.commit()
    talk.create_response()
    talk.end_session(CAN_WAIT)
    talk.thread.join(CAN_WAIT)
    return seen


def recognise(at: Place) -> list[object]:
    """The SDK's recognition of frames as they are spoken; it has no `url=`."""
    seen: list[object] = []

    class Callback(RecognitionCallback):  # type: ignore[misc]
        def on_event(self, result: Any) -> None:  # noqa: ANN401 - the SDK's
            seen.append(result.get_sentence())

    before = dashscope.base_websocket_api_url
    dashscope.base_websocket_api_url = _url(at, INFERENCE)
    try:
        recognition = Recognition("paraformer-realtime-v2", Callback(), "pcm", 16000)
        recognition.start()
        for number in range(3):
            recognition.send_audio_frame(bytes([number]) * 3200)
        recognition.stop()
    finally:
        dashscope.base_websocket_api_url = before
    return seen


def _tidied(run: Callable[[Place], list[object]]) -> Run:
    """The SDK leaves sockets and loops of its threads to the garbage collector: to this test's."""

    def then_collected(at: Place) -> Answers:
        try:
            return run(at)
        finally:
            gc.collect()

    return then_collected


BY_SDK: Mapping[str, Operation] = {
    "socket: SDK's synthesis": Operation({V1: _tidied(speak)}, differs=BOTH),
    "socket: SDK's session": Operation({V1: _tidied(converse)}, differs=BOTH),
    "socket: SDK's recognition": Operation({V1: _tidied(recognise)}, differs=BOTH),
}

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
    **BY_SDK,
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
