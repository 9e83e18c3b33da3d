"""A gateway put together from parts, a scripted upstream, and clients that speak byte for byte.

    async with scripted(answering(task_answer())) as upstream, rig(upstream.url) as made:
        async with calling(made.url) as client:
            await client.send(made.post(b'{"model":"m"}'))
            answer = await client.answer()

Nobody sleeps: everybody waits for what has to happen, and gives up after `PATIENCE` seconds.
"""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Self, TypeAlias
from urllib.parse import urlsplit

from proxy.config.routing import PACKAGED, load_routing
from proxy.core.accounts import Account
from proxy.core.holds import LEASE
from proxy.core.policy import ACCOUNT, INFERENCE, Grant, digest_of
from proxy.core.prices import NO_PRICES, PriceList
from proxy.core.routes import RouteTable
from proxy.core.settlement import UsageRecord
from proxy.edge.gateway import Gateway, Limits
from proxy.edge.health import AccountHealth, Watching
from proxy.edge.listener import PublicServer
from proxy.edge.metering import Meter
from proxy.edge.transport import WireUpstream
from proxy.ports import Store, Upstream, Visit
from proxy.stores.memory import MemoryStore

PATIENCE = 10.0
"""Seconds until a test gives up waiting. Nothing here takes long: it is for what never comes."""

BOTH = frozenset({INFERENCE, ACCOUNT})
"""The scopes of a caller who reaches the routes that name no model."""

KEY = "sk-upstream-account-key"
TOKEN = "tok-of-the-caller"
TENANT = "tenant-a"

SUBMIT = "/task/bailian/text2video"
PLAIN = "/api/v1/services/aigc/text-generation/generation"
UNJUDGED = "/api/v1/files"
"""A route that names no model (scope `account`): its bodies pass without being read."""

BODY = b'{"model":"wan2.6-t2v","input":{"prompt":"a cat"}}'

Fields: TypeAlias = list[tuple[bytes, bytes]]


async def eventually(holds: Callable[[], object], *, seconds: float = PATIENCE) -> None:
    """Come back as soon as `holds` does; raises `TimeoutError`."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - what it looks at has no event
            await asyncio.sleep(0.002)


async def settled(count: Callable[[], int], *, looks: int = 50) -> int:
    """The count once it has stopped growing: the same for so many looks in a row."""
    seen, same = count(), 0
    while same < looks:
        await asyncio.sleep(0.004)
        same = same + 1 if count() == seen else 0
        seen = count()
    return seen


# -- messages ------------------------------------------------------------------------------------


def fields_of(head: bytes) -> Fields:
    """The header fields of a head, in wire order and spelling."""
    lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")[1:]
    return [(name, value.strip(b" \t")) for name, _, value in (x.partition(b":") for x in lines)]


@dataclass
class Message:
    """One HTTP message as it came off the wire. `wire` is its body with its framing."""

    head: bytes
    body: bytes = b""
    wire: bytes = b""

    @property
    def first_line(self) -> bytes:
        return self.head.partition(b"\r\n")[0]

    @property
    def status(self) -> int:
        return int(self.first_line.split(b" ")[1])

    @property
    def fields(self) -> Fields:
        return fields_of(self.head)

    def values(self, name: str) -> list[bytes]:
        return [value for key, value in self.fields if key.lower() == name.encode()]

    def value(self, name: str) -> bytes | None:
        return next(iter(self.values(name)), None)

    def json(self) -> dict[str, object]:
        value: dict[str, object] = json.loads(self.body)
        return value

    @property
    def code(self) -> object:
        return self.json()["code"]


class Wire:
    """One end of a connection, spoken by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *parts: bytes) -> None:
        """Write; return when the kernel has room again."""
        self.writer.write(b"".join(parts))
        async with asyncio.timeout(PATIENCE):
            await self.writer.drain()

    async def head(self) -> bytes:
        """The next head, up to and with the empty line."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def until(self, end: bytes) -> bytes:
        """Everything up to and with `end`."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readuntil(end)

    async def take(self, size: int) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readexactly(size)

    async def rest(self) -> bytes:
        """Everything until the other end closes. Raises `ConnectionResetError` for a reset."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read(-1)

    async def gone(self) -> None:
        """Return when the other end has closed or reset."""
        async with asyncio.timeout(PATIENCE):
            try:
                while await self.reader.read(65536):
                    pass
            except ConnectionError:
                return

    async def message(self, *, bodiless: bool = False) -> Message:
        """The next whole message, by its framing; without one it lasts until the end."""
        head = await self.head()
        found = Message(head)
        length = found.value("content-length")
        if bodiless or head.startswith((b"HTTP/1.1 204", b"HTTP/1.1 304")):
            return found
        if found.value("transfer-encoding") is not None:
            while True:
                line = await self.until(b"\r\n")
                size = int(line.split(b";")[0], 16)
                chunk = await self.take(size) if size else b""
                found.body += chunk
                found.wire += line + chunk
                if not size:
                    while (trailer := await self.until(b"\r\n")) != b"\r\n":
                        found.wire += trailer
                    found.wire += b"\r\n"
                    return found
                found.wire += await self.until(b"\r\n")
        if length is not None:
            found.body = await self.take(int(length))
        elif head.startswith(b"HTTP/"):
            found.body = await self.rest()
        found.wire = found.body
        return found

    def reset(self) -> None:
        """Break the connection with a reset."""
        connection: socket.socket = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            return


class Client(Wire):
    """A client of the proxy."""

    async def answer(self, *, bodiless: bool = False) -> Message:
        """The next final answer; a `100 Continue` before it is skipped."""
        while True:
            found = await self.message(bodiless=bodiless)
            if found.status != 100:
                return found


@asynccontextmanager
async def calling(url: str) -> AsyncIterator[Client]:
    """One connection."""
    parts = urlsplit(url)
    client = Client(*await asyncio.open_connection(parts.hostname, parts.port))
    try:
        yield client
    finally:
        await client.close()


async def ask(url: str, request: bytes, *, bodiless: bool = False) -> Message:
    """One request on a connection of its own."""
    async with calling(url) as client:
        await client.send(request)
        return await client.answer(bodiless=bodiless)


# -- upstream ------------------------------------------------------------------------------------


class Conversation(Wire):
    """One request that reached the scripted upstream. `body` is what came of it so far."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer)
        self.request = Message(b"")

    @property
    def target(self) -> bytes:
        return self.request.first_line.split(b" ")[1]

    async def whole(self) -> Message:
        """Read the body, whose head has been read; the request is complete then."""
        length = self.request.value("content-length")
        if self.request.value("transfer-encoding") is None and length is None:
            return self.request
        again = Wire(self.reader, self.writer)
        head = self.request.head

        async def told() -> bytes:
            return head

        again.head = told  # type: ignore[method-assign]  # the head has been read already
        self.request = await again.message()
        return self.request


Script: TypeAlias = Callable[[Conversation], Awaitable[None]]


def answering(*parts: bytes, close: bool = False) -> Script:
    """Read a whole request, say these bytes."""

    async def script(told: Conversation) -> None:
        await told.whole()
        await told.send(*parts)
        if close:
            told.writer.close()

    return script


def ok(body: bytes = b'{"output":{}}', *fields: bytes) -> bytes:
    """A plain 200 with a Content-Length."""
    head = [b"HTTP/1.1 200 OK", b"Content-Type: application/json", *fields]
    head.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def task_answer(task_id: str = "task-1", *fields: bytes) -> bytes:
    """The answer to a submit."""
    output = {"task_id": task_id, "task_status": "PENDING"}
    return ok(json.dumps({"output": output, "request_id": "up-1"}).encode(), *fields)


class ScriptedUpstream:
    """A TCP server that runs a script for each request; connections are kept alive."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.conversations: list[Conversation] = []
        self.connections = 0
        self.failures: list[BaseException] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def running(self) -> bool:
        """Whether a connection is still open."""
        return self.open_connections > 0

    @property
    def open_connections(self) -> int:
        """How many are."""
        return sum(not task.done() for task in self._tasks)

    async def heard(self, number: int = 1) -> Conversation:
        """The conversation whose head came as the `number`-th."""
        await eventually(lambda: len(self.conversations) >= number)
        return self.conversations[number - 1]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for failure in self.failures:
            raise failure

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while not writer.is_closing():
                told = Conversation(reader, writer)
                told.request = Message(await reader.readuntil(b"\r\n\r\n"))
                self.conversations.append(told)
                await self.script(told)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the proxy left, or the test is over
        except BaseException as error:  # noqa: BLE001 - told when the test leaves
            self.failures.append(error)
        finally:
            writer.close()


def scripted(script: Script) -> ScriptedUpstream:
    """An upstream that follows the script; an async context."""
    return ScriptedUpstream(script)


# -- the gateway ---------------------------------------------------------------------------------


@dataclass
class Recorder:
    """The `Telemetry` port, kept in lists."""

    visits: list[Visit] = field(default_factory=list)
    events: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    bugs: list[BaseException] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    records: list[UsageRecord] = field(default_factory=list)
    running: int = 0
    held: int = 0
    unsettled: int = 0

    def started(self) -> None:
        self.running += 1

    def finished(self, visit: Visit) -> None:
        self.running -= 1
        self.visits.append(visit)

    def limited(self, limit: str) -> None:
        self.limits.append(limit)

    def settled(self, record: UsageRecord) -> None:
        self.records.append(record)

    def metered(self, *, held: int, unsettled: int) -> None:
        self.held, self.unsettled = held, unsettled

    def event(self, name: str, **facts: object) -> None:
        self.events.append((name, facts))

    def bug(self, error: BaseException, request_id: str) -> None:
        assert request_id
        self.bugs.append(error)

    def named(self, name: str) -> list[dict[str, object]]:
        """The facts of the events with this name."""
        return [facts for event, facts in self.events if event == name]


@dataclass
class Rig:
    """A gateway behind a real listener."""

    url: str
    gateway: Gateway
    server: PublicServer
    store: Store
    telemetry: Recorder
    health: AccountHealth

    def post(self, body: bytes = BODY, *fields: bytes, path: str = SUBMIT) -> bytes:
        """A POST with a Content-Length and the caller's token."""
        return request("POST", path, body, *fields)

    async def finished(self, number: int = 1) -> Visit:
        """The line of the `number`-th finished request."""
        await eventually(lambda: len(self.telemetry.visits) >= number)
        return self.telemetry.visits[number - 1]


def head_of(method: str, path: str, *fields: bytes, token: str | None = TOKEN) -> bytes:
    """A request's head with Host and the caller's token."""
    lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: proxy.test", *fields]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}".encode())
    return b"\r\n".join(lines) + b"\r\n\r\n"


def request(
    method: str, path: str, body: bytes | None, *fields: bytes, token: str | None = TOKEN
) -> bytes:
    """A whole request with a Content-Length."""
    if body is None:
        return head_of(method, path, *fields, token=token)
    framing = b"Content-Length: %d" % len(body)
    return head_of(method, path, *fields, framing, token=token) + body


def chunked(*chunks: bytes) -> bytes:
    """A body in the chunked coding, ended."""
    return b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in chunks) + b"0\r\n\r\n"


LIMITS = Limits(
    max_body=4 * 1024 * 1024,
    spool=64 * 1024 * 1024,
    body_timeout=PATIENCE,
    read_timeout=PATIENCE,
    write_timeout=PATIENCE,
    poll_hold=0,
)


def account(url: str, name: str = "main", *, weight: float = 1.0) -> Account:
    return Account(name, url, f"{KEY}-{name}" if name != "main" else KEY, weight=weight)


@asynccontextmanager
async def rig(  # noqa: PLR0913 - each part can be another one
    url: str = "http://127.0.0.1:1",
    *,
    accounts: Sequence[Account] = (),
    upstream: Upstream | None = None,
    store: Store | None = None,
    limits: Limits = LIMITS,
    models: tuple[str, ...] = ("*",),
    scopes: frozenset[str] = frozenset({INFERENCE}),
    table: RouteTable | None = None,
    prices: PriceList = NO_PRICES,
    lease: float = LEASE,
) -> AsyncIterator[Rig]:
    """A gateway in front of `url` (or of these accounts, or on this `Upstream`)."""
    accounts = accounts or [account(url)]
    store = store or MemoryStore()
    telemetry = Recorder()
    health = AccountHealth(one.name for one in accounts)
    async with AsyncExitStack() as lifetimes:
        await store.open()
        lifetimes.push_async_callback(store.close)
        if upstream is None:
            session = WireUpstream(connect_timeout=PATIENCE)
            await session.open()
            lifetimes.push_async_callback(session.close)
            upstream = session
        watched = Watching(upstream, health)
        table = table or load_routing(PACKAGED, {}).table
        assert isinstance(store, MemoryStore)
        meter = Meter(store, prices, telemetry, lease)
        await meter.start()
        lifetimes.push_async_callback(meter.stop)
        gateway = Gateway(table, accounts, store, watched, telemetry, limits, health, meter=meter)
        server = PublicServer(gateway.handle, telemetry)
        bound = socket.create_server(("127.0.0.1", 0))
        bound.setblocking(False)  # noqa: FBT003 - its only form
        await server.start([bound], backlog=100)
        lifetimes.push_async_callback(server.stop)
        await store.save_grant(digest_of(TOKEN), Grant("g1", "caller", TENANT, models, scopes))
        address = f"http://127.0.0.1:{bound.getsockname()[1]}"
        yield Rig(address, gateway, server, store, telemetry, health)
        await gateway.drained()
