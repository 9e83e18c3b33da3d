"""Calls that are relayed as they come: what their answer is, and what is noted of it."""

import time

import pytest
from edge.rig import BODY, PLAIN, TOKEN, answering, ask, head_of, ok, request, rig, scripted
from edge.rig import TENANT as OWNER

from proxy.core.limits import Limits
from proxy.core.policy import Grant, digest_of
from proxy.core.tasks import TaskRecord


async def test_upstreams_head_stands_on_the_line() -> None:
    """Its status and its id of the request."""
    answer = b"HTTP/1.1 418 Teapot\r\nX-Request-Id: up-7\r\nContent-Length: 0\r\n\r\n"
    async with scripted(answering(answer)) as upstream, rig(upstream.url) as made:
        assert (await ask(made.url, request("POST", PLAIN, BODY))).status == 418
        visit = await made.finished()
        assert (visit.upstream_status, visit.upstream_request_id) == (418, "up-7")


async def test_nobody_changes_the_protocol_unasked() -> None:
    """A 101 that was not asked for is no answer."""
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"
    async with scripted(answering(answer)) as upstream, rig(upstream.url) as made:
        assert (await ask(made.url, request("POST", PLAIN, BODY))).status == 502


@pytest.mark.parametrize("path", ["/api/v1/tasks/t1/cancel"])
async def test_meddling_with_a_task_is_not_limited(path: str) -> None:
    """Who may not make another task may still stop this one."""
    async with (
        scripted(answering(ok(b'{"request_id":"x"}'))) as upstream,
        rig(upstream.url) as made,
    ):
        limits = Limits(requests_per_minute=0, budget_total=0)
        grant = Grant("g1", "caller", OWNER, ("*",), limits=limits)
        await made.store.save_grant(digest_of(TOKEN), grant)
        await made.store.claim(TaskRecord("t1", OWNER, "g1", "main", "m", time.time()))
        answer = await ask(made.url, head_of("POST", path, b"Content-Length: 0"))
        assert (answer.status, answer.value("x-ratelimit-limit-requests")) == (200, None)
