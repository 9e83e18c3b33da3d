"""Beside the native protocol, those of OpenAI and Anthropic: one gate, each one's own words."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

import pytest
from edge.rig import (
    BOTH,
    KEY,
    TENANT,
    TOKEN,
    Client,
    Conversation,
    Message,
    account,
    answering,
    ask,
    calling,
    eventually,
    head_of,
    ok,
    request,
    rig,
    scripted,
    settled,
    task_answer,
)

from proxy.ports import Call, Channel, Reply, Terms

CHAT = "/compatible-mode/v1/chat/completions"
RESPONSES = "/compatible-mode/v1/responses"
RERANKS = "/compatible-api/v1/reranks"
MESSAGES = "/apps/anthropic/v1/messages"
ALIASES = ["", "/alibailian"]
KEY_FIELD = b"x-api-key: " + TOKEN.encode()
BEARER = b"Authorization: Bearer " + TOKEN.encode()


def told(answer: Message) -> tuple[int, str, str]:
    """Status, and what an error says of itself: type and code, or type twice for Anthropic."""
    body = answer.json()
    error = body["error"]
    assert isinstance(error, dict)
    assert body["request_id"] == (answer.value("x-proxy-request-id") or b"").decode()
    if body.get("type") == "error":
        assert answer.value("request-id") == answer.value("x-proxy-request-id")
        assert error.keys() == {"type", "message"}
        return answer.status, error["type"], ""
    assert answer.value("x-request-id") == answer.value("x-proxy-request-id")
    assert error.keys() == {"message", "type", "param", "code"}
    return answer.status, error["type"], error["code"]


# -- the body is judged --------------------------------------------------------------------------

JUDGED = [CHAT, RESPONSES, RERANKS, MESSAGES, "/compatible-mode/v1/embeddings"]


@pytest.mark.parametrize("alias", ALIASES)
@pytest.mark.parametrize("path", JUDGED)
async def test_an_allowed_body_crosses_byte_for_byte(path: str, alias: str) -> None:
    """The alias goes, the token becomes the account's key, everything else is as it was."""
    body = b'{ "model":"ok", "stream":true,"n":1.50, "x":"\\u4e2d" }'
    async with scripted(answering(ok())) as upstream, rig(upstream.url, models=("ok",)) as made:
        sent = request("POST", f"{alias}{path}?beta=true", body, b"anthropic-version: 2023-06-01")
        assert (await ask(made.url, sent)).status == 200
        (call,) = upstream.conversations
        assert (call.target, call.request.body) == (f"{path}?beta=true".encode(), body)
        assert call.request.value("authorization") == f"Bearer {KEY}".encode()
        assert call.request.value("anthropic-version") == b"2023-06-01"
        assert call.request.value("x-dashscope-async") is None


# What a body names besides an allowed model, where, and the field that is at fault.
REFUSED = [
    (CHAT, '"model":"bad"', 403, "model_not_found", "model"),
    (CHAT, '"stream":true', 400, "BadRequest.EmptyModel", "model"),
    (CHAT, '"model":"ok","model":"ok"', 400, "BadRequest.IllegalInput", "model"),
    (CHAT, '"model":"ok","tools":[{},{"model":"bad"}]', 403, "model_not_found", "tools[].model"),
    (CHAT, '"model":"ok",}', 400, "BadRequest.IllegalInput", None),
    (RESPONSES, '"tools":[{"model":"bad"}],"model":"ok"', 403, "model_not_found", "tools[].model"),
    (
        RESPONSES,
        '"model":"ok","tools":[{"svg":{"model":"bad"}}]',
        403,
        "model_not_found",
        "tools[].svg.model",
    ),
    (
        RESPONSES,
        '"moderation":{"model":"bad"},"model":"ok"',
        403,
        "model_not_found",
        "moderation.model",
    ),
    (
        RESPONSES,
        '"model":"ok","previous_response_id":"resp_1"',
        403,
        "AccessDenied",
        "previous_response_id",
    ),
    (RESPONSES, '"conversation":{"id":"c"},"model":"ok"', 403, "AccessDenied", "conversation"),
    (RESPONSES, '"conversation":"","model":"ok"', 403, "AccessDenied", "conversation"),
    (RESPONSES, '"model":"ok","prompt":{"id":"p"}', 403, "AccessDenied", "prompt"),
    (RESPONSES, '"model":"ok","background":true', 403, "AccessDenied", "background"),
    (
        RESPONSES,
        '"model":"ok","tools":[{"vector_store_ids":["v"]}]',
        403,
        "AccessDenied",
        "tools[].vector_store_ids",
    ),
    (
        RESPONSES,
        '"model":"ok","tools":[{"container":"c"}]',
        400,
        "BadRequest.IllegalInput",
        "tools[].container",
    ),
    *(
        (path, f'"model":"ok",{members}', 403, "AccessDenied", param)
        for path, members, param in [
            (
                RESPONSES,
                '"tools":[{"container":{"type":"auto","file_ids":["f"]}}]',
                "tools[].container.file_ids",
            ),
            (RESPONSES, '"tool_resources":{"file_search":{}}', "tool_resources"),
            (RESPONSES, '"input":[{},{"type":"item_reference","id":"m"}]', "input[].type"),
            (RESPONSES, '"input":[{"content":[{"file_id":"f"}]}]', "input[].content[].file_id"),
            (RESPONSES, '"input":[{"output":[{"file_id":"f"}]}]', "input[].output[].file_id"),
            (
                CHAT,
                '"messages":[{"content":"a"},{"content":[{"file":{"file_id":"f"}}]}]',
                "messages[].content[].file.file_id",
            ),
        ]
    ),
]


@pytest.mark.parametrize(("path", "members", "status", "code", "param"), REFUSED)
async def test_a_refusal_in_openais_shape(
    path: str, members: str, status: int, code: str, param: str | None
) -> None:
    """Nothing reaches upstream; the shape, the field at fault, and a word against re-sending."""
    async with scripted(answering(ok())) as upstream, rig(upstream.url, models=("ok",)) as made:
        answer = await ask(made.url, request("POST", path, b"{%b}" % members.encode()))
        assert told(answer) == (status, "invalid_request_error", code)
        error = answer.json()["error"]
        assert isinstance(error, dict)
        assert error["param"] == param
        assert answer.value("x-should-retry") == b"false"
        assert not upstream.conversations


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ('"fallbacks":[{"model":"ok"},{"model":"bad"}]', (403, "permission_error", "")),
        ('"fallbacks":"default"', (400, "invalid_request_error", "")),
        ('"tools":[{"type":"advisor","model":"bad"}]', (403, "permission_error", "")),
        ('"container":"c_1"', (403, "permission_error", "")),
        ('"mcp_servers":[]', (403, "permission_error", "")),
        ('"messages":[{"content":[{"file_id":"f"}]}]', (403, "permission_error", "")),
        ('"messages":[{"content":[{"source":{"file_id":"f"}}]}]', (403, "permission_error", "")),
        (
            '"messages":[{"content":[{"content":[{"source":{"file_id":"f"}}]}]}]',
            (403, "permission_error", ""),
        ),
    ],
)
async def test_a_refusal_in_anthropics_shape(members: str, expected: tuple[int, str, str]) -> None:
    """Every model that may take over, and what the account has stored."""
    async with scripted(answering(ok())) as upstream, rig(upstream.url, models=("ok",)) as made:
        body = b'{"model":"ok",%b}' % members.encode()
        answer = await ask(made.url, request("POST", MESSAGES, body))
        assert told(answer) == expected
        assert answer.value("x-should-retry") == b"false"
        assert not upstream.conversations


FINE = [
    '"previous_response_id":null,"conversation":null,"prompt":null,"background":null',
    '"background":false,"tools":[{"type":"file_search","vector_store_ids":null}]',
    '"input":[{"conversation":"x","previous_response_id":"y"}],"tools":null',
    '"tools":[{"type":"code_interpreter","container":{"type":"auto"}}],"tool_resources":null',
    '"input":[{"content":[{"type":"input_file","file_id":null,"file_data":"data:,x"}]}]',
]


@pytest.mark.parametrize("members", FINE)
async def test_what_is_null_reaches_nothing(members: str) -> None:
    """Clients send null for what they do not want, and may."""
    async with scripted(answering(ok())) as upstream, rig(upstream.url) as made:
        body = b'{"model":"ok",%b}' % members.encode()
        assert (await ask(made.url, request("POST", RESPONSES, body))).status == 200


LONG = f'"{"x" * 5000}"'
ORDINARY = [
    (RESPONSES, f'"input":{LONG}'),
    (RESPONSES, f'"input":[{{"role":"user","content":{LONG}}}]'),
    (
        RESPONSES,
        (
            '"input":[{"type":"message","id":"msg_1","content":[{"type":"output_text","text":"a"}]},'
            '{"type":"reasoning","id":"rs_1","summary":[],"content":null},'
            '{"type":"web_search_call","id":"ws_1"},{"type":"function_call","arguments":"{}"},'
            f'{{"type":"function_call_output","output":{LONG}}},'
            '{"type":"function_call_output","output":[{"type":"input_text","text":"a"}]},'
            '{"role":"user","content":[{"type":"input_image","image_url":"https://a/b"}]}]'
        ),
    ),
    (CHAT, f'"messages":[{{"role":"user","content":{LONG}}},{{"content":null}}]'),
    (
        CHAT,
        (
            '"messages":[{"content":[{"type":"text","text":"a"},{"type":"image_url","image_url":'
            f'{{"url":{LONG}}}}},{{"type":"file","file":{{"file_data":{LONG}}}}},{{"file":{LONG}}}]}}]'
        ),
    ),
    (MESSAGES, f'"messages":[{{"role":"user","content":{LONG}}}],"system":[{{"text":"x"}}]'),
    (
        MESSAGES,
        (
            '"messages":[{"content":[{"type":"image","source":{"type":"base64","data":"AA=="}},'
            f'{{"type":"tool_result","content":{LONG}}},{{"type":"search_result","source":"https://a",'
            '"content":[{"type":"text","text":"a"}]},{"type":"tool_result","content":'
            '[{"type":"image","source":{"type":"url","url":"https://a"}}]}]}]'
        ),
    ),
]


@pytest.mark.parametrize(("path", "members"), ORDINARY)
async def test_what_a_call_brings_along_crosses(path: str, members: str) -> None:
    """Texts, tools and their results, images and files by URL or in place, replayed items."""
    body = b'{"model":"ok",%b}' % members.encode()
    async with scripted(answering(ok())) as upstream, rig(upstream.url, models=("ok",)) as made:
        assert (await ask(made.url, request("POST", path, body))).status == 200
        assert [call.request.body for call in upstream.conversations] == [body]


async def test_all_models_of_a_call_are_bound_to_its_account() -> None:
    """Another account would run what it is not bound to run; where none has them all, none does."""
    async with scripted(answering(ok())) as one, scripted(answering(ok())) as two:
        first = replace(account(one.url, "one"), models=("qwen*",))
        second = replace(account(two.url, "two"), models=("wan*", "qwen-max"))
        async with rig(accounts=[first, second]) as made:
            for model, other, status in [
                ("qwen-plus", "qwen-x", 200),
                ("qwen-max", "wan-1", 200),
                ("qwen-plus", "wan-1", 403),
            ]:
                body = f'{{"model":"{model}","tools":[{{"model":"{other}"}}]}}'.encode()
                assert (await ask(made.url, request("POST", CHAT, body))).status == status
            assert (len(one.conversations), len(two.conversations)) == (1, 1)


async def test_a_model_that_comes_late_is_bound_to_the_account_too() -> None:
    """What upstream has by then is no whole call."""
    async with scripted(answering(ok())) as upstream:
        accounts = [replace(account(upstream.url, "one"), models=("qwen*",))]
        async with rig(accounts=accounts) as made:
            filler = b'"x":"' + b"x" * 200_000 + b'",'
            body = b'{"model":"qwen-plus",' + filler + b'"tools":[{"model":"wan-1"}]}'
            assert (await ask(made.url, request("POST", CHAT, body))).status == 403
            assert not any(call.request.body == body for call in upstream.conversations)


async def test_a_form_is_sent_as_the_json_that_was_judged() -> None:
    """What curl calls a form unless told otherwise; what no route judges keeps its name."""
    kind = b"Content-Type: application/x-www-form-urlencoded"
    async with scripted(answering(ok())) as upstream, rig(upstream.url, scopes=BOTH) as made:
        await ask(made.url, request("POST", CHAT, b'{"model":"m"}', kind))
        await ask(made.url, request("POST", "/compatible-mode/v1/files", b"a=b", kind))
        sent = [call.request.values("content-type") for call in upstream.conversations]
        assert sent == [[b"application/json"], [b"application/x-www-form-urlencoded"]]


async def test_a_stored_thing_named_in_the_query_needs_the_scope() -> None:
    """As in the body, because upstream might look there."""
    sent = request("POST", f"{RESPONSES}?previous_response_id=r", b'{"model":"ok"}')
    async with scripted(answering(ok())) as upstream:
        async with rig(upstream.url) as made:
            denied = (403, "invalid_request_error", "AccessDenied")
            assert told(await ask(made.url, sent)) == denied
        async with rig(upstream.url, scopes=BOTH) as made:
            assert (await ask(made.url, sent)).status == 200
        assert len(upstream.conversations) == 1


async def test_the_whole_account_may_go_on_with_what_it_stored() -> None:
    """With the scope `account` nothing of it is asked."""
    body = b'{"model":"ok","previous_response_id":"r","conversation":"c","background":true}'
    async with scripted(answering(ok())) as upstream, rig(upstream.url, scopes=BOTH) as made:
        assert (await ask(made.url, request("POST", RESPONSES, body))).status == 200
        assert (await ask(made.url, request("GET", f"{RESPONSES}/resp_1", None))).status == 200


# -- errors where no route was met ---------------------------------------------------------------

ELSEWHERE = [
    ("GET", CHAT, (405, "invalid_request_error", "MethodNotAllowed")),
    ("POST", "/compatible-mode/v1", (404, "invalid_request_error", "NotFound")),
    ("POST", "/compatible-mode/v1/Responses", (404, "invalid_request_error", "NotFound")),
    ("POST", "/compatible-mode/v1/%2e%2e/x", (404, "invalid_request_error", "NotFound")),
    ("POST", "/task/bailian/chat/completions", (404, "invalid_request_error", "NotFound")),
    ("GET", "/compatible-mode/v1/files", (403, "invalid_request_error", "AccessDenied")),
    ("GET", "/alibailian/apps/anthropic/v1/messages", (405, "invalid_request_error", "")),
    ("POST", "/apps/anthropic/v1/a//b", (404, "not_found_error", "")),
    ("POST", "/apps/anthropic/messages", (404, "not_found_error", "")),
    ("POST", "/apps/anthropic/v1/messages/batches", (403, "permission_error", "")),
]


@pytest.mark.parametrize(("method", "path", "expected"), ELSEWHERE)
async def test_errors_without_a_route_are_told_in_kind(
    method: str, path: str, expected: tuple[int, str, str]
) -> None:
    """Unknown path, wrong method, missing scope: the client that asked there can read it."""
    async with rig() as made:
        answer = await ask(made.url, request(method, path, None))
        assert told(answer) == expected
        assert (answer.value("allow") is not None) is (expected[0] == 405)


async def test_upstreams_failing_is_told_in_kind() -> None:
    """A refused connection, on each protocol."""
    async with rig() as made:
        chat = await ask(made.url, request("POST", CHAT, b'{"model":"m"}'))
        assert told(chat) == (502, "server_error", "BadGateway")
        messages = await ask(made.url, request("POST", MESSAGES, b'{"model":"m"}'))
        assert told(messages) == (502, "api_error", "")
        assert chat.value("x-should-retry") == messages.value("x-should-retry") == b"false"


class Broken:
    """An `Upstream` that fails with an exception nobody knows."""

    def send(self, call: Call) -> AbstractAsyncContextManager[Reply]:
        raise RuntimeError(f"nobody thought of {call.method}")

    def connect(self, call: Call, terms: Terms) -> AbstractAsyncContextManager[Channel]:
        raise NotImplementedError


async def test_our_own_bug_is_told_in_kind() -> None:
    """Whatever happens, the client can read that it happened."""
    async with rig(upstream=Broken()) as made:
        chat = await ask(made.url, request("POST", CHAT, b'{"model":"m"}'))
        assert told(chat) == (500, "server_error", "InternalError")
        messages = await ask(made.url, request("POST", MESSAGES, b'{"model":"m"}'))
        assert told(messages) == (500, "api_error", "")


async def test_a_task_that_is_asked_for_gets_an_owner() -> None:
    """These paths make none by themselves; should upstream hear a wish for one, it is claimed."""
    async with scripted(answering(task_answer("t-1"))) as upstream, rig(upstream.url) as made:
        sent = request("POST", CHAT, b'{"model":"m"}', b"X-DashScope-Async: enable")
        assert (await ask(made.url, sent)).status == 200
        assert await made.store.owner("t-1", TENANT) is not None


# -- who calls -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [[BEARER], [KEY_FIELD], [KEY_FIELD, BEARER]])
@pytest.mark.parametrize("alias", ALIASES)
async def test_anthropics_clients_send_their_key_in_a_field_of_its_own(
    alias: str, fields: list[bytes]
) -> None:
    """Either form, or both with one token; upstream hears of the account's key alone."""
    async with scripted(answering(ok())) as upstream, rig(upstream.url) as made:
        sent = request("POST", alias + MESSAGES, b'{"model":"m"}', *fields, token=None)
        assert (await ask(made.url, sent)).status == 200
        (call,) = upstream.conversations
        assert call.request.values("authorization") == [f"Bearer {KEY}".encode()]
        assert call.request.value("x-api-key") is None


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [b"x-api-key: other"],
        [b"x-api-key:"],
        [b"x-api-key: " + TOKEN.encode() + b" x"],
        [b"x-api-key: Bearer " + TOKEN.encode()],
        [b"x_api_key: " + TOKEN.encode()],
        [KEY_FIELD, KEY_FIELD],
        [BEARER, BEARER],
        [KEY_FIELD, b"Authorization: Bearer other"],
        [b"x-api-key: other", BEARER],
        [KEY_FIELD, b"Authorization: Basic eDp5"],
        [KEY_FIELD, BEARER, BEARER],
    ],
)
async def test_two_credentials_are_none(fields: list[bytes]) -> None:
    """One caller, told once in each form at most, in one word."""
    async with rig() as made:
        sent = request("POST", MESSAGES, b'{"model":"m"}', *fields, token=None)
        assert told(await ask(made.url, sent)) == (401, "authentication_error", "")


@pytest.mark.parametrize("path", ["/api/v1/models", "/compatible-mode/v1/models"])
async def test_the_field_counts_on_anthropics_routes_only(path: str) -> None:
    """Elsewhere it is a stray field: it neither lets in nor keeps out."""
    lists = answering(ok(b'{"data":[],"output":{"models":[]}}'))
    async with scripted(lists) as upstream, rig(upstream.url) as made:
        refused = await ask(made.url, head_of("GET", path, KEY_FIELD, token=None))
        assert refused.status == 401
        passed = await ask(made.url, head_of("GET", path, b"x-api-key: other"))
        assert passed.status == 200


# -- streams that break --------------------------------------------------------------------------

FRAME = b'event: ping\ndata: {"type":"ping"}\n\n'


@asynccontextmanager
async def breaking(path: str, part: bytes) -> AsyncIterator[Client]:
    """A client whose event stream ends after `part`, because upstream breaks off."""
    seen = asyncio.Event()
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )

    async def script(told: Conversation) -> None:
        await told.whole()
        await told.send(head, b"%x\r\n%b\r\n" % (len(part), part))
        await seen.wait()
        told.reset()

    async with (
        scripted(script) as upstream,
        rig(upstream.url) as made,
        calling(made.url) as client,
    ):
        await client.send(made.post(b'{"model":"m","stream":true}', path=path))
        assert (await client.head()).startswith(b"HTTP/1.1 200 OK")
        await eventually(lambda: upstream.conversations)
        await settled(lambda: len(client.reader._buffer))  # type: ignore[attr-defined]  # noqa: SLF001 - what has arrived
        seen.set()
        yield client
        assert (await made.finished()).code == "BadGateway"


async def test_an_anthropic_stream_ends_with_its_error_event() -> None:
    """Between two events there is a documented one for it."""
    async with breaking(MESSAGES, FRAME) as client:
        said = await client.until(b"0\r\n\r\n")
    _, _, frame = said.removesuffix(b"\r\n0\r\n\r\n").partition(FRAME + b"\r\n")
    event, data, rest = frame.partition(b"\r\n")[2].split(b"\n", 2)
    assert (event, rest) == (b"event: error", b"\n")
    error = json.loads(data.removeprefix(b"data: "))
    assert (error["type"], error["error"]["type"]) == ("error", "api_error")


@pytest.mark.parametrize(
    ("path", "part"),
    [
        (CHAT, b'data: {"choices":[]}\n\n'),
        (CHAT, b'data: {"choi'),
        (RESPONSES, b"event: response.created\ndata: {}\n\n"),
        (MESSAGES, FRAME[:-1]),
        (MESSAGES, FRAME + b"event: mess"),
    ],
)
async def test_elsewhere_a_stream_breaks_off(path: str, part: bytes) -> None:
    """OpenAI documents no event for it, and within an event nothing can be said."""
    async with breaking(path, part) as client:
        said = await client.rest()
    assert said == b"%x\r\n%b\r\n" % (len(part), part)
