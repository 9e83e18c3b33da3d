"""ASKS. The nouns that edges and stores share; each is a few methods wide.

`proxy.stores` implements `Store`, `proxy.edge.upstream` implements `Upstream`; whoever calls
them sees only this file. What may go wrong outside is raised as `proxy.core.errors.ProxyError`,
translated at the border; no foreign exception travels inward.
"""

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from proxy.core.accounts import Account
from proxy.core.freshness import PollOutcome
from proxy.core.idempotency import Submission
from proxy.core.policy import Grant, GrantUnreadableError
from proxy.core.tasks import TaskRecord

Headers: TypeAlias = Sequence[tuple[str, str]]
"""Header fields in wire order; names keep their spelling, repeats are kept."""


class Tokens(Protocol):
    """Grants by the SHA-256 digest of their token. Secrets never get this far."""

    async def grant(self, digest: str) -> Grant | None:
        """The grant behind a token, or None when there is none or it is unreadable.

        The hot path: known tokens are answered from local memory. Neither expiry nor
        `enabled` is looked at here, that is policy. Raises `StoreUnavailableError`.
        """
        ...

    async def save_grant(self, digest: str, grant: Grant) -> None:
        """Create or replace a grant; every process sees it within a second."""
        ...

    async def remove_grant(self, digest: str) -> bool:
        """Forget a token for good; False when there was none. Seen everywhere within a second."""
        ...

    def grants(self) -> AsyncIterator[tuple[str, Grant | GrantUnreadableError]]:
        """All digests with their grants in no particular order, for administration only.

        An unreadable grant comes as the error that says why, so that it can be shown.
        """
        ...


class Tasks(Protocol):
    """Owners of upstream tasks, remembered for `proxy.core.tasks.RETENTION` seconds."""

    async def claim(self, record: TaskRecord) -> None:
        """Write the owner durably before the task id is given away.

        Claiming again for the same tenant changes nothing. Raises `TaskConflictError` when
        another tenant owns the id, `StoreUnavailableError` when the owner could not be written.
        """
        ...

    async def owner(self, task_id: str, tenant: str) -> TaskRecord | None:
        """The record of a task the tenant owns; None when there is none, or it is another's.

        Another's task and no task at all are one case on every way through a store: what is
        asked, how long it takes, and what happens in an outage, `StoreUnavailableError`. Own
        tasks seen before stay known through it. Who owns a task never changes; `status` may lag
        behind what other processes saw, other than in `tasks_of`.
        """
        ...

    async def observe(self, task_id: str, status: str, at: float) -> None:
        """Note the status seen on a poll at `at` (Unix seconds); an unknown id is ignored.

        Only a change is written, so that `updated` says since when the status is what it is.
        """
        ...

    async def tasks_of(self, tenant: str, since: float, until: float) -> list[TaskRecord]:
        """The tenant's tasks with `since <= created <= until`, newest first, at most 10,000."""
        ...


class Submissions(Protocol):
    """First calls with an `Idempotency-Key`, for `proxy.core.idempotency.RETENTION` seconds.

    `place` is what `proxy.core.idempotency.place_of` makes. All methods raise
    `StoreUnavailableError`, and may be effective then all the same, at once or later.
    """

    async def reserve(self, place: str, first: Submission) -> Submission | None:
        """Put `first` where nothing is kept: None, to its `holder` again; else what is there."""
        ...

    async def advance(self, place: str, submission: Submission) -> bool:
        """Replace what its `holder` reserved, but no outcome; False if it is another's, or gone."""
        ...

    async def prolong(self, place: str, holder: str, due: float) -> None:
        """Move `due` of what its `holder` reserved, and nothing else of it."""
        ...

    async def release(self, place: str, holder: str) -> None:
        """Take out what its `holder` reserved: it came to nothing."""
        ...


class Store(Tokens, Tasks, Submissions, Protocol):
    """One place that remembers all three, with a lifetime."""

    @property
    def trouble(self) -> str:
        """Why the store is down, or was last: for the operator's log, not for clients."""
        ...

    async def open(self) -> None:
        """Connect. A store that cannot be reached is not an error here: see `ping`."""
        ...

    async def close(self) -> None:
        """Let go of connections, files and background tasks. Safe to call twice."""
        ...

    async def ping(self) -> None:
        """Return when the store answers now; raises `StoreUnavailableError`. Serves `/readyz`."""
        ...


@dataclass(frozen=True, slots=True)
class Call:
    """One request to an upstream account, complete but for its connection.

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


@dataclass(slots=True)
class Visit:
    """What is known of one request so far; when it is finished, its log line.

    Written along the way, read only by `Telemetry`: no decision rests on it. `started` is on
    the clock of `time.perf_counter`, `first_byte` and `total` are seconds from there.
    `poll` is how a poll was answered; a socket's `model` and `account` are its first task's.
    Empty and None mean "not known", and are left out of the line.
    """

    request_id: str
    started: float
    method: str = ""
    route: str = ""
    alias: str = ""
    token: str = ""
    token_name: str = ""
    tenant: str = ""
    model: str = ""
    account: str = ""
    task_id: str = ""
    status: int = 0
    code: str = ""
    bytes_in: int = 0
    bytes_out: int = 0
    first_byte: float | None = None
    total: float = 0.0
    replayed: bool | None = None
    upstream_status: int | None = None
    upstream_request_id: str = ""
    poll: PollOutcome | None = None
    close_code: int | None = None


class Telemetry(Protocol):
    """Hears what happened. Never raises, never blocks, never sees a body or a secret."""

    def started(self) -> None:
        """Note that a request is being served."""
        ...

    def finished(self, visit: Visit) -> None:
        """Note the end of a request, whatever it was: one log line, and the counters."""
        ...

    def event(self, name: str, **facts: object) -> None:
        """Note something that is not a request: an outage, an orphaned task, a start."""
        ...

    def bug(self, error: BaseException, request_id: str) -> None:
        """Note an exception nobody expected, with its traceback."""
        ...
