"""Media inlined in a document, kept out of it while it is read: large, and nobody looks into them.

What stays is small, so that a body of many megabytes costs no more than finding where it stands.
Each medium is taken as the JSON text it is and put back byte for byte.
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

MOST_TAKEN = 1000
"""Texts that are looked at; a model takes some ten."""

_BEGIN = b'"data:'


class Inlined:
    """The long `data:` texts of one document. `rest` is it without them.

    What stands in their places is named by a hash of all the rest, which nobody can write into it.
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
                f"The body has more than {MOST_BESIDE} bytes beside media inlined as `data:`.",
            )
        self._taken = [raw[begin:end] for begin, end in spans]
        self._mark = b"data:" + sha256(b"".join(kept)).hexdigest().encode()
        places = [b"%b-%d;" % (self._mark, number) for number in range(len(spans))]
        self.rest = b"".join(chain.from_iterable(zip(kept, [*places, b""], strict=True)))

    def put_back(self, body: bytes) -> bytes:
        """A document made of the rest, whole again."""
        if not self._taken:
            return body
        place = re.compile(self._mark + rb"-(\d+);")
        return place.sub(lambda found: self._taken[int(found[1])], body)


def _spans(raw: bytes) -> Iterator[tuple[int, int]]:
    """Where long media begin and end, within their quotes.

    A `"` before `data:` begins a text, unless escaped: behind the end of one stands no letter.
    Its end is the next `"`, unless there is a backslash before that.
    """
    end = 0
    for _ in range(MOST_TAKEN):
        begin = raw.find(_BEGIN, end)
        end = raw.find(b'"', begin + 1) if begin >= 0 else -1
        if end < 0:
            return
        is_text = raw[begin - 1 : begin] != b"\\" and raw.find(b"\\", begin, end) < 0
        if is_text and end - begin > LONG:
            yield begin + 1, end
