"""A session on a WebSocket, `/api-ws/v1/realtime?model=`: JSON events both ways.

Rule 1: the model is in the address; `session.created` comes first, `session.finished` last.
Rule 2: `response.create` answers what was appended; a commit of text does so by itself.
Rule 3: the same model and input make the same answer, so that two runs can be compared.
"""

import base64
import hashlib
import itertools
import json
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from proxy.sandbox.answers import Payload
from proxy.sandbox.speech import Send, audio_of

Action: TypeAlias = Callable[[Payload], Awaitable[None]]

DELTAS = 2
"""Pieces in which a spoken answer comes."""


class Realtime:
    """One session; `is_over` when the client has finished it."""

    def __init__(self, send: Send, model: str) -> None:
        self.is_over = False
        self._send = send
        self._model = model
        self._numbers = itertools.count(1)
        self._session: Payload = {"id": "sess_sandbox", "object": "realtime.session"}
        self._session["model"] = model
        self._input = ""
        self._actions: dict[str, Action] = {
            "session.update": self._update,
            "session.finish": self._finish,
            "input_audio_buffer.append": self._append,
            "input_image_buffer.append": self._append,
            "input_text_buffer.append": self._append,
            "input_audio_buffer.commit": self._commit,
            "input_text_buffer.commit": self._say,
            "response.create": self._say,
        }

    async def begin(self) -> None:
        """Greet."""
        await self._event("session.created", session=self._session)

    async def heard(self, message: str | bytes) -> None:
        """Take an event from the client."""
        try:
            event = json.loads(message)
            action = self._actions[event["type"]]
        except (ValueError, KeyError, TypeError):
            error = {"type": "invalid_request_error", "code": "invalid_value"}
            await self._event("error", error={**error, "message": "Unknown event.", "param": None})
            return
        await action(event)

    async def _update(self, event: Payload) -> None:
        given = event.get("session")
        self._session |= given if isinstance(given, dict) else {}
        await self._event("session.updated", session=self._session)

    async def _append(self, event: Payload) -> None:
        self._input += str(event.get("audio") or event.get("image") or event.get("text") or "")

    async def _commit(self, _: Payload) -> None:
        await self._event("input_audio_buffer.committed", item_id=self._id("item"))

    async def _say(self, _: Payload) -> None:
        """Answer: words and sound, both made of the input."""
        response = {"id": self._id("resp"), "object": "realtime.response", "status": "in_progress"}
        await self._event("response.created", response=response)
        words = hashlib.sha256(self._input.encode()).hexdigest()[:8]
        sound = audio_of(self._model, words)
        self._input = ""
        step = -(-len(sound) // DELTAS)
        for start in range(0, len(sound), step):
            piece = base64.b64encode(sound[start : start + step]).decode()
            await self._event("response.audio.delta", response_id=response["id"], delta=piece)
        await self._event(
            "response.audio_transcript.done", response_id=response["id"], transcript=words
        )
        usage = {"input_tokens": 1, "output_tokens": len(words), "total_tokens": len(words) + 1}
        done = {**response, "status": "completed", "usage": usage}
        await self._event("response.done", response=done)

    async def _finish(self, _: Payload) -> None:
        self.is_over = True
        await self._event("session.finished")

    async def _event(self, kind: str, **what: object) -> None:
        event = {"event_id": self._id("event"), "type": kind, **what}
        await self._send(json.dumps(event, ensure_ascii=False))

    def _id(self, kind: str) -> str:
        return f"{kind}_{next(self._numbers)}"
