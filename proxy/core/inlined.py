"""Media inlined in a document, kept out of it while it is read: large, and nobody looks into them.

What stays is small, so that a body of many megabytes costs no more than finding where it stands:
about 0.1 s for 32 MiB, in which nobody else is served. Each medium is taken as the JSON text it is
and put back byte for byte.
"""

import re
from collections.abc import Iterator
from hashlib import sha256
from itertools import chain

from proxy.core.errors import ProxyError, Situation

LONG = 16 * 1024
"""Bytes from which a text is worth taking out."""

MOST_BESIDE = 1024 * 1024
"""Bytes of a document beside what was taken out of it."""

_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-_"
"""What a medium without `data:` before it consists of; the last two are the kind for URLs."""

_SAMPLE = 1024


class Inlined:
    """The long media of one document: `data:` texts, or bare base64. `rest` is it without them.

    What stands in their places is named by a hash of all the rest, which nobody can write into
    it, and is the same for equal media.
    """

    def __init__(self, raw: bytes) -> None:
        """Raises `ProxyError` (`TOO_LARGE`) when too much is left."""
        spans = list(_spans(raw))
        ends = [0, *(end for _, end in spans)]
        begins = [*(begin for begin, _ in spans), len(raw)]
        kept = [raw[end:begin] for end, begin in zip(ends, begins, strict=True)]
        if sum(map(len, kept)) > MOST_BESIDE:
            raise ProxyError(
                Situation.TOO_LARGE,
                f"The body has more than {MOST_BESIDE} bytes beside inlined media.",
            )
        numbers: dict[bytes, int] = {}
        taken = [numbers.setdefault(raw[begin:end], len(numbers)) for begin, end in spans]
        self._media = list(numbers)
        self._mark = "data:" + sha256(b"".join(kept)).hexdigest()
        places = [f"{self._mark}-{number};".encode() for number in taken]
        self.rest = b"".join(chain.from_iterable(zip(kept, [*places, b""], strict=True)))

    def stands_in(self, value: object) -> bool:
        """Whether a medium that was taken out stands anywhere in a value of the rest."""
        waiting = [value] if self._media else []
        while waiting:
            found = waiting.pop()
            if isinstance(found, dict):
                waiting += [*found, *found.values()]
            elif isinstance(found, list):
                waiting += found
            elif isinstance(found, str) and found.startswith(self._mark):
                return True
        return False

    def put_back(self, body: bytes) -> bytes:
        """A document made of the rest, whole again."""
        if not self._media:
            return body
        place = re.compile(self._mark.encode() + rb"-(\d+);")
        return place.sub(lambda found: self._media[int(found[1])], body)


def _spans(raw: bytes) -> Iterator[tuple[int, int]]:
    """Where long media begin and end, within their quotes.

    A text of this length stands across some multiple of it, so only these places are looked at,
    whatever else a body is full of.
    """
    at = LONG
    while at < len(raw):
        begin, end = raw.rfind(b'"', 0, at) + 1, raw.find(b'"', at)
        if end < 0:
            return
        if end - begin > LONG and _is_medium(raw, begin, end):
            yield begin, end
        at = max(at, end) + LONG


def _is_medium(raw: bytes, begin: int, end: int) -> bool:
    """Whether a whole text is media.

    A quote before it that is escaped, or a backslash in it, makes it part of another text; only
    `/` is escaped without need, by PHP. Behind the end of a text stands neither.
    """
    escapes = raw.count(b"\\", begin, end)
    if raw[begin - 2 : begin - 1] == b"\\" or escapes != raw.count(b"\\/", begin, end):
        return False
    if raw.startswith(b"data:", begin):
        return True
    letters = _BASE64 + b"\\"
    return not raw[begin : begin + _SAMPLE].translate(None, letters) and not (
        raw[begin:end].translate(None, letters)
    )
