"""The surface for tests in other processes."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from proxy.sandbox import Sandbox

Call: TypeAlias = Callable[..., Awaitable[Any]]
Submit: TypeAlias = Callable[..., Awaitable[str]]


async def test_faults_over_http(call: Call, sandbox: Sandbox) -> None:
    """A posted fault strikes the API, not the control surface, and can be taken back."""
    fault = {"match": {"path": "/api/"}, "times": None, "status": 503}
    assert (await call("POST", "/sandbox/faults", json=fault)).json() == {"faults": 1}
    assert (await call("GET", "/api/v1/models")).status == 503
    assert (await call("DELETE", "/sandbox/faults", key=None)).status == 200
    assert (await call("GET", "/sandbox/faults")).json() == {"faults": 0}
    assert len(sandbox.requests) == 1


async def test_a_wrong_fault_over_http(call: Call) -> None:
    """What is no fault is 400 and says why."""
    for payload, word in (({"colour": 1}, "colour"), ({"match": 3}, ""), ([], "")):
        reply = await call("POST", "/sandbox/faults", json=payload)
        assert reply.status == 400
        assert word in reply.json()["message"]
    assert (await call("POST", "/sandbox/faults", data=b"{")).status == 400
    assert (await call("GET", "/sandbox/nothing")).status == 404


async def test_requests_over_http(call: Call, submit: Submit) -> None:
    """The log shows requests as received, and can be emptied."""
    await submit()
    (entry,) = (await call("GET", "/sandbox/requests")).json()["requests"]
    assert (entry["method"], entry["framing"], entry["complete"]) == (
        "POST",
        "content-length",
        True,
    )
    assert ["Authorization", "Bearer sk-one"] in entry["headers"]
    assert entry["size"] == len(entry["body"])
    await call("DELETE", "/sandbox/requests")
    assert (await call("GET", "/sandbox/requests")).json() == {"requests": []}


async def test_the_ledger_over_http(call: Call, submit: Submit) -> None:
    """The ledger shows counts and tasks, to be compared with the proxy's records."""
    task_id = await submit()
    shown = (await call("GET", "/sandbox/ledger")).json()
    assert shown["created"] == [{"account": "sk-one", "model": "wan2.6-t2v", "count": 1}]
    task = {"task_id": task_id, "account": "sk-one", "model": "wan2.6-t2v", "status": "PENDING"}
    assert shown["tasks"] == [task]
