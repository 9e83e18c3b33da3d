"""The operations of the SDK's two generations, as one table.

`OPERATIONS` has a row for each: what to do, and the gist of what comes of it; the rest is
compared, not written down. Listings are elsewhere: they differ on purpose.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import dashscope
from conformance.clients import AIO, V1, V2, V2_AIO
from conformance.operations import Answers, Place, Run
from dashscope.aigc.generation import AioGeneration
from dashscope.aigc.image_generation import AioImageGeneration, ImageGeneration
from dashscope.aigc.image_synthesis import AioImageSynthesis, ImageSynthesis
from dashscope.aigc.multimodal_conversation import (
    AioMultiModalConversation,
    MultiModalConversation,
)
from dashscope.aigc.video_synthesis import AioVideoSynthesis, VideoSynthesis
from dashscope.audio.asr import Transcription, VocabularyService
from dashscope.audio.http_tts import HttpSpeechSynthesizer
from dashscope.embeddings.multimodal_embedding import AioMultiModalEmbedding
from dashscope.models import Models
from dashscope.multimodal.tingwu.tingwu import TingWu
from dashscope.rerank import AioTextReRank, TextReRank
from dashscope.v2.errors import DashScopeError

SOON = 0.01
"""Seconds between two polls of the v2 client, which can be told; 1.x waits a second."""


TEXT = {"model": "qwen-plus", "messages": [{"role": "user", "content": "hello"}]}
VIDEO = {"model": "wan2.6-t2v", "prompt": "a cat", "size": "1280*720", "duration": 5}
KEYFRAMES = {
    "model": "wan2.2-kf2v-flash",
    "first_frame_url": "https://example.com/1.png",
    "last_frame_url": "https://example.com/2.png",
}
IMAGE = {"model": "wan2.2-t2i-flash", "prompt": "a cat", "n": 2}
NEW_IMAGE = {
    "model": "wan2.6-image",
    "messages": [{"role": "user", "content": [{"text": "a cat"}]}],
    "n": 2,
}
AUDIO = {"model": "paraformer-v2", "file_urls": ["https://example.com/a.wav"]}
SPEECH = {"model": "cosyvoice-v3-plus", "voice": "v", "text": "hello"}
PAIR = [{"text": "a cat"}, {"image": "https://example.com/cat.png"}]
RANKED = {"model": "qwen3-rerank", "query": "cat", "documents": ["dog", "a cat"], "top_n": 1}


# -- the 1.x surface -----------------------------------------------------------------------------


def by_steps(service: Any, **what: object) -> Answers:  # noqa: ANN401 - an SDK class
    """Submit, poll, wait for the end, and try to cancel what has ended."""
    job = service.async_call(**what)
    yield job
    yield service.fetch(job)
    yield service.wait(job)
    yield service.cancel(job.output["task_id"])


def cancelled(service: Any, **what: object) -> Answers:  # noqa: ANN401 - an SDK class
    """Submit, cancel at once, and look."""
    job = service.async_call(**what)
    yield job
    yield service.cancel(job)
    yield service.fetch(job)


async def aio_by_steps(service: Any, **what: object) -> Answers:  # noqa: ANN401 - an SDK class
    job = await service.async_call(**what)
    polled = await service.fetch(job)
    return job, polled, await service.wait(job), await service.cancel(job)


async def aio_cancelled(service: Any, **what: object) -> Answers:  # noqa: ANN401 - an SDK class
    job = await service.async_call(**what)
    return job, await service.cancel(job), await service.fetch(job)


def transcription(_: Place) -> Answers:
    """Transcription has no cancel of its own."""
    job = Transcription.async_call(**AUDIO)
    yield job
    yield Transcription.fetch(job)
    yield Transcription.wait(job)


def batch_embedding(_: Place) -> Answers:
    service = dashscope.BatchTextEmbedding
    return by_steps(service, model="text-embedding-async-v2", url="https://example.com/a.txt")


def photo_message(at: Place) -> dict[str, object]:
    content = [{"image": at.photo.as_uri()}, {"text": "what is this?"}]
    return {"model": "qwen-vl-plus", "messages": [{"role": "user", "content": content}]}


LARGE = "data:image/png;base64," + "QUJD" * 700_000
"""A few MiB, inline."""


def large() -> dict[str, object]:
    content = [{"image": LARGE}, {"text": "what is this?"}]
    return {"model": "qwen-vl-plus", "messages": [{"role": "user", "content": content}]}


def v2_large() -> dict[str, object]:
    content = [{"type": "image_url", "image_url": {"url": LARGE}}]
    return {"model": "qwen-vl-plus", "messages": [{"role": "user", "content": content}]}


def tingwu(at: Place) -> Answers:
    """Its base address is the whole path, and it puts a slash behind."""
    path = f"{at.url}/services/aigc/multimodal-generation/generation"
    what = {"task": "createTask", "fileUrl": "https://example.com/a.wav"}
    yield TingWu.call("tingwu-offline", what, api_key=at.key, base_address=path)


def task_list(_: Place) -> Answers:
    yield VideoSynthesis.async_call(**VIDEO)
    yield VideoSynthesis.list(model_name="wan2.6-t2v")


def v2_task_list(at: Place) -> Answers:
    with at.client as client:
        yield client.videos.jobs.create(**VIDEO)
        yield client.videos.jobs.list()


def vocabulary(_: Place) -> Answers:
    """Making one, for a model the token may use."""
    service = VocabularyService()
    yield service.create_vocabulary("paraformer-v2", "mine", [{"text": "castle", "weight": 4}])


def stream(service: Any, **what: object) -> Answers:  # noqa: ANN401 - an SDK class
    yield list(service.call(**what, stream=True))


async def aio_stream(service: Any, **what: object) -> Answers:  # noqa: ANN401 - an SDK class
    return ([part async for part in await service.call(**what, stream=True)],)


def once(service: Any, **what: object) -> Run:  # noqa: ANN401 - an SDK class
    """Run one `call`, of the plain surface or of its asyncio twin."""

    async def run_aio(_: Place) -> Answers:
        return (await service.call(**what),)

    def run(_: Place) -> Answers:
        return (service.call(**what),)

    return run_aio if inspect.iscoroutinefunction(service.call) else run


# -- the v2 client -------------------------------------------------------------------------------


def v2(use: Callable[[Any, Place], object]) -> Run:
    """Use a client once; what it raises is what it answers."""

    def run(at: Place) -> Answers:
        with at.client as client:
            try:
                return (use(client, at),)
            except DashScopeError as error:
                return (error,)

    return run


def v2_async(use: Callable[[Any, Place], Awaitable[object]]) -> Run:
    async def run(at: Place) -> Answers:
        async with at.async_client as client:
            try:
                return (await use(client, at),)
            except DashScopeError as error:
                return (error,)

    return run


def v2_jobs(at: Place) -> Answers:
    with at.client as client:
        jobs = client.videos.jobs
        job = jobs.create(**VIDEO)
        yield job
        yield jobs.fetch(job.task_id)
        yield jobs.wait(job, poll_interval=SOON)
        other = jobs.create(**VIDEO)
        yield jobs.cancel(other.task_id)
        yield jobs.fetch(other.task_id)


async def v2_async_jobs(at: Place) -> Answers:
    async with at.async_client as client:
        jobs = client.videos.jobs
        job = await jobs.create(**VIDEO)
        done = await jobs.wait(job, poll_interval=SOON)
        other = await jobs.create(**VIDEO)
        return job, done, await jobs.cancel(other.task_id), await jobs.fetch(other.task_id)


async def v2_async_stream(at: Place) -> Answers:
    async with at.async_client as client:
        parts = await client.chat.completions.create(**TEXT, stream=True)
        return ([part async for part in parts],)


def v2_photo(at: Place) -> dict[str, object]:
    part = {"type": "image_url", "image_url": {"url": at.photo.as_uri()}}
    content = [part, {"type": "text", "text": "what is this?"}]
    return {"model": "qwen-vl-plus", "messages": [{"role": "user", "content": content}]}


# -- the table -----------------------------------------------------------------------------------

STEPS = "200 PENDING, 200 RUNNING, 200 SUCCEEDED, 400 UnsupportedOperation"
CANCELLED = "200 PENDING, 200, 200 CANCELED"

OPERATIONS: Mapping[str, Mapping[str, tuple[Run, str]]] = {
    "text": {
        V1: (
            once(dashscope.Generation, **TEXT, result_format="message"),
            "200",
        ),
        AIO: (once(AioGeneration, **TEXT), "200"),
        V2: (v2(lambda client, _: client.chat.completions.create(**TEXT)), "ok"),
        V2_AIO: (
            v2_async(lambda client, _: client.chat.completions.create(**TEXT)),
            "ok",
        ),
    },
    "text: stream": {
        V1: (lambda _: stream(dashscope.Generation, **TEXT), "4 parts to 200"),
        AIO: (lambda _: aio_stream(AioGeneration, **TEXT), "4 parts to 200"),
        V2: (
            v2(lambda client, _: list(client.chat.completions.create(**TEXT, stream=True))),
            "4 parts to ok",
        ),
        V2_AIO: (v2_async_stream, "4 parts to ok"),
    },
    "text: stream of deltas": {
        V1: (
            lambda _: stream(
                dashscope.Generation, **TEXT, result_format="message", incremental_output=True
            ),
            "4 parts to 200",
        ),
    },
    "text: stream fails": {
        V1: (
            lambda _: stream(dashscope.Generation, model="qwen-plus", prompt="sandbox:inspect"),
            "2 parts to 400 DataInspectionFailed",
        ),
        AIO: (
            lambda _: aio_stream(AioGeneration, model="qwen-plus", prompt="sandbox:fail"),
            "2 parts to 400 InternalError.Algo",
        ),
        V2: (
            v2(
                lambda client, _: list(
                    client.chat.completions.create(
                        model="qwen-plus", messages="sandbox:inspect", stream=True
                    )
                )
            ),
            "ContentFilterError 200 DataInspectionFailed",
        ),
    },
    "video: call": {
        V1: (once(VideoSynthesis, **VIDEO), "200 SUCCEEDED"),
        AIO: (once(AioVideoSynthesis, **VIDEO), "200 SUCCEEDED"),
    },
    "video: by steps": {
        V1: (lambda _: by_steps(VideoSynthesis, **VIDEO), STEPS),
        AIO: (lambda _: aio_by_steps(AioVideoSynthesis, **VIDEO), STEPS),
        V2: (
            v2_jobs,
            "PENDING, RUNNING, SUCCEEDED, ok, CANCELED",
        ),
        V2_AIO: (
            v2_async_jobs,
            "PENDING, SUCCEEDED, ok, CANCELED",
        ),
    },
    "video: cancel": {
        V1: (lambda _: cancelled(VideoSynthesis, **VIDEO), CANCELLED),
        AIO: (lambda _: aio_cancelled(AioVideoSynthesis, **VIDEO), CANCELLED),
    },
    "video: key frames": {
        V1: (lambda _: by_steps(VideoSynthesis, **KEYFRAMES), STEPS),
        AIO: (lambda _: aio_by_steps(AioVideoSynthesis, **KEYFRAMES), STEPS),
    },
    "video: of a file": {
        V1: (
            lambda at: by_steps(
                VideoSynthesis, model="wan2.6-i2v", prompt="go", img_url=at.photo.as_uri()
            ),
            STEPS,
        ),
        V2: (
            v2(
                lambda client, at: client.videos.generate(
                    model="wan2.6-i2v", image_url=at.photo.as_uri(), poll_interval=SOON
                )
            ),
            "SUCCEEDED",
        ),
    },
    "video: fails": {
        V1: (
            lambda _: by_steps(VideoSynthesis, **VIDEO | {"prompt": "sandbox:inspect"}),
            "200 PENDING, 200 RUNNING, 200 FAILED, 400 UnsupportedOperation",
        ),
        V2: (
            v2(
                lambda client, _: client.videos.generate(
                    model="wan2.6-t2v", prompt="sandbox:inspect", poll_interval=SOON
                )
            ),
            "ContentFilterError 200 DataInspectionFailed",
        ),
    },
    "video: wrong path": {
        V1: (
            lambda _: (VideoSynthesis.async_call(**VIDEO | {"model": "wan2.2-animate-mix"}),),
            "400 InvalidParameter",
        ),
    },
    "image: by steps": {
        V1: (lambda _: by_steps(ImageSynthesis, **IMAGE), STEPS),
        AIO: (lambda _: aio_by_steps(AioImageSynthesis, **IMAGE), STEPS),
    },
    "image: cancel": {
        V1: (lambda _: cancelled(ImageSynthesis, **IMAGE), CANCELLED),
    },
    "image: at once": {
        V1: (
            lambda _: (ImageSynthesis.sync_call(**IMAGE),),
            "403 AccessDenied",
        ),
        V2: (
            v2(lambda client, _: client.images.generate(model="wan2.6-t2i", prompt="a cat")),
            "SUCCEEDED",
        ),
    },
    "image generation: call": {
        V1: (once(ImageGeneration, **NEW_IMAGE), "200"),
        AIO: (once(AioImageGeneration, **NEW_IMAGE), "200"),
    },
    "image generation: by steps": {
        V1: (lambda _: by_steps(ImageGeneration, **NEW_IMAGE), STEPS),
        AIO: (
            lambda _: aio_by_steps(AioImageGeneration, **NEW_IMAGE),
            STEPS,
        ),
    },
    "multimodal: of a file": {
        V1: (
            lambda at: (MultiModalConversation.call(**photo_message(at)),),
            "200",
        ),
        AIO: (
            lambda at: once(AioMultiModalConversation, **photo_message(at))(at),
            "200",
        ),
        V2: (
            v2(lambda client, at: client.multimodal.chat.create(**v2_photo(at))),
            "ok",
        ),
        V2_AIO: (
            v2_async(lambda client, at: client.multimodal.chat.create(**v2_photo(at))),
            "ok",
        ),
    },
    "multimodal: stream": {
        V1: (
            lambda at: stream(MultiModalConversation, **photo_message(at)),
            "6 parts to 200",
        ),
    },
    "transcription: by steps": {
        V1: (transcription, "200 PENDING, 200 RUNNING, 200 SUCCEEDED"),
    },
    "embedding": {
        V1: (
            once(dashscope.TextEmbedding, model="text-embedding-v4", input=["a", "b"], dimension=8),
            "200",
        ),
        V2: (
            v2(lambda client, _: client.embeddings.create(model="text-embedding-v4", input="a")),
            "ok",
        ),
        V2_AIO: (
            v2_async(
                lambda client, _: client.embeddings.create(model="text-embedding-v4", input="a")
            ),
            "ok",
        ),
    },
    "batch embedding: by steps": {
        V1: (batch_embedding, STEPS),
    },
    "multimodal embedding": {
        V1: (
            once(
                dashscope.MultiModalEmbedding, model="qwen3-vl-embedding", input=PAIR, dimension=8
            ),
            "200",
        ),
        AIO: (
            once(AioMultiModalEmbedding, model="qwen3-vl-embedding", input=PAIR, dimension=8),
            "200",
        ),
        V2: (
            v2(
                lambda client, _: client.multimodal.embeddings.create(
                    model="qwen3-vl-embedding", input=PAIR, dimension=8
                )
            ),
            "ok",
        ),
    },
    "rerank": {
        V1: (once(TextReRank, **RANKED, return_documents=True), "200"),
        AIO: (once(AioTextReRank, **RANKED), "200"),
        V2: (v2(lambda client, _: client.rerank.create(**RANKED)), "ok"),
    },
    "tokenizer": {
        V1: (once(dashscope.Tokenization, model="qwen-turbo", prompt="a b"), "200"),
        V2: (
            v2(lambda client, _: client.tokenization.count(model="qwen-turbo", prompt="a b")),
            "ok",
        ),
    },
    "speech": {
        V1: (
            lambda _: (HttpSpeechSynthesizer.call(**SPEECH).response,),
            "200",
        ),
    },
    "speech: stream": {
        V1: (
            lambda _: (
                [part.response for part in HttpSpeechSynthesizer.call(**SPEECH, stream=True)],
            ),
            "2 parts to 200",
        ),
    },
    "vocabulary: create": {
        V1: (vocabulary, "vocab-mine-<hex>"),
    },
    "TingWu": {V1: (tingwu, "200")},
    "models: list": {V1: (lambda _: (Models.list(page_size=100),), "200")},
    "tasks: list": {V1: (task_list, "200 PENDING, 200"), V2: (v2_task_list, "PENDING, ok")},
    "multimodal: large": {
        V1: (lambda _: (MultiModalConversation.call(**large()),), "200"),
        V2: (v2(lambda client, _: client.multimodal.chat.create(**v2_large())), "ok"),
        V2_AIO: (v2_async(lambda client, _: client.multimodal.chat.create(**v2_large())), "ok"),
    },
    "understanding": {
        V1: (  # goes out without `services/`
            once(dashscope.Understanding, model="opennlu-v1", sentence="a", labels="b"),
            "200",
        ),
    },
    "image: call": {
        V2: (
            v2(lambda client, _: client.images.generate(**IMAGE, poll_interval=SOON)),
            "SUCCEEDED",
        ),
        V2_AIO: (
            v2_async(lambda client, _: client.images.generate(**IMAGE, poll_interval=SOON)),
            "SUCCEEDED",
        ),
    },
}
"""By operation, then by client."""

LISTINGS: Mapping[str, Sequence[str]] = {
    "models: list": ["own-models", "own-question"],
    "tasks: list": ["own-tasks"],
}
"""What is answered from our own knowledge."""
