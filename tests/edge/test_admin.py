"""The administrative listener: alive, ready, counted; and nothing of it in public."""

import pytest
from edge.rig import ask, eventually, request
from harness import Stand, standing

from proxy.edge.health import THRESHOLD


async def admin(stand: Stand, path: str) -> tuple[int, dict[str, object]]:
    answer = await ask(stand.admin_url, request("GET", path, None, token=None))
    return answer.status, answer.json()


async def test_alive_and_ready() -> None:
    """A process whose store answers and whose account is not known to be bad is both."""
    async with standing() as stand:
        assert await admin(stand, "/healthz") == (200, {"status": "ok"})
        assert await admin(stand, "/readyz") == (
            200,
            {"status": "ok", "store": "ok", "upstream": "ok"},
        )


async def test_a_store_that_is_away_makes_it_unready() -> None:
    """Without its store a process is alive, since a restart would not help, and not ready."""
    async with standing({"PROXY_STORE": "memory:"}) as stand:
        await stand.proxy.store.close()
        assert (await admin(stand, "/healthz"))[0] == 200
        status, found = await admin(stand, "/readyz")
        assert (status, found["status"], found["store"]) == (503, "not ready", "unavailable")
        await stand.proxy.store.open()
        assert (await admin(stand, "/readyz"))[0] == 200


async def test_an_account_that_does_not_answer_makes_it_unready() -> None:
    """When no account answers, traffic is better sent elsewhere."""
    async with standing({"PROXY_UPSTREAM": "http://127.0.0.1:1"}) as stand:
        token = await stand.token("*")
        for _ in range(THRESHOLD):
            assert (await stand.ask("GET", "/api/v1/uploads?model=m", token)).status == 502
        status, found = await admin(stand, "/readyz")
        assert (status, found["store"]) == (503, "ok")
        assert "127.0.0.1" not in str(found)


async def test_a_key_that_upstream_refuses_makes_it_unready() -> None:
    """The account's key no longer counts: every request would fail."""
    async with standing({"DASHSCOPE_API_KEY": "sk-revoked-long-ago"}) as stand:
        token = await stand.token("*")
        for _ in range(THRESHOLD):
            answer = await stand.ask("GET", "/api/v1/uploads?action=getPolicy&model=m", token)
            assert answer.status == 401
        assert (await admin(stand, "/readyz"))[0] == 503


async def test_metrics() -> None:
    """What was served is counted by route, status and code, in Prometheus' own format."""
    async with standing() as stand:
        token = await stand.token("wan2.6-*")
        await stand.submit(token)
        await stand.ask("POST", "/task/bailian/text2video", token, {"model": "other"})
        await eventually(lambda: len(stand.requests) == 2)
        answer = await ask(stand.admin_url, request("GET", "/metrics", None, token=None))
        assert answer.values("content-type")[0].startswith(b"text/plain; version=")
        page = answer.body.decode()
        assert 'requests_total{code="",route="text2video",status="200"} 1.0' in page
        assert 'code="model_not_found",route="text2video",status="403"} 1.0' in page
        assert "dashscope_proxy_running_requests 0.0" in page
        assert token not in page


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_none_of_it_is_public(path: str) -> None:
    """The public listener knows no such path, with a token or without."""
    async with standing() as stand:
        token = await stand.token("*", scopes=["inference", "account"])
        for given in (None, token):
            answer = await stand.ask("GET", path, given)
            assert (answer.status, answer.json()["code"]) == (404, "NotFound")
