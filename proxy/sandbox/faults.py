"""What goes wrong on purpose, how often, and for whom.

A fault is spent on the first requests that match it, oldest fault first, one fault a request.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, Literal, TypeAlias

from proxy.sandbox.answers import JSON_TYPE, Answer, RefusalError, refused

Reset: TypeAlias = Literal["before", "upload", "after_request", "headers", "body"]

Pace: TypeAlias = Callable[[int], Awaitable[None]]

RESETS: tuple[Reset, ...] = ("before", "upload", "after_request", "headers", "body")

NATIVE: dict[int, tuple[str, str]] = {
    400: ("InvalidParameter", "The request parameter is invalid."),
    429: ("Throttling.RateQuota", "Requests rate limit exceeded, please try again later."),
    500: ("InternalError", "An internal error has occured, please try again later."),
    502: ("BadGateway", "Bad gateway."),
    503: ("ModelUnavailable", "Model is unavailable, please try again later."),
    504: ("GatewayTimeout", "Gateway timeout."),
}
"""Code and message by status; the misspelling in 500 is the service's own."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to go wrong. Everything left out stays as it would be.

    Which requests: `method`; `path`, a prefix of the raw path; `model`; `times`, how many of
    them (None: until cleared).

    What happens: `status` answers that instead, with the native body or with `body`, before
    anything is done (no task is made). `early` does the same without reading the request body,
    `late` when all was done: a task is made, and the answer does not tell.
    `headers` are added to the answer. `delay` is seconds before the head, `chunk_delay` seconds
    between body pieces. `chunk_bytes` cuts the body into pieces of that size and sends it
    chunked. `gzip` compresses it, whatever the client accepts. `hold` is an event (in-process
    only) to wait for once `hold_after` pieces are out; 0 waits before the head. `pace` (in-process
    only) is awaited between two pieces with the number of body bytes sent so far. `wire` is sent
    instead of any answer, byte for byte, and the connection closed.

    `close_code` ends a WebSocket when the `after_frames`-th message came, 0 without a word; on its
    handshake `status`, `headers`, `delay` and any `reset` mean what they mean elsewhere.

    `reset` breaks the TCP connection: "before" the body is read; during the "upload", when some
    of it was read; "after_request", when all was read and done but nothing answered; after the
    "headers"; halfway through the "body".
    """

    method: str | None = None
    path: str = ""
    model: str | None = None
    times: int | None = 1
    status: int | None = None
    body: str | None = None
    content_type: str = JSON_TYPE
    early: int | None = None
    late: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    chunk_delay: float = 0.0
    chunk_bytes: int | None = None
    gzip: bool = False
    reset: Reset | None = None
    close_code: int | None = None
    after_frames: int = 1
    hold: asyncio.Event | None = None
    hold_after: int = 0
    pace: Pace | None = None
    wire: bytes | None = None

    def __post_init__(self) -> None:
        if self.reset is not None and self.reset not in RESETS:
            msg = f"reset: {self.reset!r} is not one of {', '.join(RESETS)}"
            raise ValueError(msg)
        if self.at_head and self.model is not None:
            msg = "model: not known before the body is read; drop it, `early` or `reset`"
            raise ValueError(msg)

    @property
    def at_head(self) -> bool:
        """Whether it strikes before the request body is read."""
        return self.early is not None or self.reset in {"before", "upload"}

    def matches(self, method: str, path: str, model: str | None) -> bool:
        """Whether a request is meant; `times` is the book's business."""
        return (
            self.method in (None, method)
            and path.startswith(self.path)
            and self.model in (None, model)
        )

    def replacement(
        self, request_id: str, refused: Callable[[RefusalError, str], Answer] = refused
    ) -> Answer | None:
        """The answer to give instead of the real one, if any, as `refused` words it."""
        status = self.early or self.status or self.late
        if status is None:
            return None
        if self.body is not None:
            return Answer(status, self.content_type, (self.body.encode(),))
        code, message = NATIVE.get(status, ("Unknown", "The sandbox was told to fail."))
        return refused(RefusalError(status, code, message), request_id)


NO_FAULT = Fault()


class FaultBook:
    """The faults in force and how much of each is left."""

    def __init__(self) -> None:
        self._left: list[tuple[Fault, int | None]] = []

    def __len__(self) -> int:
        return len(self._left)

    def add(self, fault: Fault | None = None, /, **what: Any) -> Fault:  # noqa: ANN401 - Fault types them
        """Put a fault in force, given ready or by its fields; raises `ValueError`/`TypeError`."""
        fault = fault or Fault(**what)
        self._left.append((fault, fault.times))
        return fault

    @contextmanager
    def lasting(self, **what: Any) -> Iterator[None]:  # noqa: ANN401 - Fault types them
        """A fault, given by its fields, for as long as the context lasts."""
        fault = self.add(times=None, **what)
        try:
            yield
        finally:
            self._left = [(other, left) for other, left in self._left if other is not fault]

    def clear(self) -> None:
        """Forget all of them."""
        self._left.clear()

    def strike_at_head(self, method: str, path: str) -> Fault | None:
        """The fault that answers or breaks a request before its body is read, or None."""
        return self._take(method, path, None, at_head=True)

    def strike(self, method: str, path: str, model: str | None) -> Fault:
        """The fault for a request that was read; `NO_FAULT` when there is none."""
        return self._take(method, path, model, at_head=False) or NO_FAULT

    def _take(self, method: str, path: str, model: str | None, *, at_head: bool) -> Fault | None:
        for index, (fault, left) in enumerate(self._left):
            if fault.at_head == at_head and fault.matches(method, path, model):
                self._spend(index, fault, left)
                return fault
        return None

    def _spend(self, index: int, fault: Fault, left: int | None) -> None:
        if left == 1:
            del self._left[index]
        elif left is not None:
            self._left[index] = (fault, left - 1)


KINDS: dict[str, tuple[type, ...]] = {
    "method": (str, NoneType),
    "path": (str,),
    "model": (str, NoneType),
    "times": (int, NoneType),
    "status": (int, NoneType),
    "body": (str, NoneType),
    "content_type": (str,),
    "early": (int, NoneType),
    "late": (int, NoneType),
    "headers": (dict,),
    "delay": (int, float),
    "chunk_delay": (int, float),
    "chunk_bytes": (int, NoneType),
    "gzip": (bool,),
    "reset": (str, NoneType),
    "close_code": (int, NoneType),
    "after_frames": (int,),
}
"""The fields that may come as JSON, and as what."""


def fault_from_json(payload: Mapping[str, Any]) -> Fault:
    """Read a fault as `POST /sandbox/faults` takes it: flat, with the conditions under `match`.

    Raises `ValueError` naming a field that is unknown or unfit.
    """
    flat = {**payload.get("match", {}), **{k: v for k, v in payload.items() if k != "match"}}
    for name, value in flat.items():
        if name not in KINDS:
            msg = f"{name}: not a field of a fault; known are {', '.join(KINDS)}"
            raise ValueError(msg)
        if not isinstance(value, KINDS[name]):
            wanted = " or ".join(kind.__name__ for kind in KINDS[name])
            msg = f"{name}: {value!r} is not {wanted}"
            raise ValueError(msg)  # noqa: TRY004 - one documented exception for every unfit field
    return Fault(**flat)
