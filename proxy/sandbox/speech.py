"""Tasks on a WebSocket, `/api-ws/v1/inference`: speech in and out (protocol section 3).

Rule 1: a task begins with `run-task`, which names its model, and ends with `task-finished` or
        `task-failed`; several may run on one socket.
Rule 2: a synthesis with `streaming: out` has its text in `run-task` and ends by itself; every
        other task goes on until `finish-task`.
Rule 3: the same model and text make the same audio, so that two runs can be compared.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from proxy.sandbox.answers import Payload, dumps

Send: TypeAlias = Callable[[str | bytes], Awaitable[None]]

AUDIO_PIECE = 3200
"""Bytes of one binary frame: a tenth of a second of 16 kHz, 16 bit, mono."""

MS_PER_CHARACTER = 200
BYTES_PER_MS = 32

NO_MODEL = "Missing required parameter 'payload.model'! Please follow the protocol!"


@dataclass
class _Task:
    """One task. `clock` is milliseconds of audio so far, `text` what it has heard or said."""

    id: str
    model: str
    kind: str
    clock: int = 0
    text: str = ""
    audio: bytearray = field(default_factory=bytearray)


class Speech:
    """The tasks of one socket."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._tasks: dict[str, _Task] = {}

    async def heard(self, message: str | bytes) -> None:
        """Take a frame from the client."""
        if isinstance(message, bytes):
            await self._audio(message)
            return
        header, payload = _parts(message)
        task_id = str(header.get("task_id") or "")
        action = header.get("action")
        if action == "run-task":
            await self._run(task_id, header, payload)
        elif task_id not in self._tasks:
            await self._fail(task_id, "InvalidParameter", f"task can not be found: {task_id}")
        elif action == "continue-task":
            await self._say(self._tasks[task_id], _text_in(payload))
        elif action == "finish-task":
            await self._finish(self._tasks.pop(task_id))
        else:
            await self._fail(task_id, "InvalidParameter", f"unknown action: {action}")

    async def _run(self, task_id: str, header: Payload, payload: Payload) -> None:
        model = payload.get("model")
        if not isinstance(model, str) or not model:
            await self._fail(task_id, "InvalidParameter", NO_MODEL)
            return
        if not task_id or task_id in self._tasks:
            await self._fail(task_id, "InvalidParameter", f"task id is not usable: {task_id}")
            return
        task = self._tasks[task_id] = _Task(task_id, model, str(payload.get("task")))
        await self._event(task_id, "task-started", {})
        if task.kind == "tts":
            await self._say(task, _text_in(payload))
            if header.get("streaming") == "out":
                await self._finish(self._tasks.pop(task_id))

    async def _say(self, task: _Task, text: str) -> None:
        """Synthesise a sentence: where it lies, then its sound."""
        if not text:
            return
        task.text += text
        began, task.clock = task.clock, task.clock + MS_PER_CHARACTER * len(text)
        sentence = {"begin_time": began, "end_time": task.clock, "words": []}
        await self._event(task.id, "result-generated", {"output": {"sentence": sentence}})
        sound = audio_of(task.model, text)
        for start in range(0, len(sound), AUDIO_PIECE):
            await self._send(sound[start : start + AUDIO_PIECE])

    async def _audio(self, sound: bytes) -> None:
        """Recognise on: bytes belong to the task that began last."""
        if not self._tasks:
            return
        task = next(reversed(self._tasks.values()))
        task.audio += sound
        task.clock = len(task.audio) // BYTES_PER_MS
        await self._event(task.id, "result-generated", _recognised(task, is_final=False))

    async def _finish(self, task: _Task) -> None:
        if task.kind == "tts":
            usage = {"characters": len(task.text)}
            await self._event(task.id, "task-finished", {"output": None, "usage": usage})
            return
        await self._event(task.id, "result-generated", _recognised(task, is_final=True))
        await self._event(task.id, "task-finished", {"output": {}, "usage": None})

    async def _fail(self, task_id: str, code: str, message: str) -> None:
        self._tasks.pop(task_id, None)
        more = {"error_code": code, "error_message": message}
        await self._event(task_id, "task-failed", {}, more)

    async def _event(
        self, task_id: str, event: str, payload: Payload, more: Payload | None = None
    ) -> None:
        header = {"task_id": task_id, "event": event, **(more or {}), "attributes": {}}
        await self._send(dumps({"header": header, "payload": payload}).decode())


def audio_of(model: str, text: str) -> bytes:
    """What a text sounds like: a piece for every ten characters begun."""
    pieces = -(-len(text) // 10)
    return hashlib.shake_256(f"{model}\0{text}".encode()).digest(AUDIO_PIECE * pieces)


def _recognised(task: _Task, *, is_final: bool) -> Payload:
    """What was understood so far: a word that stands for the sound itself."""
    word = hashlib.sha256(task.audio).hexdigest()[:8]
    sentence: Payload = {
        "begin_time": 0,
        "end_time": task.clock if is_final else None,
        "text": f"heard {len(task.audio)} bytes, {word}",
        "words": [],
    }
    usage = {"duration": -(-task.clock // 1000)} if is_final else None
    return {"output": {"sentence": sentence}, "usage": usage}


def _parts(message: str) -> tuple[Payload, Payload]:
    """Header and payload of a frame; empty where it has none."""
    try:
        frame = json.loads(message)
    except ValueError:
        frame = None
    whole = frame if isinstance(frame, dict) else {}
    header, payload = whole.get("header"), whole.get("payload")
    return (
        header if isinstance(header, dict) else {},
        payload if isinstance(payload, dict) else {},
    )


def _text_in(payload: Payload) -> str:
    given = payload.get("input")
    text = given.get("text") if isinstance(given, dict) else None
    return text if isinstance(text, str) else ""
