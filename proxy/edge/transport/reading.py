"""What comes off a connection, made into answers: the events of llhttp, by way of httptools.

llhttp is strict where it is left to be: both a length and the chunked coding, two lengths, a
chunk's size that is none, a bare line feed all end the answer. What it does not know is said
here: what was asked, how long a head may be, and that nothing may follow an answer.
"""

from collections.abc import Callable
from http import HTTPStatus

import httptools

from proxy.core.headers import value_of
from proxy.edge.failures import protocol_changed, refuse_coded
from proxy.edge.transport.answers import Answer, Flow

MAX_HEAD = 64 * 1024
"""Bytes of a head, those of all interim answers before it, or those of a trailer. Envoy,
upstream's gateway, allows as much."""


class UnreadableError(Exception):
    """What came is no answer."""


class Reader:
    """Reads one connection's answers, one after the other. `begun` is told of each.

    The methods `on_...` are llhttp's; what they raise ends the answer.
    """

    __slots__ = (
        *("_answer", "_begun", "_bodiless", "_flow", "_is_chunked", "_is_head", "_is_interim"),
        *("_parser", "_reason", "_told", "has_heard", "is_over", "is_reusable"),
    )

    def __init__(self, flow: Flow, begun: Callable[[Answer], None]) -> None:
        self._parser = httptools.HttpResponseParser(self)
        # Characters that split nothing are upstream's business, and a fold becomes a space.
        self._parser.set_dangerous_leniencies(lenient_headers=True)
        self._flow = flow
        self._begun = begun
        self.is_over = True
        self.is_reusable = True
        self.has_heard = False
        self._is_head = False
        self._is_chunked = False
        self._is_interim = False
        self._answer: Answer | None = None
        self._reason = b""
        self._told: list[bytes] = []
        self._bodiless = 0

    def expect(self, *, is_head: bool) -> None:
        """Be ready for the answer to a request; one to HEAD has no body whatever it says."""
        self.is_over = self.is_reusable = self.has_heard = False
        self._is_head = is_head
        self._answer = None
        self._bodiless = 0

    @property
    def is_in_chunks(self) -> bool:
        """Whether an answer is under way that comes in chunks."""
        return self._is_chunked and not self.is_over

    def feed(self, data: bytes | memoryview) -> None:
        """Read on. Raises `UnreadableError`, and `ProxyError` for an answer of the wrong kind."""
        self.has_heard = True
        self._bodiless += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.is_reusable = False
            if not self.is_over:
                raise _reason_of(error) from None
        else:
            if self._bodiless > MAX_HEAD and not self.is_over:
                raise UnreadableError
            if self._answer is not None:
                self._answer.end_read()

    def finish(self) -> bool:
        """The connection has ended: whether that was the end of the answer, too."""
        answer = self._answer
        if answer is None or self.is_over or _is_framed(answer):
            return self.is_over
        self._end()
        return True

    def close(self) -> None:
        """Let go of the parser, which holds on to this object."""
        self._parser = None  # type: ignore[assignment]  # nothing is fed any more

    def on_message_begin(self) -> None:
        """A head begins: the answer's, an interim one's, or one that nobody asked for."""
        self._reason = b""
        self._told = []
        self._is_interim = False
        if self.is_over:
            self.is_reusable = False

    def on_status(self, reason: bytes) -> None:
        """The reason, or a part of it."""
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of a head, or of a trailer, which does not cross."""
        self._told += (name, value)

    def on_headers_complete(self) -> None:
        """The head is whole: an answer begins, unless it is an interim one."""
        if self.is_over:
            return
        status = self._parser.get_status_code()
        if self._bodiless > MAX_HEAD and self._is_too_large():
            raise UnreadableError
        if status >= HTTPStatus.OK:
            self._begin(status)
        elif status == HTTPStatus.SWITCHING_PROTOCOLS:
            raise protocol_changed()
        elif status < HTTPStatus.CONTINUE:
            raise UnreadableError
        else:
            self._is_interim = True

    def on_body(self, data: bytes) -> None:
        """Bytes of a body; an interim answer has none."""
        self._bodiless = 0
        answer = self._answer
        if answer is not None:
            answer.add(data)
            if not self._is_chunked:
                answer.end_chunk()
        elif not self.is_over:
            raise UnreadableError

    def on_chunk_complete(self) -> None:
        """A chunk ends."""
        if self._answer is not None:
            self._answer.end_chunk()

    def on_message_complete(self) -> None:
        """The answer ends, or an interim one."""
        if not self._is_interim and not self.is_over:
            self.is_reusable = self._parser.should_keep_alive()
            self._end()

    def _begin(self, status: int) -> None:
        fields, self._is_chunked = _fields_of(self._told)
        self._told = []  # a trailer's come later
        self._bodiless = 0
        reason = self._reason.decode("utf-8", "surrogateescape")
        self._answer = answer = Answer(status, reason, fields, self._flow)
        self._begun(answer)
        if self._is_head:  # llhttp would wait for the body: this connection has seen its last
            self._end()

    def _end(self) -> None:
        self.is_over = True
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.end()

    def _is_too_large(self) -> bool:
        """Whether a head is, and not what came behind it in one read."""
        return len(self._reason) + sum(map(len, self._told)) > MAX_HEAD


def _reason_of(error: httptools.HttpParserError) -> BaseException:
    """What one of the methods above raised, or else that llhttp did not like what it read."""
    return error.__context__ or UnreadableError()


def _is_framed(answer: Answer) -> bool:
    """Whether an answer says itself where it ends."""
    return any(
        value_of(answer.headers, name) is not None
        for name in ("content-length", "transfer-encoding")
    )


def _fields_of(told: list[bytes]) -> tuple[list[tuple[str, str]], bool]:
    """Names and values, in turns, as fields, and whether they say that the body has chunks.

    Bytes that are not UTF-8 survive in their text.

    All are decoded in one go, which halves the time. Raises `UnreadableError` for what llhttp
    lets pass, and `ProxyError` for a transfer coding.
    """
    text = b"\n".join([*told, b""]).decode("utf-8", "surrogateescape")
    names_and_values = text.split("\n")
    if "\0" in text or len(names_and_values) != len(told) + 1:
        raise UnreadableError
    names, values = names_and_values[:-1:2], names_and_values[1::2]
    if " \n" in text or "\t" in text:
        # Behind a name it makes one field for some readers and none for others: RFC 9112 5.1.
        if any(name.endswith(" ") for name in names):
            raise UnreadableError
        values = [value.rstrip(" \t") for value in values]
    fields = list(zip(names, values, strict=False))
    if "transfer-encoding" not in text.lower():
        return fields, False
    refuse_coded(fields)
    return fields, value_of(fields, "transfer-encoding") is not None
