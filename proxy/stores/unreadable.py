"""Tells of grants that nobody can read: once per change, not once per request."""

from proxy.stores.notices import OnUnreadable

MAX_TOLD = 1000
"""Digests remembered as told; beyond it all are told anew, which is no flood."""


class Unreadable:
    """In front of the listener: what was told of a digest last is not told again."""

    def __init__(self, listener: OnUnreadable) -> None:
        self._listener = listener
        self._told: dict[str, str] = {}

    def tell(self, digest: str, reason: str) -> None:
        """The grant of this digest cannot be read, and why."""
        if self._told.get(digest) == reason:
            return
        if len(self._told) >= MAX_TOLD:
            self._told.clear()
        self._told[digest] = reason
        self._listener(digest[:16], reason)

    def mended(self, digest: str) -> None:
        """It can be read, or is gone. The hot path: nothing was told, as a rule."""
        if self._told:
            self._told.pop(digest, None)
