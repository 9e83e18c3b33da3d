"""Calls that are sent twice: what makes two of them one, and what the second is told.

A client that names a call with `Idempotency-Key` may send it again for `RETENTION` seconds: no
second task comes of it. What came of the first is remembered: its answer, or that there may be a
task although none came. Forgotten is that of which nothing was sent, what was given up before its
end was, and what upstream says it did not take on.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TypeAlias

from proxy.core.answers import Held
from proxy.core.errors import ProxyError, Situation
from proxy.core.headers import IDEMPOTENCY_KEY, REPLAYED, Fields, values_of

RETENTION = 24 * 60 * 60
"""How long a key is remembered, in seconds from its first use: as long as upstream keeps a task."""

_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_SAID = ((REPLAYED, "true"),)


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer, and there may be a task: why. `situation` is its name."""

    situation: str
    message: str

    @property
    def error(self) -> ProxyError:
        """The same again."""
        situation = Situation.__members__.get(self.situation, Situation.BAD_GATEWAY)
        return ProxyError(situation, self.message, headers=_SAID)


Outcome: TypeAlias = Held | Lost

CUT_OFF = Lost(
    Situation.BAD_GATEWAY.name,
    "The first call with this Idempotency-Key was cut off; "
    "its task may have been created, do not re-send.",
)
"""What came of a call whose process is gone."""


@dataclass(frozen=True, slots=True)
class Submission:
    """The first call with a key, and what came of it. Times are Unix seconds.

    `holder` is the proxy's id of that request, which prolongs `due` while it runs. Past it, who
    held the key is gone: nothing was sent unless `is_sending`, so that the key is free; there may
    be a task if it is. `target` and `fingerprint` are those of `Fingerprint`, the latter empty
    until the whole body was sent.
    """

    holder: str
    created: float
    due: float
    target: str = ""
    is_sending: bool = False
    fingerprint: str = ""
    outcome: Outcome | None = None

    def is_kept(self, now: float) -> bool:
        """Whether it still holds its key; every store asks this on reading."""
        given_up = self.outcome is None and not self.is_sending and now >= self.due
        return now < self.created + RETENTION and not given_up

    def is_running(self, now: float) -> bool:
        """Whether it is worth waiting for."""
        return self.outcome is None and (not self.is_sending or now < self.due)

    def demand_same(self, again: "Fingerprint") -> None:
        """Raises `ProxyError` (`KEY_REUSED`) for a call that is another one.

        Also for one that may be, when there is an answer, which only the same call may read.
        """
        if self.target not in {"", again.target} or self.fingerprint not in {"", str(again)}:
            raise ProxyError(
                Situation.KEY_REUSED,
                "Idempotency-Key: used before for another path, query or body; take a new key.",
            )
        if isinstance(self.outcome, Held) and not self.fingerprint:
            raise ProxyError(
                Situation.KEY_REUSED,
                "Idempotency-Key: used before for a call that upstream answered before its body "
                "was whole, so nobody can tell whether this is the same; do not re-send it "
                "unless that call's answer named no task, and then with a new key.",
            )

    def answer(self) -> Held:
        """The first call's answer again. Raises the `ProxyError` that it ended with instead."""
        if isinstance(self.outcome, Held):
            return self.outcome.again()
        raise (self.outcome or CUT_OFF).error


class Fingerprint:
    """What two calls have in common that are one: upstream's target, then the body's bytes.

    `target` is that of the target alone; as text it is that of all.
    """

    def __init__(self, target: str) -> None:
        self._hash = hashlib.sha256(target.encode() + b"\n")
        self.target = self._hash.hexdigest()

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
            param="Idempotency-Key",
        )
    return values[0]


def place_of(tenant: str, token: str, key: str) -> str:
    """Where a token's key is remembered; `token` is the grant's id, which two tenants may share.

    A hash of all three, so that none can be read, or made to look like another's.
    """
    return hashlib.sha256(json.dumps([tenant, token, key]).encode()).hexdigest()


def still_running() -> ProxyError:
    """What a repeat is told that waited long enough."""
    return ProxyError(
        Situation.KEY_IN_USE,
        "Idempotency-Key: the first call with it still runs; ask again later with the same key.",
    )
