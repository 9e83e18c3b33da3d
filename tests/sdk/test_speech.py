"""The SDK's own speech classes: directly at the sandbox, and through the proxy under each base."""

import asyncio
import base64
import gc
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import dashscope
import pytest
from dashscope.audio.asr import Recognition, RecognitionCallback, TranslationRecognizerRealtime
from dashscope.audio.asr.translation_recognizer import TranslationRecognizerCallback
from dashscope.audio.qwen_omni import MultiModality, OmniRealtimeCallback, OmniRealtimeConversation
from dashscope.audio.qwen_tts_realtime import QwenTtsRealtime, QwenTtsRealtimeCallback
from dashscope.audio.tts import ResultCallback as SambertCallback
from dashscope.audio.tts import SpeechSynthesizer as Sambert
from dashscope.audio.tts_v2 import ResultCallback, SpeechSynthesizer
from dashscope.common.error import RequestFailure
from edge.rig import eventually
from harness import UPSTREAM_KEY, standing

from proxy.config.routing import PACKAGED
from proxy.core.limits import Limits
from proxy.core.money import NANOS, text_of
from proxy.core.policy import Grant
from proxy.core.settlement import Kind

# The SDK leaves sockets and loops of its threads to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

MODELS = ("sambert-*", "cosyvoice-*", "paraformer-*", "gummy-*", "qwen*")
PATIENCE = 20
BASES = ("", "/alibailian")

Socket: TypeAlias = Callable[[str, str], None]
Seen: TypeAlias = list[object]


@pytest.fixture
def socket_base() -> Iterator[Socket]:
    """Point the 1.x surface's WebSocket at a base with a key, for this test."""
    before = dashscope.base_websocket_api_url, dashscope.api_key

    def set_both(url: str, key: str) -> None:
        base = url.replace("http", "ws", 1)
        dashscope.base_websocket_api_url = f"{base}/api-ws/v1/inference"
        dashscope.api_key = key

    yield set_both
    dashscope.base_websocket_api_url, dashscope.api_key = before
    gc.collect()  # while the sockets it leaves are still this test's


# -- what the SDK does, each returning what its user sees -----------------------------------------


def sambert(_folder: Path, _base: str) -> Seen:
    """Text in one piece, sound in many."""
    result = Sambert.call("sambert-zhichu-v1", "The quick brown fox")
    return [result.get_audio_data(), result.get_timestamps(), result.get_response().usage]


def sambert_streamed(_folder: Path, _base: str) -> Seen:
    """The same, with a callback."""
    seen: Seen = []

    class Callback(SambertCallback):  # type: ignore[misc]
        def on_event(self, result: Any) -> None:  # noqa: ANN401 - the SDK's
            seen.append(result.get_audio_frame() or result.get_timestamp())

        def on_complete(self) -> None:
            seen.append("complete")

    Sambert.call("sambert-zhichu-v1", "The quick brown fox", callback=Callback())
    return seen


def cosyvoice(_folder: Path, _base: str) -> Seen:
    """A duplex task behind a plain call."""
    return [SpeechSynthesizer("cosyvoice-v2", "longxiaochun").call("Good morning")]


def cosyvoice_streamed(_folder: Path, _base: str) -> Seen:
    """Text in pieces as it is written, sound as it comes."""
    seen: Seen = []

    class Callback(ResultCallback):  # type: ignore[misc]
        def on_data(self, data: bytes) -> None:
            seen.append(bytes(data))

        def on_complete(self) -> None:
            seen.append("complete")

    speaker = SpeechSynthesizer("cosyvoice-v2", "longxiaochun", callback=Callback())
    for text in ("Good ", "morning, ", "Vietnam"):
        speaker.streaming_call(text)
    speaker.streaming_complete(PATIENCE * 1000)
    return seen


def recognised(folder: Path, _base: str) -> Seen:
    """A file, read to its end."""
    file = folder / "speech.pcm"
    file.write_bytes(bytes(range(256)) * 200)
    result = Recognition("paraformer-realtime-v2", None, "pcm", 16000).call(str(file))
    return [result.status_code, result.get_sentence(), result.usage]


def recognised_live(_folder: Path, _base: str) -> Seen:
    """Frames as they are spoken."""
    seen: Seen = []

    class Callback(RecognitionCallback):  # type: ignore[misc]
        def on_event(self, result: Any) -> None:  # noqa: ANN401 - the SDK's
            seen.append(result.get_sentence())

        def on_complete(self) -> None:
            seen.append("complete")

    recognition = Recognition("paraformer-realtime-v2", Callback(), "pcm", 16000)
    recognition.start()
    for number in range(3):
        recognition.send_audio_frame(bytes([number]) * 3200)
    recognition.stop()
    return seen


def translated(_folder: Path, _base: str) -> Seen:
    """A translation: the same protocol with another result."""
    seen: Seen = []

    class Callback(TranslationRecognizerCallback):  # type: ignore[misc]
        def on_complete(self) -> None:
            seen.append("complete")

    recognizer = TranslationRecognizerRealtime(
        model="gummy-realtime-v1", format="pcm", sample_rate=16000, callback=Callback()
    )
    recognizer.start()
    recognizer.send_audio_frame(bytes(3200))
    recognizer.stop()
    return seen


def conversed(_folder: Path, base: str) -> Seen:
    """A realtime session from its greeting to its end."""
    seen: Seen = []

    class Callback(OmniRealtimeCallback):  # type: ignore[misc]
        def on_event(self, message: Any) -> None:  # noqa: ANN401 - the SDK's
            seen.append((message["type"], message.get("delta"), message.get("transcript")))

        def on_close(self, close_status_code: object, close_msg: object) -> None:
            seen.append(("closed", close_status_code, close_msg))

    url = base.replace("http", "ws", 1) + "/api-ws/v1/realtime"
    talk = OmniRealtimeConversation("qwen3-omni-flash-realtime", Callback(), url=url)
    talk.connect()
    talk.update_session([MultiModality.TEXT, MultiModality.AUDIO], voice="Cherry")
    talk.append_audio(base64.b64encode(b"hello").decode())
    talk.commit()
    talk.create_response()
    talk.end_session(PATIENCE)
    talk.thread.join(PATIENCE)
    return seen


def spoken(_folder: Path, base: str) -> Seen:
    """A synthesis in a session."""
    seen: Seen = []

    class Callback(QwenTtsRealtimeCallback):  # type: ignore[misc]
        def on_event(self, message: Any) -> None:  # noqa: ANN401 - the SDK's
            seen.append((message["type"], message.get("delta")))

        def on_close(self, close_status_code: object, close_msg: object) -> None:
            seen.append(("closed", close_status_code, close_msg))

    url = base.replace("http", "ws", 1) + "/api-ws/v1/realtime"
    speaker = QwenTtsRealtime("qwen3-tts-flash-realtime", callback=Callback(), url=url)
    speaker.connect()
    speaker.update_session(voice="Cherry", mode="commit")
    speaker.append_text("Good morning")
    speaker.commit()
    speaker.finish()
    speaker.thread.join(PATIENCE)
    return seen


USES: list[Callable[[Path, str], Seen]] = [
    sambert,
    sambert_streamed,
    cosyvoice,
    cosyvoice_streamed,
    recognised,
    recognised_live,
]
USES += [translated, conversed, spoken]


@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)
async def test_speech_is_the_same_through_the_proxy(
    use: Callable[[Path, str], Seen], socket_base: Socket, tmp_path: Path
) -> None:
    """Every value, every event and every byte of sound, in the same order; under each base."""
    async with standing() as stand:
        socket_base(stand.sandbox.url, UPSTREAM_KEY)
        directly = await asyncio.to_thread(use, tmp_path, stand.sandbox.url)
        assert directly
        for base in BASES:
            socket_base(stand.url + base, await stand.token(*MODELS))
            through = await asyncio.to_thread(use, tmp_path, stand.url + base)
            assert through == directly
        asked = [record.handshake for record in stand.sandbox.sockets]
        assert len({request.target for request in asked}) == 1
        assert {request.header("Authorization") for request in asked} == {f"Bearer {UPSTREAM_KEY}"}


async def test_a_bad_token_is_a_real_401(socket_base: Socket) -> None:
    """The SDK says what it says for a bad key: its users know the words."""
    async with standing() as stand:
        socket_base(stand.url, "sk-nobody")
        result = await asyncio.to_thread(Sambert.call, "sambert-zhichu-v1", "x")
        response = result.get_response()
        assert response.status_code == 401
        assert "api-key is invalid" in response.message
        assert stand.sandbox.sockets == []


async def test_a_forbidden_model_is_a_failed_task(socket_base: Socket) -> None:
    """Each class tells it in its own way, with our code; upstream never heard of the model."""
    async with standing() as stand:
        socket_base(stand.url, await stand.token("other"))
        result = await asyncio.to_thread(Sambert.call, "sambert-zhichu-v1", "x")
        assert result.get_response().code == "model_not_found"
        with pytest.raises(RequestFailure) as caught:
            await asyncio.to_thread(SpeechSynthesizer("cosyvoice-v2", "x").call, "x")
        assert caught.value.name == "model_not_found"
        assert [record.frames for record in stand.sandbox.sockets] == [[], []]


async def test_upstreams_failed_task_is_told(socket_base: Socket) -> None:
    """What upstream says against a task reaches the SDK as if nobody stood between."""
    async with standing() as stand:
        stand.sandbox.faults.add(path="/api-ws", status=429, times=2)
        seen = []
        for url, key in ((stand.sandbox.url, UPSTREAM_KEY), (stand.url, await stand.token())):
            socket_base(url, key)
            result = await asyncio.to_thread(Sambert.call, "sambert-zhichu-v1", "x")
            response = result.get_response()
            seen.append((response.status_code, response.code, response.message))
        assert seen[0] == seen[1]
        assert seen[0][0] == 429


async def test_a_stopping_proxy_lets_speech_end(socket_base: Socket) -> None:
    """A drain that begins in the middle of a synthesis waits for its last byte."""
    async with standing({"PROXY_DRAIN": "10"}) as stand:
        socket_base(stand.url, await stand.token(*MODELS))
        began, go_on = threading.Event(), threading.Event()

        class Callback(ResultCallback):  # type: ignore[misc]
            data = b""
            complete = False

            def on_data(self, data: bytes) -> None:
                self.data += bytes(data)

            def on_complete(self) -> None:
                self.complete = True

        callback = Callback()

        def speak() -> None:
            speaker = SpeechSynthesizer("cosyvoice-v2", "longxiaochun", callback=callback)
            speaker.streaming_call("Good ")
            began.set()
            assert go_on.wait(PATIENCE)
            speaker.streaming_call("morning")
            speaker.streaming_complete(PATIENCE * 1000)

        speaking = asyncio.ensure_future(asyncio.to_thread(speak))
        await asyncio.to_thread(began.wait, PATIENCE)
        stopping = asyncio.ensure_future(stand.proxy.stop())
        await asyncio.sleep(0)
        go_on.set()
        await speaking
        await stopping
        assert callback.complete
        assert len(callback.data) == 2 * 3200
        assert "drain_cut_short" not in {line["event"] for line in stand.lines}


async def test_a_drain_that_is_over_says_goodbye() -> None:
    """A session has no end of its own: when `PROXY_DRAIN` is over it is told 1001, upstream too."""
    async with standing({"PROXY_DRAIN": "0.3"}) as stand, aiohttp.ClientSession() as client:
        url = f"{stand.url}/api-ws/v1/realtime?model=qwen-omni"
        headers = {"Authorization": f"Bearer {await stand.token(*MODELS)}"}
        async with client.ws_connect(url, headers=headers) as socket:
            assert (await socket.receive_json())["type"] == "session.created"
            await stand.proxy.stop()
            ended = await socket.receive()
            assert (ended.type, ended.data) == (aiohttp.WSMsgType.CLOSE, 1001)
        assert [record.closed for record in stand.sandbox.sockets] == [1001]
        assert "drain_cut_short" in {line["event"] for line in stand.lines}


PRICES = """
currency: CNY
prices:
  - {models: ["sambert-*", "cosyvoice-*"], per_1k_characters: 1000}
  - models: ["paraformer-*", "gummy-*"]
    duration_pricing: [{max_resolution_inclusive: null, price: 1}]
  - {models: ["qwen*"], per_1k_input_tokens: 100, per_1k_output_tokens: 1000}
"""
"""A character or a second costs 1, a token out as well, one in a tenth."""

BILLS: list[tuple[Callable[[Path, str], Seen], str]] = [
    (sambert, "19"),  # The quick brown fox
    (cosyvoice, "12"),  # Good morning
    (cosyvoice_streamed, "21"),  # Good morning, Vietnam
    (recognised, "2"),  # 51,200 bytes, 32 a millisecond, by the second begun
    (recognised_live, "1"),
    (translated, "1"),
    (conversed, "8.1"),  # eight tokens out, one in
    (spoken, "8.1"),
]


@pytest.mark.parametrize(("use", "bill"), BILLS, ids=lambda value: getattr(value, "__name__", ""))
async def test_speech_is_one_record(
    use: Callable[[Path, str], Seen], bill: str, socket_base: Socket, tmp_path: Path
) -> None:
    """Whatever the class sends and hears, one task or response is one record of what it used."""
    routes = tmp_path / "routes.yaml"
    routes.write_text(PACKAGED.read_text("utf-8") + PRICES, "utf-8")
    async with standing({"PROXY_ROUTES": str(routes), "PROXY_STORE": "memory:"}) as stand:
        socket_base(stand.url, await stand.token(*MODELS))
        await asyncio.to_thread(use, tmp_path, stand.url)
        await eventually(lambda: stand.requests)
        async with asyncio.timeout(PATIENCE):
            while not (found := await stand.proxy.store.records("", 10)):  # noqa: ASYNC110 - a ledger calls nobody back
                await asyncio.sleep(0.01)
        ((_, record),) = found
        assert (record.kind, text_of(record.amount), record.currency) == (Kind.SOCKET, bill, "CNY")
        (line,) = stand.requests
        assert (line["amount"], record.id.partition(":")[0]) == (bill, line["request_id"])


async def test_a_spent_budget_is_a_failed_task(socket_base: Socket, tmp_path: Path) -> None:
    """The class tells it as any failed task, with the code of the limit that was met."""
    routes = tmp_path / "routes.yaml"
    routes.write_text(PACKAGED.read_text("utf-8") + PRICES, "utf-8")
    async with standing({"PROXY_ROUTES": str(routes), "PROXY_STORE": "memory:"}) as stand:
        secret = await stand.token(*MODELS)
        ((digest, grant),) = [pair async for pair in stand.proxy.store.grants()]
        assert isinstance(grant, Grant)
        limited = replace(grant, limits=Limits(budget_total=18 * NANOS))
        await stand.proxy.store.save_grant(digest, limited)
        socket_base(stand.url, secret)
        result = await asyncio.to_thread(Sambert.call, "sambert-zhichu-v1", "The quick brown fox")
        assert result.get_response().code == "Throttling.AllocationQuota"
        assert [record.frames for record in stand.sandbox.sockets] == [[]]
