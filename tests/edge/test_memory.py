"""A body of 1 GiB, in a process of its own: memory does not grow, and nothing unapproved is whole.

The same limit as everywhere: what a request holds does not depend on its size.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from edge.rig import SUBMIT, Client, Message, head_of, task_answer

SIZE = 1024 * 1024 * 1024
GROWTH = 24 * 1024
"""KiB that a process may grow by while it takes in a body of 1 GiB."""

MINUTE = 60
PIECE = 1024 * 1024

MODEL = b'"model":"wan2.6-t2v"'


@dataclass
class Body:
    """`opening`, as many `x` as make `SIZE` bytes of it, `closing`."""

    opening: bytes
    closing: bytes

    async def send(self, client: Client) -> None:
        left = SIZE - len(self.opening) - len(self.closing)
        client.writer.write(self.opening)
        piece = b"x" * PIECE
        async with asyncio.timeout(MINUTE):
            while left:
                client.writer.write(piece[:left])
                left -= min(left, PIECE)
                await client.writer.drain()
            client.writer.write(self.closing)
            await client.writer.drain()


FIRST = Body(b"{" + MODEL + b',"input":{"prompt":"', b'"}}')
LAST = Body(b'{"input":{"prompt":"', b'"},' + MODEL + b"}")
TWICE = Body(b"{" + MODEL + b',"input":{"prompt":"', b'"},"model":"other"}')


@dataclass
class Sink(asyncio.Protocol):
    """An upstream that counts a body, remembers its end, and answers when it was whole."""

    taken: int = 0
    tail: bytes = b""
    answered: bool = False
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    _head: bytes = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        if b"\r\n\r\n" not in self._head:
            whole = self._head + data
            head, mark, data = whole.partition(b"\r\n\r\n")
            self._head = head + mark
        self.taken += len(data)
        self.tail = (self.tail + data[-64:])[-64:]
        if self.taken == int(Message(self._head).value("content-length") or -1):
            self.answered = True
            self._transport.write(task_answer("t", b"Connection: close"))
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.lost.set()


@dataclass
class Outside:
    """A proxy in another process, and what its upstream saw."""

    url: str
    token: str
    pid: int
    sinks: list[Sink]

    @property
    def peak(self) -> int:
        """The most memory that the process ever held, in KiB."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return next(int(x.split()[1]) for x in status.splitlines() if x.startswith("VmHWM:"))

    async def ask(self, body: Body) -> Message:
        """Send it; while it still goes up an answer may come."""
        host, port = self.url.removeprefix("http://").split(":")
        client = Client(*await asyncio.open_connection(host, int(port)))
        length = b"Content-Length: %d" % SIZE
        await client.send(head_of("POST", SUBMIT, length, token=self.token))
        sending = asyncio.create_task(body.send(client))
        try:
            async with asyncio.timeout(MINUTE):
                answer = await _Patient(client.reader, client.writer).answer()
                await sending
        finally:
            sending.cancel()
            await client.close()
        return answer


class _Patient(Client):
    """A client that waits for a head as long as a gigabyte takes."""

    async def head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")


@asynccontextmanager
async def outside(folder: Path) -> AsyncIterator[Outside]:
    sinks: list[Sink] = []

    def sink() -> Sink:
        sinks.append(Sink())
        return sinks[-1]

    server = await asyncio.get_running_loop().create_server(sink, "127.0.0.1", 0)
    variables = {
        **{name: value for name, value in os.environ.items() if name in {"PATH", "TMPDIR", "HOME"}},
        "DASHSCOPE_API_KEY": "sk-upstream",
        "PROXY_UPSTREAM": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",
        "PROXY_LISTEN": "127.0.0.1:0",
        "PROXY_ADMIN_LISTEN": "127.0.0.1:0",
        "PROXY_STORE": f"sqlite:///{folder}/proxy.db",
        "PROXY_MAX_BODY": "2GiB",
        "PROXY_SPOOL": "2GiB",
        "PROXY_LOG": "json",
    }
    command = [sys.executable, "-m", "proxy"]
    made = await asyncio.to_thread(
        subprocess.run,
        [*command, "token", "create", "t", "--model", "wan2.6-*", "--json"],
        env=variables,
        stdout=subprocess.PIPE,
        check=True,
    )
    process = await asyncio.create_subprocess_exec(
        *command, "serve", env=variables, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(MINUTE):
            line: dict[str, object] = {}
            while line.get("event") != "listening":
                line = json.loads(await process.stdout.readline())
        url = cast("list[str]", line["public"])[0]
        yield Outside(url, json.loads(made.stdout)["token"], process.pid, sinks)
    finally:
        process.terminate()
        await process.communicate()
        server.close()


async def test_a_gigabyte(tmp_path: Path) -> None:
    """Model first, last, twice: whole where it was approved, never whole where not; no growth."""
    async with outside(tmp_path) as proxy:
        before = proxy.peak

        assert (await proxy.ask(FIRST)).status == 200
        first = proxy.sinks[-1]
        assert (first.answered, first.taken, first.tail[-3:]) == (True, SIZE, b'"}}')
        assert proxy.peak - before < GROWTH

        assert (await proxy.ask(LAST)).status == 200
        last = proxy.sinks[-1]
        assert (last.answered, last.taken) == (True, SIZE)
        assert last.tail.endswith(MODEL + b"}")
        assert proxy.peak - before < GROWTH

        answer = await proxy.ask(TWICE)
        assert (answer.status, answer.code) == (400, "BadRequest.IllegalInput")
        refused = proxy.sinks[-1]
        await asyncio.wait_for(refused.lost.wait(), MINUTE)
        assert not refused.answered
        assert not refused.tail.endswith(b"}")
        assert b"other" not in refused.tail
        assert proxy.peak - before < GROWTH
