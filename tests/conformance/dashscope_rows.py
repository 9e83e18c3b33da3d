"""The operations of the SDK's two generations, as one table.

`OPERATIONS` has a row for each: what to do, and the gist of what comes of it; the rest is
compared, not written down. Listings are elsewhere: they differ on purpose.
"""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import dashscope
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

OPERATIONS: dict[str, tuple[Run, str]] = {
    # 1.x
    "VideoSynthesis.call": (once(VideoSynthesis, **VIDEO), "200 SUCCEEDED"),
    "VideoSynthesis by steps": (lambda _: by_steps(VideoSynthesis, **VIDEO), STEPS),
    "VideoSynthesis.cancel": (lambda _: cancelled(VideoSynthesis, **VIDEO), CANCELLED),
    "VideoSynthesis kf2v": (lambda _: by_steps(VideoSynthesis, **KEYFRAMES), STEPS),
    "VideoSynthesis of a file": (
        lambda at: by_steps(
            VideoSynthesis, model="wan2.6-i2v", prompt="go", img_url=at.photo.as_uri()
        ),
        STEPS,
    ),
    "VideoSynthesis that fails": (
        lambda _: by_steps(VideoSynthesis, **VIDEO | {"prompt": "sandbox:inspect"}),
        "200 PENDING, 200 RUNNING, 200 FAILED, 400 UnsupportedOperation",
    ),
    "VideoSynthesis on a wrong path": (
        lambda _: (VideoSynthesis.async_call(**VIDEO | {"model": "wan2.2-animate-mix"}),),
        "400 InvalidParameter",
    ),
    "ImageSynthesis by steps": (lambda _: by_steps(ImageSynthesis, **IMAGE), STEPS),
    "ImageSynthesis.cancel": (lambda _: cancelled(ImageSynthesis, **IMAGE), CANCELLED),
    "ImageSynthesis.sync_call": (
        lambda _: (ImageSynthesis.sync_call(**IMAGE),),
        "403 AccessDenied",
    ),
    "ImageGeneration.call": (once(ImageGeneration, **NEW_IMAGE), "200"),
    "ImageGeneration by steps": (lambda _: by_steps(ImageGeneration, **NEW_IMAGE), STEPS),
    "Generation.call": (
        once(dashscope.Generation, **TEXT, result_format="message"),
        "200",
    ),
    "Generation stream": (lambda _: stream(dashscope.Generation, **TEXT), "4 parts to 200"),
    "Generation stream of deltas": (
        lambda _: stream(
            dashscope.Generation, **TEXT, result_format="message", incremental_output=True
        ),
        "4 parts to 200",
    ),
    "Generation stream that fails": (
        lambda _: stream(dashscope.Generation, model="qwen-plus", prompt="sandbox:inspect"),
        "2 parts to 400 DataInspectionFailed",
    ),
    "MultiModalConversation of a file": (
        lambda at: (MultiModalConversation.call(**photo_message(at)),),
        "200",
    ),
    "MultiModalConversation stream": (
        lambda at: stream(MultiModalConversation, **photo_message(at)),
        "6 parts to 200",
    ),
    "Transcription by steps": (transcription, "200 PENDING, 200 RUNNING, 200 SUCCEEDED"),
    "TextEmbedding.call": (
        once(dashscope.TextEmbedding, model="text-embedding-v4", input=["a", "b"], dimension=8),
        "200",
    ),
    "BatchTextEmbedding by steps": (batch_embedding, STEPS),
    "MultiModalEmbedding.call": (
        once(dashscope.MultiModalEmbedding, model="qwen3-vl-embedding", input=PAIR, dimension=8),
        "200",
    ),
    "TextReRank.call": (once(TextReRank, **RANKED, return_documents=True), "200"),
    "Tokenization.call": (once(dashscope.Tokenization, model="qwen-turbo", prompt="a b"), "200"),
    "HttpSpeechSynthesizer.call": (
        lambda _: (HttpSpeechSynthesizer.call(**SPEECH).response,),
        "200",
    ),
    "HttpSpeechSynthesizer stream": (
        lambda _: ([part.response for part in HttpSpeechSynthesizer.call(**SPEECH, stream=True)],),
        "2 parts to 200",
    ),
    "VocabularyService.create_vocabulary": (vocabulary, "vocab-mine-<hex>"),
    "Understanding.call": (  # goes out without `services/`, which the sandbox does not know
        once(dashscope.Understanding, model="opennlu-v1", sentence="a", labels="b"),
        "404 NotFound",
    ),
    # 1.x, asyncio
    "AioVideoSynthesis.call": (once(AioVideoSynthesis, **VIDEO), "200 SUCCEEDED"),
    "AioVideoSynthesis by steps": (lambda _: aio_by_steps(AioVideoSynthesis, **VIDEO), STEPS),
    "AioVideoSynthesis.cancel": (lambda _: aio_cancelled(AioVideoSynthesis, **VIDEO), CANCELLED),
    "AioVideoSynthesis kf2v": (lambda _: aio_by_steps(AioVideoSynthesis, **KEYFRAMES), STEPS),
    "AioImageSynthesis by steps": (lambda _: aio_by_steps(AioImageSynthesis, **IMAGE), STEPS),
    "AioImageGeneration.call": (once(AioImageGeneration, **NEW_IMAGE), "200"),
    "AioImageGeneration by steps": (
        lambda _: aio_by_steps(AioImageGeneration, **NEW_IMAGE),
        STEPS,
    ),
    "AioGeneration.call": (once(AioGeneration, **TEXT), "200"),
    "AioGeneration stream": (lambda _: aio_stream(AioGeneration, **TEXT), "4 parts to 200"),
    "AioGeneration stream that fails": (
        lambda _: aio_stream(AioGeneration, model="qwen-plus", prompt="sandbox:fail"),
        "2 parts to 400 InternalError.Algo",
    ),
    "AioMultiModalConversation of a file": (
        lambda at: once(AioMultiModalConversation, **photo_message(at))(at),
        "200",
    ),
    "AioMultiModalEmbedding.call": (
        once(AioMultiModalEmbedding, model="qwen3-vl-embedding", input=PAIR, dimension=8),
        "200",
    ),
    "AioTextReRank.call": (once(AioTextReRank, **RANKED), "200"),
    # v2
    "Client.chat": (v2(lambda client, _: client.chat.completions.create(**TEXT)), "ok"),
    "Client.chat stream": (
        v2(lambda client, _: list(client.chat.completions.create(**TEXT, stream=True))),
        "4 parts to ok",
    ),
    "Client.chat stream that fails": (
        v2(
            lambda client, _: list(
                client.chat.completions.create(
                    model="qwen-plus", messages="sandbox:inspect", stream=True
                )
            )
        ),
        "ContentFilterError 200 DataInspectionFailed",
    ),
    "Client.multimodal.chat of a file": (
        v2(lambda client, at: client.multimodal.chat.create(**v2_photo(at))),
        "ok",
    ),
    "Client.videos.jobs": (
        v2_jobs,
        "PENDING, RUNNING, SUCCEEDED, ok, CANCELED",
    ),
    "Client.videos.generate of a file": (
        v2(
            lambda client, at: client.videos.generate(
                model="wan2.6-i2v", image_url=at.photo.as_uri(), poll_interval=SOON
            )
        ),
        "SUCCEEDED",
    ),
    "Client.videos.generate that fails": (
        v2(
            lambda client, _: client.videos.generate(
                model="wan2.6-t2v", prompt="sandbox:inspect", poll_interval=SOON
            )
        ),
        "ContentFilterError 200 DataInspectionFailed",
    ),
    "Client.images.generate": (
        v2(lambda client, _: client.images.generate(**IMAGE, poll_interval=SOON)),
        "SUCCEEDED",
    ),
    "Client.images.generate at once": (
        v2(lambda client, _: client.images.generate(model="wan2.6-t2i", prompt="a cat")),
        "SUCCEEDED",
    ),
    "Client.embeddings": (
        v2(lambda client, _: client.embeddings.create(model="text-embedding-v4", input="a")),
        "ok",
    ),
    "Client.multimodal.embeddings": (
        v2(
            lambda client, _: client.multimodal.embeddings.create(
                model="qwen3-vl-embedding", input=PAIR, dimension=8
            )
        ),
        "ok",
    ),
    "Client.rerank": (v2(lambda client, _: client.rerank.create(**RANKED)), "ok"),
    "Client.tokenization": (
        v2(lambda client, _: client.tokenization.count(model="qwen-turbo", prompt="a b")),
        "ok",
    ),
    # v2, asyncio
    "AsyncClient.chat": (
        v2_async(lambda client, _: client.chat.completions.create(**TEXT)),
        "ok",
    ),
    "AsyncClient.chat stream": (v2_async_stream, "4 parts to ok"),
    "AsyncClient.multimodal.chat of a file": (
        v2_async(lambda client, at: client.multimodal.chat.create(**v2_photo(at))),
        "ok",
    ),
    "AsyncClient.videos.jobs": (
        v2_async_jobs,
        "PENDING, SUCCEEDED, ok, CANCELED",
    ),
    "AsyncClient.images.generate": (
        v2_async(lambda client, _: client.images.generate(**IMAGE, poll_interval=SOON)),
        "SUCCEEDED",
    ),
    "AsyncClient.embeddings": (
        v2_async(lambda client, _: client.embeddings.create(model="text-embedding-v4", input="a")),
        "ok",
    ),
}
