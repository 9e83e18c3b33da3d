"""Calls answered at once: text, multimodal, embeddings, rerank, speech, tokenizer.

An endpoint turns an `Ask` into a `Reply`: the whole answer, and the same in parts when SSE is
spoken. The text is an echo of the prompt, so a test knows what to expect.
"""

import base64
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeAlias

from proxy.sandbox.answers import Payload
from proxy.sandbox.ask import Ask, items_of, number_in
from proxy.sandbox.files import RESULT_LIFE, sample_audio
from proxy.sandbox.outputs import Link, image_choices, item_count
from proxy.sandbox.prompts import PIECE, echo, prompt_of, strings
from proxy.sandbox.usage import image_usage, images_in

DIMENSION = 1024
"""Length of an embedding when the request names none."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The whole answer; `parts` is how it streams, empty for an endpoint that does not."""

    whole: Payload
    parts: tuple[Payload, ...] = ()


Endpoint: TypeAlias = Callable[[Ask, Link], Reply]


def text(ask: Ask, _link: Link) -> Reply:
    """Text generation, as `text` or as `choices`, by `result_format`."""
    as_message = ask.parameters.get("result_format") == "message"
    return _spoken(ask, _message if as_message else _plain)


def multimodal(ask: Ask, link: Link) -> Reply:
    """Chat over media; the same path also makes images and speech, by model name."""
    for pattern, endpoint in BY_MODEL:
        if fnmatchcase(ask.model, pattern):
            return endpoint(ask, link)
    return _spoken(ask, _parts_message)


def _spoken(ask: Ask, shape: Callable[[str, str], Payload]) -> Reply:
    """Say the echo in the given shape; streamed parts grow, or are deltas if asked for."""
    said = echo(prompt_of(ask.input))
    deltas = ask.parameters.get("incremental_output") is True
    heard = sum(map(tokens, strings(ask.input)))
    parts = []
    for start in range(0, len(said), PIECE):
        end = start + PIECE
        reason = "stop" if end >= len(said) else "null"
        output = shape(said[start if deltas else 0 : end], reason)
        parts.append({"output": output, "usage": _token_usage(heard, tokens(said[:end]))})
    whole = {"output": shape(said, "stop"), "usage": _token_usage(heard, tokens(said))}
    return Reply(whole, tuple(parts))


def _plain(said: str, reason: str) -> Payload:
    return {"finish_reason": reason, "text": said}


def _message(said: str, reason: str) -> Payload:
    return {
        "choices": [
            {"finish_reason": reason, "message": {"role": "assistant", "content": said}},
        ]
    }


def _parts_message(said: str, reason: str) -> Payload:
    message = {"role": "assistant", "content": [{"text": said}]}
    return {"choices": [{"finish_reason": reason, "message": message}]}


def _image(ask: Ask, link: Link) -> Reply:
    count = item_count(ask.parameters)
    output = image_choices(count, lambda name: link(f"{ask.request_id}/{name}"))
    usage = image_usage(ask.model, ask.parameters, count, images_in(ask.input))
    whole = {"output": output, "usage": usage}
    return Reply(whole, (whole,))


def speech(ask: Ask, link: Link) -> Reply:
    """Speech: a link at the end, sound in base64 on the way there."""
    said = str(ask.input.get("text", ""))
    usage = {"characters": len(said)}
    expires = int(ask.now) + RESULT_LIFE
    url = link(f"{ask.request_id}/speech.wav")
    audio = {"url": url, "data": "", "id": f"audio_{ask.request_id}", "expires_at": expires}
    whole = {"output": {"finish_reason": "stop", "audio": audio}, "usage": usage}
    sound = {"data": base64.b64encode(sample_audio()).decode(), "expires_at": expires}
    sentence = {"index": 0, "words": []}
    first = {"type": "sentence-synthesis", "sentence": sentence, "finish_reason": "null"}
    return Reply(whole, ({"output": first | {"audio": sound}, "usage": usage}, whole))


def music(ask: Ask, link: Link) -> Reply:
    """A second of silence, by any description; billed by the second."""
    audio = {"url": link(f"{ask.request_id}/music.wav"), "id": f"audio_{ask.request_id}"}
    whole = {"output": {"finish_reason": "stop", "audio": audio}, "usage": {"duration": 1}}
    return Reply(whole, (whole,))


def text_embedding(ask: Ask, _link: Link) -> Reply:
    """One vector per text, the same for the same text."""
    texts = list(strings(ask.input.get("texts", [])))
    vectors = [
        {"text_index": index, "embedding": vector(said, _dimension(ask))}
        for index, said in enumerate(texts)
    ]
    usage = {"total_tokens": sum(map(tokens, texts))}
    return Reply({"output": {"embeddings": vectors}, "usage": usage})


def multimodal_embedding(ask: Ask, _link: Link) -> Reply:
    """One vector per content item, whatever its modality."""
    contents = items_of(ask.input, "contents")
    items = [item for item in contents if isinstance(item, dict)]
    vectors = [
        {"index": index, "embedding": vector(repr(item), _dimension(ask)), "type": _modality(item)}
        for index, item in enumerate(items)
    ]
    usage = {
        "input_tokens": sum(map(tokens, strings(contents))),
        "image_tokens": 0,
        "image_count": sum("image" in item for item in items),
        "duration": 0,
    }
    return Reply({"output": {"embeddings": vectors}, "usage": usage})


def rerank(ask: Ask, _link: Link) -> Reply:
    """Documents in order of the words they share with the query."""
    query = set(" ".join(strings(ask.input.get("query"))).lower().split())
    documents = items_of(ask.input, "documents")
    scored: list[Payload] = [
        {"index": index, "relevance_score": overlap(query, document)}
        for index, document in enumerate(documents)
    ]
    scored.sort(key=lambda row: -row["relevance_score"])
    top = scored[: number_in(ask.parameters, "top_n", len(scored))]
    if ask.parameters.get("return_documents"):
        for row in top:
            row["document"] = {"text": documents[row["index"]]}
    usage = {"total_tokens": sum(map(tokens, strings(ask.input)))}
    return Reply({"output": {"results": top}, "usage": usage})


def tokenizer(ask: Ask, _link: Link) -> Reply:
    """Words for tokens, their lengths for ids."""
    words = prompt_of(ask.input).split()
    output = {"token_ids": [len(word) for word in words], "tokens": words}
    return Reply({"output": output, "usage": {"input_tokens": len(words)}})


def detection(_ask: Ask, _link: Link) -> Reply:
    """A media check that passes; charged per image either way (protocol section 5)."""
    return Reply({"output": {"check_pass": True}, "usage": {"image_count": 1}})


BY_MODEL: tuple[tuple[str, Endpoint], ...] = (
    ("qwen-image*", _image),
    ("wan2.6-*", _image),
    ("wan2.7-image*", _image),
    ("z-image*", _image),
    ("*-tts*", speech),
)
"""Models that answer with something other than words on the multimodal path (section 8)."""


def tokens(said: str) -> int:
    """A count of the right order: a token for every four bytes, at least one."""
    return len(said.encode("utf-8", "surrogatepass")) // 4 + 1


def _token_usage(heard: int, spoken: int) -> Payload:
    return {
        "input_tokens": heard,
        "output_tokens": spoken,
        "total_tokens": heard + spoken,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def _dimension(ask: Ask) -> int:
    return min(number_in(ask.parameters, "dimension", DIMENSION), 4 * DIMENSION)


def vector(said: str, dimension: int) -> list[float]:
    """Numbers in [-1, 1) that depend on the text alone."""
    return [round(byte / 128 - 1, 6) for byte in _bytes(said, dimension)]


def _bytes(said: str, count: int) -> Iterator[int]:
    yield from hashlib.shake_128(said.encode("utf-8", "surrogatepass")).digest(count)


def _modality(item: Payload) -> str:
    return next((name for name in ("text", "image", "video", "audio") if name in item), "fused")


def overlap(query: set[str], document: object) -> float:
    """The share of a query's words that a document has."""
    words = set(" ".join(strings(document)).lower().split())
    return round(len(query & words) / max(len(query), 1), 6)
