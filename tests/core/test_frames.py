"""Text frames: what they name, who may send them, and how a refusal looks."""

import json

import pytest

from proxy.config.routing import PACKAGED, load_routing
from proxy.core.errors import ProxyError, Situation
from proxy.core.frames import (
    MAX_START,
    Frame,
    FrameReader,
    error_event,
    judge_frame,
    must_be_judged,
    price_inputs,
    task_failed,
)
from proxy.core.policy import ACCOUNT, INFERENCE, Grant
from proxy.core.routes import Route, Websocket

ROUTES = {route.websocket: route for route in load_routing(PACKAGED, {}).table.routes}
FRAMES, SESSION = ROUTES[Websocket.FRAMES], ROUTES[Websocket.SESSION]
GRANT = Grant("g", "caller", "t", ("cosyvoice-*", "qwen-omni"))


def read(text: str | bytes, route: Route = FRAMES, size: int = 7) -> Frame:
    """The frame in a text that comes in pieces."""
    reader = FrameReader(route)
    data = text.encode() if isinstance(text, str) else text
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return reader.finish(b"".join(map(reader.gate.feed, pieces)))


def frame(action: object, payload: object, **header: object) -> str:
    return json.dumps({"header": {"action": action, "task_id": "t1", **header}, "payload": payload})


def verdict(text: str | bytes, route: Route = FRAMES) -> Situation | None:
    """The situation in which a frame is refused, or None."""
    try:
        judge_frame(route, read(text, route), GRANT)
    except ProxyError as error:
        return error.situation
    return None


ALLOWED, FORBIDDEN = "cosyvoice-v2", "sambert"

JUDGED: list[tuple[str, Situation | None]] = [
    (frame("run-task", {"model": ALLOWED}), None),
    (frame("run-task", {"model": FORBIDDEN}), Situation.MODEL_NOT_FOUND),
    (frame("run-task", {"model": ""}), Situation.EMPTY_MODEL),
    (frame("run-task", {"model": 5}), Situation.EMPTY_MODEL),
    (frame("run-task", {"model": None}), Situation.EMPTY_MODEL),
    (frame("run-task", {}), Situation.EMPTY_MODEL),
    (frame("run-task", None), Situation.EMPTY_MODEL),
    (frame("start-task", {}), Situation.EMPTY_MODEL),
    (frame("Continue-Task", {"input": {}}), Situation.EMPTY_MODEL),
    (frame(None, {"input": {}}), Situation.EMPTY_MODEL),
    (frame(["continue-task"], {}), Situation.EMPTY_MODEL),
    (frame("start-task", {"model": ALLOWED}), None),
    (frame("continue-task", {"input": {"text": "x"}}), None),
    (frame("continue-task", {"model": ALLOWED, "input": {}}), None),
    (frame("continue-task", {"model": FORBIDDEN, "input": {}}), Situation.MODEL_NOT_FOUND),
    (frame("finish-task", {"input": {}}), None),
    (frame("finish-task", {"model": FORBIDDEN}), Situation.MODEL_NOT_FOUND),
    (
        frame("run-task", {"model": ALLOWED, "parameters": {"prompt_extend_model": FORBIDDEN}}),
        Situation.MODEL_NOT_FOUND,
    ),
    (frame("run-task", {"model": ALLOWED}, model=FORBIDDEN), Situation.MODEL_NOT_FOUND),
    (
        json.dumps({**json.loads(frame("finish-task", {})), "model": FORBIDDEN}),
        Situation.MODEL_NOT_FOUND,
    ),
    (
        frame("run-task", {"model": ALLOWED, "input": {"model": FORBIDDEN}}),
        Situation.MODEL_NOT_FOUND,
    ),
    (frame("continue-task", {"parameters": {"model": FORBIDDEN}}), Situation.MODEL_NOT_FOUND),
    (frame("run-task", {"model": ALLOWED, "input": "plain text"}), None),
    (frame("run-task", {"model": ALLOWED, "resources": [{"resource_id": "x"}]}), None),
    (
        frame(
            "run-task", {"model": ALLOWED, "resources": [{"model": FORBIDDEN}, {"model": ALLOWED}]}
        ),
        Situation.MODEL_NOT_FOUND,
    ),
    (frame("continue-task", {"input": {"text": [{"model": FORBIDDEN}]}}), None),
]

WHOLE = Grant("g", "caller", "t", ("*",), frozenset({INFERENCE, ACCOUNT}))


@pytest.mark.parametrize("name", ["app_id", "appId", "workspace_id"])
@pytest.mark.parametrize("action", ["run-task", "continue-task"])
def test_what_belongs_to_the_account_needs_its_scope(action: str, name: str) -> None:
    """Another tenant's application is not named by who may only run models; null names none.

    The SDK's TingWu writes `appId`, its dialogues `app_id`.
    """
    inside = {"model": ALLOWED, "input": {"directive": "Start", name: "llm-other"}}
    assert verdict(frame(action, inside)) is Situation.ACCESS_DENIED
    assert verdict(frame(action, {**inside, "input": {name: None}})) is None
    judge_frame(FRAMES, read(frame(action, inside)), WHOLE)


@pytest.mark.parametrize("name", ["AppId", "workspaceId", "APP_ID"])
def test_a_look_alike_of_what_is_confined_is_refused(name: str) -> None:
    """Nobody knows how upstream matches names."""
    text = frame("run-task", {"model": ALLOWED, "input": {name: "llm-other"}})
    assert verdict(text) is Situation.ILLEGAL_INPUT


@pytest.mark.parametrize(("text", "situation"), JUDGED)
def test_what_names_a_model_is_judged(text: str, situation: Situation | None) -> None:
    """A start names an allowed model, and so does whatever else names one."""
    assert verdict(text) is situation


AMBIGUOUS = [
    '{"header":{"action":"run-task","task_id":"t"},"payload":{"model":"cosyvoice-v2","model":"x"}}',
    '{"header":{"action":"run-task","task_id":"t"},"payload":{"Model":"x","model":"cosyvoice-v2"}}',
    '{"header":{"action":"run-task","task_id":"t"},"payload":{"mod\\u0065l":"cosyvoice-v2"}}',
    '{"header":{"action":"finish-task","action":"run-task","task_id":"t"},"payload":{}}',
    '{"header":{"action":"finish-task","ACTION":"run-task","task_id":"t"},"payload":{}}',
    '{"header":{"action":"finish-task","task_id":"t","task_id":"u"},"payload":{}}',
    '{"header":{"action":"finish-task","task_id":"t"},"payload":{},"payload":{"model":"x"}}',
    '{"header":{"action":"finish-task","task_id":"t"},"payload":[{"model":"x"}]}',
    '{"header":"finish-task","payload":{}}',
    '{"header":{"action":"finish-task","task_id":"t\\u0000"},"payload":{}}',
    '{"header":{"action":"finish-task","task_id":"t"},"payload":{}} {}',
    '{"header":{"action":"finish-task","task_id":"t"},"payload":{}',
    '[{"header":{"action":"finish-task"}}]',
    "null",
    "",
    b'{"header":{"action":"finish-task","task_id":"\xff"},"payload":{}}',
    '\ufeff{"header":{"action":"finish-task","task_id":"t"},"payload":{}}',
]


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_what_two_parsers_could_read_differently_is_refused(text: str | bytes) -> None:
    """The rules of a body hold in a frame."""
    assert verdict(text) is Situation.ILLEGAL_INPUT


def test_what_was_read_of_an_unreadable_frame_is_known() -> None:
    """The refusal can name the task, where the frame did before it went wrong."""
    reader = FrameReader(FRAMES)
    with pytest.raises(ProxyError, match="A text frame must be one JSON object"):
        reader.gate.feed(b'{"header":{"task_id":"t1"},nonsense')
    assert reader.task_id == "t1"


def test_what_goes_up_is_what_was_judged() -> None:
    """Every byte crosses but for comments, whose place is kept."""
    text = '{ "header":{"action":"continue-task","task_id":"ü"} /* x */,"payload":{"n":1.50}}\n'
    assert read(text).text.decode() == text.replace("/* x */", " " * 7)


EVENTS: list[tuple[object, Situation | None]] = [
    ({"type": "session.update", "session": {"voice": "x"}}, None),
    ({"type": "session.update", "session": {"model": "qwen-omni"}}, None),
    ({"type": "session.update", "session": {"model": "other"}}, Situation.MODEL_NOT_FOUND),
    ({"type": "session.update", "session": {"input_audio_transcription": None}}, None),
    ({"type": "session.update", "session": {"input_audio_transcription": {"model": None}}}, None),
    (
        {"type": "session.update", "session": {"input_audio_transcription": {"model": "other"}}},
        Situation.MODEL_NOT_FOUND,
    ),
    (
        {"session": {"audio": {"input": {"transcription": {"model": "other"}}}}},
        Situation.MODEL_NOT_FOUND,
    ),
    ({"session": {"audio": {"output": {"voice": "x"}}}}, None),
    ({"session": {"transcription": {"model": "other"}}}, Situation.MODEL_NOT_FOUND),
    ({"session": {"translation": {"model": "other"}}}, Situation.MODEL_NOT_FOUND),
    ({"input_audio_transcription": {"model": "other"}}, Situation.MODEL_NOT_FOUND),
    ({"type": "conversation.item.create", "item": {"model": "other"}}, Situation.MODEL_NOT_FOUND),
    ({"type": "response.create", "response": {"model": "other"}}, Situation.MODEL_NOT_FOUND),
    ({"type": "response.create", "model": "other"}, Situation.MODEL_NOT_FOUND),
    ({"type": "response.create", "model": ""}, Situation.EMPTY_MODEL),
    ({"type": "response.create", "Model": "other"}, Situation.ILLEGAL_INPUT),
    ({"type": "input_audio_buffer.append", "audio": "AAAA"}, None),
]


@pytest.mark.parametrize(("event", "situation"), EVENTS)
def test_an_event_may_name_no_other_model(event: object, situation: Situation | None) -> None:
    """In a session models need not be named; where one is, it must be allowed."""
    assert verdict(json.dumps(event), SESSION) is situation


def test_a_grant_is_asked_when_it_matters() -> None:
    """For what begins a task, and for what names a model; audio does not wait for it."""
    assert must_be_judged(FRAMES, read(frame("run-task", {})))
    assert must_be_judged(FRAMES, read(frame("continue-task", {"model": ALLOWED})))
    assert not must_be_judged(FRAMES, read(frame("continue-task", {"input": {}})))


def test_a_refused_task_is_told_in_the_protocol() -> None:
    """The frame is upstream's own: the SDK reads header.error_code and header.error_message."""
    assert json.loads(task_failed("model_not_found", "ünknown", "t1")) == {
        "header": {
            "task_id": "t1",
            "event": "task-failed",
            "error_code": "model_not_found",
            "error_message": "ünknown",
            "attributes": {},
        },
        "payload": {},
    }


@pytest.mark.parametrize(
    ("error", "kind", "param"),
    [
        (ProxyError(Situation.EMPTY_MODEL, "x", param="session.model"), "invalid", "session.model"),
        (ProxyError(Situation.ILLEGAL_INPUT, "A text frame must be: x"), "invalid", None),
        (ProxyError(Situation.STORE_UNAVAILABLE, "Try again."), "server", None),
    ],
)
def test_a_refused_event_is_told_in_the_protocol(
    error: ProxyError, kind: str, param: str | None
) -> None:
    """An error event names the event it answers and, where it can, the field."""
    told = json.loads(error_event(error, "e1"))
    assert (told["type"], told["event_id"]) == ("error", "e1")
    assert told["error"]["type"].startswith(kind)
    assert told["error"]["code"] == error.situation.code
    assert told["error"]["param"] == param
    assert "event_id" not in json.loads(error_event(error, ""))


@pytest.mark.parametrize(
    ("text", "inputs", "is_whole"),
    [
        (frame("run-task", {"parameters": {"n": 2, "voice": "x"}}), {"n": "2"}, False),
        (frame("run-task", {"parameters": {"size": "1280*720"}}), {"size": '"1280*720"'}, False),
        (frame("run-task", {"parameters": {"duration": [5]}}), {"duration": ""}, False),
        (
            frame("run-task", {"parameters": {"max_output_tokens": 1}}),
            {"max_output_tokens": ""},
            False,
        ),
        (frame("run-task", {"parameters": {"thinking": None}}), {"thinking": "null"}, False),
        (frame("run-task", {"input": {"text": "x"}}, streaming="out"), {}, True),
        (frame("run-task", {"input": {"text": "x"}}, streaming="none"), {}, True),
        (frame("run-task", {"input": {}}, streaming="duplex"), {}, False),
        (frame("run-task", {"parameters": 5}), {}, False),
        (frame("run-task", {"x": "y" * MAX_START}, streaming="out"), {}, False),
        ('{"header":{"streaming":"duplex","streaming":"out"}}', {}, False),
        ('{"payload":{"parameters":{"n":100,"n":1}}}', {}, False),
        ("[]", {}, False),
        ("{", {}, False),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_a_start_says_of_its_price(
    text: str,
    inputs: dict[str, str],
    is_whole: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """Its parameters, and its size where no input follows; what two could read differently, not."""
    assert price_inputs(text.encode()) == (inputs, len(text.encode()) if is_whole else None)


def test_an_event_that_asks_for_a_response() -> None:
    """It is told by its type alone, plainly spelt and given once."""
    reader = FrameReader(SESSION)
    reader.finish(reader.gate.feed(b'{"event_id":"e","type":"response.create"}'))
    assert reader.asks_for_response
    for other in (
        '{"type":"response.cancel"}',
        '{"type":5}',
        '{"item":{"type":"response.create"}}',
    ):
        reader = FrameReader(SESSION)
        reader.finish(reader.gate.feed(other.encode()))
        assert not reader.asks_for_response
    for doubtful in ('{"type":"x","type":"response.create"}', '{"Type":"response.create"}'):
        assert verdict(doubtful, SESSION) is Situation.ILLEGAL_INPUT
