"""ASKS. The nouns that edges and stores share; each is a few methods wide.

`proxy.stores` implements `Store`, `proxy.edge.transport` implements `Upstream`; whoever calls
them sees only this package. What may go wrong outside is raised as
`proxy.core.errors.ProxyError`, translated at the border; no foreign exception travels inward.
"""

from proxy.ports.ledger import Ledger
from proxy.ports.store import Store, Submissions, Tasks, Tokens
from proxy.ports.telemetry import Telemetry, Visit
from proxy.ports.upstream import (
    Call,
    Channel,
    Closed,
    HandshakeRefusedError,
    Headers,
    Message,
    Peer,
    PeerGoneError,
    Reply,
    Take,
    Terms,
    Upstream,
)

__all__ = [
    "Call",
    "Channel",
    "Closed",
    "HandshakeRefusedError",
    "Headers",
    "Ledger",
    "Message",
    "Peer",
    "PeerGoneError",
    "Reply",
    "Store",
    "Submissions",
    "Take",
    "Tasks",
    "Telemetry",
    "Terms",
    "Tokens",
    "Upstream",
    "Visit",
]
