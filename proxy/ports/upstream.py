"""What is sent upstream, and what comes of it: answers, and WebSockets."""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

from proxy.core.accounts import Account

Headers: TypeAlias = Sequence[tuple[str, str]]
"""Header fields in wire order; names keep their spelling, repeats are kept."""


class Call(NamedTuple):
    """One request to an upstream account, complete but for its connection.

    A tuple, since one is made for each request: a frozen dataclass takes twice as long.

    `target` is path and query exactly as they go on the request line. `headers` already carry
    the account's credentials and the framing: with a `Content-Length` the body must be that
    long, without one it is sent chunked. `read_timeout` is seconds of silence from upstream.
    """

    method: str
    account: Account
    target: str
    headers: Headers
    body: AsyncIterable[bytes] | bytes | None
    read_timeout: float


Take: TypeAlias = Callable[[Sequence[bytes]], bool]
"""Takes chunks, none of them empty; whether that was enough for now."""


class Reply(Protocol):
    """An answer whose head has arrived. `chunks` may be walked once."""

    status: int
    reason: str
    headers: Headers

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives, not decoded; slow callers slow upstream down.

        Never two chunks of the chunked coding in one; a chunk comes in parts only when it is
        large, or arrives with a pause in it. What arrived before a break comes before the error.
        Raises `ProxyError` (`BAD_GATEWAY`, `GATEWAY_TIMEOUT`) when upstream breaks midway.
        """
        ...

    def rest(self) -> bytes | None:
        """What `chunks` has still to yield: all here, to a clean end, and one chunk at most.

        It is taken then: `chunks` has nothing more. None says nothing but that `chunks` must be
        walked. A small answer, which came with its head, can so be passed on in one write.
        """
        ...

    async def pour(self, take: Take) -> bool:
        """Give `take` what `chunks` would yield, as soon as it is here; whether to the end.

        Several chunks that came at once are given at once. When `take` says that this was enough
        for now, `pour` ends too, and is to be called again. Raises what `chunks` and `take` raise.
        """
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """One message on a WebSocket, whole: text as its UTF-8, or bytes."""

    data: bytes
    is_text: bool


@dataclass(frozen=True, slots=True)
class Closed:
    """How the other end of a WebSocket ended. `code` is RFC 6455's, 1005 and 1006 included."""

    code: int
    reason: str = ""


class PeerGoneError(Exception):
    """The other end of a WebSocket is gone, or takes nothing any more."""


class Peer(Protocol):
    """The other end of a WebSocket, client or upstream."""

    async def next(self) -> Message | Closed:
        """The next message, or how it ended. Who does not ask slows the other end down."""
        ...

    async def send(self, message: Message) -> None:
        """Send, and wait while the other end has too much to take in. Raises `PeerGoneError`."""
        ...

    async def close(self, closing: Closed, patience: float) -> None:
        """Say goodbye, for `patience` seconds at most, and let the connection go."""
        ...


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms a WebSocket is opened. `max_message` is bytes, the times are seconds.

    `patience` is how long an end may take to accept a message, `heartbeat` how long it may be
    silent until it is asked whether it is there.
    """

    max_message: int
    patience: float
    heartbeat: float
    subprotocols: Sequence[str] = ()


class Channel(Peer, Protocol):
    """A WebSocket to upstream, with what its handshake answered."""

    headers: Headers
    subprotocol: str | None


class HandshakeRefusedError(Exception):
    """Upstream answered a handshake with something else than a WebSocket: this, whole."""

    def __init__(self, status: int, reason: str, headers: Headers, body: bytes) -> None:
        super().__init__(f"status {status}")
        self.status, self.reason = status, reason
        self.headers, self.body = headers, body


class Upstream(Protocol):
    """Sends calls. Leaving the context early gives the connection up, never back to a pool."""

    def send(self, call: Call) -> AbstractAsyncContextManager[Reply]:
        """Send and wait for the head of the answer, which may come while the body still goes up.

        Never re-sends a request of which a byte may have left, except safe methods.
        Raises `ProxyError` (`BAD_GATEWAY`, `GATEWAY_TIMEOUT`). An exception raised by
        `call.body` itself comes out unchanged, and upstream is left with an incomplete message.
        """
        ...

    def connect(self, call: Call, terms: Terms) -> AbstractAsyncContextManager[Channel]:
        """Open a WebSocket. Leaving the context cuts it off.

        `call.read_timeout` is seconds for the handshake alone.
        Raises `HandshakeRefusedError`, and `ProxyError` (`BAD_GATEWAY`, `GATEWAY_TIMEOUT`).
        """
        ...
