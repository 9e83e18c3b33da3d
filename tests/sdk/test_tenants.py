"""Two tenants: whatever made a task, and whichever way one asks, it is its owner's alone.

Every route that creates tasks is tried under every alias, and every task is looked for through
every alias for polling, cancelling and listing. To anybody else it is as unknown as a task that
never was: the same status, the same header, the same bytes.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from harness import Answer, Stand, standing

from proxy.cli.minting import rotate
from proxy.config.routing import PACKAGED, load_routing
from proxy.core.policy import digest_of
from proxy.core.retelling import FACADES
from proxy.core.routes import Envelope
from proxy.core.target import parse_target

NATIVE = ("/api/v1", "/alibailian/api/v1", "/task/bailian")

PATHS = {
    "aigc/video-generation/video-synthesis": "wan2.6-t2v",
    "aigc/image2video/video-synthesis": "wan2.2-kf2v-flash",
    "aigc/image2video/video-synthesis/": "wan2.2-animate-mix",
    "aigc/image2video/aa-template-generation/": "animate-anyone-template-gen2",
    "aigc/video-generation/3d-generation": "tripo",
    "aigc/text2image/image-synthesis": "wan2.2-t2i-flash",
    "aigc/image-generation/generation": "wan2.6-image",
    "aigc/image2image/image-synthesis": "wanx2.1-imageedit",
    "aigc/image2image/image-synthesis/": "qwen-mt-image",
    "aigc/image2image/out-painting": "image-out-painting",
    "aigc/background-generation/generation/": "wanx-background-generation-v2",
    "aigc/virtualmodel/generation": "wanx-virtualmodel",
    "aigc/virtualmodel/generation/": "shoemodel-v1",
    "aigc/wordart/texture": "wordart-texture",
    "aigc/wordart/semantic": "wordart-semantic",
    "audio/asr/transcription": "paraformer-v2",
    "embeddings/text-embedding/text-embedding": "text-embedding-async-v2",
}
"""What upstream serves as a task, and a model for it."""

SUBMITS = [
    *((f"{native}/services/{path}", model) for native in NATIVE for path, model in PATHS.items()),
    ("/task/bailian/text2video", "wan2.6-t2v"),
    ("/task/bailian/image2video", "wan2.6-i2v"),
    ("/task/bailian/image2video", "wan2.2-kf2v-flash"),
]
ASYNC = {"X-DashScope-Async": "enable"}

POLLS = [
    *(f"{native}/tasks/{{}}{slash}" for native in NATIVE for slash in ("", "/")),
    *("/task/{}", "/task/{}/", "/task/bailian/{}", "/task/bailian/{}/"),
]
CANCELS = [f"{native}/tasks/{{}}/cancel{slash}" for native in NATIVE for slash in ("", "/")]
LISTS = [f"{native}/tasks{slash}" for native in NATIVE for slash in ("", "/")]

NEVER_MADE = ("00000000-0000-4000-8000-000000000000", "x", "x" * 129, "a%20b", "a.b")


async def submit(stand: Stand, token: str, path: str, model: str) -> str:
    body = {"model": model, "input": {"prompt": "a", "file_urls": ["https://example.com/a"]}}
    answer = await stand.ask("POST", path, token, body, ASYNC)
    assert answer.status == 200, answer
    return str(json.loads(answer.body)["output"]["task_id"])


def state(answer: Answer) -> tuple[int, str | None]:
    """Status, and that of the task when there is one."""
    return answer.status, json.loads(answer.body).get("output", {}).get("task_status")


def ids_in(answer: Answer) -> list[str]:
    assert answer.status == 200, answer
    return [row["task_id"] for row in json.loads(answer.body)["data"]]


def bare(answer: Answer) -> tuple[int, dict[str, str], bytes]:
    """An answer without what differs between any two: request id and date."""
    request_id = answer.headers["x-proxy-request-id"]
    header = {
        name: value
        for name, value in answer.headers.items()
        if name not in {"x-proxy-request-id", "date"}
    }
    return answer.status, header, answer.body.replace(request_id.encode(), b"")


async def refusals(stand: Stand, token: str, task_ids: Iterable[str]) -> list[object]:
    """What polling and cancelling answer, per id: all aliases."""
    return [
        [
            bare(await stand.ask(method, path.format(task_id), token))
            for method, paths in (("GET", POLLS), ("POST", CANCELS))
            for path in paths
        ]
        for task_id in task_ids
    ]


def test_no_route_is_forgotten(tmp_path: Path) -> None:
    """Every route that makes tasks is tried here, under each of its aliases.

    Some claim tasks that upstream does not make there today (`tokenizer`, `customization`, and
    everything in other protocols).
    """
    table = load_routing(PACKAGED, {"HOME": str(tmp_path)}).table
    tried = {table.match("POST", parse_target(path)).route.pattern for path, _ in SUBMITS}
    never = {"tokenizer", "nlu", "code-generation", "customization"}
    native = [route for route in table.routes if route.envelope is Envelope.NATIVE]
    assert tried == {r.pattern for r in native if r.claims and r.name not in never}
    polled = {table.match("GET", parse_target(path.format("id"))).route.pattern for path in POLLS}
    cancelled = {
        table.match("POST", parse_target(path.format("id"))).route.pattern for path in CANCELS
    }
    facades = {
        route.pattern for route in table.routes if route.envelope in FACADES
    }  # edge/test_facades.py
    assert polled | cancelled == {r.pattern for r in table.routes if r.task} - facades


@pytest.mark.parametrize(("path", "model"), SUBMITS, ids=lambda value: value)
async def test_a_task_is_its_tenants_alone(path: str, model: str) -> None:
    """Polled, cancelled or listed by another tenant, it is like one that never was.

    Nothing of it shows, upstream hears nothing, and it goes on unharmed for its owner.
    """
    async with standing() as stand:
        owner, other = await stand.token(), await stand.token()
        task_id = await submit(stand, owner, path, model)

        asked = len(stand.sandbox.requests)
        foreign, *unknown = await refusals(stand, other, (task_id, *NEVER_MADE))
        assert unknown == [foreign] * len(NEVER_MADE)
        for listing in LISTS:
            for query in ("", f"?task_id={task_id}", f"?model_name={model}", "?status=PENDING"):
                shown = await stand.ask("GET", listing + query, other)
                assert (ids_in(shown), shown.json()["total"]) == ([], 0)
                assert task_id.encode() not in shown.body
        assert len(stand.sandbox.requests) == asked

        assert [state(await stand.ask("GET", LISTS[0], owner))] == [(200, None)]
        for listing in LISTS:
            assert ids_in(await stand.ask("GET", listing, owner)) == [task_id]
        polled = [state(await stand.ask("GET", poll.format(task_id), owner)) for poll in POLLS]
        assert polled == [(200, "RUNNING"), *[(200, "SUCCEEDED")] * (len(POLLS) - 1)]


async def test_the_refusal_itself() -> None:
    """400 `task_not_exist` with `"data":null`, in every alias, for polls and for cancels."""
    async with standing() as stand:
        (told,) = await refusals(stand, await stand.token(), ["never-made"])
        assert isinstance(told, list)
        header = {"content-type": "application/json", "server": "dashscope-proxy"}
        body = b'{"code":"task_not_exist","message":"task_not_exist","request_id":"","data":null}'
        length = {"content-length": str(len(body) + 32)}
        retry = {"x-should-retry": "false"}
        assert told == [
            *[(400, header | length, body)] * len(POLLS),
            *[(400, header | length | retry, body)] * len(CANCELS),
        ]


@pytest.mark.parametrize("cancel", CANCELS)
async def test_cancelling_is_for_the_tenant(cancel: str) -> None:
    """Through every alias the tenant cancels what another tenant could not."""
    async with standing() as stand:
        owner, colleague = await stand.token(tenant="t"), await stand.token(tenant="t")
        other = await stand.token()
        task_id = await stand.submit(owner)
        assert (await stand.ask("POST", cancel.format(task_id), other)).status == 400
        assert [stand.sandbox.tasks.status(task) for task in stand.sandbox.tasks] == ["PENDING"]
        assert (await stand.ask("POST", cancel.format(task_id), colleague)).status == 200
        assert state(await stand.ask("GET", f"/task/{task_id}", owner)) == (200, "CANCELED")


@pytest.mark.parametrize(("path", "model"), SUBMITS[-4:], ids=lambda value: value)
async def test_tokens_of_one_tenant_share_their_tasks(path: str, model: str) -> None:
    """Two tokens of one tenant see each other's tasks, each with the token that made it."""
    async with standing() as stand:
        one, two = await stand.token(tenant="t"), await stand.token(tenant="t")
        first = await submit(stand, one, path, model)
        second = await submit(stand, two, path, model)
        for token in (one, two):
            for listing in LISTS:
                assert ids_in(await stand.ask("GET", listing, token)) == [second, first]
        rows = json.loads((await stand.ask("GET", LISTS[0], one)).body)["data"]
        assert rows[0]["api_key_id"] != rows[1]["api_key_id"]
        assert [state(await stand.ask("GET", poll.format(first), two))[0] for poll in POLLS] == [
            200
        ] * len(POLLS)


async def test_tasks_outlive_their_token() -> None:
    """A rotated token keeps its tasks; of a revoked one they stay with the tenant."""
    async with standing() as stand:
        store = stand.proxy.store
        old = await stand.token(tenant="t")
        task_id = await stand.submit(old)
        grant = await store.grant(digest_of(old))
        assert grant is not None
        new = await rotate(store, digest_of(old), grant, 0)
        assert (await stand.ask("GET", f"/task/{task_id}", old)).status == 401
        assert state(await stand.ask("GET", f"/task/{task_id}", new)) == (200, "RUNNING")
        assert ids_in(await stand.ask("GET", LISTS[0], new)) == [task_id]

        await store.remove_grant(digest_of(new))
        successor, stranger = await stand.token(tenant="t"), await stand.token()
        assert (await stand.ask("GET", f"/task/{task_id}", new)).status == 401
        assert state(await stand.ask("GET", f"/task/{task_id}", successor)) == (200, "SUCCEEDED")
        assert (await stand.ask("GET", f"/task/{task_id}", stranger)).status == 400
