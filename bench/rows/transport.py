"""A call on our own connections to upstream, and the same on aiohttp's `ClientSession`.

Both in this process, in turns: CPU per call.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial

import uvloop
from aiohttp import ClientSession, DummyCookieJar, TCPConnector
from yarl import URL

from bench.contestants import fixed
from bench.effort import Effort
from bench.findings import Finding, Section
from bench.samples import Samples
from proxy.core.accounts import Account
from proxy.edge.transport import WireUpstream
from proxy.ports import Call

CONNECTIONS = 64
PATH = "/api/v1/x"
CALLS = 25
"""On each connection, for each second of effort."""

BODY = b'{"model":"qwen-plus","input":{"prompt":"%b"}}' % (b"x" * 960)
HEADERS = (
    ("User-Agent", "dashscope/1.25"),
    ("Content-Type", "application/json"),
    ("Accept", "*/*"),
    ("Authorization", "Bearer sk-0123456789"),
    ("Content-Length", str(len(BODY))),
)


def measured(effort: Effort) -> Section:
    """One against the other."""
    with fixed(effort.cores.load) as upstream:
        samples = uvloop.run(compared(Account("bench", upstream.url, ""), effort))
    ratio = samples.ratio("cpu", "our own", "ClientSession")
    found = Finding("transport, CPU per call", ratio, unit="× ClientSession")
    return Section("the transport alone", [found], samples)


async def compared(account: Account, effort: Effort) -> Samples:
    """Rounds in turns, after one to warm up."""
    count, samples, wire = round(CALLS * effort.seconds), Samples(), WireUpstream(10)
    await wire.open()
    connector = TCPConnector(limit=CONNECTIONS)
    async with ClientSession(connector=connector, cookie_jar=DummyCookieJar()) as session:
        ways = {
            "ClientSession": partial(by_session, session, URL(account.url + PATH)),
            "our own": partial(by_wire, wire, Call("POST", account, PATH, HEADERS, BODY, 60)),
        }
        for turn in range(effort.rounds + 1):
            for name, way in ways.items():
                cpu = await microseconds(way, count)
                if turn:
                    samples.add(name, {"cpu": cpu})
    await wire.close()
    return samples


async def microseconds(way: Callable[[], Awaitable[None]], count: int) -> float:
    """CPU time of a call, with `CONNECTIONS` of them under way."""

    async def calls() -> None:
        for _ in range(count):
            await way()

    before = time.process_time()
    await asyncio.gather(*(calls() for _ in range(CONNECTIONS)))
    return (time.process_time() - before) / (CONNECTIONS * count) * 1e6


async def by_session(session: ClientSession, url: URL) -> None:
    """One call, its answer read to its end."""
    async with session.post(url, data=BODY, headers=HEADERS) as answer:
        await answer.read()


async def by_wire(upstream: WireUpstream, call: Call) -> None:
    """The same."""
    async with upstream.send(call) as reply:
        async for _ in reply.chunks():
            pass
