"""What a request's header says: one token, and no body where none belongs."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_network

import pytest
from edge.rig import (
    BODY,
    LIMITS,
    PLAIN,
    TENANT,
    TOKEN,
    Rig,
    answering,
    ask,
    calling,
    eventually,
    head_of,
    ok,
    request,
    rig,
    scripted,
)

from proxy.core.addresses import NOBODY, TrustedProxies
from proxy.core.policy import Grant, digest_of
from proxy.core.request_header import RequestHeader

NO_BODY = ["/api/v1/models", "/api/v1/uploads?model=wan2.6-t2v", "/api/v1/tasks", "/api/v1/tasks/x"]
FRAMINGS = {
    "length": (b"Content-Length: 40", b"POST /api/v1/tokens HTTP/1.1\r\nHost: h\r\n\r\n"),
    "chunks": (b"Transfer-Encoding: chunked", b"3\r\nabc\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("path", NO_BODY)
@pytest.mark.parametrize("method", ["GET"])
async def test_a_get_with_a_body_goes_nowhere(method: str, path: str, framing: str) -> None:
    """Upstream might take such a body for the next request, sent with the account's key."""
    field, body = FRAMINGS[framing]
    async with scripted(answering(ok(b"{}"))) as upstream, rig(upstream.url) as made:
        answer = await ask(made.url, head_of(method, path, field) + body)
        # A task that is not there is refused before its body is looked at.
        expected = "task_not_exist" if path.endswith("/x") else "BadRequest.IllegalInput"
        assert (answer.status, answer.code) == (400, expected)
        assert not upstream.conversations


async def test_an_empty_body_is_none() -> None:
    """`Content-Length: 0` on GET, which some clients send, is no body."""
    async with scripted(answering(ok(b"{}"))) as upstream, rig(upstream.url) as made:
        head = head_of("GET", "/api/v1/public-keys/latest", b"Content-Length: 0")
        assert (await ask(made.url, head)).status == 200


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [b"Authorization: Bearer"],
        [b"Authorization: Basic dXNlcjpwYXNz"],
        [b"Authorization: tok-of-the-caller"],
        [b"Authorization: Bearer tok-of-the-caller tok-of-the-caller"],
        [b"Authorization: Bearer tok-of-the-caller", b"Authorization: Bearer other"],
        [b"X-Api-Key: tok-of-the-caller"],
    ],
)
async def test_one_bearer_token_and_nothing_else(fields: list[bytes]) -> None:
    """No, two or oddly spelled credentials are no token."""
    async with rig() as made:
        answer = await ask(made.url, head_of("GET", "/api/v1/tasks", *fields, token=None))
        assert (answer.status, answer.code) == (401, "InvalidApiKey")


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (b"application/json", 200),
        (b"application/json; charset=utf-8", 200),
        (b'application/json;Charset="UTF-8"', 200),
        (b"application/json; charset=gbk", 400),
        (b"application/json; charset=utf-16", 400),
        (b"application/json; charset=utf-8; charset=gbk", 400),
    ],
)
async def test_json_is_utf8(kind: bytes, status: int) -> None:
    """A body that is judged as UTF-8 must not be read in another charset upstream."""
    async with scripted(answering(ok(b"{}"))) as upstream, rig(upstream.url) as made:
        sent = request("POST", PLAIN, BODY, b"Content-Type: " + kind)
        assert (await ask(made.url, sent)).status == status
        assert len(upstream.conversations) == (status == 200)


@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer", b"BEARER"])
async def test_the_scheme_has_no_case(scheme: bytes) -> None:
    """RFC 9110 section 11.1; the documentation itself writes `bearer` now and then."""
    async with rig() as made:
        field = b"Authorization: " + scheme + b"  tok-of-the-caller"
        assert (
            await ask(made.url, head_of("GET", "/api/v1/tasks", field, token=None))
        ).status == 200


async def test_each_request_of_a_connection_speaks_for_itself() -> None:
    """What is remembered of a header never speaks for another: not its token, not its fields."""
    tokens = [TOKEN, TOKEN, "nobodys", TOKEN, "tok-of-another", TOKEN]
    sent = [
        request("POST", PLAIN, BODY + b" " * at, b"X-Number: %d" % (at // 2), token=token)
        for at, token in enumerate(tokens)
    ]
    async with scripted(answering(ok(b"{}"))) as upstream, rig(upstream.url) as made:
        another = Grant("g2", "another", TENANT, ("wan2.6-*",))
        await made.store.save_grant(digest_of("tok-of-another"), another)
        async with calling(made.url) as client:
            await client.send(*sent)  # all at once, one behind the other
            statuses = [(await client.answer()).status for _ in sent]
        assert statuses == [200, 200, 401, 200, 200, 200]
        heard = [
            (one.request.value("x-number"), one.request.body) for one in upstream.conversations
        ]
        assert heard == [(b"%d" % (at // 2), BODY + b" " * at) for at in (0, 1, 3, 4, 5)]
        assert [visit.token for visit in made.telemetry.visits] == [
            "g1",
            "g1",
            "",
            "g1",
            "g2",
            "g1",
        ]


async def test_a_header_is_forgotten_with_its_connection() -> None:
    """A token is in it; nobody waits for a search for garbage, which may be minutes away."""

    def kept() -> list[RequestHeader]:
        found = (one for one in gc.get_objects() if type(one) is RequestHeader)
        return [one for one in found if ("Authorization", "Bearer tok-to-forget") in one.fields]

    gc.disable()
    try:
        async with rig() as made:
            async with calling(made.url) as client:
                await client.send(head_of("GET", "/api/v1/tasks", token="tok-to-forget"))
                assert (await client.answer()).status == 401
                assert len(kept()) == 1
            await eventually(lambda: not kept())
    finally:
        gc.enable()


async def test_a_hundred_headers_on_one_connection() -> None:
    """Each is heard as it is, and none is taken for the one before."""
    async with scripted(answering(ok(b"{}"))) as upstream, rig(upstream.url) as made:
        async with calling(made.url) as client:
            for number in range(100):
                field = b"X-%d: %d" % (number % 7, number)
                await client.send(request("POST", PLAIN, BODY, field))
                assert (await client.answer()).status == 200
        told = [one.request.value(f"x-{at % 7}") for at, one in enumerate(upstream.conversations)]
        assert told == [b"%d" % number for number in range(100)]


OFFICE = ip_network("198.51.100.0/24")
LOOPBACK = TrustedProxies((ip_network("127.0.0.0/8"),))


@asynccontextmanager
async def at_the_office(trusted: TrustedProxies, *networks: str) -> AsyncIterator[Rig]:
    """A gateway whose caller may come from these networks, or the office."""
    allowed = tuple(map(ip_network, networks)) or (OFFICE,)
    limits = replace(LIMITS, trusted=trusted)
    async with scripted(answering(ok(b"{}"))) as upstream, rig(upstream.url, limits=limits) as made:
        grant = Grant("g1", "caller", TENANT, ("*",), allow_ips=allowed)
        await made.store.save_grant(digest_of(TOKEN), grant)
        yield made


@pytest.mark.parametrize(
    ("trusted", "fields", "status"),
    [
        (NOBODY, [], 403),
        (NOBODY, [b"X-Forwarded-For: 198.51.100.7"], 403),
        (LOOPBACK, [], 403),
        (LOOPBACK, [b"X-Forwarded-For: 198.51.100.7"], 200),
        (LOOPBACK, [b"X-Forwarded-For: 198.51.100.7, 127.0.0.1"], 200),
        (LOOPBACK, [b"X-Forwarded-For: 198.51.100.7", b"X-Forwarded-For: 203.0.113.9"], 403),
        (LOOPBACK, [b"X-Forwarded-For: 198.51.100.7:80"], 403),
        (LOOPBACK, [b"Forwarded: for=198.51.100.7"], 403),
    ],
)
async def test_where_a_token_may_be_used(
    trusted: TrustedProxies, fields: list[bytes], status: int
) -> None:
    """The peer's address counts, or whom a trusted peer names; the words are always the same."""
    async with at_the_office(trusted) as made:
        answer = await ask(made.url, request("POST", PLAIN, BODY, *fields))
        assert answer.status == status
        if status == 403:
            assert answer.code == "AccessDenied"
            assert answer.json()["message"] == "This token may not be used from your address."


async def test_the_peer_itself() -> None:
    """Without a proxy in front, the connection tells."""
    async with at_the_office(NOBODY, "127.0.0.0/8") as made:
        assert (await ask(made.url, request("POST", PLAIN, BODY))).status == 200


@pytest.mark.parametrize(
    "path", ["/task/none", "/api/v1/tasks", "/api/v1/models", "/api-ws/v1/inference"]
)
async def test_it_counts_on_every_way(path: str) -> None:
    """Polls, own lists and handshakes of WebSockets too."""
    async with at_the_office(NOBODY) as made:
        answer = await ask(made.url, head_of("GET", path))
        assert (answer.status, answer.code) == (403, "AccessDenied")
