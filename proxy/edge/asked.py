"""One request whose route is known, and what its header says."""

from http import HTTPMethod
from typing import NamedTuple

from aiohttp import web

from proxy.core.addresses import UNIX, TrustedProxies, client_address
from proxy.core.errors import ProxyError, Situation
from proxy.core.headers import Fields, values_of
from proxy.core.policy import Grant, may_come_from
from proxy.core.request_header import Field, RequestHeader
from proxy.core.routes import Async, Match
from proxy.edge.listener import header_of
from proxy.edge.replies import Replier
from proxy.ports import Visit

_BODILESS = frozenset({HTTPMethod.GET, HTTPMethod.HEAD})


class Asked(NamedTuple):
    """What came, and where its story and its answer go.

    Its header is `header` and `length`. `creates_tasks` tells whether upstream will answer with
    a task instead of a result.
    """

    request: web.BaseRequest
    match: Match
    visit: Visit
    replier: Replier
    header: RequestHeader
    length: Field | None
    creates_tasks: bool

    @classmethod
    def read(
        cls, request: web.BaseRequest, match: Match, visit: Visit, replier: Replier
    ) -> "Asked":
        """Read the header. Raises `ProxyError` for a field that is not UTF-8."""
        header, length = header_of(request)
        is_async = match.route.asynchronous is Async.ALWAYS or header.asks_async
        creates_tasks = is_async and bool(match.route.claims)
        return cls(request, match, visit, replier, header, length, creates_tasks)

    @property
    def fields(self) -> Fields:
        """The whole header."""
        return self.header.sized(self.length)

    @property
    def token(self) -> str:
        """The caller's token, see `RequestHeader.token`."""
        return self.header.token(self.match.route.key_header)

    @property
    def digest(self) -> str:
        """The digest of the caller's token, see `RequestHeader.token`."""
        return self.header.digest(self.match.route.key_header)

    def demand_address(self, grant: Grant, trusted: TrustedProxies) -> None:
        """Raise `ProxyError` (`WRONG_ADDRESS`) unless the token may be used from where this is.

        The address is not told: who is refused has no need to know whom we trust.
        """
        if grant.allow_ips and not may_come_from(grant, self._address(trusted)):
            raise ProxyError(
                Situation.WRONG_ADDRESS, "This token may not be used from your address."
            )

    def _address(self, trusted: TrustedProxies) -> str | None:
        transport = self.request.transport
        peer = transport.get_extra_info("peername") if transport else None
        forwarded = values_of(self.header.fields, "x-forwarded-for")
        return client_address(peer[0] if peer else UNIX, forwarded, trusted)

    def refuse_unjudgeable(self) -> None:
        """Refuse a body that cannot be judged, or that nobody expects.

        A body on GET means nothing (RFC 9110 section 9.3.1), and a server that does not read it
        takes it for the next request. Raises `ProxyError`.
        """
        if self.request.method in _BODILESS and self.request.body_exists:
            raise ProxyError(Situation.ILLEGAL_INPUT, f"{self.request.method} takes no body.")
        if self.match.route.is_judged:
            self.header.demand_readable()
