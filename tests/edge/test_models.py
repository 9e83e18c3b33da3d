"""The catalogue as a caller sees it: gathered from all pages and accounts, narrowed, paged anew."""

import asyncio
import json
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
from edge.rig import (
    KEY,
    LIMITS,
    TOKEN,
    Conversation,
    Message,
    Rig,
    Script,
    account,
    answering,
    ask,
    eventually,
    ok,
    request,
    rig,
    scripted,
)

from proxy.core.policy import Grant, digest_of
from proxy.sandbox import Sandbox


def entry(name: str, **more: object) -> dict[str, object]:
    return {"model": name, "name": name, **more}


class Catalogue:
    """An upstream with these models, that gives at most `most` of them at a time."""

    def __init__(self, *names: str, most: int = 100, **more: object) -> None:
        self.entries = [entry(name, **more) for name in names]
        self.most = most
        self.queries: list[dict[str, list[str]]] = []

    async def __call__(self, told: Conversation) -> None:
        await told.whole()
        query = parse_qs(urlsplit(told.target.decode()).query)
        self.queries.append(query)
        number, size = int(query["page_no"][0]), min(int(query["page_size"][0]), self.most)
        page = self.entries[(number - 1) * size : number * size]
        output = {"total": len(self.entries), "page_no": number, "page_size": size, "models": page}
        whole = {"success": True, "code": None, "request_id": f"up-{number}", "output": output}
        await told.send(ok(json.dumps(whole).encode()))


async def listed(url: str, query: str = "") -> Message:
    return await ask(url, request("GET", f"/api/v1/models{query}", None))


def names(answer: Message) -> list[str]:
    output = answer.json()["output"]
    assert isinstance(output, dict)
    return [model["model"] for model in output["models"]]


async def test_only_what_the_token_may_use() -> None:
    """Entries cross as they came, those of other models do not; the count is of what is left."""
    upstream = Catalogue("qwen-plus", "wan2.6-t2v", "wan2.6-i2v", extra={"価": [1, 2.50]})
    async with scripted(upstream) as server, rig(server.url, models=("wan2.6-*",)) as made:
        answer = await listed(made.url)
        assert answer.status == 200
        output = answer.json()["output"]
        assert output == {
            "total": 2,
            "page_no": 1,
            "page_size": 10,
            "models": upstream.entries[1:],
        }
        assert answer.json()["code"] is None
        assert answer.values("content-type") == [b"application/json"]


@pytest.mark.parametrize("most", [100, 20, 7])
async def test_all_pages_are_gathered(most: int) -> None:
    """However many upstream gives at a time, what the caller may use is found, and paged anew."""
    upstream = Catalogue(
        *[f"m{n:03}-{'yes' if n % 50 == 49 else 'no'}" for n in range(250)], most=most
    )
    async with scripted(upstream) as server, rig(server.url, models=("*-yes",)) as made:
        assert names(await listed(made.url)) == [f"m{n:03}-yes" for n in range(49, 250, 50)]
        assert names(await listed(made.url, "?page_no=2&page_size=3")) == ["m199-yes", "m249-yes"]
        assert names(await listed(made.url, "?page_no=9")) == []


async def test_filters_go_up_and_paging_stays() -> None:
    """What the caller filters by is upstream's to apply; which page it wants is ours."""
    upstream = Catalogue("a")
    async with scripted(upstream) as server, rig(server.url) as made:
        await listed(made.url, "?providers=qwen&providers=wan&page_no=3&name=x%20y")
        (query,) = upstream.queries
        assert query == {
            "providers": ["qwen", "wan"],
            "name": ["x y"],
            "page_no": ["1"],
            "page_size": ["100"],
        }


async def test_all_accounts_are_asked() -> None:
    """Each account adds what it is bound to run; a model of both is listed once."""
    one, two = Catalogue("qwen-plus", "wan2.6-t2v"), Catalogue("wan2.6-t2v", "wan2.6-i2v", "qwen-x")
    async with scripted(one) as first, scripted(two) as second:
        accounts = [
            account(first.url, "one"),
            replace(account(second.url, "two"), models=("wan2.6-*",)),
        ]
        async with rig(accounts=accounts) as made:
            assert names(await listed(made.url)) == ["qwen-plus", "wan2.6-t2v", "wan2.6-i2v"]
            sent = second.conversations[0].request
            assert sent.values("authorization") == [f"Bearer {KEY}-two".encode()]


def refusing(status: int) -> Script:
    """An upstream that answers everything with this status."""
    return answering(b"HTTP/1.1 %d No\r\nContent-Length: 2\r\n\r\n{}" % status)


@pytest.mark.parametrize("broken", [refusing(401), answering(close=True), answering(ok(b"<html>"))])
@pytest.mark.parametrize("first", [True, False])
async def test_one_account_that_fails_takes_off_its_own_models(
    broken: Script, *, first: bool
) -> None:
    """A list without them helps more than none, whichever account it is and however it fails."""
    good = Catalogue("qwen-plus")
    async with scripted(broken) as bad, scripted(good) as server:
        accounts = [account(server.url, "good"), account(bad.url, "bad")]
        async with rig(accounts=accounts[::-1] if first else accounts) as made:
            answer = await listed(made.url)
            assert (answer.status, names(answer)) == (200, ["qwen-plus"])
            assert answer.json()["request_id"] == "up-1"


async def test_a_silent_account_is_given_up() -> None:
    """It costs the list its own models and some patience, and nothing else."""
    over = asyncio.Event()

    async def silent(told: Conversation) -> None:
        await told.whole()
        await over.wait()

    async with scripted(silent) as bad, scripted(Catalogue("qwen-plus")) as server:
        accounts = [account(bad.url, "bad"), account(server.url, "good")]
        async with rig(accounts=accounts, limits=replace(LIMITS, read_timeout=0.2)) as made:
            assert names(await listed(made.url)) == ["qwen-plus"]
            assert bad.conversations
        over.set()


async def test_the_first_failure_is_told_when_none_answers() -> None:
    """With every account failing the caller hears why of the first."""
    async with scripted(refusing(403)) as one, scripted(refusing(500)) as two:
        accounts = [account(one.url, "one"), account(two.url, "two")]
        async with rig(accounts=accounts) as made:
            answer = await listed(made.url)
            assert (answer.status, answer.code) == (502, "BadGateway")
            assert "403" in str(answer.json()["message"])


async def test_accounts_are_asked_at_once() -> None:
    """None waits for another: each answers only when both have been asked."""
    asked = asyncio.Barrier(2)

    def together(catalogue: Catalogue) -> Script:
        async def script(told: Conversation) -> None:
            await asked.wait()
            await catalogue(told)

        return script

    one, two = together(Catalogue("a")), together(Catalogue("b"))
    async with (
        scripted(one) as first,
        scripted(two) as second,
        rig(accounts=[account(first.url, "1"), account(second.url, "2")]) as made,
    ):
        assert names(await listed(made.url)) == ["a", "b"]


async def test_what_a_caller_has_already_changes_nothing() -> None:
    """Conditions and ranges are for the answer to the caller, which is another one."""

    async def script(told: Conversation) -> None:
        message = await told.whole()
        if any(name.lower().startswith((b"if-", b"range")) for name, _ in message.fields):
            await told.send(b"HTTP/1.1 304 Not Modified\r\n\r\n")
        await told.send(ok(b'{"output":{"models":[{"model":"a"}]}}'))

    async with scripted(script) as server, rig(server.url) as made:
        for field in (b'If-None-Match: "x"', b"Range: bytes=0-4", b"If-Modified-Since: x"):
            asked = request("GET", "/api/v1/models", None, field)
            assert names(await ask(made.url, asked)) == ["a"]


async def test_an_account_that_never_ends_is_given_up() -> None:
    """Its patience is for the whole list, not for each byte of it."""

    async def trickling(told: Conversation) -> None:
        await told.whole()
        await told.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not told.reader.at_eof():
            await told.send(b" ")
            await asyncio.sleep(0.02)

    async with scripted(trickling) as bad, scripted(Catalogue("qwen-plus")) as server:
        accounts = [account(bad.url, "bad"), account(server.url, "good")]
        async with rig(accounts=accounts, limits=replace(LIMITS, read_timeout=0.3)) as made:
            assert names(await listed(made.url)) == ["qwen-plus"]
            (fact,) = made.telemetry.named("models_failing")
            assert fact["account"] == "bad"


async def test_an_outage_is_told_once() -> None:
    """With the account's name and why, however many ask meanwhile; no secret is in it."""
    async with scripted(refusing(401)) as bad, scripted(Catalogue("a")) as server:
        accounts = [account(bad.url, "bad"), account(server.url, "good")]
        async with rig(accounts=accounts, limits=replace(LIMITS, models_hold=0)) as made:
            for _ in range(3):
                assert names(await listed(made.url)) == ["a"]
            assert len(bad.conversations) == 3
            assert made.telemetry.events == [
                (
                    "models_failing",
                    {"account": "bad", "why": "Upstream answered 401 for its models."},
                )
            ]


OTHER = "other-token"


async def listed_as(made: Rig, token: str, query: str = "", *fields: bytes) -> list[str]:
    asked = request("GET", f"/api/v1/models{query}", None, *fields, token=token)
    return names(await ask(made.url, asked))


async def second_tenant(made: Rig, *models: str) -> None:
    await made.store.save_grant(digest_of(OTHER), Grant("g2", "other", "another", models))


async def test_what_was_gathered_is_narrowed_for_each() -> None:
    """Asked once for a while; each tenant sees its own models, and pages of its own."""
    upstream = Catalogue("a1", "a2", "b1", most=2)
    async with scripted(upstream) as server, rig(server.url, models=("a*",)) as made:
        await second_tenant(made, "b*")
        assert await listed_as(made, TOKEN) == ["a1", "a2"]
        assert await listed_as(made, OTHER) == ["b1"]
        assert await listed_as(made, TOKEN, "?page_size=1&page_no=2") == ["a2"]
        assert len(upstream.queries) == 2


async def test_who_asks_at_once_is_answered_at_once() -> None:
    """One gathering for all of them, and one who leaves takes nothing from the others."""
    begun, go_on = asyncio.Event(), asyncio.Event()
    upstream = Catalogue("a1", "b1")

    async def slow(told: Conversation) -> None:
        begun.set()
        await go_on.wait()
        await upstream(told)

    async with scripted(slow) as server, rig(server.url, models=("a*",)) as made:
        await second_tenant(made, "b*")
        asking = [asyncio.create_task(listed_as(made, TOKEN)) for _ in range(10)]
        asking += [asyncio.create_task(listed_as(made, OTHER)) for _ in range(10)]
        await begun.wait()
        asking.pop(0).cancel()
        await eventually(lambda: made.telemetry.running == 19)
        go_on.set()
        assert await asyncio.gather(*asking) == [["a1"]] * 9 + [["b1"]] * 10
        assert len(upstream.queries) == 1


async def test_what_asks_otherwise_is_asked_anew() -> None:
    """Another filter, another language: another list. What changes no list changes nothing."""
    upstream = Catalogue("a")
    async with scripted(upstream) as server, rig(server.url) as made:
        for _ in range(2):
            await listed_as(made, TOKEN)
            await listed_as(made, TOKEN, "?provider=x")
            await listed_as(made, TOKEN, "", b"Accept-Language: zh")
            await listed_as(made, TOKEN, "", b"User-Agent: x", b"X-Trace: 1")
        assert len(upstream.queries) == 3
        asked = [one.request for one in server.conversations]
        assert [one.value("accept-language") for one in asked] == [None, None, b"zh"]
        assert {one.value("user-agent") for one in asked} == {b"dashscope-proxy"}
        assert not any(one.value("x-trace") for one in asked)


@pytest.mark.parametrize("broken", [False, True])
async def test_what_is_kept_grows_old(*, broken: bool) -> None:
    """After a while it is asked again; sooner, where an account was missing."""
    upstream = Catalogue("a")
    async with scripted(upstream) as server, scripted(refusing(500)) as bad:
        accounts = [account(server.url, "good"), *([account(bad.url, "bad")] if broken else [])]
        limits = replace(LIMITS, models_hold=1.2 if broken else 0.2)
        async with rig(accounts=accounts, limits=limits) as made:
            loop, began = asyncio.get_running_loop(), asyncio.get_running_loop().time()
            while len(upstream.queries) < 2:
                assert await listed_as(made, TOKEN) == ["a"]
            assert 0.2 <= loop.time() - began < 1.2


async def test_a_failure_is_kept_for_nobody() -> None:
    """Without any list the next one asks again."""
    answers = iter(
        [b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", ok(b'{"output":{"models":[]}}')]
    )

    async def script(told: Conversation) -> None:
        await told.whole()
        await told.send(next(answers))

    async with scripted(script) as server, rig(server.url) as made:
        assert (await listed(made.url)).code == "BadGateway"
        assert names(await listed(made.url)) == []


class Listing:
    """An upstream that lists as OpenAI and Anthropic do; two at a time where it is asked for."""

    def __init__(self, *names: str, **more: object) -> None:
        self.entries: list[dict[str, object]] = [{"id": name, **more} for name in names]
        self.targets: list[str] = []

    async def __call__(self, told: Conversation) -> None:
        await told.whole()
        self.targets.append(told.target.decode())
        query = parse_qs(urlsplit(self.targets[-1]).query)
        if "limit" not in query:
            answer: dict[str, object] = {"object": "list", "data": self.entries}
        else:
            ids = ["", *(entry["id"] for entry in self.entries)]
            begin = ids.index(query.get("after_id", [""])[0])
            page = self.entries[begin : begin + 2]
            answer = {"data": page, "has_more": begin + 2 < len(self.entries)}
        await told.send(ok(json.dumps(answer).encode()))


async def test_the_list_in_openais_shape() -> None:
    """The allowed models of all accounts, entries as they came, with upstream's envelope."""
    one = Listing("qwen-plus", "wan2.6-t2v", object="model", owned_by="通义")
    two = Listing("qwen-plus", "qwen-max")
    async with scripted(one) as first, scripted(two) as second:
        accounts = [account(first.url, "1"), account(second.url, "2")]
        async with rig(accounts=accounts, models=("qwen-*",)) as made:
            for prefix in ("/compatible-mode/v1", "/alibailian/compatible-mode/v1"):
                answer = await ask(made.url, request("GET", f"{prefix}/models?a=1", None))
                expected = {"object": "list", "data": [one.entries[0], two.entries[1]]}
                assert (answer.status, answer.json()) == (200, expected)
        assert one.targets == ["/compatible-mode/v1/models?a=1"]


async def test_the_list_in_anthropics_shape() -> None:
    """Gathered over all pages, narrowed, and cut into the caller's own."""
    upstream = Listing(*(f"m{n}-{'yes' if n % 2 else 'no'}" for n in range(9)), type="model")
    async with scripted(upstream) as server, rig(server.url, models=("*-yes",)) as made:
        wanted = request("GET", "/apps/anthropic/v1/models?limit=2&after_id=m1-yes", None)
        answer = (await ask(made.url, wanted)).json()
        assert answer == {
            "data": [{"id": "m3-yes", "type": "model"}, {"id": "m5-yes", "type": "model"}],
            "has_more": True,
            "first_id": "m3-yes",
            "last_id": "m5-yes",
        }
        assert len(upstream.targets) == 5
        refusal = await ask(
            made.url, request("GET", "/apps/anthropic/v1/models?after_id=m0-no", None)
        )
        assert (refusal.status, refusal.json()["type"]) == (400, "error")


@pytest.mark.parametrize("query", ["?page_no=0", "?page_size=x", "?page_no=1&page_no=2"])
async def test_bad_paging_is_refused(query: str) -> None:
    """A page that is none is the caller's mistake, and upstream is not asked."""
    upstream = Catalogue("a")
    async with scripted(upstream) as server, rig(server.url) as made:
        answer = await listed(made.url, query)
        assert (answer.status, answer.code) == (400, "BadRequest.IllegalInput")
        assert not upstream.queries


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\n{}",
        ok(b"<html>"),
        ok(b'{"output":{}}'),
        ok(b'{"output":{"models":7}}'),
        ok(b"{}", b"Content-Encoding: br"),
        ok(b" " * (16 * 1024 * 1024 + 1)),
    ],
)
async def test_what_is_no_catalogue(wire: bytes) -> None:
    """Anything but a catalogue is a bad gateway, and a caller may ask again."""

    async def script(told: Conversation) -> None:
        await told.whole()
        await told.send(wire)

    async with scripted(script) as server, rig(server.url) as made:
        answer = await listed(made.url)
        assert (answer.status, answer.code) == (502, "BadGateway")
        assert not answer.values("x-should-retry")


async def test_with_the_sandbox() -> None:
    """The sandbox's catalogue, through the proxy, for a caller of everything and of one model."""
    async with Sandbox(keys=[KEY]) as sandbox:
        async with rig(sandbox.url) as made:
            everything = names(await listed(made.url, "?page_size=100"))
            assert len(everything) > 10
        async with rig(sandbox.url, models=(everything[3],)) as made:
            assert names(await listed(made.url)) == [everything[3]]
            shown = await ask(made.url, request("GET", f"/api/v1/models/{everything[3]}", None))
            assert shown.status == 200
            hidden = await ask(made.url, request("GET", f"/api/v1/models/{everything[4]}", None))
            assert hidden.code == "model_not_found"
