"""Who asks what: the request as the service understands it, or the refusal it earns.

A body over `record.PARSED_BODY` is not parsed: its model is searched for in the first and the
last MiB, its input counts as empty. Everything else a JSON parser would find is tolerated.
"""

import hashlib
import json
import re
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from proxy.sandbox.answers import Payload, RefusalError
from proxy.sandbox.record import ReceivedRequest

ENABLED = "enable"

_MODEL = re.compile(rb'"model"\s*:\s*"([^"\\]+)"')


@dataclass(frozen=True, slots=True)
class Ask:
    """One API call.

    `account` is the key that made it, `path` is decoded and without its protocol's prefix, `now`
    is when it came, in Unix seconds.
    """

    account: str
    request_id: str
    now: float
    method: str
    path: str
    query: Mapping[str, list[str]]
    received: ReceivedRequest
    body: Payload = field(default_factory=dict)

    @property
    def model(self) -> str:
        """The model in the body; raises `RefusalError` when there is none."""
        model = self.body.get("model")
        if not isinstance(model, str) or not model:
            raise RefusalError(400, "BadRequest.EmptyModel", 'Required parameter "model" missing.')
        return model

    @property
    def input(self) -> Payload:
        """The input object; an encrypted one, a string, counts as empty."""
        return _object(self.body, "input")

    @property
    def parameters(self) -> Payload:
        """The parameters object, empty when absent."""
        return _object(self.body, "parameters")

    @property
    def asynchronous(self) -> bool:
        """Whether a task is wanted."""
        return self.received.header("X-DashScope-Async") == ENABLED

    @property
    def streaming(self) -> bool:
        """Whether SSE is wanted: by its own header, or by Accept alone (protocol section 3)."""
        accept = self.received.header("Accept") or ""
        sse = self.received.header("X-DashScope-SSE")
        return sse == ENABLED or "text/event-stream" in accept

    @property
    def resolves_objects(self) -> bool:
        """Whether `oss://` may stand where a URL is expected."""
        return self.received.header("X-DashScope-OssResourceResolve") == ENABLED

    def fresh_id(self, what: str) -> uuid.UUID:
        """An id for something this call makes: new with every request id, and only with it."""
        return uuid.uuid5(uuid.NAMESPACE_OID, f"{self.request_id}/{what}")

    def first(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        return self.query.get(name, [default])[0]

    def number(self, name: str, default: int) -> int:
        """A query parameter as a positive integer; anything else reads as the default."""
        text = self.first(name)
        return max(1, int(text)) if text.isdecimal() and text.isascii() else default


def account_of(
    received: ReceivedRequest, keys: Collection[str], key_header: str | None = None
) -> str:
    """The key the caller holds; raises `RefusalError`. With no `keys` every key is good.

    `key_header` may carry it too.
    """
    scheme, _, key = (received.header("Authorization") or "").partition(" ")
    if key_header and received.header(key_header):
        scheme, key = "bearer", received.header(key_header) or ""
    if scheme.lower() != "bearer" or not key.strip():
        raise RefusalError(401, "InvalidApiKey", "No API-key provided.")
    if keys and key.strip() not in keys:
        raise RefusalError(401, "InvalidApiKey", "Invalid API-key provided.")
    return key.strip()


def fingerprint(key: str) -> str:
    """Sixteen digits that stand for an account wherever the real service shows an account id."""
    return str(int(hashlib.sha256(key.encode()).hexdigest()[:14], 16)).zfill(16)[:16]


def body_of(received: ReceivedRequest) -> Payload:
    """The JSON object in a body; raises `RefusalError` (`BadRequest.IllegalInput`)."""
    whole = received.whole()
    if whole is None:
        return {"model": skim_model(received), "input": {}}
    try:
        payload = json.loads(whole.decode("utf-8"), parse_constant=_no_constants)
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict):
        raise RefusalError(400, "BadRequest.IllegalInput", "The input json is invalid.")
    return payload


def skim_model(received: ReceivedRequest) -> str | None:
    """The first thing that looks like a model near either end of a huge body."""
    for part in received.ends():
        found = _MODEL.search(part)
        if found:
            return found[1].decode("utf-8", "replace")
    return None


def items_of(given: Payload, name: str) -> list[Any]:
    """A list field; empty when it is missing or something else."""
    value = given.get(name)
    return value if isinstance(value, list) else []


def number_in(given: Payload, name: str, default: int) -> int:
    """A whole, non-negative number field; the default when it is missing or something else."""
    value = given.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return default


def _no_constants(name: str) -> NoReturn:
    """NaN and Infinity are Python's, not JSON's."""
    raise ValueError(name)


def _object(body: Payload, name: str) -> Payload:
    value = body.get(name)
    return value if isinstance(value, dict) else {}
