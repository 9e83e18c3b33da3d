"""JSON as it is written here: without blanks, letters as they are."""

import json
from collections.abc import Mapping


def compact(value: Mapping[str, object]) -> bytes:
    """An object as JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
