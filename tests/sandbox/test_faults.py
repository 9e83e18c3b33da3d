"""Which fault strikes whom, how often, and what it answers."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest

from proxy.sandbox import Fault, Sandbox
from proxy.sandbox.faults import NO_FAULT, FaultBook, fault_from_json

Call: TypeAlias = Callable[..., Awaitable[Any]]

VIDEO = "/api/v1/services/aigc/video-generation/video-synthesis"
ASYNC = {"X-DashScope-Async": "enable"}


def test_faults_are_spent() -> None:
    """A fault strikes `times` times, the oldest first, one a request."""
    book = FaultBook()
    twice, once = book.add(status=429, times=2), book.add(status=500)
    struck = [book.strike("GET", "/x", None) for _ in range(4)]
    assert struck == [twice, twice, once, NO_FAULT]
    assert len(book) == 0


def test_a_lasting_fault() -> None:
    """`times=None` lasts until cleared."""
    book = FaultBook()
    fault = book.add(Fault(status=503, times=None))
    assert [book.strike("GET", "/x", None) for _ in range(9)] == [fault] * 9
    book.clear()
    assert book.strike("GET", "/x", None) is NO_FAULT


MATCHES = [
    ({}, True),
    ({"method": "POST", "path": "/api/", "model": "m"}, True),
    ({"method": "GET"}, False),
    ({"path": "/api/v2"}, False),
    ({"model": "n"}, False),
]


@pytest.mark.parametrize(("which", "expected"), MATCHES)
def test_matching(which: dict[str, str], expected: bool) -> None:  # noqa: FBT001 - a column of the table
    """Method and model are exact, the path is a prefix, absent means any."""
    fault = fault_from_json({"status": 500, "match": which})
    assert fault.matches("POST", "/api/v1/x", "m") is expected


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_status_comes_before_any_work(call: Call, sandbox: Sandbox, status: int) -> None:
    """A status is native JSON, made before anything is done; the next call goes through."""
    sandbox.faults.add(status=status, path=VIDEO, model="wan2.6-t2v", headers={"Retry-After": "1"})
    body = {"model": "wan2.6-t2v", "input": {"prompt": "a"}}
    reply = await call("POST", VIDEO, json=body, headers=ASYNC)
    assert reply.status == status
    assert set(reply.json()) == {"code", "message", "request_id"}
    assert reply.headers["retry-after"] == "1"
    assert not sandbox.tasks.created
    assert (await call("POST", VIDEO, json=body, headers=ASYNC)).status == 200


async def test_a_foreign_body(call: Call, sandbox: Sandbox) -> None:
    """`body` and `content_type` replace the native answer, as a gateway's HTML page would."""
    sandbox.faults.add(status=502, body="<h1>Bad</h1>", content_type="text/html")
    reply = await call("GET", "/api/v1/models")
    assert (reply.status, reply.headers["content-type"]) == (502, "text/html")
    assert reply.body == b"<h1>Bad</h1>"


async def test_early(call: Call, sandbox: Sandbox) -> None:
    """`early` answers while the body is still under way."""
    sandbox.faults.add(early=429)
    reply = await call("POST", VIDEO, data=b"x" * 100_000, headers=ASYNC)
    assert reply.status == 429
    assert (sandbox.requests[0].size, sandbox.requests[0].complete) == (0, False)


@pytest.mark.parametrize("status", [408, 504])
async def test_late(call: Call, sandbox: Sandbox, status: int) -> None:
    """`late` answers when all was done: there is a task, and the answer does not tell."""
    sandbox.faults.add(late=status, path=VIDEO)
    body = {"model": "wan2.6-t2v", "input": {"prompt": "a"}}
    reply = await call("POST", VIDEO, json=body, headers=ASYNC)
    (task,) = sandbox.tasks
    assert (reply.status, task.id in reply.body.decode()) == (status, False)
    assert set(reply.json()) == {"code", "message", "request_id"}


async def test_late_and_refused(call: Call, sandbox: Sandbox) -> None:
    """What is refused anyway is refused in its own words."""
    sandbox.faults.add(late=504, path=VIDEO)
    reply = await call("POST", VIDEO, json={"model": ""}, headers=ASYNC)
    assert (reply.status, len(sandbox.tasks)) == (400, 0)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"status": "429"}, "status: '429' is not int"),
    ({"reset": "sometimes"}, "reset: 'sometimes'"),
    ({"colour": "red"}, "colour: not a field"),
    ({"late": "500"}, "late: '500' is not int"),
    ({"early": 429, "match": {"model": "m"}}, "model: not known before"),
]


@pytest.mark.parametrize(("payload", "message"), WRONG)
def test_a_wrong_fault_names_its_field(payload: dict[str, Any], message: str) -> None:
    """What cannot be understood is refused by the name of the field."""
    with pytest.raises(ValueError, match=f"^{message}"):
        fault_from_json(payload)
