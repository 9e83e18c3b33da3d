"""Close codes of a WebSocket (RFC 6455 section 7.4, and IANA's registry) in the words used here."""

from typing import Final

OK: Final = 1000
GOING_AWAY: Final = 1001
POLICY_VIOLATION: Final = 1008
TOO_BIG: Final = 1009
INTERNAL: Final = 1011
BAD_GATEWAY: Final = 1014

NO_CODE: Final = 1005
VANISHED: Final = 1006
_NO_TLS: Final = 1015

_UNSPEAKABLE = {NO_CODE: OK, VANISHED: BAD_GATEWAY, _NO_TLS: BAD_GATEWAY}
"""Codes that stand for what happened and are never sent, and what is said instead."""


def speakable(code: int) -> int:
    """The code that may be sent on for what happened."""
    return _UNSPEAKABLE.get(code, code)
