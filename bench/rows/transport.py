"""A call on our own connections to upstream, and the same on aiohttp's `ClientSession`.

Both in this process, in turns: CPU per call.
"""

import asyncio
import time

import uvloop

from bench.contestants import fixed
from bench.effort import Effort
from bench.findings import Finding, Section
from bench.samples import Samples
from proxy.core.accounts import Account
from proxy.edge.transport import WireUpstream
from proxy.edge.upstream import SessionUpstream
from proxy.ports import Call, Upstream

CONNECTIONS = 64
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
    session, wire = SessionUpstream(10), WireUpstream(10)
    await asyncio.gather(session.open(), wire.open())
    count, samples = round(CALLS * effort.seconds), Samples()
    for turn in range(effort.rounds + 1):
        for name, upstream in (("ClientSession", session), ("our own", wire)):
            cpu = await microseconds(upstream, account, count)
            if turn:
                samples.add(name, {"cpu": cpu})
    await asyncio.gather(session.close(), wire.close())
    return samples


async def microseconds(upstream: Upstream, account: Account, count: int) -> float:
    """CPU time of a call, with `CONNECTIONS` of them under way."""
    before = time.process_time()
    await asyncio.gather(*(calls(upstream, account, count) for _ in range(CONNECTIONS)))
    return (time.process_time() - before) / (CONNECTIONS * count) * 1e6


async def calls(upstream: Upstream, account: Account, count: int) -> None:
    """One after the other, each answer read to its end."""
    made = Call("POST", account, "/api/v1/x", HEADERS, BODY, 60)
    for _ in range(count):
        async with upstream.send(made) as reply:
            async for _ in reply.chunks():
                pass
