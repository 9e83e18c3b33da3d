"""The head of an answer, and how its body is delimited.

Written here and not by aiohttp's response, which would lose bytes that are not UTF-8, guess a
`Content-Type`, and reorder what it thinks it knows.
"""

import time
from collections.abc import Collection, Iterator, Sequence
from email.utils import formatdate
from functools import lru_cache
from http import HTTPMethod, HTTPStatus

from proxy.core.errors import ProxyError, Situation
from proxy.edge.chunking import chunk
from proxy.edge.listener import SERVER
from proxy.ports import Headers

_BODILESS = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


class Framing:
    """How one answer is delimited, and its head.

    `is_modern` tells whether the client speaks HTTP/1.1 at least, `is_sized` whether the answer has
    a `Content-Length`. Set `keep_alive` before asking for the head.
    """

    __slots__ = ("_is_modern", "is_bodiless", "is_chunked", "is_sized", "keep_alive")

    def __init__(self, method: str, status: int, *, is_modern: bool, is_sized: bool) -> None:
        self.keep_alive = False
        self.is_sized = is_sized
        self.is_bodiless = method == HTTPMethod.HEAD or status in _BODILESS
        self._is_modern = is_modern
        self.is_chunked = is_modern and not is_sized and not self.is_bodiless

    @property
    def is_framed(self) -> bool:
        """Whether a client can see that some of the body is missing."""
        return self.is_sized or self.is_chunked

    @property
    def is_ended(self) -> bool:
        """Whether the answer ends before its connection does."""
        return self.is_framed or self.is_bodiless

    def head(self, status: int, reason: str, fields: Headers, known: Collection[str]) -> bytes:
        """Status line and fields as they are; what is not among the `known` comes behind them.

        `known` are the fields' names in lower case. Raises `ProxyError` (`BAD_GATEWAY`) for a
        field that would be two: no server may send one.
        """
        if status == HTTPStatus.NO_CONTENT:  # RFC 9110 section 8.6: it must not have one
            fields = [pair for pair in fields if pair[0].lower() != "content-length"]
        version = "1.1" if self._is_modern else "1.0"
        lines = [f"HTTP/{version} {status} {reason}"]
        lines += [f"{name}: {value}" for name, value in fields]
        lines += self._added(known)
        lines.append("\r\n")
        head = "\r\n".join(lines)
        # All at once: who breaks a line leaves more ends than lines. A look at each took longer
        # than all the rest.
        ends = len(lines)
        if head.count("\n") != ends or head.count("\r") != ends or "\0" in head:
            raise ProxyError(Situation.BAD_GATEWAY, "Upstream's header is not valid.")
        return head.encode("utf-8", "surrogateescape")

    def wrapped(self, pieces: Sequence[bytes]) -> bytes:
        """Pieces of the body as they go over the wire; none of them is empty."""
        if self.is_bodiless:
            return b""
        return b"".join(map(chunk, pieces) if self.is_chunked else pieces)

    def _added(self, known: Collection[str]) -> Iterator[str]:
        if "server" not in known:
            yield f"Server: {SERVER}"
        if "date" not in known:  # RFC 9110 section 6.6.1: whoever relays adds it
            yield f"Date: {_date(int(time.time()))}"
        if self.is_chunked:
            yield "Transfer-Encoding: chunked"
        if self._is_modern and not self.keep_alive:
            yield "Connection: close"
        elif self.keep_alive and not self._is_modern:
            yield "Connection: keep-alive"


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    """A moment as header fields tell it: written once a second."""
    return formatdate(second, usegmt=True)
