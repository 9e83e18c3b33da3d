"""`WireUpstream` keeps the port's contract."""

from edge.contract import Opened, UpstreamContract

from proxy.edge.transport import WireUpstream


class TestWireUpstream(UpstreamContract):
    def made(self, connect_timeout: float) -> Opened:
        return WireUpstream(connect_timeout)
