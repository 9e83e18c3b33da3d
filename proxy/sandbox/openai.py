"""The service as OpenAI speaks: `/compatible-mode/v1` and `/compatible-api/v1`.

Rule 1: an error is `{"error": {"message", "type", "param", "code"}, "request_id"}`.
Rule 2: a stream is asked for in the body; its frames are `data: {…}`, the last `data: [DONE]`.
Rule 3: only model families that exist are served; the native API takes any name.
"""

from fnmatch import fnmatchcase

from proxy.sandbox import models
from proxy.sandbox.answers import Answer, Payload, RefusalError
from proxy.sandbox.ask import Ask, items_of, number_in
from proxy.sandbox.batches import Batches
from proxy.sandbox.inference import overlap, tokens, vector
from proxy.sandbox.prompts import doom, echo, pieces, prompt_of, strings
from proxy.sandbox.responses import Responses
from proxy.sandbox.surfaces import Endpoints, Surface, events, frame, plain

MODE_PREFIX = "/compatible-mode/v1/"
API_PREFIX = "/compatible-api/v1/"

SERVED = (
    *("qwen*", "qwq*", "qvq*", "deepseek*", "kimi*", "glm*", "text-embedding-*", "gte-*"),
    *("decision-model-*",),
)
"""The families that answer here."""

DIMENSION = 1024

DONE = b"data: [DONE]\n\n"

CODES: dict[str, tuple[str, str]] = {
    "InvalidApiKey": ("invalid_api_key", "Incorrect API key provided."),
    "BadRequest.EmptyModel": ("invalid_request_error", "you must provide a model parameter"),
    "BadRequest.IllegalInput": ("invalid_request_error", ""),
    "InvalidParameter": ("invalid_parameter_error", ""),
    "ModelNotFound": ("model_not_found", ""),
    "DataInspectionFailed": ("data_inspection_failed", ""),
    "InternalError.Algo": ("internal_error", ""),
    "Throttling.RateQuota": ("limit_requests", ""),
}
"""A native code's name here, and the words where they differ (protocol section 4)."""


def error_of(refusal: RefusalError, request_id: str) -> Payload:
    """The error object of rule 1."""
    code, message = CODES.get(refusal.code, (refusal.code, ""))
    kind = "server_error" if refusal.status >= 500 else "invalid_request_error"  # noqa: PLR2004 - where HTTP blames the server
    inner = {"message": message or refusal.message, "type": kind, "param": None, "code": code}
    return {"error": inner, "request_id": request_id}


def openai_refused(refusal: RefusalError, request_id: str) -> Answer:
    """A refusal outside any stream."""
    return plain(error_of(refusal, request_id), refusal.status)


def check_model(ask: Ask) -> str:
    """The model a call names; raises `RefusalError` for none, and for one that is not served."""
    model = ask.model
    if not any(fnmatchcase(model, pattern) for pattern in SERVED):
        message = f"The model `{model}` does not exist or you do not have access to it."
        raise RefusalError(404, "model_not_found", message)
    return model


def surfaces() -> tuple[Surface, Surface]:
    """Both prefixes, with what they store."""
    responses, batches = Responses(check_model), Batches()
    mode = Endpoints(
        [
            ("POST", "chat/completions", _chat),
            ("POST", "completions", _completions),
            ("POST", "embeddings", _embeddings),
            ("POST", "systemone", _decide),
            ("GET", "models", _models),
            ("GET", "models/{name:path}", _model),
            *responses.rows(),
            *batches.rows(),
        ]
    )
    api = Endpoints([("POST", "reranks", _reranks)])
    return (
        Surface(MODE_PREFIX, mode.answer, openai_refused),
        Surface(API_PREFIX, api.answer, openai_refused),
    )


def _chat(ask: Ask) -> Answer:
    """Chat: the echo of the last message; with `tool_choice` required, a call of the first tool."""
    model, messages = check_model(ask), items_of(ask.body, "messages")
    if not messages:
        raise RefusalError(400, "invalid_parameter_error", "[] is too short - 'messages'")
    calls = _tool_calls(ask)
    said = "" if calls else echo(prompt_of(ask.body))
    usage = _usage(sum(map(tokens, strings(messages))), tokens(said))
    head = {"id": f"chatcmpl-{ask.request_id}", "created": int(ask.now), "model": model}
    failure = doom(messages)
    if ask.body.get("stream") is True:
        return _chat_stream(ask, head, said, calls, usage, failure)
    if failure is not None:
        raise failure
    message: Payload = {"role": "assistant", "content": said}
    if calls:
        message |= {"tool_calls": calls}
    reason = "tool_calls" if calls else "stop"
    choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
    whole = {"object": "chat.completion", "system_fingerprint": None, "choices": [choice]}
    return plain({**head, **whole, "usage": usage})


def _chat_stream(
    ask: Ask,
    head: Payload,
    said: str,
    calls: list[Payload],
    usage: Payload,
    failure: RefusalError | None,
) -> Answer:
    """Deltas, the reason, with `include_usage` a chunk for it, and `[DONE]`."""
    deltas: list[Payload] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": piece} for piece in pieces(said)]
    deltas += [{"tool_calls": [{"index": n, **call}]} for n, call in enumerate(calls)]
    chunks = [_chunk(head, [_delta(delta, None)]) for delta in deltas]
    if failure is not None:
        return events([frame(chunks[0]), frame(error_of(failure, ask.request_id))])
    chunks.append(_chunk(head, [_delta({}, "tool_calls" if calls else "stop")]))
    options = ask.body.get("stream_options")
    if isinstance(options, dict) and options.get("include_usage") is True:
        chunks.append({**_chunk(head, []), "usage": usage})
    return events([*map(frame, chunks), DONE])


def _chunk(head: Payload, choices: list[Payload]) -> Payload:
    whole = {"object": "chat.completion.chunk", "system_fingerprint": None}
    return {**head, **whole, "choices": choices, "usage": None}


def _delta(delta: Payload, reason: str | None) -> Payload:
    return {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}


def _tool_calls(ask: Ask) -> list[Payload]:
    tools = [tool for tool in items_of(ask.body, "tools") if isinstance(tool, dict)]
    if not tools or ask.body.get("tool_choice") != "required":
        return []
    function = tools[0].get("function")
    name = function.get("name") if isinstance(function, dict) else None
    call = {"name": str(name), "arguments": "{}"}
    return [{"id": f"call_{ask.fresh_id('call')}", "type": "function", "function": call}]


def _completions(ask: Ask) -> Answer:
    """The older form: a prompt, a text."""
    model = check_model(ask)
    failure = doom(ask.body.get("prompt"))
    if failure is not None:
        raise failure
    said = echo(prompt_of(ask.body))
    head: Payload = {"id": f"cmpl-{ask.request_id}", "object": "text_completion", "model": model}
    head |= {"created": int(ask.now), "system_fingerprint": None}
    if ask.body.get("stream") is True:
        texts = [_text(piece, None) for piece in pieces(said)]
        return events([*(frame({**head, "choices": [one]}) for one in texts), DONE])
    usage = _usage(tokens(prompt_of(ask.body)), tokens(said))
    return plain({**head, "choices": [_text(said, "stop")], "usage": usage})


def _text(said: str, reason: str | None) -> Payload:
    return {"index": 0, "text": said, "finish_reason": reason, "logprobs": None}


def _embeddings(ask: Ask) -> Answer:
    """One vector per text; always as numbers, whatever encoding is asked for."""
    model = check_model(ask)
    texts = list(strings(ask.body.get("input")))
    dimension = min(number_in(ask.body, "dimensions", DIMENSION), 4 * DIMENSION)
    data = [
        {"object": "embedding", "index": index, "embedding": vector(said, dimension)}
        for index, said in enumerate(texts)
    ]
    count = sum(map(tokens, texts))
    usage = {"prompt_tokens": count, "total_tokens": count}
    return plain(
        {"object": "list", "data": data, "model": model, "usage": usage, "id": ask.request_id}
    )


def _decide(ask: Ask) -> Answer:
    """A decision model: the first option of every choice, even odds otherwise."""
    model = check_model(ask)
    questions = ask.body.get("questions")
    named = questions if isinstance(questions, dict) else {}
    answers = {name: _decided(one) for name, one in named.items() if isinstance(one, dict)}
    usage = {"input_tokens": tokens(repr(ask.body.get("state"))), "output_tokens": 0}
    return plain({"request_id": ask.request_id, "model": model, "answers": answers, "usage": usage})


def _decided(question: Payload) -> Payload:
    kind, criteria = question.get("type"), list(question.get("criteria") or ())
    if kind == "choice" and criteria:
        odds = {name: float(name == criteria[0]) for name in criteria}
        return {"type": kind, "choice": criteria[0], "probabilities": odds, "confidence": 1.0}
    if kind == "score":
        return {"type": kind, "score": (len(criteria) - 1) / 2, "confidence": 0.5}
    return {"type": "noul", "noul": 0.5}


def _reranks(ask: Ask) -> Answer:
    """Documents in order of the words they share with the query."""
    model, documents = check_model(ask), items_of(ask.body, "documents")
    query = set(str(ask.body.get("query", "")).lower().split())
    rows: list[Payload] = [
        {"index": index, "relevance_score": overlap(query, document)}
        for index, document in enumerate(documents)
    ]
    rows.sort(key=lambda row: -row["relevance_score"])
    top = rows[: number_in(ask.body, "top_n", len(rows))]
    if ask.body.get("return_documents"):
        for row in top:
            row["document"] = {"text": documents[row["index"]]}
    usage = {"total_tokens": sum(map(tokens, strings(documents)))}
    return plain(
        {"object": "list", "results": top, "model": model, "id": ask.request_id, "usage": usage}
    )


def _models(_ask: Ask) -> Answer:
    """The catalogue, all of it: there are no pages here."""
    return plain({"object": "list", "data": [_entry(entry) for entry in models.ENTRIES]})


def _model(_ask: Ask, name: str) -> Answer:
    return plain(_entry(models.entry_of(name)))


def _entry(entry: Payload) -> Payload:
    return {
        "id": entry["model"],
        "object": "model",
        "created": models.RELEASED,
        "owned_by": entry["provider"],
    }


def _usage(heard: int, spoken: int) -> Payload:
    return {
        "prompt_tokens": heard,
        "completion_tokens": spoken,
        "total_tokens": heard + spoken,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
