"""`python -m bench.transports`: a call on our own connections, and the same on `ClientSession`.

Both in this process, in turns, on one upstream: CPU per call, and the ratio.
"""

import asyncio
import statistics
import time

import uvloop

from bench.processes import process
from proxy.core.accounts import Account
from proxy.edge.transport import WireUpstream
from proxy.edge.upstream import SessionUpstream
from proxy.ports import Call, Upstream

ROUNDS = 7
CONNECTIONS = 64
CALLS = 50
"""On each connection, in each round."""

BODY = b'{"model":"qwen-plus","input":{"prompt":"%b"}}' % (b"x" * 960)
HEADERS = (
    ("User-Agent", "dashscope/1.25"),
    ("Content-Type", "application/json"),
    ("Accept", "*/*"),
    ("Authorization", "Bearer sk-0123456789"),
    ("Content-Length", str(len(BODY))),
)


async def calls(upstream: Upstream, account: Account) -> None:
    """One after the other, each answer read to its end."""
    made = Call("POST", account, "/api/v1/x", HEADERS, BODY, 60)
    for _ in range(CALLS):
        async with upstream.send(made) as reply:
            async for _ in reply.chunks():
                pass


async def microseconds(upstream: Upstream, account: Account) -> float:
    """CPU time of a call, with `CONNECTIONS` of them under way."""
    before = time.process_time()
    await asyncio.gather(*(calls(upstream, account) for _ in range(CONNECTIONS)))
    return (time.process_time() - before) / (CONNECTIONS * CALLS) * 1e6


async def main() -> None:
    """Print both medians and their ratio."""
    with process("-m", "bench.upstream") as (_, url):
        account = Account("bench", url, "")
        session, wire = SessionUpstream(10), WireUpstream(10)
        await asyncio.gather(session.open(), wire.open())
        spent: dict[str, list[float]] = {"ClientSession": [], "our own": []}
        for _ in range(ROUNDS):
            spent["ClientSession"].append(await microseconds(session, account))
            spent["our own"].append(await microseconds(wire, account))
        await asyncio.gather(session.close(), wire.close())
    before, now = (statistics.median(one) for one in spent.values())
    print(f"ClientSession {before:.0f} us, our own {now:.0f} us a call: {now / before:.2f}")  # noqa: T201 - its only purpose


if __name__ == "__main__":
    uvloop.run(main())
