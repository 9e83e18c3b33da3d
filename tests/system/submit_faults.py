"""Everything that can go wrong with a submit, each as a row: the fault, and who does what.

A `Scene` is a proxy in front of a sandbox that has the fault, and one client request as two
halves. What is counted is the sandbox's own: what it received, and the tasks in its ledger.
"""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from edge.rig import Client, Message, calling, chunked, eventually
from harness import EVIDENCE, TEXT2VIDEO, Stand, standing
from redis_server import RedisServer

NATIVE = "/api/v1/services/aigc/video-generation/video-synthesis"
ALIASES = {"native": NATIVE, "short": "/task/bailian/text2video"}
FRAMINGS = ("length", "chunked")
TENANT = "studio"
KEY = b"Idempotency-Key: order"
"""What a key begins with; the scene's `number` follows."""

ELSEWHERE = "http://elsewhere.invalid/"

PADDING = 300_000
"""Bytes of a body that is still being sent when something happens: more than any one read."""

BRACKETS = json.dumps({**TEXT2VIDEO, "padding": []}).encode()[:-2] + b"[[[[]]]]," * 2200 + b"[]]}"
"""Of nothing else, so that judging them takes several turns of the loop."""


@dataclass
class Scene:
    """One client request, and the world it meets."""

    stand: Stand
    token: str
    path: str
    framing: str
    key: bool
    large: bool
    store: Path
    redis: RedisServer
    number: int = 1
    fields: tuple[bytes, ...] = ()
    by_upstream: bool = False
    hold: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def body(self) -> bytes:
        return body_of(self.large)

    def halves(self) -> tuple[bytes, bytes]:
        """The request as it goes over the wire: head and half of the body, then the rest."""
        return self.wire(self.body, len(self.body) // 2)

    def wire(self, body: bytes, cut: int) -> tuple[bytes, bytes]:
        """The request with this body, whose first `cut` bytes come in the first part."""
        framing = b"Content-Length: %d" % len(body)
        first, second = body[:cut], body[cut:]
        if self.framing == "chunked":
            framing = b"Transfer-Encoding: chunked"
            first, second = chunked(first).removesuffix(b"0\r\n\r\n"), chunked(second)
        lines = [
            f"POST {self.path} HTTP/1.1".encode(),
            b"Host: proxy.test",
            b"Content-Type: application/json",
            f"Authorization: Bearer {self.token}".encode(),
            b"X-DashScope-Async: enable",
            framing,
            *self.fields,
            *([KEY + b"-%d" % self.number] if self.key else []),
        ]
        return b"\r\n".join(lines) + b"\r\n\r\n" + first, second

    @property
    def lines(self) -> list[dict[str, object]]:
        """The log lines of submits that are over."""
        return [line for line in self.stand.requests if line["method"] == "POST"]

    @property
    def created(self) -> int:
        """How many tasks upstream made, by its own ledger."""
        return self.stand.sandbox.tasks.created.total()

    async def owned(self) -> int:
        """How many of upstream's tasks the tenant owns."""
        store, tasks = self.stand.proxy.store, self.stand.sandbox.tasks
        return sum([await store.owner(task.id, TENANT) is not None for task in tasks])

    async def all_are_owned(self) -> None:
        """Wait until each of upstream's tasks has its owner; raises `TimeoutError`."""
        async with asyncio.timeout(10):
            while await self.owned() < self.created:  # noqa: ASYNC110 - what it looks at has no event
                await asyncio.sleep(0.01)

    def submits(self) -> tuple[int, int]:
        """How many submits reached upstream, and how many of them whole."""
        seen = [one for one in self.stand.sandbox.requests if one.path == NATIVE]
        return len(seen), sum(one.complete for one in seen)

    async def reached_upstream(self) -> None:
        """Wait until upstream holds the whole request."""
        await self.stand.sandbox.received(lambda one: one.complete)

    async def is_over(self, event: str = "request") -> None:
        """Wait for the line that tells so."""
        await eventually(lambda: any(line["event"] == event for line in self.stand.lines))


def body_of(large: bool) -> bytes:  # noqa: FBT001 - one of two bodies
    return json.dumps({**TEXT2VIDEO, **({"padding": "a" * PADDING} if large else {})}).encode()


# -- what a client does --------------------------------------------------------------------------


async def asks(scene: Scene, body: bytes | None = None) -> Message | None:
    """Send all of it, and wait for the answer."""
    async with calling(scene.stand.url) as client:
        await client.send(*(scene.wire(body, 1) if body else scene.halves()))
        return await told(client)


async def asks_on_a_kept_connection(scene: Scene) -> Message | None:
    """Come when the proxy has an idle connection to upstream, which may break any time."""
    answer = await scene.stand.ask("GET", "/api/v1/models", scene.token)
    assert answer.status == 200
    return await asks(scene)


async def asks_slowly(scene: Scene) -> Message | None:
    """Be answered before the second half is sent."""
    async with calling(scene.stand.url) as client:
        await client.send(scene.halves()[0])
        return await told(client)


async def leaves_early(scene: Scene) -> Message | None:
    """Hang up when upstream holds a part of the body."""
    async with calling(scene.stand.url) as client:
        await client.send(scene.halves()[0])
        await scene.stand.sandbox.received(lambda one: one.size > 0)
        client.reset()
    await scene.is_over()
    await scene.stand.sandbox.received(lambda one: one.hung_up)
    return None


async def leaves_late(scene: Scene) -> Message | None:
    """Hang up when upstream holds all of it, and has not answered."""
    async with calling(scene.stand.url) as client:
        await client.send(*scene.halves())
        await scene.reached_upstream()
        client.reset()
    await scene.is_over()
    scene.hold.set()
    await scene.is_over("submit_ended_alone")
    return None


async def leaves_during_the_claim(scene: Scene) -> Message | None:
    """Hang up when upstream has answered, and the owner cannot be written yet."""
    async with calling(scene.stand.url) as client:
        await client.send(*scene.halves())
        await scene.reached_upstream()
        with sqlite3.connect(scene.store, isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            scene.hold.set()
            await scene.stand.sandbox.received(lambda one: one.answered)
            client.reset()
            await scene.is_over()
            assert await scene.owned() == 0
            other.execute("ROLLBACK")
        other.close()
    await scene.is_over("submit_ended_alone")
    return None


async def loses_the_store(scene: Scene) -> Message | None:
    """Redis takes no more writes when upstream answers; it does again when all is told."""
    async with calling(scene.stand.url) as client:
        await client.send(*scene.halves())
        await scene.reached_upstream()
        scene.redis.cli("CONFIG", "SET", "min-replicas-to-write", "1")
        scene.hold.set()
        answer = await told(client)
    assert await scene.owned() == 1
    scene.redis.cli("CONFIG", "SET", "min-replicas-to-write", "0")
    (task,) = scene.stand.sandbox.tasks
    there = "EXISTS", f"dsp:task:{task.id}"
    await eventually(lambda: scene.redis.cli(*there) == "1")
    if scene.key:
        remembered = "HGET", scene.redis.cli("KEYS", "dsp:replay:*"), "outcome"
        await eventually(lambda: scene.redis.cli(*remembered))
    return answer


async def leaves_while_the_end_is_judged(scene: Scene, turns: int) -> None:
    """Hang up some turns of the loop after the last bytes, which take several to be judged."""
    seen = scene.stand.sandbox.requests
    lines, requests = len(scene.lines), len(seen)
    async with calling(scene.stand.url) as client:
        first, second = scene.wire(BRACKETS, BRACKETS.index(b"["))
        await client.send(first)
        await eventually(lambda: len(seen) > requests)
        await client.send(second)
        for _ in range(turns):
            await asyncio.sleep(0)
        client.reset()
    await eventually(lambda: len(scene.lines) > lines)
    left = list(seen)[requests]
    await eventually(lambda: left.hung_up or left.answered)


async def told(client: Client) -> Message:
    answer = await client.answer()
    if answer.status >= 400:
        EVIDENCE.written.append(answer.body)
    return answer


# -- the table -----------------------------------------------------------------------------------

Act: TypeAlias = Callable[[Scene], Awaitable[Message | None]]


@dataclass(frozen=True)
class Phase:
    """A row: what the sandbox does, what the client does and gets.

    `again` is what the same call gets with the same `Idempotency-Key` when all is over; a `*`
    stands for an answer that is marked as given before. `holds`: the sandbox answers when the
    scene's `hold` is set. `fields` go with each request. `sdk`: what an SDK can meet as well.
    `by_upstream`: the error is upstream's, and hides a task.
    """

    got: str
    again: str
    fault: Mapping[str, Any] | None = None
    act: Act = asks
    env: Mapping[str, str] = field(default_factory=dict)
    holds: bool = False
    large: bool = False
    redis: bool = False
    fields: tuple[bytes, ...] = ()
    sdk: bool = True
    by_upstream: bool = False


LATE = {"PROXY_READ_TIMEOUT": "0.3"}

PHASES = {
    "connection refused": Phase("502", "502", env={"PROXY_UPSTREAM": "http://127.0.0.1:1"}),
    "upstream resets after the head": Phase("502", "502*", {"reset": "before"}),
    "upstream resets a kept connection": Phase(
        "502", "502*", {"reset": "before"}, asks_on_a_kept_connection, sdk=False
    ),
    "upstream resets within the body": Phase(
        "502", "200", {"reset": "upload"}, asks_slowly, large=True
    ),
    "upstream resets after the body": Phase("502", "502*", {"reset": "after_request"}),
    "upstream resets after its head": Phase("502", "502*", {"reset": "headers"}),
    "upstream's answer is cut": Phase("502", "502*", {"reset": "body"}),
    "upstream never answers": Phase("504", "504*", {"delay": 60}, env=LATE),
    "upstream never ends its answer": Phase(
        "504", "504*", {"chunk_bytes": 20, "chunk_delay": 60}, env=LATE
    ),
    "upstream's answer is no JSON": Phase("502", "502*", {"status": 200, "body": "<html>fine"}),
    "upstream answers 500": Phase("500", "500*", {"status": 500}),
    **{
        f"upstream makes the task, answers {status}": Phase(
            f"{status}", f"{status}*", {"late": status}, by_upstream=True
        )
        for status in (500, 502, 503, 504, 408)
    },
    "upstream makes the task, redirects": Phase(
        "307",
        "307*",
        {"late": 307, "body": "", "headers": {"Location": ELSEWHERE}},
        sdk=False,
        by_upstream=True,
    ),
    "upstream answers 429": Phase("429", "200", {"status": 429}),
    "upstream refuses before the body": Phase(
        "400", "200", {"early": 400}, asks_slowly, large=True, sdk=False
    ),
    "upstream redirects": Phase(
        "307", "307*", {"status": 307, "body": "", "headers": {"Location": ELSEWHERE}}, sdk=False
    ),
    "the client leaves within the body": Phase(
        "gone", "200", act=leaves_early, large=True, sdk=False
    ),
    "the client leaves after the body": Phase(
        "gone", "200*", act=leaves_late, holds=True, sdk=False
    ),
    "the client leaves during the claim": Phase(
        "gone", "200*", act=leaves_during_the_claim, holds=True, sdk=False
    ),
    "the store goes before the claim": Phase(
        "200",
        "200*",
        act=loses_the_store,
        holds=True,
        redis=True,
        env={"PROXY_READ_TIMEOUT": "0.5"},
        fields=(b"X-DashScope-Wait-Timeout: 60",),
        sdk=False,
    ),
    "nothing goes wrong": Phase("200", "200*"),
}


@asynccontextmanager
async def scene_of(
    phase: Phase,
    redis: RedisServer,
    folder: Path,
    path: str,
    framing: str = "length",
    *,
    key: bool = False,
) -> AsyncIterator[Scene]:
    """A proxy and a sandbox for one row; its store is a file, or this Redis where the row says."""
    store = folder / "proxy.db"
    redis.cli("FLUSHALL")
    env = {"PROXY_STORE": redis.url if phase.redis else f"sqlite://{store}", **phase.env}
    async with standing(env) as stand:
        token = await stand.token(tenant=TENANT)
        scene = Scene(stand, token, path, framing, key, phase.large, store, redis)
        scene.fields, scene.by_upstream = phase.fields, phase.by_upstream
        if phase.fault is not None or phase.holds:
            hold = {"hold": scene.hold} if phase.holds else {}
            stand.sandbox.faults.add(path=NATIVE, **(phase.fault or {}), **hold)
        yield scene
    EVIDENCE.written += [path.read_bytes() for path in folder.iterdir()]  # noqa: ASYNC240 - a few kilobytes, when all is over
