"""`GET /usage` on the administrative listener, and nowhere else."""

import csv
import io
import time

import pytest
from edge.rig import ask, request
from harness import Answer, Stand, standing

from proxy.core.beijing import day_of
from proxy.core.settlement import Basis, Kind, Settlement, UsageRecord

NOW = time.time()


async def usage(stand: Stand, question: str = "") -> Answer:
    raw = await ask(stand.admin_url, request("GET", f"/usage{question}", None, token=None))
    headers = {"content-type": raw.values("content-type")[0].decode()}
    return Answer(raw.status, headers, raw.body)


async def used(stand: Stand) -> None:
    """One call of a token that is known, and one of a token that is gone."""
    await stand.token(name="alice", tenant="studio")
    known = [grant async for _, grant in stand.proxy.store.grants()]
    ids = [str(getattr(grant, "id", "")) for grant in known]
    records = tuple(
        UsageRecord(
            *(f"call-{at}", Kind.CALL, "studio", identity, "main", f"model-{at}", "SUCCEEDED"),
            *(NOW, NOW + 1),
            amount=1_000_000_001,
            currency="CNY",
            basis=Basis.USAGE,
        )
        for at, identity in enumerate([*ids, "tok_gone"])
    )
    await stand.proxy.store.settle(Settlement("test", 1, records))


async def test_json_and_csv() -> None:
    """The same questions as `dashscope-proxy usage` has flags, the same answers."""
    async with standing({"PROXY_STORE": "memory:"}) as stand:
        await used(stand)
        told = (await usage(stand)).json()
        assert (told["since"], told["by"]) == (f"{day_of(NOW)[:7]}-01", ["token"])
        assert [line["name"] for line in told["lines"]] == ["alice", ""]  # type: ignore[attr-defined]  # JSON as it came
        assert told["total"] == [{**told["total"][0], "amount": "2.000000002", "records": 2}]  # type: ignore[index]  # as above
        answer = await usage(stand, "?by=day&by=model&model=model-1&format=csv")
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        rows = list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))
        assert [(row["day"], row["model"], row["amount"]) for row in rows] == [
            (day_of(NOW), "model-1", "1.000000001")
        ]


MISTAKES = [
    ("?by=colour", "by: 'colour' is not one of day, tenant, token, model"),
    ("?since=monday", "since: 'monday' is no day, as in 2026-11-20"),
    ("?until=2026-11-01&until=2026-11-02", "until: is given more than once"),
    ("?format=xml", "format: 'xml' is not one of json, csv"),
    ("?format=csv&format=csv", "format: is given more than once"),
    ("?model=", "model: must not be empty"),
    ("?tenant=a&tenant=", "tenant: must not be empty"),
    ("?tokens=a", "tokens: is not one of by, since, until, tenant, token, model"),
]


@pytest.mark.parametrize(("question", "problem"), MISTAKES)
async def test_a_mistake_is_told(question: str, problem: str) -> None:
    """400, with the parameter at fault, and what would be right."""
    async with standing({"PROXY_STORE": "memory:"}) as stand:
        answer = await usage(stand, question)
        assert (answer.status, answer.headers["content-type"]) == (
            *(400, "application/json; charset=utf-8"),
        )
        assert answer.json()["code"] == "BadRequest.IllegalInput"
        assert str(answer.json()["message"]).startswith(problem)


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_other_methods_are_refused_as_json(method: str) -> None:
    """As everything here is told; `Allow` says what would do."""
    async with standing({"PROXY_STORE": "memory:"}) as stand:
        raw = await ask(stand.admin_url, request(method, "/usage", None, token=None))
        assert (raw.status, raw.json()["code"]) == (405, "MethodNotAllowed")
        assert raw.values("allow") == [b"GET, HEAD"]


async def test_a_store_that_is_away() -> None:
    """503, as JSON: nobody should take it for a month without usage."""
    async with standing({"PROXY_STORE": "memory:"}) as stand:
        await stand.proxy.store.close()
        answer = await usage(stand)
        assert (answer.status, answer.json()["code"]) == (503, "ServiceUnavailable")
        await stand.proxy.store.open()
        assert (await usage(stand)).status == 200


async def test_it_is_not_public() -> None:
    """The public listener knows no such path, whatever the token may do."""
    async with standing({"PROXY_STORE": "memory:"}) as stand:
        token = await stand.token("*", scopes=["inference", "account"])
        answer = await stand.ask("GET", "/usage", token)
        assert (answer.status, answer.json()["code"]) == (404, "NotFound")
