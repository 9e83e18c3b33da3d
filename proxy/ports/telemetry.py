"""What is told of requests and of everything else, for the operator."""

from dataclasses import dataclass
from typing import Protocol

from proxy.core.freshness import PollOutcome
from proxy.core.settlement import UsageRecord


@dataclass(init=False, eq=False)
class Visit:
    """What is known of one request so far; when it is finished, its log line.

    Written along the way, read only by `Telemetry`: no decision rests on it. `started` is on
    the clock of `time.perf_counter`, `first_byte` and `total` are seconds from there.
    `poll` is how a poll was answered; a socket's `model` and `account` are its first task's.
    `amount` is what an answered call costs, in units of `currency`, and `basis` what that rests on.
    Empty and None mean "not known", and are left out of the line: what nobody noted stands in the
    class alone, so that neither to make a visit nor to tell it walks through what most have not.
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
    basis: str = ""
    amount: str = ""
    currency: str = ""

    def __init__(self, request_id: str, started: float, method: str = "") -> None:
        self.request_id = request_id
        self.started = started
        self.method = method
        self.status = self.bytes_in = self.bytes_out = 0


class Telemetry(Protocol):
    """Hears what happened. Never raises, never blocks, never sees a body or a secret."""

    def started(self) -> None:
        """Note that a request is being served."""
        ...

    def finished(self, visit: Visit) -> None:
        """Note the end of a request, whatever it was: one log line, and the counters."""
        ...

    def limited(self, limit: str) -> None:
        """Note that a call met a limit, `requests` or `budget-day` or another kind."""
        ...

    def settled(self, record: UsageRecord) -> None:
        """Note that a record is in the ledger."""
        ...

    def metered(self, *, held: int, unsettled: int) -> None:
        """Note how many holds this process answers for, and how much is not in the ledger yet."""
        ...

    def event(self, name: str, **facts: object) -> None:
        """Note something that is not a request: an outage, an orphaned task, a start."""
        ...

    def bug(self, error: BaseException, request_id: str) -> None:
        """Note an exception nobody expected, with its traceback."""
        ...
