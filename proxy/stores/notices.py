"""What a store tells the process around it: outages and unreadable grants, never log lines.

A store has no logger. Whoever builds it passes these callbacks, and decides the words and the
level. They are called on the event loop, must not block and must not raise.
"""

from collections.abc import Callable
from typing import TypeAlias

OnChange: TypeAlias = Callable[[bool], None]
"""Called with False when an outage begins and True when it ends: once each, not per request.

A store counts as up until it proves otherwise, so a first connection that succeeds is silent.
"""

OnUnreadable: TypeAlias = Callable[[str, str], None]
"""Called with the first 16 hex digits of a digest and the reason: this grant grants nothing."""


def ignore(*_: object) -> None:
    """The default listener: nobody wants to know."""
