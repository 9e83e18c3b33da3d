"""What a store tells the process around it: outages, unreadable grants, late claims; no log lines.

A store has no logger. Whoever builds it passes these callbacks, and decides the words and the
level. They are called on the event loop, must not block and must not raise.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from proxy.core.tasks import TaskRecord

OnChange: TypeAlias = Callable[[bool], None]
"""Called with False when an outage begins and True when it ends: once each, not per request.

A store counts as up until it proves otherwise, so a first connection that succeeds is silent.
"""

OnUnreadable: TypeAlias = Callable[[str, str], None]
"""Called with the first 16 hex digits of a digest and the reason: this grant grants nothing."""


def ignore(*_: object) -> None:
    """The default listener: nobody wants to know."""


@dataclass(frozen=True, slots=True)
class OutboxNotices:
    """What becomes of claims that the shared store did not take at once.

    `deferred`: this one lies in the outbox. `replayed`: so many reached the store since; of
    several processes with one outbox, each counts its own. `lost`: this one never will, and
    why: its task has no owner. `changed`: the outbox itself is of no use from here on, and
    why, or is again.
    """

    deferred: Callable[[TaskRecord], None] = ignore
    replayed: Callable[[int], None] = ignore
    lost: Callable[[TaskRecord, str], None] = ignore
    changed: Callable[[bool, str], None] = ignore
