"""The limit on task queries: by account, over the last second."""

import pytest
from sandbox.conftest import KEY, OTHER_KEY, Call

from proxy.sandbox import Sandbox
from proxy.sandbox.answers import RefusalError
from proxy.sandbox.quota import QueryQuota


def test_so_many_in_any_second() -> None:
    """The oldest makes room when it is a second old; what was refused takes none."""
    now = 100.0
    quota = QueryQuota(2, lambda: now)
    quota.take("a")
    now = 100.5
    quota.take("a")
    now = 100.9
    with pytest.raises(RefusalError) as caught:
        quota.take("a")
    assert (caught.value.status, caught.value.code) == (429, "Throttling.RateQuota")
    now = 101.0
    quota.take("a")
    with pytest.raises(RefusalError):
        quota.take("a")
    assert quota.refused == 2


def test_accounts_do_not_share() -> None:
    """Each has its own; without a limit there is none."""
    quota = QueryQuota(1, lambda: 0.0)
    quota.take("a")
    quota.take("b")
    unlimited = QueryQuota(None, lambda: 0.0)
    for _ in range(100):
        unlimited.take("a")


async def test_a_poll_too_many(call: Call) -> None:
    """429 in native form; submits and lists are not counted."""
    now = 100.0
    async with Sandbox(keys=[KEY, OTHER_KEY], queries_per_second=1, clock=lambda: now) as limited:
        url = f"{limited.url}/api/v1/tasks/t1"
        assert (await call("GET", url)).status == 200
        refused = await call("GET", url)
        assert refused.status == 429
        assert set(refused.json()) == {"code", "message", "request_id"}
        assert refused.json()["code"] == "Throttling.RateQuota"
        assert (await call("GET", url, key=OTHER_KEY)).status == 200
        assert (await call("GET", f"{limited.url}/api/v1/tasks")).status == 200
