"""One request's journey: who calls, whose task it is, which account, and what is written down."""

import asyncio
import json
import random
import string
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import zip_longest

import pytest
from edge.rig import (
    BODY,
    BOTH,
    KEY,
    LIMITS,
    PLAIN,
    SUBMIT,
    TENANT,
    TOKEN,
    UNJUDGED,
    Conversation,
    Fields,
    Message,
    Rig,
    account,
    answering,
    ask,
    calling,
    chunked,
    eventually,
    head_of,
    ok,
    request,
    rig,
    scripted,
    task_answer,
)
from harness import TEXT2VIDEO, standing

from proxy.core.errors import StoreUnavailableError
from proxy.core.policy import Grant, digest_of
from proxy.core.routes import Route, RouteTable
from proxy.core.tasks import TaskRecord
from proxy.edge.health import THRESHOLD
from proxy.sandbox import Sandbox
from proxy.stores.memory import MemoryStore

# -- who calls -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        (),
        (b"Authorization: ",),
        (b"Authorization: Bearer",),
        (b"Authorization: Bearer ",),
        (b"Authorization: Bearer tok-of-nobody",),
        (b"Authorization: Basic " + TOKEN.encode(),),
        (TOKEN.encode().join([b"Authorization: ", b""]),),
        (b"Authorization: Bearer " + TOKEN.encode() + b" x",),
        (b"Authorization: Bearer " + TOKEN.encode(), b"Authorization: Bearer x"),
        (b"Authorization: Bearer " + TOKEN.encode(), b"authorization: Bearer " + TOKEN.encode()),
        (b"X-Api-Key: " + TOKEN.encode(),),
        (b"Authorization: Bearer \xff\xfe",),
    ],
)
async def test_who_is_not_known(fields: tuple[bytes, ...]) -> None:
    """Anything but one good bearer token is 401, in the same words whatever was wrong."""
    async with rig() as made:
        framing = b"Content-Length: %d" % len(BODY)
        wire = head_of("POST", SUBMIT, *fields, framing, token=None) + BODY
        answer = await ask(made.url, wire)
        if b"\xff" in fields[-1] if fields else False:
            assert (answer.status, answer.code) == (400, "BadRequest.IllegalInput")
        else:
            assert (answer.status, answer.code) == (401, "InvalidApiKey")
        assert TOKEN.encode() not in answer.body
        visit = await made.finished()
        assert (visit.token, visit.tenant) == ("", "")


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER   {}", "Bearer {}  "])
async def test_how_a_token_may_be_given(form: str) -> None:
    """The scheme has no case, and blanks around the token do not count."""
    async with scripted(answering(task_answer())) as upstream, rig(upstream.url) as made:
        field = b"Authorization: " + form.format(TOKEN).encode()
        framing = b"Content-Length: %d" % len(BODY)
        wire = head_of("POST", SUBMIT, field, framing, token=None) + BODY
        assert (await ask(made.url, wire)).status == 200


@pytest.mark.parametrize("change", [{"enabled": False}, {"expires": 1.0}])
async def test_a_token_that_no_longer_counts(change: dict[str, float]) -> None:
    """A disabled or an expired token is as good as none, from one request to the next."""
    async with scripted(answering(task_answer())) as upstream, rig(upstream.url) as made:
        assert (await ask(made.url, made.post())).status == 200
        grant = await made.store.grant(digest_of(TOKEN))
        assert grant is not None
        await made.store.save_grant(digest_of(TOKEN), replace(grant, **change))  # type: ignore[arg-type]  # either field
        assert (await ask(made.url, made.post())).code == "InvalidApiKey"
        assert len(upstream.conversations) == 1


async def test_a_store_that_is_away() -> None:
    """Without the store nobody is known: 503, and not to be sent again as it is a submit."""
    store = MemoryStore()
    async with rig(store=store) as made:
        store.set_available(up=False)
        answer = await ask(made.url, made.post())
        assert (answer.status, answer.code) == (503, "ServiceUnavailable")
        assert answer.values("x-should-retry") == [b"false"]
        store.set_available(up=True)


async def test_scopes() -> None:
    """What acts on the whole account is closed to ordinary tokens, some of it to everyone."""
    async with rig() as made:
        assert (await ask(made.url, request("GET", UNJUDGED, None))).code == "AccessDenied"
    async with rig(scopes=BOTH) as made:
        answer = await ask(made.url, request("POST", "/api/v1/tokens", b"{}"))
        assert (answer.status, answer.code) == (403, "AccessDenied")


# -- what goes up --------------------------------------------------------------------------------

STOPPED = [
    b"Connection: close, x-named",
    b"X-Named: by Connection",
    b"Keep-Alive: 5",
    b"Proxy-Connection: x",
    b"Proxy-Authenticate: x",
    b"Proxy-Authorization: x",
    b"TE: trailers",
    b"Trailer: x",
    b"Expect: 100-continue",
    b"api-key: x",
    b"X-Api-Key: x",
    b"X-Goog-Api-Key: x",
    b"Cookie: a=b",
    b"X-DashScope-WorkSpace: x",
    b"x-dashscope-workspace: x",
    b"x-dashscope-uid: x",
    b"X-DashScope-ApiKeyId: x",
    b"x-dashscope-inner-anything: x",
    b"Forwarded: for=1.2.3.4",
    b"X-Forwarded-For: 1.2.3.4",
    b"X-Forwarded-Anything: x",
    b"X-Real-IP: 1.2.3.4",
    b"X-Client-IP: 1.2.3.4",
    b"True-Client-IP: 1.2.3.4",
    b"Via: x",
    b"X-HTTP-Method-Override: DELETE",
    b"X-Method-Override: DELETE",
    b"X-Original-URL: /x",
    b"X-Rewrite-URL: /x",
    b"X-Original-Method: x",
    b"X-Host: x",
    b"ApiKey: x",
    b"X-Auth-Token: x",
    b"X-DashScope-Api-Key: x",
    b"CF-Connecting-IP: 1.2.3.4",
    b"x-envoy-max-retries: 9",
    b"X_DashScope_WorkSpace: x",
    b"X-Any_Name: x",
    b"Accept-Encoding: gzip, br",
]
"""What a client may say and upstream does not hear. Written out here: a promise, not a default."""

KEPT = [
    b"User-Agent: dashscope/2.0.2; python/3.11",
    b"Accept: text/event-stream",
    b"X-DashScope-SSE: enable",
    b"X-DashScope-OssResourceResolve: enable",
    b"X-DashScope-DataInspection: enable",
    b"x-dashscope-sdk-client: python-sdk/2.0.2/aigc",
    b"X-Accel-Buffering: no",
    b"Cache-Control: no-cache",
    b"Content-Type: application/json; charset=utf-8",
    b"x-request-id: mine",
    b"X-Proxy-Request-Id: mine",
]


def fields(lines: list[bytes]) -> Fields:
    return [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)]


async def test_the_changes_to_a_request() -> None:
    """Exactly these fields do not go up; the upstream's host and the account's key come in."""
    async with scripted(answering(ok())) as upstream, rig(upstream.url) as made:
        lines = [line for pair in zip_longest(STOPPED, KEPT) for line in pair if line]
        await ask(made.url, made.post(BODY, *lines, path=PLAIN))
        sent = upstream.conversations[0].request
        kept = [line for line in lines if line in KEPT]
        assert sent.fields == [
            (b"Host", upstream.url.removeprefix("http://").encode()),
            *fields(kept),
            (b"Content-Length", b"%d" % len(BODY)),
            (b"Accept-Encoding", b"identity"),
            (b"Authorization", b"Bearer " + KEY.encode()),
        ]


async def test_an_accounts_workspace_goes_up() -> None:
    """The account's workspace, and no client's, is named."""
    async with scripted(answering(ok())) as upstream:
        theirs = replace(account(upstream.url), workspace="ws-1")
        async with rig(accounts=[theirs]) as made:
            await ask(made.url, made.post(BODY, b"X-DashScope-WorkSpace: other", path=PLAIN))
            sent = upstream.conversations[0].request
            assert sent.values("x-dashscope-workspace") == [b"ws-1"]


@pytest.mark.parametrize("seed", range(8))
async def test_a_request_is_identical(seed: int) -> None:
    """Any request: method, target, fields with order, spelling, repeats and bytes, framing."""
    dice = random.Random(seed)  # noqa: S311 - nothing secret about it
    async with (
        scripted(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as upstream,
        rig(upstream.url, scopes=BOTH) as made,
        calling(made.url) as client,
    ):
        for _ in range(25):
            method = dice.choice(["POST", "GET", "PUT", "DELETE", "PATCH", "HEAD"])
            target = "/api/v1/files" + _any_tail(dice)
            lines = _any_lines(dice)
            body = dice.randbytes(dice.choice([1, 50, 5000]))
            framing = dice.choice(["none", "length", "chunked"])
            framing = "none" if method in {"GET", "HEAD"} else framing
            if framing == "length":
                lines.append(b"Content-Length: %d" % len(body))
            wire = {"none": b"", "length": body, "chunked": chunked(body)}[framing]
            extra = [b"Transfer-Encoding: chunked"] if framing == "chunked" else []
            await client.send(head_of(method, target, *lines, *extra), wire)
            assert (await client.answer(bodiless=method == "HEAD")).status == 200
            sent = upstream.conversations[-1].request
            assert sent.first_line == f"{method} {target} HTTP/1.1".encode()
            expected = [*fields(lines), (b"Authorization", b"Bearer " + KEY.encode())]
            expected += [(b"Transfer-Encoding", b"chunked")] if framing == "chunked" else []
            assert sent.fields[1:] == expected
            assert sent.body == (b"" if framing == "none" else body)


def _any_tail(dice: random.Random) -> str:
    segment = "".join(dice.choices(string.ascii_letters + "-._~!$&'()*+,=:@", k=8)).strip(".") + "x"
    query = "".join(dice.choices(string.ascii_letters + "=&?/:@%-._~!$'()*+,;", k=12))
    query = query.replace("%", dice.choice(["%20", "%e4%BD%a0", "%2F", "%25"]))
    return f"/{segment}{dice.choice(['', '/'])}{dice.choice(['', '?', '?' + query])}"


def _any_lines(dice: random.Random) -> list[bytes]:
    names = ["X-A", "x-a", "X-B", "x-b", "ACCEPT-Charset", "accept-charset", "X-c.d", "Pragma"]
    texts = ["", "a", "a, b;q=0.1", "grün 你好 🙂", "a\tb", '"quoted: \\"x\\""', "  x".strip()]
    return [
        f"{dice.choice(names)}: {dice.choice(texts)}".encode() for _ in range(dice.randint(0, 9))
    ]


@pytest.mark.parametrize("value", [b"\xfc", b"gr\xfcn", b"\xed\xa0\x80", b"\xc0\xaf"])
async def test_a_field_that_is_no_utf_8_is_refused(value: bytes) -> None:
    """Two readers would decode it differently: it goes nowhere, and the answer says why."""
    async with rig() as made:
        answer = await ask(made.url, made.post(BODY, b"X-Name: " + value))
        assert (answer.status, answer.code) == (400, "BadRequest.IllegalInput")
        assert "UTF-8" in str(answer.json()["message"])
        assert not made.telemetry.bugs


@pytest.mark.parametrize("value", [b"a\x7fb", b"a\x01b", b"\x1b[0m", b"a\x0bb"])
async def test_a_control_character_in_a_field_is_refused(value: bytes) -> None:
    """RFC 9110 section 5.5: it may not stand there. The client's mistake, not ours."""
    async with scripted(answering(task_answer())) as upstream, rig(upstream.url) as made:
        answer = await ask(made.url, made.post(BODY, b"X-Name: " + value))
        assert (answer.status, answer.code) == (400, "BadRequest.IllegalInput")
        assert not upstream.conversations
        assert not made.telemetry.bugs


@pytest.mark.parametrize("target", ["/api/v1/files/é", "/api/v1/files?q=é"])
async def test_a_target_outside_ascii_is_no_http(target: str) -> None:
    """RFC 3986: such characters come escaped; as they stand two readers may differ."""
    async with rig(scopes=BOTH) as made:
        answer = await ask(made.url, request("GET", target, None))
        assert (answer.status, answer.code) == (400, "BadRequest.IllegalInput")


async def test_retargeting_by_model() -> None:
    """One short route, two upstream paths: the model decides."""
    async with scripted(answering(task_answer())) as upstream, rig(upstream.url) as made:
        for model in ("wan2.6-i2v", "wan2.2-kf2v-flash"):
            body = json.dumps({"model": model}).encode()
            await ask(made.url, made.post(body, path="/task/bailian/image2video?x=1"))
        first, second = (c.target for c in upstream.conversations)
        assert first == b"/api/v1/services/aigc/video-generation/video-synthesis?x=1"
        assert second == b"/api/v1/services/aigc/image2video/video-synthesis?x=1"


# -- tasks ---------------------------------------------------------------------------------------


def sameness(answer: Message) -> tuple[int, bytes, Fields]:
    """An answer without what tells two requests apart."""
    (request_id,) = answer.values("x-proxy-request-id")
    kept = [f for f in answer.fields if f[0].lower() not in {b"x-proxy-request-id", b"date"}]
    return answer.status, answer.body.replace(request_id, b"ID"), kept


@asynccontextmanager
async def with_tasks(*records: TaskRecord) -> AsyncIterator[tuple[Rig, Sandbox]]:
    async with Sandbox(keys=[KEY], task_seconds=0) as sandbox, rig(sandbox.url) as made:
        for record in records:
            await made.store.claim(record)
        yield made, sandbox


def task(task_id: str, tenant: str = TENANT, created: float = 9e9, **more: str) -> TaskRecord:
    record = TaskRecord(task_id, tenant, "g1", "main", "wan2.6-t2v", created)
    return replace(record, **more)  # type: ignore[arg-type]  # text fields


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/task/{}"),
        ("GET", "/task/bailian/{}"),
        ("GET", "/task/bailian/tasks/{}"),
        ("GET", "/api/v1/tasks/{}"),
        ("GET", "/alibailian/api/v1/tasks/{}"),
        ("POST", "/api/v1/tasks/{}/cancel"),
        ("POST", "/alibailian/api/v1/tasks/{}/cancel"),
    ],
)
async def test_foreign_is_unknown(method: str, path: str) -> None:
    """Somebody else's task, an unknown one, no id at all: the same answer, no call upstream."""
    async with with_tasks(task("theirs", "tenant-b")) as (made, sandbox):
        answers = [
            await ask(made.url, request(method, path.format(name), None))
            for name in ("theirs", "unknown", "a" * 128, "a" * 129, "a.b")
        ]
        told = {repr(sameness(answer)) for answer in answers}
        assert len(told) == 1
        answer = answers[0]
        assert (answer.status, answer.code) == (400, "task_not_exist")
        assert answer.json()["data"] is None
        assert not sandbox.requests


async def test_native_unknown() -> None:
    """Where a route says so, an unknown task is told in upstream's own words: 200, UNKNOWN."""
    route = Route(
        "poll",
        frozenset({"GET"}),
        "/poll/{task_id}",
        "/api/v1/tasks/{task_id}",
        task="task_id",
        unknown_task_is_native=True,
    )
    async with rig(table=RouteTable([route])) as made:
        answer = await ask(made.url, request("GET", "/poll/t1", None))
        assert answer.status == 200
        assert answer.json()["output"] == {"task_id": "t1", "task_status": "UNKNOWN"}


async def test_a_task_is_polled_through_any_alias() -> None:
    """Made on one path, polled and cancelled on every other, until its end."""
    async with with_tasks() as (made, sandbox):
        output = (await ask(made.url, made.post())).json()["output"]
        assert isinstance(output, dict)
        states = []
        for path in (
            "/task/{}",
            "/task/bailian/{}",
            "/api/v1/tasks/{}",
            "/alibailian/api/v1/tasks/{}",
        ):
            wire = request("GET", path.format(output["task_id"]), None)
            polled = (await ask(made.url, wire)).json()["output"]
            assert isinstance(polled, dict)
            states.append(polled["task_status"])
            record = await made.store.owner(output["task_id"], TENANT)
            assert record is not None
            assert record.status == polled["task_status"]
        assert states == ["RUNNING", "SUCCEEDED", "SUCCEEDED", "SUCCEEDED"]
        assert len(sandbox.requests) == 3  # the submit, and a poll for each new state


class Forgetful(MemoryStore):
    async def observe(self, *_: object) -> None:
        raise StoreUnavailableError


async def test_a_poll_does_not_fail_for_our_notes() -> None:
    """What cannot be written down crosses all the same."""
    body = b'{"output":{"task_id":"t1","task_status":"RUNNING"}}'
    async with (
        scripted(answering(ok(body))) as upstream,
        rig(upstream.url, store=Forgetful()) as made,
    ):
        await made.store.claim(task("t1"))
        answer = await ask(made.url, request("GET", "/task/t1", None))
        assert (answer.status, answer.body) == (200, body)
        assert not made.telemetry.bugs


async def test_the_list_is_our_own() -> None:
    """The bare list shows the caller's tasks, newest first, and upstream is not asked."""
    now = 1e9
    records = [task(f"t{n}", created=now + n) for n in range(3)]
    store = MemoryStore(now=lambda: now + 5)
    async with Sandbox(keys=[KEY]) as sandbox, rig(sandbox.url, store=store) as made:
        for record in (*records, task("theirs", "tenant-b", now)):
            await store.claim(record)
        query = "start_time=20010909090000&end_time=20010909100000"
        answer = (await ask(made.url, request("GET", f"/api/v1/tasks?{query}", None))).json()
        rows = answer["data"]
        assert isinstance(rows, list)
        assert [row["task_id"] for row in rows] == ["t2", "t1", "t0"]
        assert not sandbox.requests
        bad = await ask(made.url, request("GET", "/api/v1/tasks?page_no=x", None))
        assert (bad.status, bad.code) == (400, "BadRequest.IllegalInput")


# -- accounts ------------------------------------------------------------------------------------


@asynccontextmanager
async def two_accounts(**more: float) -> AsyncIterator[tuple[Rig, Sandbox, Sandbox]]:
    async with (
        Sandbox(keys=[f"{KEY}-one"], task_seconds=0) as one,
        Sandbox(keys=[f"{KEY}-two"], task_seconds=0) as two,
    ):
        accounts = [account(one.url, "one"), account(two.url, "two", **more)]
        async with rig(accounts=accounts) as made:
            yield made, one, two


async def submit(made: Rig, model: str) -> str:
    body = json.dumps({"model": model, "input": {"prompt": "a"}}).encode()
    output = (await ask(made.url, made.post(body))).json()["output"]
    assert isinstance(output, dict)
    return str(output["task_id"])


async def test_a_poll_returns_to_the_account_that_made_the_task() -> None:
    """Whatever is chosen for new work, a task is polled and cancelled where it was made."""
    async with two_accounts() as (made, one, two):
        for number in range(8):
            task_id = await submit(made, f"wan2.6-{number}")
            record = await made.store.owner(task_id, TENANT)
            assert record is not None
            maker = {"one": one, "two": two}[record.account]
            before = len(maker.requests)
            polled = await ask(made.url, request("GET", f"/task/{task_id}", None))
            assert b'"RUNNING"' in polled.body or b'"PENDING"' in polled.body
            await ask(made.url, request("POST", f"/api/v1/tasks/{task_id}/cancel", b""))
            assert len(maker.requests) == before + 2
        assert one.requests
        assert two.requests


async def test_an_upload_and_its_submit_go_to_one_account() -> None:
    """An `oss://` key belongs to an account: the same tenant and model meet the same one."""
    async with two_accounts() as (made, one, two):
        for number in range(8):
            model = f"wan2.6-{number}"
            seen = len(one.requests), len(two.requests)
            path = f"/api/v1/uploads?action=getPolicy&model={model}"
            assert (await ask(made.url, request("GET", path, None))).status == 200
            await submit(made, model)
            grown = len(one.requests) - seen[0], len(two.requests) - seen[1]
            assert grown in {(2, 0), (0, 2)}


async def test_a_tasks_account_is_gone() -> None:
    """Its tasks are told as they were for a day, and cannot be cancelled; nothing else changes."""
    old = replace(task("t2", created=time.time() - 90_000), account="former")
    async with with_tasks(replace(task("t1"), account="former"), old) as (made, sandbox):
        polled = await ask(made.url, request("GET", "/task/t1", None))
        assert (polled.status, b'"task_status":"PENDING"' in polled.body) == (200, True)
        answer = await ask(made.url, request("POST", "/api/v1/tasks/t1/cancel", b""))
        assert (answer.status, answer.code) == (502, "BadGateway")
        answer = await ask(made.url, request("GET", "/task/t2", None))
        assert (answer.status, answer.code) == (502, "BadGateway")
        assert b"former" not in answer.body
        assert not sandbox.requests


async def test_an_account_that_takes_no_new_work_is_polled() -> None:
    """Weight 0: no submit goes there, its tasks are still its."""
    async with two_accounts(weight=0) as (made, one, two):
        for number in range(4):
            await submit(made, f"wan2.6-{number}")
        assert (len(one.requests), len(two.requests)) == (4, 0)
        await made.store.claim(replace(task("elsewhere"), account="two"))
        await ask(made.url, request("GET", "/task/elsewhere", None))
        assert len(two.requests) == 1


async def test_no_account_is_healthy() -> None:
    """Several accounts, all of them failing: 503 without a try; one alone is always tried."""
    async with two_accounts() as (made, one, two):
        for name in ("one", "two"):
            for _ in range(THRESHOLD):
                made.health.failed(name)
        answer = await ask(made.url, made.post())
        assert (answer.status, answer.code) == (503, "ModelUnavailable")
        assert not one.requests
        assert not two.requests
        made.health.succeeded("two")
        await submit(made, "wan2.6-t2v")
        assert len(two.requests) == 1


async def test_no_account_for_a_model() -> None:
    """A model that no account runs is told in the words of one that is not allowed."""
    async with rig(accounts=[replace(account("http://x"), models=("qwen-*",))]) as made:
        unbound = await ask(made.url, made.post())
    async with rig(models=("qwen-*",)) as made:
        forbidden = await ask(made.url, made.post())
    assert unbound.code == "model_not_found"
    assert sameness(unbound) == sameness(forbidden)


# -- upstream that fails -------------------------------------------------------------------------


@pytest.mark.parametrize("path", [PLAIN, SUBMIT])
@pytest.mark.parametrize("reset", ["before", "after_request"])
async def test_an_upstream_that_resets(reset: str, path: str) -> None:
    """A reset before an answer is 502, once, and nobody sends it again."""
    async with Sandbox(keys=[KEY], task_seconds=0) as sandbox, rig(sandbox.url) as made:
        sandbox.faults.add(reset=reset)
        answer = await ask(made.url, made.post(path=path))
        assert (answer.status, answer.code) == (502, "BadGateway")
        assert answer.values("x-should-retry") == [b"false"]
        assert len(sandbox.requests) == 1
        assert sandbox.url.removeprefix("http://").encode() not in answer.body


async def test_an_upstream_that_is_not_there() -> None:
    """A refused connection is 502."""
    async with rig("http://127.0.0.1:1") as made:
        answer = await ask(made.url, made.post())
        assert (answer.status, answer.code) == (502, "BadGateway")


@pytest.mark.parametrize(("wait", "seconds"), [(None, 0.2), (b"1", 1.2), (b"x", 0.2), (b"-1", 0.2)])
async def test_an_upstream_that_is_silent(wait: bytes | None, seconds: float) -> None:
    """504 after the read timeout, which a queueing time that the client grants makes longer."""

    async def silent(told: Conversation) -> None:
        await told.whole()
        await told.gone()

    limits = replace(LIMITS, read_timeout=0.2)
    async with scripted(silent) as upstream, rig(upstream.url, limits=limits) as made:
        lines = [b"X-DashScope-Wait-Timeout: " + wait] if wait else []
        answer = await ask(made.url, made.post(BODY, *lines))
        assert (answer.status, answer.code) == (504, "GatewayTimeout")
        assert answer.values("x-should-retry") == [b"false"]
        visit = await made.finished()
        assert seconds <= visit.total < seconds + 1


# -- what is written down ------------------------------------------------------------------------


async def test_the_line_of_a_request() -> None:
    """One line per request with all that an operator asks for, and nothing nobody may read."""
    async with standing() as stand:
        token = await stand.token("wan2.6-*", tenant="acme", name="ci")
        task_id = await stand.submit(token)
        await stand.ask("GET", f"/task/{task_id}", token)
        await stand.ask("GET", f"/task/{task_id}?Signature=abc", "wrong-token-of-somebody")
        lines = stand.requests
        assert len(lines) == 3
        made, polled, refused = lines
        assert made["tenant"] == "acme"
        assert made["token_name"] == "ci"
        assert made["model"] == "wan2.6-t2v"
        assert made["task_id"] == polled["task_id"] == task_id
        assert made["alias"] == SUBMIT
        assert made["upstream_status"] == 200
        assert made["bytes_in"] == len(json.dumps(TEXT2VIDEO))
        for line in (made, polled):
            assert {"request_id", "token", "account", "status", "method", "route"} <= line.keys()
            assert isinstance(line["bytes_out"], int)
            assert 0 < _number(line["first_byte"]) <= _number(line["total"])
            assert line["upstream_request_id"]
            assert "code" not in line
        assert (refused["status"], refused["code"]) == (401, "InvalidApiKey")
        assert "token" not in refused
        everything = json.dumps(stand.lines)
        for secret in (token, "kitten", "Signature", "somebody"):
            assert secret not in everything


def _number(value: object) -> float:
    assert isinstance(value, float)
    return value


async def test_bytes_each_way() -> None:
    """Body bytes are counted as they cross, framing not included."""
    async with scripted(answering(ok(b"x" * 1234))) as upstream, rig(upstream.url) as made:
        wire = head_of("POST", PLAIN, b"Transfer-Encoding: chunked") + chunked(BODY[:9], BODY[9:])
        await ask(made.url, wire)
        visit = await made.finished()
        assert (visit.bytes_in, visit.bytes_out) == (len(BODY), 1234)


async def test_drained_waits_for_what_runs() -> None:
    """`drained` returns when the last request ends, and at once when none runs."""
    go = asyncio.Event()

    async def script(told: Conversation) -> None:
        await told.whole()
        await go.wait()
        await told.send(ok())

    async with (
        scripted(script) as upstream,
        rig(upstream.url) as made,
        calling(made.url) as client,
    ):
        await made.gateway.drained()
        await client.send(made.post(path=PLAIN))
        await upstream.heard()
        draining = asyncio.create_task(made.gateway.drained())
        await asyncio.wait([draining], timeout=0.05)
        assert not draining.done()
        go.set()
        await draining
        assert (await client.answer()).status == 200


async def test_the_drain_of_a_process() -> None:
    """SIGTERM's way: nothing new is accepted, what runs is answered, readiness says so."""
    hold = asyncio.Event()
    async with standing() as stand:
        token = await stand.token("*")
        stand.sandbox.faults.add(hold=hold, hold_after=0)
        running = asyncio.create_task(stand.ask("POST", SUBMIT, token, TEXT2VIDEO))
        await stand.sandbox.received(lambda entry: entry.complete)
        stopping = asyncio.create_task(stand.proxy.stop())
        await eventually(lambda: stand.proxy._gateway.closing)  # noqa: SLF001 - the moment after SIGTERM
        with pytest.raises(OSError):  # noqa: PT011 - refused, in whatever words
            await stand.ask("GET", "/nowhere")
        assert (await stand.proxy.readiness())["process"] == "draining"
        hold.set()
        answer = await running
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        await stopping


class Slow(MemoryStore):
    """A store that answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()

    async def grant(self, digest: str) -> Grant | None:
        await self.go.wait()
        return await super().grant(digest)


async def test_leaving_while_the_store_is_slow() -> None:
    """A client that leaves before anyone knows it leaves nothing behind."""
    store = Slow()
    async with rig(store=store) as made:
        async with calling(made.url) as client:
            await client.send(made.post())
            await eventually(lambda: made.telemetry.running)
            client.reset()
        assert (await made.finished()).status == 499
        store.go.set()
