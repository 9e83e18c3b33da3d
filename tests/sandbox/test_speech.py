"""Tasks on a WebSocket as the sandbox plays them."""

import json

from proxy.sandbox.speech import AUDIO_PIECE, NO_MODEL, Speech, audio_of


class Talk:
    """A socket's tasks without the socket: what goes in, and what comes out."""

    def __init__(self) -> None:
        self.said: list[str | bytes] = []
        self._speech = Speech(self._keep)

    async def _keep(self, message: str | bytes) -> None:
        self.said.append(message)

    async def tell(
        self, action: str, task_id: str, streaming: str = "duplex", **payload: object
    ) -> None:
        header = {"action": action, "task_id": task_id, "streaming": streaming}
        await self._speech.heard(json.dumps({"header": header, "payload": payload}))

    async def sound(self, data: bytes) -> None:
        await self._speech.heard(data)

    async def raw(self, text: str) -> None:
        await self._speech.heard(text)

    def events(self) -> list[tuple[str, str]]:
        """What was told of which task; bytes by how many."""
        return [
            (str(len(one)), "bytes")
            if isinstance(one, bytes)
            else (json.loads(one)["header"]["event"], json.loads(one)["header"]["task_id"])
            for one in self.said
        ]

    def payloads(self) -> list[dict[str, object]]:
        return [json.loads(one)["payload"] for one in self.said if isinstance(one, str)]


SYNTHESIS = {"task": "tts", "task_group": "audio", "function": "SpeechSynthesizer"}


async def test_a_synthesis_at_once() -> None:
    """`streaming: out`: the text is in `run-task`, and the task ends by itself."""
    talk = Talk()
    await talk.tell("run-task", "t", "out", model="sambert", input={"text": "hello"}, **SYNTHESIS)
    assert talk.events() == [
        ("task-started", "t"),
        ("result-generated", "t"),
        (str(AUDIO_PIECE), "bytes"),
        ("task-finished", "t"),
    ]
    assert talk.payloads()[-1] == {"output": None, "usage": {"characters": 5}}


async def test_a_synthesis_in_pieces() -> None:
    """Each `continue-task` is a sentence behind the last; `finish-task` ends it."""
    talk = Talk()
    await talk.tell("run-task", "t", model="cosyvoice", input={}, **SYNTHESIS)
    for text in ("one", "two"):
        await talk.tell("continue-task", "t", input={"text": text})
    await talk.tell("finish-task", "t", input={})
    sentences = [p["output"]["sentence"] for p in talk.payloads()[1:3]]  # type: ignore[index]
    assert [(one["begin_time"], one["end_time"]) for one in sentences] == [(0, 600), (600, 1200)]
    assert talk.payloads()[-1]["usage"] == {"characters": 6}


async def test_a_recognition() -> None:
    """Bytes are heard by the task that began last; the last sentence has an end."""
    talk = Talk()
    await talk.sound(b"nobody listens")
    await talk.tell("run-task", "a", model="paraformer", task="asr")
    await talk.tell("run-task", "b", model="paraformer", task="asr")
    await talk.sound(bytes(32_000))
    await talk.tell("finish-task", "b", input={})
    assert talk.events() == [
        ("task-started", "a"),
        ("task-started", "b"),
        ("result-generated", "b"),
        ("result-generated", "b"),
        ("task-finished", "b"),
    ]
    partly, wholly = (p["output"]["sentence"] for p in talk.payloads()[2:4])  # type: ignore[index]
    assert (partly["end_time"], wholly["end_time"]) == (None, 1000)
    assert talk.payloads()[3]["usage"] == {"duration": 1}


async def test_what_is_wrong_fails_its_task() -> None:
    """No model, no such task, no such action: `task-failed`, in upstream's words."""
    talk = Talk()
    await talk.tell("run-task", "a", input={})
    await talk.tell("continue-task", "b", input={})
    await talk.tell("run-task", "c", model="m")
    await talk.tell("run-task", "c", model="m")
    await talk.tell("run-task", "", model="m")
    await talk.raw("nonsense")
    await talk.raw("[]")
    failed = [json.loads(one)["header"] for one in talk.said if isinstance(one, str)]
    assert failed.pop(2)["event"] == "task-started"
    assert {one["event"] for one in failed} == {"task-failed"}
    assert failed[0]["error_message"] == NO_MODEL
    assert {one["error_code"] for one in failed} == {"InvalidParameter"}


def test_audio_is_the_texts_own() -> None:
    """The same text sounds the same, another one otherwise, a longer one longer."""
    assert audio_of("m", "hello") == audio_of("m", "hello")
    assert audio_of("m", "hello") != audio_of("m", "hullo")
    assert len(audio_of("m", "x" * 11)) == 2 * AUDIO_PIECE
