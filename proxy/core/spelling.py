"""When two names are the same to somebody: the spelling that all parsers might agree on."""

import json
import unicodedata
from functools import lru_cache
from typing import NamedTuple


class Name(NamedTuple):
    """A member's name in a document: what it says, see `fold`, and whether it has no escape."""

    text: str
    folded: str
    is_plain: bool


@lru_cache(maxsize=4096)  # of at most `jsonscan.MAX_TEXT` bytes each: documents use few names
def name_of(raw: bytes) -> Name:
    """Read what stands between the quotes of a member name, which is good JSON."""
    text: str = json.loads(b'"%b"' % raw)
    return Name(text, fold(text), raw == text.encode())


def fold(name: str) -> str:
    """What the most forgiving parser would make of a member name.

    Some match names without regard to case, and `fastjson` also without `_` and `-`; full-width
    and invisible characters are what an attacker would try next.
    """
    visible = (c for c in unicodedata.normalize("NFKC", name) if c.isalnum())
    return "".join(visible).casefold()
