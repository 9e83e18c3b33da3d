"""One request whose route is known, and what its header says."""

import re
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPMethod
from typing import NamedTuple

from aiohttp import web

from proxy.core.addresses import UNIX, TrustedProxies, client_address
from proxy.core.errors import ProxyError, Situation
from proxy.core.headers import ASYNC, Fields, asks_async, value_of, values_of
from proxy.core.judging import reads_model
from proxy.core.policy import Grant, may_come_from
from proxy.core.routes import SAFE, Async, Match
from proxy.edge.replies import Replier
from proxy.ports import Visit

_BEARER = re.compile(r"bearer +([\x21-\x7e]+) *", re.IGNORECASE)
_KEY = re.compile(r"([\x21-\x7e]+)")
_WAIT_TIMEOUT = "x-dashscope-wait-timeout"
_MAX_WAIT = 120
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([^\s;\"',]*)", re.IGNORECASE)
_UTF8 = frozenset({"utf-8", "utf8"})
_BODILESS = frozenset({HTTPMethod.GET, HTTPMethod.HEAD})


class Asked(NamedTuple):
    """What came, and where its story and its answer go.

    `header` are the first values of its fields, by names in any case of letters. `creates_tasks`
    tells whether upstream will answer with a task instead of a result. `patience` is seconds for
    which the caller lets upstream queue the call, on top of what it may take. `runs_model` tells
    whether a model is run, so that the call may cost something; safe methods run none.
    """

    request: web.BaseRequest
    match: Match
    fields: Fields
    visit: Visit
    replier: Replier
    header: Mapping[str, str]
    creates_tasks: bool
    patience: float
    runs_model: bool

    @classmethod
    def read(
        cls, request: web.BaseRequest, match: Match, visit: Visit, replier: Replier
    ) -> "Asked":
        """Read the header. Raises `ProxyError` for a field that is not UTF-8."""
        # aiohttp's names are spelt its own way, and found in C whatever their case.
        fields, header, route = _header_fields(request), request.headers, match.route
        is_async = route.asynchronous is Async.ALWAYS or (ASYNC in header and asks_async(fields))
        patience = _patience(fields) if _WAIT_TIMEOUT in header else 0.0
        creates_tasks = is_async and bool(route.claims)
        runs = not route.is_free and reads_model(route) and request.method not in SAFE
        return cls(request, match, fields, visit, replier, header, creates_tasks, patience, runs)

    @property
    def token(self) -> str:
        """The caller's token. Raises `ProxyError` (`INVALID_TOKEN`) when there is not just one."""
        key_header = self.match.route.key_header
        bearers = values_of(self.fields, "authorization")
        keys = (
            values_of(self.fields, key_header) if key_header and key_header in self.header else []
        )
        found = list(map(_BEARER.fullmatch, bearers))
        if keys:
            found += map(_KEY.fullmatch, keys)
        tokens = {match and match[1] for match in found}
        token = tokens.pop() if len(tokens) == 1 else None
        if token is None or len(bearers) > 1 or len(keys) > 1:
            other = f", or the token itself as `{key_header}`" if key_header else ""
            raise ProxyError(
                Situation.INVALID_TOKEN,
                f"Authorization: send one `Bearer <token>` of this proxy{other}.",
            )
        return token

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
        forwarded = values_of(self.fields, "x-forwarded-for")
        return client_address(peer[0] if peer else UNIX, forwarded, trusted)

    def refuse_unjudgeable(self) -> None:
        """Refuse a body that cannot be judged, or that nobody expects.

        A body on GET means nothing (RFC 9110 section 9.3.1), and a server that does not read it
        takes it for the next request. Raises `ProxyError`.
        """
        if self.request.method in _BODILESS and self.request.body_exists:
            raise ProxyError(Situation.ILLEGAL_INPUT, f"{self.request.method} takes no body.")
        if not self.match.route.is_judged:
            return
        if "content-encoding" in self.header:
            codings = values_of(self.fields, "content-encoding")
            if any(coding.lower() != "identity" for coding in codings):
                raise ProxyError(
                    Situation.COMPRESSED_BODY, "Content-Encoding: send the body uncompressed."
                )
        if not _is_utf8(self.header.get("content-type", "")):
            raise ProxyError(
                Situation.ILLEGAL_INPUT, "Content-Type: JSON is UTF-8, without another charset."
            )


def _patience(fields: Fields) -> float:
    text = value_of(fields, _WAIT_TIMEOUT) or ""
    return min(float(text), _MAX_WAIT) if re.fullmatch(r"\d{1,6}", text) else 0.0


@lru_cache(maxsize=64)
def _is_utf8(kind: str) -> bool:
    """Whether a `Content-Type` names no other charset: clients have a handful of them."""
    return all(charset.lower() in _UTF8 for charset in _CHARSET.findall(kind))


def _header_fields(request: web.BaseRequest) -> Fields:
    """The request's header as text. Raises `ProxyError` for a value that is not UTF-8."""
    try:
        return [(name.decode("ascii"), value.decode()) for name, value in request.raw_headers]
    except UnicodeDecodeError:
        raise ProxyError(Situation.ILLEGAL_INPUT, "A header field is not UTF-8.") from None
