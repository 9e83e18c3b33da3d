"""JSON as it is written here: without blanks, letters as they are."""

import json
from collections.abc import Mapping

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
"""Made once: `json.dumps` with other than its defaults makes one each time."""


def compact(value: Mapping[str, object]) -> bytes:
    """An object as JSON in UTF-8."""
    return _ENCODER.encode(value).encode()
