"""What acts on the whole account, for a token that may (protocol sections 1b and 1c)."""

from collections.abc import Iterator, Mapping
from typing import Any

import dashscope
from conformance.clients import BYTES, CURL, V1
from conformance.http import Script, Step, get, played, post
from conformance.operations import Answers, Operation, Place, Run

SCOPES = ("inference", "account")

SSE = {"X-DashScope-SSE": "enable"}
FORM = (
    b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.jsonl"\r\n'
    b'Content-Type: application/octet-stream\r\n\r\n{"a":1}\n\xff\x00\r\n--b--\r\n'
)
CUSTOMIZATION = "services/audio/asr/customization"
MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}


def life(collection: str, body: object, *verbs: str) -> Script:
    """Make one, list, and look for one that is not there: ids are not followed here."""
    return [
        post(collection, body),
        get(f"{collection}?page_no=1&page_size=5"),
        get(f"{collection}/none"),
        *(Step("POST", f"{collection}/none/{verb}", b"") for verb in verbs),
        Step("DELETE", f"{collection}/none"),
    ]


SCRIPTS: Mapping[str, Script] = {
    "files": [
        Step("POST", "files", FORM, MULTIPART),
        get("files?page_no=1&page_size=10"),
        get("files/none"),
        Step("DELETE", "files/none"),
    ],
    "fine-tunes": [
        *life("fine-tunes", {"model": "qwen-turbo", "training_file_ids": ["f"]}, "cancel"),
        get("fine-tunes/none/logs?offset=0&line=10"),
        get("fine-tunes/none/checkpoints"),
        get("fine-tunes/none/export/cp?model_name=mine"),
    ],
    "deployments": [
        *life("deployments", {"model_name": "qwen-turbo", "capacity": 2}),
        Step("PUT", "deployments/none/scale", b'{"capacity":4}'),
        Step("PUT", "deployments/none/update", b'{"rate_limit":1}'),
    ],
    "custom models": life("custom_models/import", {"model": "qwen-turbo", "oss": "oss://a"}),
    "assistants": life("assistants", {"model": "qwen-plus", "name": "a", "tools": []}),
    "threads": life("threads", {"messages": []}),
    "messages of a thread": life("threads/t1/messages", {"role": "user", "content": "a"}),
    "runs of a thread": life("threads/t1/runs", {"assistant_id": "a"}, "submit_tool_outputs"),
    "model permissions": [
        post("models/permissions", {"models": [{"model": "qwen-plus"}]}),
        get("models/permissions/{task}"),
        get("models/permissions/none"),
    ],
    "model limits": [
        post("models/limits", {"models": [{"model": "qwen-plus", "rpm": 1}]}),
        get("models/limits?model=qwen-plus"),
        get("models/limits/{task}"),
        get("models/limits/none"),
    ],
    "app": [post("apps/app-1/completion", {"input": {"prompt": "hi"}, "parameters": {}})],
    "app: stream": [post("apps/app-1/completion", {"input": {"prompt": "hi"}}, **SSE)],
    "mcp": [
        post("mcps/tools/mcp", {"jsonrpc": "2.0", "id": 1, "method": "initialize"}),
        post("mcps/tools/mcp", {"jsonrpc": "2.0", "method": "notifications/initialized"}),
        post("mcps/tools/mcp", {"id": 2, "method": "tools/list"}, Accept="text/event-stream"),
    ],
    "mcp: events": [get("mcps/tools/sse", Accept="text/event-stream")],
    "public key": [get("public-keys/latest")],
    "everybody's vocabularies": [
        post(CUSTOMIZATION, {"model": "speech-biasing", "input": {"action": "list_vocabulary"}}),
        get(f"{CUSTOMIZATION}/none"),
    ],
    "account: other protocols": [
        get("/compatible-mode/v1/nothing/here"),
        post("/compatible-api/v1/nothing", {}),
        post("/apps/anthropic/v1/nothing/here", {}, anthropic_version="2023-06-01"),
    ],
    "account: HEAD": [Step("HEAD", "files/none")],
    "account: nothing there": [
        get("nothing/here?a=b"),
        Step("OPTIONS", "nothing/here"),
        Step("PATCH", "a/b", b"{}"),
    ],
}

SDK: Any = dashscope
"""The SDK without its types, which are not all there."""

# -- the 1.x surface -----------------------------------------------------------------------------


def app(_: Place) -> Answers:
    yield SDK.Application.call(app_id="app-1", prompt="hi")


def app_stream(_: Place) -> Answers:
    yield list(SDK.Application.call(app_id="app-1", prompt="hi", stream=True))


def files(at: Place) -> Iterator[object]:
    made = SDK.Files.upload(str(at.photo), purpose="inference")
    yield made
    yield SDK.Files.list()
    file_id = made.output["uploaded_files"][0]["file_id"]
    yield SDK.Files.get(file_id)
    yield SDK.Files.delete(file_id)


def fine_tunes(_: Place) -> Iterator[object]:
    made = SDK.FineTunes.call(model="qwen-turbo", training_file_ids=["f1"])
    yield made
    job = made.output["job_id"]
    yield SDK.FineTunes.get(job)
    yield SDK.FineTunes.logs(job)
    yield list(SDK.FineTunes.stream_events(job))
    yield SDK.FineTunes.cancel(job)
    yield SDK.FineTunes.delete(job)


def deployments(_: Place) -> Iterator[object]:
    made = SDK.Deployments.call(model="qwen-turbo", capacity=1)
    yield made
    name = made.output["deployed_model"]
    yield SDK.Deployments.list()
    yield SDK.Deployments.scale(name, 2)
    yield SDK.Deployments.delete(name)


SURFACE: Mapping[str, Run] = {
    "app": app,
    "app: stream": app_stream,
    "files": files,
    "fine-tunes": fine_tunes,
    "deployments": deployments,
}

UNDOCUMENTED: Mapping[str, Step] = {
    "voices": get(f"{CUSTOMIZATION}/anything"),
    "OpenAI's rerank": post("/compatible-api/v1/anything", {}),
    "Anthropic's": post("/apps/anthropic/v1/anything", {}, anthropic_version="2023-06-01"),
}
"""Routes of the whole account below which upstream documents nothing; it is told to answer."""

ACCOUNT: Mapping[str, Operation] = {
    **{
        f"account: below {name}": Operation(
            played([step], CURL, BYTES),
            scopes=SCOPES,
            faults=[{"status": 200, "body": '{"id":"1"}'}],
        )
        for name, step in UNDOCUMENTED.items()
    },
    **{
        name: Operation(
            {**({V1: SURFACE[name]} if name in SURFACE else {}), **played(script, CURL, BYTES)},
            scopes=SCOPES,
        )
        for name, script in SCRIPTS.items()
    },
}
