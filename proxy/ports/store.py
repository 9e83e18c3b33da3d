"""What stores remember: tokens, tasks and submits with a key."""

from collections.abc import AsyncIterator
from typing import Protocol

from proxy.core.idempotency import Submission
from proxy.core.policy import Grant, GrantUnreadableError
from proxy.core.tasks import TaskRecord
from proxy.ports.ledger import Ledger


class Tokens(Protocol):
    """Grants by the SHA-256 digest of their token. Secrets never get this far."""

    async def grant(self, digest: str) -> Grant | None:
        """The grant behind a token, or None when there is none or it is unreadable.

        The hot path: known tokens are answered from local memory. Neither expiry nor
        `enabled` is looked at here, that is policy. It has its tenant's limits; where those
        cannot be read, it cannot either. Raises `StoreUnavailableError`.
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

        An unreadable grant comes as the error that says why, so that it can be shown. They come
        as they were saved, without their tenants' limits.
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


class Store(Tokens, Tasks, Submissions, Ledger, Protocol):
    """One place that remembers all of it, with a lifetime."""

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
