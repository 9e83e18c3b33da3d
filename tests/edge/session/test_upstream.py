"""`SessionUpstream` keeps the port's contract."""

from edge.contract import Opened, UpstreamContract
from edge.rig import Message, chunked
from edge.session.upstream import SessionUpstream


class TestSessionUpstream(UpstreamContract):
    def made(self, connect_timeout: float) -> Opened:
        return SessionUpstream(connect_timeout)


def test_messages_are_read_right() -> None:
    """The rig's own reading of a head, on which all of the above rests."""
    found = Message(b"HTTP/1.1 200 OK\r\nA: 1\r\na:2 \r\n\r\n")
    assert found.values("a") == [b"1", b"2"]
    assert chunked(b"ab") == b"2\r\nab\r\n0\r\n\r\n"
