"""Collections of an account."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest

Call: TypeAlias = Callable[..., Awaitable[Any]]

FAMILIES = [
    ("fine-tunes", "job_id", "output", "jobs"),
    ("deployments", "deployed_model", "output", "deployments"),
    ("custom_models/import", "job_id", "output", "jobs"),
    ("assistants", "id", None, "data"),
    ("threads", "id", None, "data"),
    ("threads/t1/messages", "id", None, "data"),
    ("models/permissions", "id", "output", "permissions"),
]


def _inner(answer: dict[str, Any], wrapper: str | None) -> dict[str, Any]:
    found: dict[str, Any] = answer if wrapper is None else answer[wrapper]
    return found


@pytest.mark.parametrize(("path", "id_name", "wrapper", "rows"), FAMILIES)
async def test_a_things_life(
    call: Call, path: str, id_name: str, wrapper: str | None, rows: str
) -> None:
    """Made, listed, shown, changed and forgotten; what was sent is in it."""
    path = f"/api/v1/{path}"
    made = _inner((await call("POST", path, json={"mine": [1]})).json(), wrapper)
    name = made[id_name]
    assert made["mine"] == [1]
    assert [one[id_name] for one in _inner((await call("GET", path)).json(), wrapper)[rows]] == [
        name
    ]
    assert _inner((await call("POST", f"{path}/{name}/cancel")).json(), wrapper)["status"] == (
        "CANCELED"
    )
    assert _inner((await call("GET", f"{path}/{name}")).json(), wrapper)["status"] == "CANCELED"
    assert (await call("DELETE", f"{path}/{name}")).status == 200
    assert (await call("GET", f"{path}/{name}")).status == 404


async def test_another_account_has_its_own(call: Call) -> None:
    """Nobody sees what another key has made."""
    await call("POST", "/api/v1/deployments", json={})
    listed = (await call("GET", "/api/v1/deployments", key="sk-two")).json()
    assert listed["output"]["total"] == 0


async def test_files_come_as_a_form(call: Call) -> None:
    """A multipart upload makes a file, under `data`."""
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    body = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n{}\r\n--b--'
    answer = await call("POST", "/api/v1/files", data=body, headers=form)
    (made,) = answer.json()["data"]["uploaded_files"]
    shown = (await call("GET", f"/api/v1/files/{made['file_id']}")).json()["data"]
    assert shown["file_id"] == made["file_id"]


async def test_reports_and_events(call: Call) -> None:
    """Below a job stand its logs, and its events as a stream."""
    made = (await call("POST", "/api/v1/fine-tunes", json={"model": "qwen-turbo"})).json()
    path = f"/api/v1/fine-tunes/{made['output']['job_id']}"
    assert (await call("GET", f"{path}/logs")).json()["output"] == {"logs": [], "total": 0}
    events = await call("GET", f"{path}/stream")
    assert events.headers["content-type"].startswith("text/event-stream")
    assert b'"status":"PENDING"' in events.body
