"""WebSocket handshakes: who is let in, what crosses, and how a refusal is told."""

import dataclasses

import pytest
from edge.rig import (
    KEY,
    LIMITS,
    TENANT,
    TOKEN,
    Conversation,
    Script,
    account,
    answering,
    ask,
    calling,
    eventually,
    head_of,
    ok,
    rig,
    scripted,
)
from edge.wsrig import (
    CLOSE,
    INFERENCE,
    REALTIME,
    accept,
    event,
    handshake,
    obeying,
    run_task,
    shaken,
)

from proxy.core.limits import Limits
from proxy.core.policy import ACCOUNT, Grant, digest_of
from proxy.edge.sockets import SocketLimits

REALTIME_ELSEWHERE = "/alibailian/api-ws/v1/realtime/?model=qwen-omni&x=%20"


SHORT = dataclasses.replace(LIMITS, sockets=SocketLimits(handshake=0.2))


REFUSED = [
    (handshake(token=None), 401, "InvalidApiKey"),
    (handshake(token="unknown"), 401, "InvalidApiKey"),
    (head_of("GET", INFERENCE), 426, "UpgradeRequired"),
    (head_of("GET", INFERENCE, b"Upgrade: h2c", b"Connection: Upgrade"), 426, "UpgradeRequired"),
    (
        head_of("GET", INFERENCE, b"Upgrade: websocket", b"Connection: Upgrade"),
        400,
        "BadRequest.IllegalInput",
    ),
    (handshake().replace(b"Version: 13", b"Version: 12"), 400, "BadRequest.IllegalInput"),
    (handshake().replace(b"Connection: Upgrade", b"X: y"), 400, "BadRequest.IllegalInput"),
    (handshake("/api-ws/v1/realtime"), 400, "BadRequest.EmptyModel"),
    (handshake("/api-ws/v1/realtime?model="), 400, "BadRequest.EmptyModel"),
    (handshake("/api-ws/v1/realtime?model=a&model=b"), 400, "BadRequest.IllegalInput"),
    (handshake("/api-ws/v1/realtime?model=other"), 403, "model_not_found"),
    (handshake("/api-ws/v1/inference?model=other"), 403, "model_not_found"),
    (handshake("/api-ws/v1/elsewhere"), 404, "NotFound"),
    (handshake().replace(b"GET", b"POST", 1), 405, "MethodNotAllowed"),
]


@pytest.mark.parametrize(("request_", "status", "code"), REFUSED)
async def test_a_refusal_is_plain_http(request_: bytes, status: int, code: str) -> None:
    """Before the upgrade everything is answered in the native envelope; upstream hears nothing."""
    async with scripted(obeying) as upstream, rig(upstream.url, models=("qwen-omni",)) as made:
        answer = await ask(made.url, request_)
        assert (answer.status, answer.code) == (status, code)
        assert answer.value("x-proxy-request-id")
        assert upstream.connections == 0
        assert (await made.finished()).code == code


async def test_plain_http_is_told_what_would_be_right() -> None:
    """426 says which protocol the path speaks (RFC 9110 section 15.5.22)."""
    async with rig() as made:
        answer = await ask(made.url, head_of("GET", INFERENCE))
        assert answer.value("upgrade") == b"websocket"
        assert b"wss://" in answer.body


async def test_a_token_without_the_scope_is_refused() -> None:
    """The handshake needs the scope that the route needs."""
    async with rig(scopes=frozenset({ACCOUNT})) as made:
        answer = await ask(made.url, handshake())
        assert (answer.status, answer.code) == (403, "AccessDenied")


@pytest.mark.parametrize(
    ("public", "target"),
    [
        (INFERENCE, b"/api-ws/v1/inference"),
        (f"/alibailian{INFERENCE}/", b"/api-ws/v1/inference/"),
        (REALTIME, b"/api-ws/v1/realtime?model=qwen-omni"),
        (REALTIME_ELSEWHERE, b"/api-ws/v1/realtime/?model=qwen-omni&x=%20"),
    ],
)
async def test_the_address_crosses_without_its_alias(public: str, target: bytes) -> None:
    """Query and trailing slash stay as they came."""
    async with scripted(obeying) as upstream, rig(upstream.url) as made, shaken(made.url, public):
        assert (await upstream.heard()).target == target


async def test_headers_cross_by_the_same_lists() -> None:
    """The account's key goes up, the client's stays here; the handshake is each hop's own."""

    async def script(told: Conversation) -> None:
        leaks = (b"Set-Cookie: acw_tc=1", b"x-dashscope-uid: 7")
        unfit = (b"X-Raw: \xff", b"Content-Type: text/plain", b"Content-Encoding: gzip")
        await accept(told, *leaks, *unfit, b"X-Request-Id: up-1")
        await told.gone()

    async with scripted(script) as upstream, rig(upstream.url) as made:
        own = (b"X-DashScope-DataInspection: enable", b"User-Agent: me", b"Cookie: a=b")
        offered = b"Sec-WebSocket-Extensions: permessage-deflate"
        async with shaken(made.url, INFERENCE, *own, offered) as client:
            asked = (await upstream.heard()).request
            assert asked.values("authorization") == [f"Bearer {KEY}".encode()]
            assert asked.value("x-dashscope-datainspection") == b"enable"
            assert asked.value("user-agent") == b"me"
            assert TOKEN.encode() not in asked.head
            assert asked.values("sec-websocket-version") == [b"13"]
            for name in ("cookie", "sec-websocket-extensions", "sec-websocket-protocol", "accept"):
                assert asked.value(name) is None
            answer = client.answer
            assert answer.value("x-request-id") == b"up-1"
            assert len(answer.values("x-proxy-request-id")) == 1
            unfit = ("x-raw", "content-type", "content-encoding", "content-length")
            for name in ("set-cookie", "x-dashscope-uid", "sec-websocket-extensions", *unfit):
                assert answer.value(name) is None
            assert answer.values("upgrade") == [b"websocket"]
            assert answer.value("server") == b"dashscope-proxy"


@pytest.mark.parametrize("chosen", [b"two", None])
async def test_a_subprotocol_is_upstreams_choice(chosen: bytes | None) -> None:
    """What the client offers is offered to upstream, and what upstream takes is answered."""

    async def script(told: Conversation) -> None:
        await accept(told, *([b"Sec-WebSocket-Protocol: " + chosen] if chosen else []))
        await told.gone()

    async with scripted(script) as upstream, rig(upstream.url) as made:
        offers = b"Sec-WebSocket-Protocol: one, two"
        async with shaken(made.url, INFERENCE, offers) as client:
            assert client.answer.value("sec-websocket-protocol") == chosen
            offered = (await upstream.heard()).request.value("sec-websocket-protocol")
            assert offered == b"one,two"


BODY = b'{"code":"Throttling.RateQuota","message":"slowly","request_id":"up-1"}'


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
async def test_upstreams_refusal_is_told_in_kind(status: int) -> None:
    """Its status, its body, its header: the client's library shows what upstream said."""
    said = ok(BODY, b"Retry-After: 7", b"Set-Cookie: a=b").replace(b"200 OK", b"%d No" % status)
    async with scripted(answering(said)) as upstream, rig(upstream.url) as made:
        answer = await ask(made.url, handshake())
        assert (answer.status, answer.body) == (status, BODY)
        assert answer.value("retry-after") == b"7"
        assert answer.value("set-cookie") is None
        assert (await made.finished()).upstream_status == status


async def test_a_refusal_without_words_stays_without() -> None:
    """Upstream's status says it all: a code of ours beside it would be another error's."""
    said = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    async with scripted(answering(said)) as upstream, rig(upstream.url) as made:
        answer = await ask(made.url, handshake())
        assert (answer.status, answer.body) == (403, b"")


@pytest.mark.parametrize("chosen", [b"realtime", None])
async def test_a_key_among_the_subprotocols_goes_nowhere(
    chosen: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Browsers have no other place for it: neither upstream nor the log gets to see it."""

    async def script(told: Conversation) -> None:
        await accept(told, *([b"Sec-WebSocket-Protocol: " + chosen] if chosen else []))
        await told.gone()

    async with scripted(script) as upstream, rig(upstream.url) as made:
        offers = f"Sec-WebSocket-Protocol: realtime, OpenAI-Insecure-API-Key.other, x.{TOKEN}"
        async with shaken(made.url, REALTIME, offers.encode()) as client:
            assert client.answer.value("sec-websocket-protocol") == chosen
            asked = (await upstream.heard()).request
            assert asked.values("sec-websocket-protocol") == [b"realtime"]
            assert TOKEN.encode() not in asked.head
    assert TOKEN not in caplog.text


async def test_a_token_has_so_many_sockets() -> None:
    """One more is refused with 429 until one of them ends: each may hold a message in memory."""
    few = dataclasses.replace(LIMITS, sockets=SocketLimits(per_token=2))
    async with scripted(obeying) as upstream, rig(upstream.url, limits=few) as made:
        async with shaken(made.url), shaken(made.url):
            answer = await ask(made.url, handshake())
            assert (answer.status, answer.code) == (429, "Throttling.RateQuota")
            assert upstream.connections == 2
        await made.finished(3)
        async with shaken(made.url):
            pass


async def test_a_redirect_is_not_followed() -> None:
    """Where upstream points is not where the account's key goes."""
    async with scripted(obeying) as other:
        said = f"HTTP/1.1 302 Found\r\nLocation: {other.url}/\r\nContent-Length: 0\r\n\r\n"
        async with scripted(answering(said.encode())) as upstream, rig(upstream.url) as made:
            assert (await ask(made.url, handshake())).status == 302
            assert other.connections == 0


async def silent(told: Conversation) -> None:
    await told.gone()


WRONG_KEY = b"HTTP/1.1 101 Hm\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        (silent, 504, "GatewayTimeout"),
        (answering(b"", close=True), 502, "BadGateway"),
        (answering(b"nonsense\r\n\r\n", close=True), 502, "BadGateway"),
        (answering(WRONG_KEY), 502, "BadGateway"),
    ],
)
async def test_no_answer_is_a_gateway_error(script: Script, status: int, code: str) -> None:
    """An upstream that is silent, leaves or talks nonsense is told as for any other call."""
    async with scripted(script) as upstream, rig(upstream.url, limits=SHORT) as made:
        answer = await ask(made.url, handshake())
        assert (answer.status, answer.code) == (status, code)


async def test_no_upstream_is_a_gateway_error() -> None:
    """So is one that refuses the connection."""
    async with rig() as made:
        answer = await ask(made.url, handshake(REALTIME))
        assert (answer.status, answer.code) == (502, "BadGateway")


async def test_a_client_that_leaves_during_the_handshake_takes_it_back() -> None:
    """Upstream's half of an unanswered handshake does not outlive the client."""
    async with scripted(silent) as upstream, rig(upstream.url) as made:
        async with calling(made.url) as client:
            await client.send(handshake())
            await upstream.heard()
        await eventually(lambda: not upstream.running)
        assert (await made.finished()).status == 499


async def test_another_route_is_not_upgraded() -> None:
    """Who asks for a WebSocket elsewhere gets the plain answer, and the connection goes on."""
    async with scripted(answering(ok())) as upstream, rig(upstream.url) as made:
        path = "/api/v1/uploads?action=getPolicy&model=m"
        async with calling(made.url) as client:
            for _ in range(2):
                await client.send(handshake(path))
                assert (await client.answer()).status == 200
        assert (await upstream.heard()).request.value("upgrade") is None


async def test_accounts_are_dialled_when_a_task_needs_them() -> None:
    """With several, a task opens the way to its model's account; one that fails fails alone."""

    async def refusing(told: Conversation) -> None:
        await told.send(ok(BODY).replace(b"200 OK", b"429 Slow"))

    async with scripted(obeying) as upstream, scripted(refusing) as other:
        accounts = [
            dataclasses.replace(account(upstream.url, "one"), models=("a-*",)),
            dataclasses.replace(account(other.url, "two"), models=("b-*",)),
        ]
        async with rig(accounts=accounts) as made, shaken(made.url) as client:
            assert upstream.connections == other.connections == 0
            await client.say(run_task("t1", "a-1"))
            assert (await client.hear()).event == ("task-started", "t1")
            await client.say(run_task("t2", "b-1"))
            failed = (await client.hear()).json()["header"]
            assert (failed["event"], failed["task_id"]) == ("task-failed", "t2")
            assert (failed["error_code"], failed["error_message"]) == (
                "Throttling.RateQuota",
                "slowly",
            )
            await client.say(run_task("t3", "c-1"))
            assert (await client.hear()).json()["header"]["error_code"] == "model_not_found"
            await client.say(run_task("t4", "a-2"))
            assert (await client.hear()).event == ("task-started", "t4")
            assert (upstream.connections, other.connections) == (1, 1)


async def test_legs_live_and_die_alone() -> None:
    """Upstream's goodbye on one leg fails that leg's tasks; the socket ends with its last leg."""

    async def leaving(told: Conversation) -> None:
        end = await accept(told)
        await end.hear()
        await end.say(event("task-started", "t1"))
        await end.hear()
        await end.close(1012)
        await told.gone()

    async with scripted(leaving) as upstream, scripted(obeying) as other:
        accounts = [
            dataclasses.replace(account(upstream.url, "one"), models=("a-*",)),
            dataclasses.replace(account(other.url, "two"), models=("b-*",)),
        ]
        async with rig(accounts=accounts) as made, shaken(made.url) as client:
            limits = Limits(requests_per_minute=100)
            grant = Grant("g1", "caller", TENANT, ("*",), limits=limits)
            await made.store.save_grant(digest_of(TOKEN), grant)
            await client.say(run_task("t1", "a-1"))
            await client.say(run_task("t2", "b-1"))
            heard = {(await client.hear()).event for _ in range(2)}
            assert heard == {("task-started", "t1"), ("task-started", "t2")}
            await client.say({"header": {"action": "finish-task", "task_id": "t1"}})
            assert (await client.hear()).event == ("task-failed", "t1")
            await eventually(lambda: made.telemetry.held == 1)
            await client.say({"header": {"action": "finish-task", "task_id": "t2"}})
            assert (await client.hear()).event == ("task-finished", "t2")
            await client.close(1000)
            assert (await client.hear()).kind == CLOSE


async def test_a_failed_handshake_with_upstream_leaves_nothing_open() -> None:
    """What was opened for it is closed again."""
    async with scripted(answering(WRONG_KEY)) as upstream, rig(upstream.url) as made:
        await ask(made.url, handshake())
        await eventually(lambda: not upstream.running)
