"""What asking upstream about a task came to, and what that is worth.

SDKs give a paid task up at the first poll that is not 200 (protocol section 4), so an error is
told only when it is sure to be about this task or this request; the rest is upstream's trouble.
"""

from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from typing import TypeAlias

from proxy.core.errors import ProxyError, Situation
from proxy.core.headers import Fields, coming_back

TASK_CODES = frozenset(
    {
        *("InvalidParameter", "invalid_parameter_error", "BadRequest"),
        *("UnsupportedOperation", "task_not_exist"),
        *("DataInspectionFailed", "data_inspection_failed", "IPInfringementSuspect"),
    }
)
"""Codes, up to their first dot, of what would be the same again for this task or request."""

ACCOUNT_CODES = frozenset(
    {
        *("InvalidApiKey", "invalid_api_key", "NOT AUTHORIZED", "AccessDenied", "access_denied"),
        *("Workspace", "WorkSpaceNotFound", "BailianGateway", "NotFound"),
        *("Arrearage", "PrepaidBillOverdue", "PostpaidBillOverdue", "CommodityNotPurchased"),
        *("Throttling", "limit_requests", "limit_burst_rate", "LimitRequests"),
        *("AllocationQuota", "insufficient_quota"),
    }
)
"""Codes, up to their first dot, of what the whole account meets, whatever their status."""

ACCOUNT_STATUSES = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,  # our key, not the caller's, who was let in here
        HTTPStatus.FORBIDDEN,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)
"""Refusals that are the account's, whatever their code."""


class Verdict(Enum):
    """What asking was worth."""

    STATE = auto()
    """The answer tells a state."""
    FINAL = auto()
    """An error about this task or request, which would be the same again."""
    UNREADABLE = auto()
    """An answer that nobody here understands: it may be this task's alone."""
    FAILURE = auto()
    """The account, or the way there, has failed: this says nothing about the task."""
    UNASKED = auto()
    """Upstream was not asked at all."""

    @property
    def is_about_the_task(self) -> bool:
        """Whether it may be told; a state known before is better than anything else."""
        return self is Verdict.STATE or self is Verdict.FINAL


@dataclass(frozen=True, slots=True)
class Sighting:
    """One answer to a poll, whole. `at` is when it was heard, in seconds on a monotonic clock.

    `state` is the task's, None where the answer tells none; `code` the error's, or empty.
    `verdict` is what it is worth and `lasting` what crosses of its header, without its age: both
    found once, for it may be told a thousand times.
    """

    status: int
    reason: str
    headers: Fields
    body: bytes
    at: float
    state: str | None = None
    code: str = ""
    verdict: Verdict = field(init=False)
    lasting: Fields = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        lasting = [pair for pair in coming_back(self.headers) if pair[0].lower() != "age"]
        object.__setattr__(self, "verdict", verdict(self.status, self.state, self.code))
        object.__setattr__(self, "lasting", lasting)


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer to hand on, and why. `at` as in `Sighting`."""

    verdict: Verdict
    situation: Situation
    message: str
    at: float
    headers: tuple[tuple[str, str], ...] = ()

    def error(self) -> ProxyError:
        """A new one for each who waited: an exception collects the way it took."""
        return ProxyError(self.situation, self.message, headers=self.headers)


Hearing: TypeAlias = Sighting | Silence


def verdict(status: int, state: str | None, code: str) -> Verdict:
    """Judge an answer by its status, the state that was read in it, and its error's code."""
    family = code.partition(".")[0]
    is_refusal = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    if status == HTTPStatus.OK and state:
        return Verdict.STATE
    if status in ACCOUNT_STATUSES or family in ACCOUNT_CODES:
        return Verdict.FAILURE
    if is_refusal and family in TASK_CODES:
        return Verdict.FINAL
    if status == HTTPStatus.OK or (is_refusal and code):
        return Verdict.UNREADABLE
    return Verdict.FAILURE
