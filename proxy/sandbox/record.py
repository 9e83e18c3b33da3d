"""Every request as it came off the wire, so that a test can say what upstream really saw.

Memory is bounded twice: one request keeps at most `PARSED_BODY` while it is answered and
`KEPT_BODY` afterwards, and the log drops its oldest entries over `KEPT_ENTRIES` or `KEPT_TOTAL`.
The digest runs over all bytes, kept or not.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import Callable, Iterable
from typing import Literal, TypeAlias

from proxy.sandbox.answers import Payload

PARSED_BODY = 8 * 1024 * 1024
"""Bytes up to which a body is held to be parsed; a larger one is only skimmed for its model."""

KEPT_BODY = 1024 * 1024
"""Bytes of a body that stay in the log, and of the tail that is skimmed for a model."""

KEPT_ENTRIES = 10_000
KEPT_TOTAL = 64 * 1024 * 1024
TRIMMED_EVERY = 128
"""Requests between two looks at the two limits above: a look walks the whole log."""

_HOST = re.compile(r"^https?://[^/]*")
"""What precedes the path in the absolute form, which every server must accept (RFC 9112)."""

Headers: TypeAlias = tuple[tuple[str, str], ...]
Framing: TypeAlias = Literal["content-length", "chunked", "none"]
Predicate: TypeAlias = Callable[["ReceivedRequest"], bool]


class ReceivedRequest:
    """One request: its head exactly as sent, and what has come of its body so far.

    `target` is the request line's middle word, byte for byte. `headers` are in wire order with
    their original spelling. `complete` says the whole body arrived; it stays False when the
    client broke off. `answered` says the whole answer was handed to the socket, `hung_up` that
    the client left before that (or that a fault cut the connection).
    """

    def __init__(self, method: str, target: str, headers: Headers) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.size = 0
        self.complete = False
        self.answered = False
        self.hung_up = False
        self._digest = hashlib.sha256()
        self._head = bytearray()
        self._tail = bytearray()

    def __repr__(self) -> str:
        state = "complete" if self.complete else "hung up" if self.hung_up else "open"
        return f"<ReceivedRequest {self.method} {self.target} {self.size} bytes, {state}>"

    @property
    def path(self) -> str:
        """The target without its query, escapes kept; without scheme and host if it has them."""
        return _HOST.sub("", self.target.partition("?")[0])

    @property
    def framing(self) -> Framing:
        """How the client delimited the body."""
        if self.header("Transfer-Encoding") is not None:
            return "chunked"
        return "none" if self.header("Content-Length") is None else "content-length"

    @property
    def body(self) -> bytes:
        """The body, or its first `KEPT_BODY` bytes; compare `size` to know which."""
        return bytes(self._head[:KEPT_BODY])

    @property
    def sha256(self) -> str:
        """Lower-case hex digest of all body bytes received so far."""
        return self._digest.hexdigest()

    @property
    def kept(self) -> int:
        """Body bytes held in memory."""
        return len(self._head) + len(self._tail)

    def header(self, name: str) -> str | None:
        """The first field of that name in any spelling, or None."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    def json(self) -> Payload:
        """The body as a JSON object; raises `ValueError` when it is none."""
        payload = json.loads(self.body)
        if not isinstance(payload, dict):
            msg = "the body is JSON, but not an object"
            raise ValueError(msg)  # noqa: TRY004 - one documented exception for every unfit body
        return payload

    def whole(self) -> bytes | None:
        """The entire body while it is being answered, or None when it is over `PARSED_BODY`."""
        return bytes(self._head) if self.size <= PARSED_BODY else None

    def ends(self) -> tuple[bytes, bytes]:
        """The first and the last `KEPT_BODY` bytes of a body too large to be held."""
        return self.body, bytes(self._tail[-KEPT_BODY:])

    def feed(self, chunk: bytes) -> None:
        """Take the next body bytes; memory does not grow with the body."""
        self.size += len(chunk)
        self._digest.update(chunk)
        room = PARSED_BODY - len(self._head)
        self._head += chunk[:room]
        self._tail += chunk[room:]
        if len(self._tail) > 2 * KEPT_BODY:  # trimmed in halves: the moves stay O(bytes)
            del self._tail[:-KEPT_BODY]

    def settle(self) -> None:
        """Let go of what only the answer needed."""
        del self._head[KEPT_BODY:]
        self._tail.clear()


class RequestLog(list[ReceivedRequest]):
    """The requests in order of arrival, oldest first. A plain list, and one can wait for more."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = asyncio.Event()

    def open(self, method: str, target: str, headers: Iterable[tuple[str, str]]) -> ReceivedRequest:
        """Log a request whose head has arrived."""
        if len(self) % TRIMMED_EVERY == 0:
            self._trim()
        entry = ReceivedRequest(method, target, tuple(headers))
        self.append(entry)
        self.touch()
        return entry

    def touch(self) -> None:
        """Wake everyone who waits: some entry has changed."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_for(self, predicate: Predicate, seconds: float) -> ReceivedRequest:
        """The first request, logged or to come, that satisfies `predicate`.

        Raises `TimeoutError` after `seconds`.
        """
        async with asyncio.timeout(seconds):
            while True:
                changed = self._changed
                for entry in self:
                    if predicate(entry):
                        return entry
                await changed.wait()

    def _trim(self) -> None:
        kept = sum(entry.kept for entry in self)
        while self and (len(self) >= KEPT_ENTRIES or kept > KEPT_TOTAL):
            kept -= self.pop(0).kept
