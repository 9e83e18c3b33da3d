"""The sandbox's WebSockets: handshake, record, faults. What is said is `speech` and `realtime`."""

import asyncio
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from aiohttp import WSMsgType, web

from proxy.sandbox.answers import RefusalError, refused
from proxy.sandbox.ask import account_of
from proxy.sandbox.delivery import abort, deliver, gateway_headers
from proxy.sandbox.faults import Fault
from proxy.sandbox.realtime import Realtime
from proxy.sandbox.record import ReceivedRequest, RequestLog
from proxy.sandbox.speech import Speech

PREFIX = "/api-ws/"
INFERENCE = "/api-ws/v1/inference"
REALTIME = "/api-ws/v1/realtime"

MAX_MESSAGE = 64 * 1024 * 1024
KEPT_FRAMES = 1000
KEPT_SOCKETS = 1000
VANISHED = 1006


@dataclass
class SocketRecord:
    """One socket: its handshake and the first `KEPT_FRAMES` messages that came.

    `closed` is the code with which the client ended it: 1005 for none given, 1006 when it just
    left, None while it is open.
    """

    handshake: ReceivedRequest
    frames: list[str | bytes] = field(default_factory=list)
    count: int = 0
    closed: int | None = None
    reason: str = ""

    def take(self, message: str | bytes) -> None:
        """Note a message."""
        self.count += 1
        if len(self.frames) < KEPT_FRAMES:
            self.frames.append(message)


class SocketLog(list[SocketRecord]):
    """All sockets, oldest first."""

    @property
    def open(self) -> int:
        """How many are open."""
        return sum(record.closed is None for record in self)

    def begin(self, handshake: ReceivedRequest) -> SocketRecord:
        """Note an upgraded connection."""
        record = SocketRecord(handshake)
        self.append(record)
        del self[:-KEPT_SOCKETS]
        return record


class Sockets:
    """Serves upgraded connections and keeps a record of each."""

    def __init__(
        self, requests: RequestLog, keys: Collection[str], clock: Callable[[], float]
    ) -> None:
        self.log = SocketLog()
        self._requests = requests
        self._keys = keys
        self._clock = clock

    async def serve(
        self, request: web.BaseRequest, entry: ReceivedRequest, fault: Fault, request_id: str
    ) -> web.StreamResponse:
        """One socket, to its end; or the refusal of its handshake."""
        account = None
        try:
            account = account_of(entry, self._keys)
            headers = gateway_headers(request_id, account, self._clock())
            return await self._upgrade(request, entry, headers, fault)
        except RefusalError as refusal:
            headers = gateway_headers(request_id, account, self._clock())
            return await deliver(request, refused(refusal, request_id), headers, fault)

    async def _upgrade(
        self,
        request: web.BaseRequest,
        entry: ReceivedRequest,
        headers: dict[str, str],
        fault: Fault,
    ) -> web.StreamResponse:
        """One socket, to its end. Raises `RefusalError` for what is no handshake."""
        model = parse_qs(entry.target.partition("?")[2]).get("model", [""])[0]
        path = entry.path.rstrip("/")
        if path not in {INFERENCE, REALTIME}:
            raise RefusalError(404, "NotFound", "Request path not found.")
        if path == REALTIME and not model:
            raise RefusalError(400, "InvalidParameter", "Missing required parameter 'model'.")
        socket = web.WebSocketResponse(
            protocols=tuple(_offered(entry)),
            autoclose=False,
            max_msg_size=MAX_MESSAGE,
        )
        if not socket.can_prepare(request):
            raise RefusalError(400, "InvalidParameter", "Expected a WebSocket handshake.")
        socket.headers.update({**headers, **fault.headers})
        await asyncio.sleep(fault.delay)
        if fault.reset:
            return abort(request, socket)
        await socket.prepare(request)
        record = self.log.begin(entry)
        self._requests.touch()
        try:
            await self._converse(socket, record, model if path == REALTIME else None, fault)
        finally:
            record.closed = record.closed or VANISHED
            self._requests.touch()
        return abort(request, socket) if fault.close_code == 0 else socket

    async def _converse(
        self,
        socket: web.WebSocketResponse,
        record: SocketRecord,
        model: str | None,
        fault: Fault,
    ) -> None:
        async def send(message: str | bytes) -> None:
            await (socket.send_bytes if isinstance(message, bytes) else socket.send_str)(message)  # type: ignore[arg-type]

        session = Realtime(send, model) if model is not None else None
        if session:
            await session.begin()
        talk = session or Speech(send)
        while (message := await self._next(socket, record)) is not None:
            if fault.close_code is not None and record.count >= fault.after_frames:
                if fault.close_code:
                    await socket.close(code=fault.close_code, message=b"told to fail")
                return
            await talk.heard(message)
            if session and session.is_over:
                await socket.close()
                return

    async def _next(
        self, socket: web.WebSocketResponse, record: SocketRecord
    ) -> str | bytes | None:
        """The next message, noted; None at the end, whose code is noted as well."""
        came = await socket.receive()
        if came.type is WSMsgType.CLOSE:
            record.closed, record.reason = came.data or 1005, came.extra or ""
            await socket.close(code=came.data or 1000)
        if came.type not in {WSMsgType.TEXT, WSMsgType.BINARY}:
            return None
        message: str | bytes = came.data
        record.take(message)
        self._requests.touch()
        return message


def _offered(entry: ReceivedRequest) -> Iterator[str]:
    """The subprotocols a client offers; the first is taken."""
    yield from (word.strip() for word in (entry.header("Sec-WebSocket-Protocol") or "").split(","))
