"""Requests as data, and the clients that send them: curl, and sockets that dawdle.

A script is a list of steps. `{task}` in a path stands for the first id of a task, or of anything
else, that an answer named.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import urlsplit

from conformance.clients import BYTES, CHUNKED, CURL
from conformance.operations import Answers, Place, Run
from conformance.relay import PATIENCE
from conformance.wire import Message, answers_in

SLOW_BYTES = 4096
"""Bytes of a request that go out one at a time; the rest of a large one in larger slices."""

_TASK = re.compile(rb'"(?:task_)?id":"([^"]+)"')


@dataclass(frozen=True)
class Step:
    """One request. `path` is below the base; with a slash in front it is absolute.

    `alias` is the absolute path to use instead where the proxy's short routes exist, `direct`
    what the header needs besides where they do not, and `direct_body` what the body is there.
    """

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    alias: str | None = None
    direct: Mapping[str, str] = field(default_factory=dict)
    direct_body: bytes | None = None

    def target(self, at: Place, task: str) -> str:
        path = self.alias if at.alias and self.alias else self.path
        return (path if path.startswith("/") else f"{at.base}/{path}").replace("{task}", task)

    def content(self, at: Place) -> bytes | None:
        return self.body if at.alias or self.direct_body is None else self.direct_body

    def fields(self, at: Place) -> dict[str, str]:
        given = {"Authorization": f"Bearer {at.key}"}
        if self.body is not None:
            given["Content-Type"] = "application/json"
        more = {} if at.alias else self.direct
        return {name: value for name, value in {**given, **self.headers, **more}.items() if value}


Script: TypeAlias = Sequence[Step]
Send: TypeAlias = Callable[[Step, Place, str], Awaitable[bytes]]


def post(path: str, body: object, /, alias: str | None = None, **headers: str) -> Step:
    """A JSON POST; `X_DashScope_Async="enable"` among the headers spells `X-DashScope-Async`."""
    data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    return Step("POST", path, data, _spelled(headers), alias)


def get(path: str, /, alias: str | None = None, **headers: str) -> Step:
    return Step("GET", path, None, _spelled(headers), alias)


def _spelled(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def played(script: Script, *clients: str) -> dict[str, Run]:
    """A script on these clients, or on all that can send anything."""
    return {client: _player(script, _SENDERS[client]) for client in clients or _SENDERS}


def _player(script: Script, send: Send) -> Run:
    async def run(at: Place) -> Answers:
        task = ""
        values = []
        for step in script:
            said = await send(step, at, task)
            found = _TASK.search(said)
            task = task or (found[1].decode() if found else "")
            values.append(len(said))
        return values

    return run


async def _curl(step: Step, at: Place, task: str) -> bytes:
    """What curl prints: the body."""
    command = ["curl", "-s", "--path-as-is", "-X", step.method, at.root + step.target(at, task)]
    if step.method == "HEAD":
        command[3:5] = ["--head"]
    for name, value in step.fields(at).items():
        command += ["-H", f"{name}: {value}"]
    content = step.content(at)
    if content is not None:
        command += ["--data-binary", "@-"]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate(content)
    body = b"" if step.method == "HEAD" else printed
    return body + str(process.returncode).encode()


async def _byte_by_byte(step: Step, at: Place, task: str) -> bytes:
    head = _head(step, at, task)
    content = step.content(at)
    if content is not None:
        head["Content-Length"] = str(len(content))
    return await exchange(at, step.method, _slices(_wire(head) + (content or b"")))


async def _chunked(step: Step, at: Place, task: str) -> bytes:
    head = _head(step, at, task)
    content = step.content(at)
    if content is None:
        return await exchange(at, step.method, [_wire(head)])
    head["Transfer-Encoding"] = "chunked"
    chunks = [b"%x\r\n%b\r\n" % (len(part), part) for part in _slices(content, 7)]
    return await exchange(at, step.method, [_wire(head), *chunks, b"0\r\n\r\n"])


_SENDERS: Mapping[str, Send] = {CURL: _curl, BYTES: _byte_by_byte, CHUNKED: _chunked}


def _head(step: Step, at: Place, task: str) -> dict[str, str]:
    """The first line under the empty name, then the fields."""
    line = f"{step.method} {step.target(at, task)} HTTP/1.1"
    return {"": line, "Host": urlsplit(at.root).netloc, **step.fields(at)}


def _wire(head: Mapping[str, str]) -> bytes:
    lines = [f"{name}: {value}" if name else value for name, value in head.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def _slices(data: bytes, size: int = 1) -> Iterator[bytes]:
    for at in range(0, min(len(data), SLOW_BYTES), size):
        yield data[at : min(at + size, SLOW_BYTES)]
    for at in range(SLOW_BYTES, len(data), 65536):
        yield data[at : at + 65536]


async def exchange(at: Place, method: str, parts: Iterator[bytes] | Sequence[bytes]) -> bytes:
    """Send the parts one by one on a connection of their own; the answer's body."""
    url = urlsplit(at.root)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0)
    answers = await whole_answers(reader, [method])
    writer.close()
    return answers[0].body if answers else b""


async def whole_answers(reader: asyncio.StreamReader, methods: Sequence[str]) -> list[Message]:
    """Read until an answer to each method is whole, or the connection ends."""
    data = b""
    async with asyncio.timeout(PATIENCE):
        while True:
            answers = answers_in(data, methods, closed=False)
            if len(answers) == len(methods) and answers[-1].framing != "cut":
                return answers
            try:
                part = await reader.read(65536)
            except ConnectionResetError:
                part = b""
            if not part:
                return answers_in(data, methods, closed=True)
            data += part
