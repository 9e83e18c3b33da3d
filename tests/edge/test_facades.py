"""The façades through their real HTTP interface: what upstream received, what the caller reads."""

import asyncio
import json
import time
from dataclasses import replace
from typing import Any

import pytest
from edge.facade_rows import (
    COMPAT,
    FAMILIES,
    GATED,
    LONG,
    OF_THE_PAGE,
    PAGE,
    T2V,
    UNIFIED,
    WRONG,
    Row,
)
from edge.rig import (
    LIMITS,
    answering,
    ask,
    calling,
    eventually,
    head_of,
    ok,
    request,
    rig,
    scripted,
    task_answer,
)
from harness import UPSTREAM_KEY, Stand, standing

from proxy.core.routes import Envelope, Route
from proxy.edge.facades import LARGEST, most_of
from proxy.sandbox import Sandbox


@pytest.mark.parametrize("path", [UNIFIED, COMPAT])
@pytest.mark.parametrize("row", PAGE + FAMILIES + OF_THE_PAGE, ids=str)
async def test_what_upstream_receives(row: Row, path: str) -> None:
    """Each family gets its own members on its own path, as a task, framed by its own length."""
    async with standing() as stand:
        token = await stand.token()
        answer = await stand.ask(
            "POST", path, token, {"model": row.model, "prompt": "a cat", **row.given}
        )
        assert answer.status == 200, answer.body
        (received,) = stand.sandbox.requests
    told = received.json()
    assert told["model"] == row.model
    assert told["input"] == {"prompt": "a cat", **row.input}
    assert told.get("parameters", {}) == row.parameters
    assert (received.path, received.header("X-DashScope-Async")) == (row.path, "enable")
    assert received.header("Content-Length") == str(received.size)
    assert received.header("Content-Type") == "application/json"
    assert received.header("Authorization") == f"Bearer {UPSTREAM_KEY}"


async def story(stand: Stand, token: str, task_id: str, polls: int = 3) -> list[dict[str, Any]]:
    """A task's states as the unified façade tells them, poll by poll."""
    path = f"/video/v1/tasks/{task_id}"
    return [(await stand.ask("GET", path, token)).json() for _ in range(polls)]


async def made(stand: Stand, token: str, path: str = UNIFIED, **more: object) -> str:
    """The id of a new task."""
    answer = await stand.ask("POST", path, token, {**T2V, **more})
    assert answer.status == 200, answer.body
    return str(answer.json()["task_id"])


async def test_a_task_from_its_beginning_to_its_end() -> None:
    """`{task_id}`; pending, running, success; times in milliseconds, in order; the URL."""
    async with standing() as stand:
        token = await stand.token()
        answer = await stand.ask("POST", UNIFIED, token, T2V)
        assert answer.json().keys() == {"task_id"}
        assert answer.headers["x-proxy-request-id"]
        task_id = str(answer.json()["task_id"])
        (task,) = stand.sandbox.tasks
        *before, last = await story(stand, token, task_id)
        again = await stand.ask("GET", f"/video/v1/tasks/{task_id}", token)
    assert [told["task_status"] for told in (*before, last)] == ["running", "success", "success"]
    running = before[0]
    assert running.keys() == {
        *("task_id", "task_status", "model", "created", "updated", "completed", "data", "error")
    }
    assert (running["completed"], running["data"], running["error"]) == (None, [], None)
    assert (last["task_id"], last["model"]) == (task_id, T2V["model"])
    assert abs(last["created"] - task.submitted * 1000) < 10_000
    assert last["created"] <= last["updated"] == last["completed"]
    (made_of_it,) = last["data"]
    assert made_of_it["url"].startswith("http")
    assert made_of_it["orig_prompt"] == "a cat"
    assert last["error"] is None
    assert again.json() == last, "an end is told the same for ever"


async def test_pending_comes_before_running() -> None:
    """A task that waits upstream is pending."""
    async with standing(sandbox=Sandbox(keys=[UPSTREAM_KEY], task_seconds=3600)) as stand:
        token = await stand.token()
        (told,) = await story(stand, token, await made(stand, token), polls=1)
        assert told["task_status"] == "pending"
        task_id = await made(stand, token, COMPAT)
        told = (await stand.ask("GET", f"{COMPAT}/{task_id}", token)).json()
        assert (told["status"], told["id"]) == ("processing", task_id)
        assert "video_url" not in told


async def test_a_failure_keeps_upstreams_reason() -> None:
    """Code and message are the real ones, on both façades, where 51kik loses them."""
    async with standing() as stand:
        token = await stand.token()
        task_id = await made(stand, token, prompt="a cat sandbox:inspect")
        told = (await story(stand, token, task_id))[-1]
        other = (await stand.ask("GET", f"{COMPAT}/{task_id}", token)).json()
    assert told["task_status"] == "failed"
    assert told["completed"] >= told["created"]
    assert (told["data"], told["error"]["code"]) == ([], "DataInspectionFailed")
    assert told["error"]["message"] == "Input data may contain inappropriate content."
    assert (other["status"], other["error"]) == ("failed", told["error"])


async def test_a_cancelled_task() -> None:
    """A task made here is cancelled natively, and told as cancelled, with a reason."""
    async with standing(sandbox=Sandbox(keys=[UPSTREAM_KEY], task_seconds=3600)) as stand:
        token = await stand.token()
        task_id = await made(stand, token)
        assert (await stand.ask("POST", f"/api/v1/tasks/{task_id}/cancel", token)).status == 200
        (told,) = await story(stand, token, task_id, polls=1)
        other = (await stand.ask("GET", f"{COMPAT}/{task_id}", token)).json()
    assert (told["task_status"], told["error"]["code"]) == ("cancelled", "TaskCanceled")
    assert (other["status"], other["error"]) == ("failed", told["error"])


def poll_answer(**output: object) -> bytes:
    return ok(
        json.dumps({"output": {"task_id": "task-1", **output}, "request_id": "up-1"}).encode()
    )


STATES = [
    ("PENDING", "pending", "processing"),
    ("RUNNING", "running", "processing"),
    ("SUSPENDED", "running", "processing"),
    ("SUCCEEDED", "success", "completed"),
    ("FAILED", "failed", "failed"),
    ("CANCELED", "cancelled", "failed"),
    ("UNKNOWN", "failed", "failed"),
    ("REVIEWING", "running", "processing"),
]


@pytest.mark.parametrize(("state", "unified", "compat"), STATES)
async def test_each_state(state: str, unified: str, compat: str) -> None:
    """Upstream's states, and one that nobody knows yet, which is no end."""
    async with scripted(answering(task_answer())) as upstream, rig(upstream.url) as gateway:
        await ask(gateway.url, gateway.post(json.dumps(T2V).encode(), path=UNIFIED))
        upstream.script = answering(poll_answer(task_status=state))
        told = await ask(gateway.url, request("GET", "/video/v1/tasks/task-1", None))
        other = await ask(gateway.url, request("GET", f"{COMPAT}/task-1", None))
    assert told.status == other.status == 200
    assert (told.json()["task_status"], other.json()["status"]) == (unified, compat)
    assert (told.json()["error"] is None) == (unified in {"pending", "running", "success"})


async def test_crazyrouters_shape() -> None:
    """Create and query as its pages show them; the task is the same through every alias."""
    async with standing() as stand:
        token = await stand.token()
        answer = await stand.ask("POST", COMPAT, token, T2V)
        created = answer.json()
        task_id = created["id"]
        polls = [(await stand.ask("GET", f"{COMPAT}/{task_id}", token)).json() for _ in range(3)]
        native = json.loads((await stand.ask("GET", f"/api/v1/tasks/{task_id}", token)).body)
        listed = json.loads((await stand.ask("GET", "/api/v1/tasks", token)).body)
        unified = (await story(stand, token, str(task_id), polls=1))[0]
        missing = await stand.ask("GET", f"{COMPAT}/video_task_abc123", token)
    assert (created["status"], type(created["status_update_time"])) == ("processing", int)
    assert [told["status"] for told in polls] == ["processing", "completed", "completed"]
    assert polls[-1]["video_url"] == native["output"]["video_url"] == unified["data"][0]["url"]
    assert [row["task_id"] for row in listed["data"]] == [task_id]
    said = missing.json()
    assert missing.status == 400
    assert (said["code"], said["message"], said["data"]) == (*2 * ("task_not_exist",), None)


async def test_a_native_task_is_told_by_the_facades() -> None:
    """The other way round: made natively, polled here."""
    async with standing() as stand:
        token = await stand.token()
        task_id = await stand.submit(token)
        told = await story(stand, token, task_id)
        assert [one["task_status"] for one in told] == ["running", "success", "success"]
        assert told[-1]["model"] == "wan2.6-t2v"


async def test_strangers_learn_nothing() -> None:
    """Another tenant's task is one that does not exist, in the façade's shape."""
    async with standing() as stand:
        owner, stranger = await stand.token(tenant="a"), await stand.token(tenant="b")
        task_id = await made(stand, owner)
        for some in (task_id, "no-such-task", "a%20b"):
            answer = await stand.ask("GET", f"/video/v1/tasks/{some}", stranger)
            assert (answer.status, error_of(answer.body)["code"]) == (400, "task_not_exist")


def error_of(body: bytes) -> dict[str, Any]:
    """What the unified envelope holds."""
    told = json.loads(body)
    assert told.keys() == {"error", "request_id"}
    assert told["error"].keys() == {"code", "message", "param"}
    inner: dict[str, Any] = told["error"]
    return inner


@pytest.mark.parametrize(("given", "name", "right"), WRONG, ids=lambda value: str(value)[:60])
async def test_a_refusal_names_the_field(given: dict[str, object], name: str, right: str) -> None:
    """400 in the façade's shape, the field in `param`, and in words what would be right."""
    async with rig() as gateway:
        body = json.dumps({**T2V, **given}).encode()
        told = await ask(gateway.url, gateway.post(body, path=UNIFIED))
        other = await ask(gateway.url, gateway.post(body, path=COMPAT))
    error = error_of(told.body)
    assert (told.status, error["code"], error["param"]) == (400, "BadRequest.IllegalInput", name)
    assert error["message"].startswith(f"{name}: ")
    assert right in error["message"]
    assert told.value("x-should-retry") == b"false"
    assert (other.status, other.json()["message"]) == (400, error["message"])
    assert other.json()["data"] is None


async def test_a_refused_option_is_named() -> None:
    """A model that an option names is judged in the native body, and told as it was sent."""
    told = []
    async with rig(models=("wan2.1-*",)) as gateway:
        for field in ("upstream_options", "metadata"):
            body = json.dumps({**T2V, field: {"prompt_extend_model": "x"}}).encode()
            told.append(await ask(gateway.url, gateway.post(body, path=UNIFIED)))
    assert [answer.status for answer in told] == [403, 403]
    params = [error_of(answer.body)["param"] for answer in told]
    assert params == [f"{name}.prompt_extend_model" for name in ("upstream_options", "metadata")]


async def test_a_double_is_named_with_its_place() -> None:
    """Which of several objects holds a name twice."""
    body = b'{"model":"wan2.7-i2v","image":[{"url":"a"},{"url":"b","url":"c"}]}'
    async with rig() as gateway:
        told = await ask(gateway.url, gateway.post(body, path=UNIFIED))
    assert error_of(told.body)["param"] == "image[1].url"


async def test_refusals_are_short() -> None:
    """Whatever a caller wrote is not sent back by the megabyte, nor what stands in for it here."""
    name = "a b" * 100_000
    bodies: list[dict[str, object]] = [
        {"headers": {name: "x"}},
        {name: 1},
        {"upstream_options": {name: 1}, "metadata": {name: 2}},
        {"ratio": name},
        {"model": "wan2.7-i2v", "image": {"type": name, "url": "u"}},
        {"model": "wan2.5-i2v-preview", "image": {"url": "u", name: 1}},
        {"upstream_options": {LONG: 1}, "metadata": {LONG: 2}},
    ]
    async with rig() as gateway:
        for given in bodies:
            body = json.dumps({**T2V, **given}).encode()
            told = await ask(gateway.url, gateway.post(body, path=UNIFIED))
            assert told.status == 400
            assert len(told.body) < 1500


async def test_many_headers_are_refused_at_once() -> None:
    """A body of nothing but headers costs no more than any other of its size."""
    headers = {f"x-{number}": "v" for number in range(19_900)}
    async with rig() as gateway:
        started = time.process_time()
        body = json.dumps({**T2V, "headers": headers}).encode()
        told = await ask(gateway.url, gateway.post(body, path=UNIFIED))
        spent = time.process_time() - started
    assert (told.status, error_of(told.body)["param"]) == (400, "headers")
    assert spent < 2.5, "of the processor; comparing each with each takes five seconds"


async def test_inlined_media_cross_in_options() -> None:
    """Equal ones agree with each other, as equal texts do; they go up as they came."""
    options = {"style_image": LONG, "more": [LONG]}
    async with standing() as stand:
        token = await stand.token()
        body = {**T2V, "upstream_options": options, "metadata": {"style_image": LONG}}
        answer = await stand.ask("POST", UNIFIED, token, body)
        assert answer.status == 200, answer.body
        assert stand.sandbox.requests[0].json()["parameters"] == options


@pytest.mark.parametrize(("body", "status", "code"), GATED, ids=lambda value: str(value)[:50])
async def test_the_same_gate(body: bytes, status: int, code: str) -> None:
    """What the gate refuses natively it refuses here, before and after the translation."""
    async with rig(models=("wan2.1-*",)) as gateway:
        told = await ask(gateway.url, gateway.post(body, path=UNIFIED))
        chunks = request("POST", UNIFIED, body)
        again = await ask(gateway.url, chunks)
    assert (told.status, error_of(told.body)["code"]) == (again.status, code) == (status, code)


async def test_comments_are_repaired() -> None:
    """A sample with a comment works as pasted, as it does natively."""
    body = b'{"model":"wan2.1-t2v-turbo", // the model\n"prompt":"a cat" /* ! */}'
    async with standing() as stand:
        answer = await stand.ask("POST", UNIFIED, await stand.token(), body)
        assert answer.status == 200
        assert stand.sandbox.requests[0].json()["input"] == {"prompt": "a cat"}


async def test_headers_that_a_client_may_set() -> None:
    """They go up in the place of the call's own; a picture on `oss://` brings the one it needs."""
    given = {"X-DashScope-DataInspection": "enable", "User-Agent": "mine/1"}
    async with standing() as stand:
        token = await stand.token()
        body = {"model": "wan2.7-i2v", "image": "oss://a/b.png", "headers": given}
        answer = await stand.ask("POST", UNIFIED, token, body)
        (received,) = stand.sandbox.requests
    assert answer.status == 200 or received.header("X-DashScope-OssResourceResolve")
    assert received.header("X-DashScope-DataInspection") == "enable"
    assert received.header("User-Agent") == "mine/1"
    assert received.header("X-DashScope-OssResourceResolve") == "enable"


async def test_a_task_is_priced_by_what_was_sent_up() -> None:
    """The record's price inputs are the translated parameters, not the unified fields."""
    async with scripted(answering(task_answer())) as upstream, rig(upstream.url) as gateway:
        body = {**T2V, "ratio": "16:9", "resolution": "720p", "upstream_options": {"duration": 5}}
        raw = json.dumps(body).encode()
        await ask(gateway.url, gateway.post(raw, path=UNIFIED))
        record = await gateway.store.owner("task-1", "tenant-a")
    assert record is not None
    inputs = {"size": '"1280*720"', "duration": "5", "body_bytes": str(len(raw))}
    assert record.inputs == inputs


async def test_an_idempotency_key_makes_one_task() -> None:
    """The same call with the same key is answered again, in whichever façade it asks."""
    async with standing() as stand:
        token, key = await stand.token(), {"Idempotency-Key": "k-1"}
        first = await stand.ask("POST", UNIFIED, token, T2V, key)
        again = await stand.ask("POST", UNIFIED, token, T2V, key)
        compat = await stand.ask("POST", COMPAT, token, T2V, key)
        other = await stand.ask("POST", UNIFIED, token, {**T2V, "prompt": "a dog"}, key)
        assert len(stand.sandbox.tasks) == 1
    assert first.json() == again.json()
    assert again.headers["x-proxy-replayed"] == "true"
    assert compat.json()["id"] == first.json()["task_id"]
    assert (other.status, error_of(other.body)["code"]) == (422, "IdempotencyKeyReused")


@pytest.mark.parametrize("status", [400, 403, 429, 500, 503])
async def test_upstreams_refusals_keep_their_words(status: int) -> None:
    """Status, code and message are upstream's, in the façade's shape."""
    async with standing() as stand:
        token = await stand.token()
        answers = []
        for path in (UNIFIED, COMPAT):
            stand.sandbox.faults.add(method="POST", status=status)
            answers.append(await stand.ask("POST", path, token, T2V))
        stand.sandbox.faults.add(method="POST", status=status)
        native = await stand.ask("POST", "/task/bailian/text2video", token, {"model": "m"})
    said = native.json()
    error = error_of(answers[0].body)
    assert [answer.status for answer in answers] == [status, status]
    assert (error["code"], error["message"]) == (said["code"], said["message"])
    assert answers[1].json()["code"] == said["code"]
    assert answers[0].headers.get("x-should-retry") == native.headers.get("x-should-retry")


ODD = [
    (ok(b'{"code":"Gone.Wrong","message":"No.","request_id":"u"}'), 400, "Gone.Wrong"),
    (ok(b'{"output":{}}'), 502, "BadGateway"),
    (b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", 502, "BadGateway"),
    (b"HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\n<a/>", 502, "BadGateway"),
    (b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\n{}", 502, "BadGateway"),
    (b"HTTP/1.1 430 No\r\nContent-Length: 2\r\n\r\n{}", 502, "BadGateway"),
]


@pytest.mark.parametrize(("said", "status", "code"), ODD, ids=lambda value: str(value)[:40])
async def test_an_answer_without_a_task(said: bytes, status: int, code: str) -> None:
    """Neither a success without a task, nor a redirect, nor a page is a task; do not re-send."""
    async with scripted(answering(said)) as upstream, rig(upstream.url) as gateway:
        told = await ask(gateway.url, gateway.post(json.dumps(T2V).encode(), path=UNIFIED))
    assert (told.status, error_of(told.body)["code"]) == (status, code)
    assert told.value("x-should-retry") == b"false"


@pytest.mark.parametrize(("status", "code"), [(400, "BadRequest"), (429, "Throttling")])
async def test_a_refusal_without_a_code(status: int, code: str) -> None:
    """A status that blames the call is kept, with a code that goes with it."""
    said = b"HTTP/1.1 %d No\r\nContent-Length: 2\r\n\r\n{}" % status
    async with scripted(answering(said)) as upstream, rig(upstream.url) as gateway:
        told = await ask(gateway.url, gateway.post(json.dumps(T2V).encode(), path=UNIFIED))
    assert (told.status, error_of(told.body)["code"]) == (status, code)


async def test_another_success_is_a_success() -> None:
    """Upstream's 201 is told as 200, and nothing in it says that it went wrong."""
    created = task_answer().replace(b"200 OK", b"201 Created", 1)
    async with scripted(answering(created)) as upstream, rig(upstream.url) as gateway:
        told = await ask(gateway.url, gateway.post(json.dumps(T2V).encode(), path=UNIFIED))
    assert (told.status, told.json()) == (200, {"task_id": "task-1"})
    assert told.value("x-should-retry") is None


async def test_no_token_and_no_path() -> None:
    """Our own refusals have the façade's shape too: 401, 405."""
    async with standing() as stand:
        for path in (UNIFIED, COMPAT):
            nobody = await stand.ask("POST", path, None, T2V)
            wrong = await stand.ask("DELETE", path, await stand.token())
            codes = [json.loads(one.body) for one in (nobody, wrong)]
            inner = [told.get("error", told)["code"] for told in codes]
            assert (nobody.status, wrong.status) == (401, 405)
            assert inner == ["InvalidApiKey", "MethodNotAllowed"]


def test_a_body_has_a_limit_of_its_own() -> None:
    """A façade holds a body in memory: less than elsewhere, never more."""
    route = Route("f", frozenset({"POST"}), "/f", "/t", envelope=Envelope.UNIFIED)
    assert most_of(route, 4 * LARGEST) == LARGEST
    assert most_of(route, 7) == 7
    assert most_of(Route("n", frozenset({"POST"}), "/n", "/t"), 4 * LARGEST) == 4 * LARGEST


async def test_a_body_over_the_limit() -> None:
    """413 in the façade's shape, by its length at once; too many values are too large as well."""
    async with rig() as gateway:
        long = b'{"model":"m","prompt":"' + b"x" * LIMITS.max_body + b'"}'
        large = await ask(gateway.url, gateway.post(long, path=UNIFIED))
        many = b'{"model":"m","upstream_options":{"x":[' + b"[]," * 20_000 + b"[]]}}"
        told = await ask(gateway.url, gateway.post(many, path=UNIFIED))
    assert (large.status, error_of(large.body)["code"]) == (413, "BadRequest.TooLarge")
    assert (told.status, error_of(told.body)["code"]) == (413, "BadRequest.TooLarge")


@pytest.mark.parametrize("before", ["data:image/png;base64,", ""])
async def test_a_large_picture_crosses_whole(before: str) -> None:
    """Inlined base64 beyond what is kept in memory goes up unchanged, with `data:` or without."""
    picture = before + "A" * 700_000
    async with standing() as stand:
        token = await stand.token()
        bodies = [
            {"model": "wan2.5-i2v-preview", "image": picture, "prompt": str(n)} for n in (1, 2)
        ]
        done = await asyncio.gather(*(stand.ask("POST", UNIFIED, token, one) for one in bodies))
        received = [json.loads(one.body) for one in stand.sandbox.requests]
    assert [one.status for one in done] == [200, 200]
    assert all(one["input"]["img_url"] == picture for one in received)


async def test_no_room_for_one_more() -> None:
    """All bodies in translation share their room, which comes back, also from a refused one."""
    body = json.dumps(T2V).encode()
    limits = replace(LIMITS, unified=2 * len(body))
    async with (
        scripted(answering(task_answer())) as upstream,
        rig(upstream.url, limits=limits) as gateway,
    ):
        for _ in range(3):
            wrong = await ask(gateway.url, gateway.post(body[:-1] + b"   }", path=UNIFIED))
            refused = await ask(gateway.url, gateway.post(b'{"model":"m","x":1}', path=UNIFIED))
            right = await ask(gateway.url, gateway.post(body, path=UNIFIED))
            assert (wrong.status, refused.status, right.status) == (503, 400, 200)
            assert error_of(wrong.body)["code"] == "ServiceUnavailable"


async def test_hanging_up_makes_no_task() -> None:
    """Who leaves before the end of a unified body has sent nothing: nothing went up."""
    async with scripted(answering(task_answer())) as upstream, rig(upstream.url) as gateway:
        async with calling(gateway.url) as client:
            head = head_of("POST", UNIFIED, b"Content-Length: 1000")
            await client.send(head, b'{"model":"wan2.6-t2v","prompt":"')
            await eventually(lambda: gateway.telemetry.running)
            client.reset()
        visit = await gateway.finished()
        assert (visit.status, upstream.conversations) == (499, [])
