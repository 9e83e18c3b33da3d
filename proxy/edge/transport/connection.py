"""One connection to upstream: what is written, what comes, and whose turn it is to do something."""

import asyncio
import select
import ssl
from typing import cast

from proxy.core.errors import ProxyError
from proxy.edge.chunking import LAST_CHUNK, chunk
from proxy.edge.endings import reset
from proxy.edge.failures import BROKEN, SILENT, Failure, refused
from proxy.edge.transport.answers import Answer
from proxy.edge.transport.deadlines import Deadline
from proxy.edge.transport.reading import Reader, UnreadableError
from proxy.edge.transport.uploads import Upload
from proxy.ports import Call

_READ = memoryview(bytearray(256 * 1024))
"""Where all connections read into, one after the other: nothing stays in it between two turns."""

_SHORT = 8 * 1024

_FIRST = _READ[:_SHORT]
"""What a read takes of an answer that is short, or a stream. A burst of events that its client
does not take stays in the kernel: with reads of any size a slow stream held 200 KB of it here."""


class Connection(asyncio.BufferedProtocol):
    """Asks one call at a time: `ask`, take the answer, `leave`.

    As an `asyncio.BufferedProtocol` it is called by the loop; as `Flow` and `Outlet` by answer
    and body.
    """

    __slots__ = (
        *("__weakref__", "_answer", "_asking", "_deadline", "_is_given_up", "_is_held_back"),
        *("_into", "_is_lost", "_is_uploading", "_loop", "_patience", "_readable", "_reader"),
        *("_room", "_transport", "_unsent", "_upload"),
    )

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = Reader(self, self._answer_begun)
        self._deadline = Deadline(self._loop, self._nothing_happened)
        self._transport: asyncio.Transport
        self._into = _FIRST
        self._readable = select.poll()
        self._patience = 0.0
        self._asking: asyncio.Future[Answer] | None = None
        self._answer: Answer | None = None
        self._upload: Upload | None = None
        self._is_uploading = False
        self._room: asyncio.Future[None] | None = None
        self._unsent = 0
        self._is_held_back = False
        self._is_given_up = False
        self._is_lost = False

    # -- what its owner asks -----------------------------------------------------------------

    @property
    def is_alive(self) -> bool:
        """Whether it is open still, as far as the kernel knows, and nothing came unasked."""
        return self._is_open and not self._readable.poll(0)

    @property
    def is_reusable(self) -> bool:
        """Whether request and answer both came to their ends, and nothing came behind them."""
        return (
            self._reader.is_over
            and self._reader.is_reusable
            and not self._is_uploading
            and self._is_open
            and not self._transport.get_write_buffer_size()  # it answered without listening
        )

    @property
    def _is_open(self) -> bool:
        return not (self._is_given_up or self._is_lost or self._transport.is_closing())

    @property
    def died_unheard(self) -> bool:
        """Whether upstream let go of it before a byte of the answer came."""
        return self._is_lost and not self._is_given_up and not self._reader.has_heard

    def ask(self, call: Call, head: bytes, length: int | None) -> asyncio.Future[Answer]:
        """Send; what comes is the head of the answer, or `ProxyError`, or what the body raises.

        `length` is that of the body; None where it goes up chunked, or where there is none.
        Raises `UnreachableError` for a connection that ended before: nothing has left on it.
        """
        if not self._is_open:
            raise refused()
        body = call.body
        if isinstance(body, bytes):
            head += _framed(body, length)
        elif body is not None:
            self._is_uploading = True
            self._upload = Upload(self, body, length)
        self._patience = call.read_timeout
        self._reader.expect(is_head=call.method == "HEAD")
        self._asking = asking = self._loop.create_future()
        self._transport.write(head)
        self._await_something()
        return asking

    def leave(self) -> bool:
        """End the call, whatever has become of it; whether the connection `is_reusable`.

        It is given up if not, and its upload, if there was one, is to be `ended` then.
        """
        answer, self._answer = self._answer, None
        asking, self._asking = self._asking, None
        self._deadline.clear()
        if self.is_reusable:
            self._upload = None
            return True
        self.give_up()
        if answer is not None:
            answer.fail(BROKEN.within())
        elif asking is not None and asking.done() and not asking.cancelled():
            asking.exception()  # a caller who was cancelled just then did not look at it
        return False

    async def ended(self) -> None:
        """Return when a connection that was left asks its upload for nothing any more."""
        upload, self._upload = self._upload, None
        if upload is not None:
            await upload.stop()

    def give_up(self) -> None:
        """Close at once, whatever has not gone out."""
        if self._is_open:
            self._is_given_up = True
            self._deadline.stop()
            if self._transport.get_write_buffer_size():
                reset(self._transport)
            else:
                self._transport.abort()

    # -- what the loop tells -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        self._readable.register(transport.get_extra_info("socket"), select.POLLIN)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """See `asyncio.BufferedProtocol`."""
        return self._into

    def buffer_updated(self, nbytes: int) -> None:
        """See `asyncio.BufferedProtocol`. Nothing may come while nothing is asked."""
        reader = self._reader
        if reader.is_over:
            self.give_up()
            return
        try:
            reader.feed(self._into[:nbytes])
        except UnreadableError:
            self._fail(BROKEN)
        except ProxyError as error:
            self._end(error)
        else:
            self._into = _READ if nbytes >= _SHORT and not reader.is_in_chunks else _FIRST
            self._deadline.put_off()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._is_lost = True
        self._deadline.stop()
        self.resume_writing()
        is_end = exc is None and _said_goodbye(self._transport)
        if not self._is_given_up and not (is_end and self._reader.finish()):
            self._fail(BROKEN)
        self._reader.close()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._room = self._loop.create_future()
        self._unsent = self._transport.get_write_buffer_size()
        self._await_something()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        room, self._room = self._room, None
        self._unsent = 0
        if room is not None and not room.done():
            room.set_result(None)
            self._await_something()

    # -- what answer and body tell -----------------------------------------------------------

    def hold_back(self) -> None:
        """See `Flow`."""
        self._is_held_back = True
        if self._is_open:
            self._transport.pause_reading()
            self._deadline.clear()

    def go_on(self) -> None:
        """See `Flow`."""
        self._is_held_back = False
        if self._is_open:
            self._transport.resume_reading()
            self._await_something()

    def write(self, data: bytes) -> None:
        """See `Outlet`."""
        if self._is_open:  # whoever waits for the answer is told elsewhere
            self._transport.write(data)

    async def room(self) -> bool:
        """See `Outlet`."""
        if self._room is not None:
            await self._room
        return self._is_open

    def body_ended(self, failure: Exception | None) -> None:
        """See `Outlet`."""
        if failure is None:
            self._is_uploading = False
            self._await_something()
        else:
            self._end(failure)

    # -- what comes of it --------------------------------------------------------------------

    def _answer_begun(self, answer: Answer) -> None:
        self._answer = answer
        if self._is_uploading:
            self._await_something()
        if self._asking is not None and not self._asking.done():
            self._asking.set_result(answer)

    def _await_something(self) -> None:
        """Count from now how long upstream does nothing, where it is upstream's turn."""
        is_ours = self._is_uploading and self._room is None and self._answer is None
        if is_ours or self._is_held_back or self._reader.is_over or self._is_lost:
            self._deadline.clear()
        else:
            self._deadline.set(self._patience)

    def _nothing_happened(self) -> None:
        if self._reader.is_over:  # and its client has not taken all of it
            return
        unsent = self._transport.get_write_buffer_size()
        if unsent < self._unsent:  # it takes, if slowly
            self._unsent = unsent
            self._await_something()
        else:
            self._fail(SILENT)

    def _fail(self, failure: Failure) -> None:
        self._end(failure.before() if self._answer is None else failure.within())

    def _end(self, error: Exception) -> None:
        """Give up, and let whoever waits for something here know why."""
        self.give_up()
        if self._answer is not None:
            self._answer.fail(error)
        elif self._asking is not None and not self._asking.done():
            self._asking.set_exception(error)


def _said_goodbye(transport: asyncio.Transport) -> bool:
    """Whether the end is upstream's: TLS says so, and without that anybody may have cut it off."""
    tls = transport.get_extra_info("ssl_object")
    if tls is None:
        return True
    try:
        tls.read(1)
    except ssl.SSLZeroReturnError:  # `close_notify` has come: RFC 9112 section 9.8
        return True
    except ssl.SSLError:
        return False
    return False


def _framed(body: bytes, length: int | None) -> bytes:
    """A body as it goes out. Raises `ValueError` where its length is another one than was told."""
    if length is None:
        return chunk(body) + LAST_CHUNK if body else LAST_CHUNK
    if len(body) != length:  # what is missing would be taken from the next call
        raise ValueError("the body is not as long as its Content-Length")
    return body
