"""Vocabularies and voices."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest
from dashscope.audio.asr import VocabularyService
from dashscope.audio.tts_v2 import VoiceEnrollmentService

Call: TypeAlias = Callable[..., Awaitable[Any]]

OTHER_KEY = "sk-two"
VOICES = "/api/v1/services/audio/tts/customization"


def _vocabulary() -> tuple[Any, ...]:
    service = VocabularyService()
    made = service.create_vocabulary("paraformer-v2", "mine", [{"text": "sandbox", "weight": 4}])
    service.update_vocabulary(made, [{"text": "castle", "weight": 1}])
    held = service.query_vocabulary(made)
    listed = [row["vocabulary_id"] for row in service.list_vocabularies()]
    service.delete_vocabulary(made)
    return made, held, listed, service.list_vocabularies(prefix="mine")


@pytest.mark.usefixtures("sdk")
async def test_a_vocabulary_of_the_sdk() -> None:
    """A vocabulary is created, replaced, queried, listed and deleted."""
    made, held, listed, after = await asyncio.to_thread(_vocabulary)
    assert held["vocabulary"] == [{"text": "castle", "weight": 1}]
    assert held["target_model"] == "paraformer-v2"
    assert (listed, after) == ([made], [])


def _voice() -> tuple[Any, ...]:
    service = VoiceEnrollmentService()
    made = service.create_voice("cosyvoice-v3-plus", "me", "https://example.com/me.wav")
    return made, service.query_voice(made)["status"], service.list_voices()[0]["voice_id"]


@pytest.mark.usefixtures("sdk")
async def test_a_voice_of_the_sdk() -> None:
    """A voice is enrolled and found again."""
    made, status, listed = await asyncio.to_thread(_voice)
    assert (status, listed) == ("OK", made)


async def test_a_list_shows_the_account_and_only_that(call: Call) -> None:
    """Everything the account made is listed, nothing of another account, by its own id field."""
    given = {"action": "create", "target_model": "qwen3-tts-vd", "preferred_name": "me"}
    body: dict[str, Any] = {"model": "qwen-voice-design", "input": given}
    made = (await call("POST", VOICES, json=body)).json()["output"]["voice"]
    body["input"] = {"action": "list"}
    mine = (await call("POST", VOICES, json=body)).json()["output"]["voice_list"]
    theirs = (await call("POST", VOICES, key=OTHER_KEY, json=body)).json()["output"]
    assert [row["voice"] for row in mine] == [made]
    assert theirs == {"voice_list": []}


BAD = [
    ({"action": "create_voice", "prefix": "me"}, "InvalidParameter"),
    ({"action": "sing_voice"}, "InvalidParameter"),
    ({"action": "query_voice", "voice_id": "nobody"}, "BadRequest.ResourceNotExist"),
    ({"action": "delete_voice"}, "BadRequest.ResourceNotExist"),
]


@pytest.mark.parametrize(("given", "code"), BAD, ids=[given["action"] for given, _ in BAD])
async def test_refusals(call: Call, given: dict[str, str], code: str) -> None:
    """No target model, no such action, no such thing: all 400, each with its code."""
    reply = await call("POST", VOICES, json={"model": "voice-enrollment", "input": given})
    assert (reply.status, reply.json()["code"]) == (400, code)


async def test_the_body_model_names_a_service(call: Call) -> None:
    """A model that is no customization service does not exist here."""
    body = {"model": "cosyvoice-v3-plus", "input": {"action": "list_voice"}}
    reply = await call("POST", VOICES, json=body)
    assert (reply.status, reply.json()["code"]) == (400, "InvalidParameter")
