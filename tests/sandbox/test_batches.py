"""Files and batches: uploaded once, ordered by id, seen by their account alone."""

import aiohttp
from openai.types import Batch, FileObject
from sandbox.conftest import OTHER_KEY, Call

BASE = "/compatible-mode/v1"


def form() -> aiohttp.FormData:
    data = aiohttp.FormData()
    data.add_field("purpose", "batch")
    data.add_field("file", b'{"custom_id":"1"}\n', filename="jobs.jsonl")
    return data


async def test_a_batch_is_made_of_a_file(call: Call) -> None:
    """Both are found by id and in lists, in the shapes the client reads."""
    file = (await call("POST", f"{BASE}/files", data=form())).json()
    told = FileObject.model_validate(file)
    assert (told.filename, told.purpose, told.status) == ("jobs.jsonl", "batch", "processed")
    order = {
        "input_file_id": file["id"],
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
    }
    batch = (await call("POST", f"{BASE}/batches", json=order)).json()
    assert Batch.model_validate(batch).status == "validating"
    for path, thing in (("files", file), ("batches", batch)):
        assert (await call("GET", f"{BASE}/{path}/{thing['id']}")).json() == thing
        assert (await call("GET", f"{BASE}/{path}")).json()["data"] == [thing]
        assert (await call("GET", f"{BASE}/{path}", key=OTHER_KEY)).json()["data"] == []
        foreign = await call("GET", f"{BASE}/{path}/{thing['id']}", key=OTHER_KEY)
        assert foreign.status == 404


async def test_files_go(call: Call) -> None:
    """What was deleted is gone, and nothing can be ordered with it."""
    file = (await call("POST", f"{BASE}/files", data=form())).json()
    where = f"{BASE}/files/{file['id']}"
    assert (await call("DELETE", where)).json()["deleted"] is True
    assert (await call("GET", where)).status == 404
    order = {"input_file_id": file["id"]}
    assert (await call("POST", f"{BASE}/batches", json=order)).status == 404


async def test_an_upload_without_a_file(call: Call) -> None:
    """A form that lacks it is refused."""
    assert (await call("POST", f"{BASE}/files", data={"purpose": "batch"})).status == 400
