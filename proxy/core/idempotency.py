"""Calls that are sent twice: what makes two of them one, and what the second is told.

A client that names a call with `Idempotency-Key` may send it again for `RETENTION` seconds: no
second task comes of it. The first one's answer is remembered, and so is that there may be a task
although no answer came. Forgotten is only what certainly made none.
"""

import hashlib
import re
from dataclasses import dataclass, replace
from enum import Enum

from proxy.core.errors import ProxyError, Situation
from proxy.core.headers import IDEMPOTENCY_KEY, REPLAYED, Fields, values_of

RETENTION = 24 * 60 * 60
"""How long a key is remembered, in seconds from its first use: as long as upstream keeps a task."""

_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_SAID = ((REPLAYED, "true"),)


class State(Enum):
    """How the first call with a key stands."""

    RUNNING = "running"
    DONE = "done"
    UNCERTAIN = "uncertain"


@dataclass(frozen=True, slots=True)
class Submission:
    """The first call with a key, and what came of it. Times are Unix seconds.

    `holder` is the proxy's id of that request. At `due` a running one has had its time: whoever
    ran it is gone. `fingerprint` is the `Fingerprint` of what was sent, empty until all was.
    `status`, `reason`, `headers` and `body` are the answer as it crossed, `tasks` the ids in it;
    `situation` (its name) and `message` say why there is none.
    """

    holder: str
    created: float
    due: float
    state: State = State.RUNNING
    fingerprint: str = ""
    status: int = 0
    reason: str = ""
    headers: Fields = ()
    body: bytes = b""
    tasks: tuple[str, ...] = ()
    situation: str = ""
    message: str = ""

    def is_kept(self, now: float) -> bool:
        """Whether it still counts; every store asks this on reading."""
        return now < self.created + RETENTION

    def is_running(self, now: float) -> bool:
        """Whether it is worth waiting for."""
        return self.state is State.RUNNING and now < self.due

    def uncertain(self, error: ProxyError, fingerprint: str) -> "Submission":
        """The same, when a task may have been created and this is all that is known."""
        return replace(
            self,
            state=State.UNCERTAIN,
            fingerprint=fingerprint,
            situation=error.situation.name,
            message=error.message,
        )

    def demand_same(self, fingerprint: str) -> None:
        """Raises `ProxyError` (`KEY_REUSED`) for a call that is not the first one again."""
        if self.fingerprint and self.fingerprint != fingerprint:
            raise ProxyError(
                Situation.KEY_REUSED,
                "Idempotency-Key: used before for another path, query or body; take a new key.",
            )

    def demand_answer(self) -> None:
        """Raises the `ProxyError` that the first call ended with, when that was no answer."""
        if self.state is State.UNCERTAIN:
            situation = Situation.__members__.get(self.situation, Situation.BAD_GATEWAY)
            raise ProxyError(situation, self.message, headers=_SAID)
        if self.state is State.RUNNING:
            raise ProxyError(
                Situation.BAD_GATEWAY,
                "The first call with this Idempotency-Key was cut off; "
                "its task may have been created, do not re-send.",
                headers=_SAID,
            )


class Fingerprint:
    """What two calls have in common that are one: upstream's target, then the body's bytes."""

    def __init__(self, target: str) -> None:
        self._hash = hashlib.sha256(target.encode() + b"\n")

    def feed(self, part: bytes) -> bytes:
        """Take the next part of the body in, and give it back."""
        self._hash.update(part)
        return part

    def __str__(self) -> str:
        return self._hash.hexdigest()


def read_key(fields: Fields) -> str | None:
    """The key that a call carries, None for none.

    Raises `ProxyError` (`ILLEGAL_INPUT`) when there are two, or it is no key.
    """
    values = values_of(fields, IDEMPOTENCY_KEY)
    if not values:
        return None
    if len(values) > 1 or not _KEY.fullmatch(values[0]):
        raise ProxyError(
            Situation.ILLEGAL_INPUT,
            "Idempotency-Key: send one, of 1 to 255 printable ASCII characters.",
        )
    return values[0]


def place_of(token: str, key: str) -> str:
    """Where a token's key is remembered; `token` is the grant's id. The key itself is not kept."""
    return f"{token}:{hashlib.sha256(key.encode()).hexdigest()}"


def still_running() -> ProxyError:
    """What a repeat is told that waited long enough."""
    return ProxyError(
        Situation.KEY_IN_USE,
        "Idempotency-Key: the first call with it still runs; ask again later with the same key.",
    )
