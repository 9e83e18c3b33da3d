"""The ids of requests: told to clients, kept in records, unlike any other replica's."""

import os

_BYTES = 16
_AT_ONCE = 256


class RequestIds:
    """Ids of 128 random bits, as 32 hexadecimal digits. Nobody can guess one from another.

    The system is asked for many at a time: for each by itself (`uuid4`) took ten times as long.
    """

    def __init__(self) -> None:
        self._left: list[str] = []

    def next(self) -> str:
        """One that was never told before."""
        if not self._left:
            digits = os.urandom(_BYTES * _AT_ONCE).hex()
            size = 2 * _BYTES
            self._left = [digits[at : at + size] for at in range(0, len(digits), size)]
        return self._left.pop()
