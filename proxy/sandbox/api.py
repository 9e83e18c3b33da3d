"""Path, method and mode to endpoint: the table of protocol section 1, and the rules about it.

Rule 1: the same path may be called plainly or for a task; which, says `X-DashScope-Async`.
        The mode an endpoint does not have is 403 AccessDenied (section 4).
Rule 2: model and path must agree, or it is the classic "url error" (section 8).
Rule 3: a slash at the end counts. `[/]` allows it, a bare `/` demands it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import TypeAlias

from proxy.sandbox import apps, inference, models
from proxy.sandbox.answers import Answer, Payload, RefusalError, native, stream
from proxy.sandbox.ask import Ask
from proxy.sandbox.customization import Customization
from proxy.sandbox.inference import Endpoint
from proxy.sandbox.ledger import Kind
from proxy.sandbox.outputs import Link
from proxy.sandbox.prompts import doom
from proxy.sandbox.resources import Resources
from proxy.sandbox.surfaces import PathPattern, compiled
from proxy.sandbox.tasks import TaskDesk
from proxy.sandbox.uploads import Uploads

PREFIX = "/api/v1/"

VIDEO = "services/aigc/video-generation/video-synthesis"
IMAGE_TO_VIDEO = "services/aigc/image2video/video-synthesis"

SERVED_ON: tuple[tuple[str, str], ...] = (
    ("wan*-kf2v-*", IMAGE_TO_VIDEO),
    ("wan2.2-animate-*", IMAGE_TO_VIDEO),
    ("wan2.2-s2v*", IMAGE_TO_VIDEO),
    ("emo-v1", IMAGE_TO_VIDEO),
    ("emoji-v1", IMAGE_TO_VIDEO),
    ("liveportrait", IMAGE_TO_VIDEO),
    ("videoretalk", IMAGE_TO_VIDEO),
    ("animate-anyone-gen2", IMAGE_TO_VIDEO),
    ("wan*-t2v*", VIDEO),
    ("wan*-i2v*", VIDEO),
    ("wan*-r2v*", VIDEO),
    ("wan*-vace-*", VIDEO),
    ("wan3.0-video*", VIDEO),
    ("happyhorse-*", VIDEO),
    ("kling/*", VIDEO),
    ("pixverse/*", VIDEO),
    ("vidu/*", VIDEO),
    ("MiniMax/*", VIDEO),
)
"""Which of the two video paths a model family lives on; other names may use either."""


@dataclass(frozen=True, slots=True)
class Service:
    """What an endpoint answers at once, and what a task of it makes; None: not in that mode."""

    at_once: Endpoint | None
    as_task: Kind | None = None


Action: TypeAlias = Callable[..., Payload]


def services(customization: Customization) -> dict[str, Service]:
    """Every POST that names a model, by path pattern."""
    video, images = Service(None, Kind.VIDEO), Service(None, Kind.IMAGES)
    plain = {
        "tokenizer": inference.tokenizer,
        "services/aigc/text-generation/generation": inference.text,
        "services/aigc/multimodal-generation/generation[/]": inference.multimodal,
        "services/aigc/code-generation/generation": inference.text,
        "aigc/code-generation/generation": inference.text,
        "services/aigc/image2video/face-detect": inference.detection,
        "services/aigc/image2video/aa-detect": inference.detection,
        "services/vision/image-process/process": inference.detection,
        "services/nlp/nlu/understanding": inference.text,
        "nlp/nlu/understanding": inference.text,
        "services/embeddings/multimodal-embedding/multimodal-embedding": (
            inference.multimodal_embedding
        ),
        "services/rerank/text-rerank/text-rerank": inference.rerank,
        "services/audio/tts/SpeechSynthesizer": inference.speech,
        "services/audio/music/generation": inference.music,
        "services/audio/asr/customization": customization.answer,
        "services/audio/tts/customization": customization.answer,
    }
    tasks = {
        VIDEO: video,
        f"{IMAGE_TO_VIDEO}[/]": video,
        "services/aigc/image-generation/generation": Service(None, Kind.IMAGE_CHOICES),
        "services/aigc/text2image/image-synthesis": images,
        "services/aigc/image2image/image-synthesis[/]": images,
        "services/aigc/image2image/out-painting": images,
        "services/aigc/background-generation/generation/": images,
        "services/aigc/virtualmodel/generation[/]": images,
        "services/aigc/wordart/texture": images,
        "services/aigc/wordart/semantic": images,
        "services/aigc/image2video/aa-template-generation/": Service(None, Kind.TEMPLATE),
        "services/aigc/video-generation/3d-generation": Service(None, Kind.MODEL_3D),
        "services/audio/asr/transcription": Service(None, Kind.TRANSCRIPTION),
        "services/embeddings/text-embedding/text-embedding": Service(
            inference.text_embedding, Kind.EMBEDDINGS
        ),
    }
    return {path: Service(endpoint) for path, endpoint in plain.items()} | tasks


class Api:
    """Everything under `/api/v1/`, once the caller is known and the request read."""

    def __init__(
        self,
        desk: TaskDesk,
        uploads: Uploads,
        customization: Customization,
        resources: Resources,
        link: Link,
    ) -> None:
        self._desk = desk
        self._uploads = uploads
        self._link = link
        self._services = [
            (compiled(path), path.removesuffix("[/]").strip("/"), service)
            for path, service in services(customization).items()
        ]
        self._actions: list[tuple[PathPattern, str, Action]] = [
            (compiled("tasks[/]"), "GET", desk.page),
            (compiled("tasks/{task_id}[/]"), "GET", desk.poll),
            (compiled("tasks/{task_id}/cancel[/]"), "POST", desk.cancel),
            (compiled("uploads"), "GET", uploads.policy),
            (compiled("public-keys/latest"), "GET", apps.public_key),
            (compiled("models"), "GET", models.page),
            (compiled("models/{name:path}"), "GET", models.one),
        ]
        self._others: list[tuple[PathPattern, str, Callable[..., Answer]]] = [
            (compiled("apps/{app_id}/completion"), "POST", partial(apps.completion, link=link)),
            (compiled("mcps/{server}/mcp"), "POST", apps.mcp),
            (compiled("mcps/{server}/message"), "POST", apps.mcp),
            (compiled("mcps/{server}/sse"), "GET", apps.mcp_events),
        ]
        self._resources = resources

    def answer(self, ask: Ask) -> Answer:
        """The answer to one call; raises `RefusalError`."""
        for pattern, service_path, service in self._services:
            if pattern.fullmatch(ask.path):
                _require(ask, "POST")
                return self._serve(ask, service_path, service)
        kept = self._resources.answer(ask)
        if kept is not None:
            return kept
        for pattern, method, action in self._actions:
            found = pattern.fullmatch(ask.path)
            if found:
                _require(ask, method)
                return native(action(ask, **found.groupdict()), ask.request_id)
        for pattern, method, told in self._others:
            found = pattern.fullmatch(ask.path)
            if found:
                _require(ask, method)
                return told(ask, **found.groupdict())
        raise RefusalError(404, "NotFound", "Request path not found.")

    def _serve(self, ask: Ask, path: str, service: Service) -> Answer:
        _check_path(ask.model, path)
        if "input" not in ask.body:
            raise RefusalError(400, "BadRequest.EmptyInput", 'Required parameter "input" missing.')
        self._uploads.check(ask)
        if ask.asynchronous:
            if service.as_task is None:
                raise _wrong_mode("Current user api does not support asynchronous calls.")
            short = path.removeprefix("services/")
            return native(self._desk.submit(ask, short, service.as_task), ask.request_id)
        if service.at_once is None:
            raise _wrong_mode("current user api does not support synchronous calls.")
        return self._at_once(ask, service.at_once)

    def _at_once(self, ask: Ask, endpoint: Endpoint) -> Answer:
        failure = doom(ask.input)
        reply = endpoint(ask, self._link)
        if ask.streaming and reply.parts:
            parts = reply.parts if failure is None else reply.parts[:1]
            return stream(parts, ask.request_id, failure)
        if failure is not None:
            raise failure
        return native(reply.whole, ask.request_id)


def _require(ask: Ask, method: str) -> None:
    """A wrong method is 400 here, not 405 (protocol section 4)."""
    if ask.method != method:
        raise RefusalError(
            400, "InvalidParameter", f"Request method '{ask.method}' is not supported."
        )


def _check_path(model: str, path: str) -> None:
    """Rule 2; the exclamation mark is the service's own."""
    if path not in (VIDEO, IMAGE_TO_VIDEO):
        return
    home = next((home for pattern, home in SERVED_ON if fnmatchcase(model, pattern)), path)
    if home != path:
        raise RefusalError(400, "InvalidParameter", "url error, please check url！")  # noqa: RUF001 - theirs


def _wrong_mode(message: str) -> RefusalError:
    return RefusalError(403, "AccessDenied", message)
