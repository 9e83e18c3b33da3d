"""The sandbox itself: one listener, one handler, and what tests want to look at."""

import asyncio
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, unquote

from aiohttp import web

from proxy.sandbox import anthropic, api, control, openai
from proxy.sandbox.answers import Answer, RefusalError, refused
from proxy.sandbox.ask import Ask, account_of, body_of
from proxy.sandbox.customization import Customization
from proxy.sandbox.delivery import abort, deliver, gateway_headers
from proxy.sandbox.faults import NO_FAULT, Fault, FaultBook
from proxy.sandbox.files import ResultFiles
from proxy.sandbox.ledger import Ledger
from proxy.sandbox.quota import QueryQuota
from proxy.sandbox.record import Predicate, ReceivedRequest, RequestLog
from proxy.sandbox.resources import Resources
from proxy.sandbox.sockets import PREFIX, Sockets
from proxy.sandbox.surfaces import Surface
from proxy.sandbox.tasks import TaskDesk
from proxy.sandbox.uploads import Uploads

DEFAULT_KEY = "sk-sandbox"

OBJECT_STORE = "/oss/"
RESULTS = "/results/"

SPOKEN_HOSTS = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}  # noqa: S104 - looked up, not bound
"""How a URL says an address that one can listen on."""


class Sandbox:
    """A simulated DashScope on a socket of its own.

    `keys` are the good API keys; each is an account of its own, and with none given any key is.
    `task_seconds` is how long a task takes from PENDING to its end; with 0 each poll moves it
    on by one state. `port` 0 picks a free one. `public_url` is what result and upload links
    begin with, for a sandbox that is reached under another name than it listens on. `ids` makes the
    request ids, from which all other ids follow: with it and `clock` given, answers repeat.
    `queries_per_second` is how often an account may ask for tasks, 20 at the real service;
    without it, as often as it likes.

    Tests look at `requests`, `sockets`, `faults`, `tasks`, `quota` and `uploads`, await `received`,
    and let it fail for a while in `outage`.
    """

    def __init__(  # noqa: PLR0913 - the knobs of a stage, all by name, all with a default
        self,
        *,
        keys: Collection[str] = (DEFAULT_KEY,),
        task_seconds: float = 3.0,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Callable[[], float] = time.time,
        public_url: str | None = None,
        ids: Callable[[], uuid.UUID] = uuid.uuid4,
        queries_per_second: int | None = None,
    ) -> None:
        self.keys = frozenset(keys)
        self.requests = RequestLog()
        self.faults = FaultBook()
        self._sockets = Sockets(self.requests, self.keys, clock)
        self.sockets = self._sockets.log
        self.tasks = Ledger(task_seconds, clock)
        self.uploads = Uploads(lambda: f"{self.public_url}{OBJECT_STORE}", clock)
        self._address = (host, port)
        self._public_url = public_url
        self._clock = clock
        self._ids = ids
        self._files = ResultFiles(lambda: self.public_url, clock)
        self._control = control.Control(self.requests, self.faults, self.tasks, self.sockets)
        self.quota = QueryQuota(queries_per_second, clock)
        desk = TaskDesk(self.tasks, self._files.link, clock, self.quota)
        native = api.Api(
            desk, self.uploads, Customization(clock), Resources(clock), self._files.link
        )
        self._native = Surface(api.PREFIX, native.answer)
        self._surfaces = (self._native, *openai.surfaces(), anthropic.surface())
        self._server: web.Server | None = None
        self._listener: asyncio.Server | None = None

    def __repr__(self) -> str:
        where = self.url if self._listener else "not started"
        return f"<Sandbox {where}, {len(self.requests)} requests, {len(self.tasks)} tasks>"

    @property
    def url(self) -> str:
        """Root URL without a slash at the end; what `PROXY_UPSTREAM` takes."""
        if self._listener is None:
            msg = "the sandbox has no URL before start()"
            raise RuntimeError(msg)
        host, port = self._listener.sockets[0].getsockname()[:2]
        return f"http://{SPOKEN_HOSTS.get(host, host)}:{port}"

    @property
    def public_url(self) -> str:
        """What links begin with."""
        return self._public_url or self.url

    async def start(self) -> Self:
        """Listen. Raises `OSError` when the address is taken."""
        # A client that hangs up cancels the handler: the log can then say so at once.
        self._server = web.Server(
            self._handle, access_log=None, auto_decompress=False, handler_cancellation=True
        )
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._server, *self._address)
        return self

    async def stop(self) -> None:
        """Close the listener and every connection. Safe to call twice."""
        if self._listener is None or self._server is None:
            return
        self._listener.close()
        await self._server.shutdown(timeout=0.1)
        await self._listener.wait_closed()
        self._listener = self._server = None

    @asynccontextmanager
    async def outage(self, status: int | None = None) -> AsyncIterator[None]:
        """Fail for a while: answer everything with `status`, or refuse connections.

        Those that are open are closed then. Raises `OSError` when the port was lost meanwhile.
        """
        if status is not None:
            with self.faults.lasting(status=status):
                yield
            return
        if self._listener is not None:
            self._address = self._listener.sockets[0].getsockname()[:2]
        await self.stop()
        with _taken(self._address):
            yield
        await self.start()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def received(self, predicate: Predicate, *, seconds: float = 10.0) -> ReceivedRequest:
        """The first request, logged or to come, for which `predicate` holds.

        Looked at again with every head, body chunk and end. Raises `TimeoutError`.
        """
        return await self.requests.wait_for(predicate, seconds)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Log it, break it if told to, answer it."""
        if request.path.startswith(control.PREFIX):
            return await self._steer(request)
        pairs = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in request.raw_headers]
        entry = self.requests.open(request.method, request.raw_path, pairs)
        try:
            response = await self._exchange(request, entry)
            entry.answered = request.transport is not None and not request.transport.is_closing()
            entry.hung_up = not entry.answered
        except (OSError, web.RequestPayloadError):  # gone, or its chunks make no sense
            entry.hung_up = True
            return web.Response(status=400)
        except asyncio.CancelledError:
            entry.hung_up = True
            raise
        finally:
            entry.settle()
            self.requests.touch()
        return response

    async def _exchange(
        self, request: web.BaseRequest, entry: ReceivedRequest
    ) -> web.StreamResponse:
        request_id = str(self._ids())
        fault = self.faults.strike_at_head(entry.method, entry.path)
        if fault is not None and fault.reset in {"before", "upload"}:
            if fault.reset == "upload":
                entry.feed(await request.content.readany())
            return abort(request, web.StreamResponse())
        if fault is None:
            await self._read(request, entry)
            fault = NO_FAULT
            if self.faults:  # a large body is not parsed once more for nothing
                fault = self.faults.strike(entry.method, entry.path, _model_of(entry))
        if entry.path.startswith(PREFIX) and fault.replacement(request_id, refused) is None:
            return await self._sockets.serve(request, entry, fault, request_id)
        account, answer = self._answer(entry, fault, request_id)
        headers = gateway_headers(request_id, account, self._clock())
        return await deliver(request, answer, headers, fault)

    async def _read(self, request: web.BaseRequest, entry: ReceivedRequest) -> None:
        """Take the whole body in, chunk by chunk."""
        if (entry.header("Expect") or "").lower() == "100-continue":
            await _say_continue(request)
        async for chunk in request.content.iter_any():
            entry.feed(chunk)
            self.requests.touch()
        entry.complete = True
        self.requests.touch()

    def _answer(
        self, entry: ReceivedRequest, fault: Fault, request_id: str
    ) -> tuple[str | None, Answer]:
        """The answer, and the account it belongs to once that is known."""
        surface = self._surface(entry)
        replacement = fault.replacement(request_id, surface.refused)
        if replacement is not None and fault.late is None:
            return None, replacement
        account = None
        try:
            if entry.path.startswith(OBJECT_STORE):
                return None, self.uploads.store(entry)
            if entry.path.startswith(RESULTS):
                query = {name: values[0] for name, values in _query(entry).items()}
                return None, self._files.serve(entry.path, query)
            account = account_of(entry, self.keys, surface.key_header)
            answer = surface.answer(self._ask(entry, surface, account, request_id))
        except RefusalError as refusal:
            return account, surface.refused(refusal, request_id)
        return account, replacement or answer

    def _surface(self, entry: ReceivedRequest) -> Surface:
        """The protocol a request speaks; outside all prefixes the native one."""
        path = unquote(entry.path)
        met = (one for one in self._surfaces if path.startswith(one.prefix))
        return next(met, self._native)

    def _ask(self, entry: ReceivedRequest, surface: Surface, account: str, request_id: str) -> Ask:
        """Raises `RefusalError` for a path outside the API and for a body that is not JSON."""
        path = unquote(entry.path)
        if not path.startswith(surface.prefix):
            raise RefusalError(404, "NotFound", "Request path not found.")
        has_json = entry.size and not _is_form(entry)
        return Ask(
            account=account,
            request_id=request_id,
            now=self._clock(),
            method=entry.method,
            path=path.removeprefix(surface.prefix),
            query=_query(entry),
            received=entry,
            body=body_of(entry) if has_json else {},
        )

    async def _steer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Control requests are neither logged nor broken."""
        try:
            answer = self._control.answer(request.method, request.path, await request.read())
        except RefusalError as refusal:
            answer = refused(refusal, str(self._ids()))
        return web.Response(
            status=answer.status, body=b"".join(answer.pieces), content_type=answer.content_type
        )


@contextmanager
def _taken(address: tuple[str, int]) -> Iterator[None]:
    """Nobody else gets the port, and nobody listens on it: connections are refused."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(address)
        yield


def _query(entry: ReceivedRequest) -> dict[str, list[str]]:
    return parse_qs(entry.target.partition("?")[2], keep_blank_values=True)


def _is_form(entry: ReceivedRequest) -> bool:
    return (entry.header("Content-Type") or "").startswith("multipart/")


def _model_of(entry: ReceivedRequest) -> str | None:
    """The model for a fault to match: in the body, or in the query."""
    try:
        model = body_of(entry).get("model")
    except RefusalError:
        model = _query(entry).get("model", [None])[0]
    return model if isinstance(model, str) else None


async def _say_continue(request: web.BaseRequest) -> None:
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the head of the real answer has not been written yet
