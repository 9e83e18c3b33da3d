"""The catalogue: which models there are to list.

Calls accept any name; the catalogue only has what a client may want to look up. Answers come in
the control plane's envelope: success says `"code": null`, failure `"output": null`
(protocol section 4).
"""

from fnmatch import fnmatchcase

from proxy.sandbox.answers import Payload, RefusalError
from proxy.sandbox.ask import Ask

PAGE_SIZE = 10

CATALOGUE: dict[str, tuple[str, ...]] = {
    "TG": ("qwen-plus", "qwen-turbo", "qwen-max", "qwen3-max", "deepseek-v3.2"),
    "VU": ("qwen-vl-plus", "qwen-vl-max", "qwen3-vl-plus"),
    "IG": ("qwen-image", "wan2.2-t2i-flash", "wan2.6-t2i", "wan2.7-image", "z-image-turbo"),
    "VG": (
        "wan2.2-t2v-plus",
        "wan2.2-kf2v-flash",
        "wan2.5-i2v-preview",
        "wan2.6-t2v",
        "wan2.6-i2v",
        "wan2.6-i2v-flash",
        "wan2.7-t2v",
        "wan2.7-i2v",
        "wan3.0-video",
        "happyhorse-1.1-t2v",
        "kling/kling-v3-video-generation",
        "pixverse/pixverse-v6-t2v",
        "vidu/viduq3-pro_text2video",
        "MiniMax/MiniMax-H3",
    ),
    "ASR": ("paraformer-v2", "fun-asr", "qwen3-asr-flash-filetrans"),
    "TTS": ("cosyvoice-v3-plus", "qwen3-tts-flash"),
    "TR": ("text-embedding-v4", "qwen3-vl-embedding", "qwen3-rerank"),
}
"""Model names by what they can do."""

RELEASED = 1_767_225_600
"""When all of them came out, in Unix seconds, for protocols that want to know."""

PROVIDERS = (
    ("*/*", "partner"),
    ("deepseek-*", "deepseek"),
    ("wan*", "wan"),
    ("*", "qwen"),
)


def _entry(model: str, capability: str) -> Payload:
    provider = next(name for pattern, name in PROVIDERS if fnmatchcase(model, pattern))
    if provider == "partner":
        provider = model.partition("/")[0].lower()
    return {
        "model": model,
        "name": model,
        "provider": provider,
        "opensource": provider == "deepseek",
        "capabilities": [capability],
    }


ENTRIES = [_entry(model, kind) for kind, models in CATALOGUE.items() for model in models]


def page(ask: Ask) -> Payload:
    """`GET models`: one page of what passes the filters."""
    number, size = ask.number("page_no", 1), ask.number("page_size", PAGE_SIZE)
    found = [entry for entry in ENTRIES if _wanted(entry, ask)]
    chosen = found[(number - 1) * size : number * size]
    output = {"total": len(found), "page_no": number, "page_size": size, "models": chosen}
    return _success(output)


def one(_ask: Ask, name: str) -> Payload:
    """`GET models/{name}`: one entry. The name may contain `/`; raises `RefusalError`."""
    return _success(entry_of(name))


def entry_of(name: str) -> Payload:
    """The entry of a model; raises `RefusalError` when there is none."""
    for entry in ENTRIES:
        if entry["model"] == name:
            return entry
    message = f"The model {name} does not exist."
    raise RefusalError(404, "ModelNotFound", message, {"success": False, "output": None})


def _success(output: Payload) -> Payload:
    return {"success": True, "code": None, "message": None, "output": output}


def _wanted(entry: Payload, ask: Ask) -> bool:
    """Exact `model`, part of the `name`, any of the `providers` and `capabilities`."""
    query = ask.query
    return (
        ask.first("model") in ("", entry["model"])
        and ask.first("name") in entry["name"]
        and ("providers" not in query or entry["provider"] in query["providers"])
        and (
            "capabilities" not in query
            or not set(query["capabilities"]).isdisjoint(entry["capabilities"])
        )
    )
