"""Every answer the proxy itself can give instead of upstream's: one table.

Rule 1: a situation names its HTTP status and its public code; nobody else does.
Rule 2: a message names the field at fault and what would be right, and never repeats
        a secret, a body or an upstream address.
Rule 3: whoever raises knows what happened, whoever renders knows in which envelope
        (`proxy.core.envelope`). Neither knows the other.

The README prints this table; a test holds the two together.
"""

from enum import Enum
from http import HTTPStatus
from typing import NamedTuple


class Row(NamedTuple):
    """One row of the error table: what the client sees, and when."""

    status: int
    code: str
    when: str


class Situation(Enum):
    """Why the proxy answers for itself. The order is the order in the README."""

    INVALID_TOKEN = Row(401, "InvalidApiKey", "no, malformed, unknown, expired or revoked token")
    MODEL_NOT_FOUND = Row(
        403,
        "model_not_found",
        "model not allowed, not priced where pricing is required, or bound to no account",
    )
    EMPTY_MODEL = Row(400, "BadRequest.EmptyModel", "`model` missing, empty or not a string")
    ILLEGAL_INPUT = Row(
        400,
        "BadRequest.IllegalInput",
        "not HTTP, body not JSON or not UTF-8, two `model` keys, "
        "a spelling two parsers could read differently",
    )
    COMPRESSED_BODY = Row(415, "UnsupportedMediaType", "compressed body on a route with a model")
    TOO_LARGE = Row(413, "BadRequest.TooLarge", "body or header over the limit")
    BODY_TIMEOUT = Row(408, "RequestTimeOut", "the client stopped sending its request")
    TASK_NOT_EXIST = Row(400, "task_not_exist", "task unknown, expired or somebody else's")
    ACCESS_DENIED = Row(403, "AccessDenied", "endpoint needs a scope the token lacks")
    WRONG_ADDRESS = Row(
        403, "AccessDenied", "the token may not be used from the client's address (`allow_ips`)"
    )
    NOT_FOUND = Row(404, "NotFound", "no such public path (says the nearest right one)")
    METHOD_NOT_ALLOWED = Row(405, "MethodNotAllowed", "wrong method (`Allow` lists the right ones)")
    KEY_IN_USE = Row(
        409, "IdempotencyKeyInUse", "the first call with this `Idempotency-Key` still runs"
    )
    KEY_REUSED = Row(
        422,
        "IdempotencyKeyReused",
        "`Idempotency-Key` used before for another path, query or body",
    )
    UPGRADE_REQUIRED = Row(426, "UpgradeRequired", "plain HTTP where upstream has a WebSocket")
    RATE_LIMITED = Row(429, "Throttling.RateQuota", "rate or concurrency limit")
    BUDGET_SPENT = Row(429, "Throttling.AllocationQuota", "budget spent")
    STORE_UNAVAILABLE = Row(
        503, "ServiceUnavailable", "store unavailable and no fresh enough local knowledge"
    )
    BUSY = Row(503, "ServiceUnavailable", "no room left for bodies whose `model` comes late")
    STOPPING = Row(503, "ServiceUnavailable", "the proxy is being stopped, on a WebSocket")
    MODEL_UNAVAILABLE = Row(503, "ModelUnavailable", "accounts exist for the model, none healthy")
    BAD_GATEWAY = Row(
        502, "BadGateway", "upstream refused the connection or broke before answering"
    )
    GATEWAY_TIMEOUT = Row(504, "GatewayTimeout", "upstream did not answer in time")
    INTERNAL_ERROR = Row(500, "InternalError", "our own bug")

    @property
    def status(self) -> int:
        """HTTP status of the answer."""
        return self.value.status

    @property
    def is_ours(self) -> bool:
        """Whether the fault lies on this side of the client: ours, the store's or upstream's."""
        return self.status >= HTTPStatus.INTERNAL_SERVER_ERROR

    @property
    def code(self) -> str:
        """Public error code, the client's `rsp.code`."""
        return self.value.code


class ProxyError(Exception):
    """A situation met while serving one request; becomes one envelope, or a broken stream.

    `message` is public text. `headers` are extra answer headers (`Allow`, `Retry-After`).
    `param` is the field of the request at fault, where there is one, for clients that ask.
    """

    def __init__(
        self,
        situation: Situation,
        message: str,
        *,
        headers: tuple[tuple[str, str], ...] = (),
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.situation = situation
        self.message = message
        self.headers = headers
        self.param = param

    def __repr__(self) -> str:
        return f"ProxyError({self.situation.name}, {self.message!r})"


class UnreachableError(ProxyError):
    """No connection to upstream came about, so not a byte of the request has left."""


class StoreUnavailableError(ProxyError):
    """The store did not answer and local knowledge is too old: raised by `proxy.stores`."""

    def __init__(self, message: str = "The proxy's token store is unavailable; try again.") -> None:
        super().__init__(Situation.STORE_UNAVAILABLE, message)
