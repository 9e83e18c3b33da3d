"""What the header of a request says, read once for all requests of a connection that say the same.

A client sends one header with each request of a connection, but for its `Content-Length`: reading
it anew each time took a tenth of a small call. Who adds an id to each request is read anew.
"""

import re
from functools import lru_cache
from itertools import chain
from typing import TypeAlias

from proxy.core.accounts import Account
from proxy.core.errors import ProxyError, Situation
from proxy.core.headers import ASYNC, Fields, asks_async, outbound, value_of, values_of
from proxy.core.policy import digest_of

Field: TypeAlias = tuple[str, str]
RawFields: TypeAlias = tuple[tuple[bytes, bytes], ...]
"""A header as it came, in wire order and spelling."""

MOST = 8 * 1024
MOST_FIELDS = 48
"""Bytes and fields of a header that is worth remembering: several times the usual. With all that
is derived of it, one of 12 fields takes 6.5 KiB, one of 64 would take 37."""

_BEARER = re.compile(r"bearer +([\x21-\x7e]+) *", re.IGNORECASE)
_KEY = re.compile(r"([\x21-\x7e]+)")
_WAIT_TIMEOUT = "x-dashscope-wait-timeout"
_MAX_WAIT = 120
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([^\s;\"',]*)", re.IGNORECASE)
_UTF8 = frozenset({"utf-8", "utf8"})
_LENGTH = b"content-length"
_MARK: Field = ("Content-Length", "")
"""Stands where a length will."""


class RequestHeader:
    """A header without its length, which is each request's own and stood `at` this place.

    `names` are in lower case. `asks_async` tells whether a task is asked for; `patience` is seconds
    for which the caller lets upstream queue the call, on top of what it may take.
    """

    __slots__ = (
        "_at",
        "_digests",
        "_is_readable",
        "_outbound",
        "asks_async",
        "fields",
        "names",
        "patience",
    )

    def __init__(self, fields: Fields, at: int) -> None:
        self.fields = fields
        self.names = {name.lower() for name, _ in fields}
        self.asks_async = ASYNC in self.names and asks_async(fields)
        self.patience = _patience(fields) if _WAIT_TIMEOUT in self.names else 0.0
        self._at = at
        self._is_readable = False
        self._digests: dict[str | None, str] = {}
        self._outbound: dict[tuple[str, bool, bool, bool], tuple[Fields, Fields]] = {}

    def sized(self, length: Field | None) -> Fields:
        """All fields of a request with this length."""
        return _with(self.fields[: self._at], length, self.fields[self._at :])

    def token(self, key_header: str | None) -> str:
        """The caller's token, which may stand in `key_header`, too.

        Raises `ProxyError` (`INVALID_TOKEN`) when there is not just one.
        """
        bearers = values_of(self.fields, "authorization")
        keys = values_of(self.fields, key_header) if key_header else []
        found = [*map(_BEARER.fullmatch, bearers), *map(_KEY.fullmatch, keys)]
        tokens = {match and match[1] for match in found}
        token = tokens.pop() if len(tokens) == 1 else None
        if token is None or len(bearers) > 1 or len(keys) > 1:
            other = f", or the token itself as `{key_header}`" if key_header else ""
            raise ProxyError(
                Situation.INVALID_TOKEN,
                f"Authorization: send one `Bearer <token>` of this proxy{other}.",
            )
        return token

    def digest(self, key_header: str | None) -> str:
        """The digest of the caller's token, see `token`."""
        known = self._digests.get(key_header)
        if known is None:
            known = self._digests[key_header] = digest_of(self.token(key_header))
        return known

    def demand_readable(self) -> None:
        """Raise `ProxyError` for a body that nobody here could judge as upstream would read it."""
        if self._is_readable:
            return
        if "content-encoding" in self.names:
            codings = values_of(self.fields, "content-encoding")
            if any(coding.lower() != "identity" for coding in codings):
                raise ProxyError(
                    Situation.COMPRESSED_BODY, "Content-Encoding: send the body uncompressed."
                )
        if not _is_utf8(value_of(self.fields, "content-type") or ""):
            raise ProxyError(
                Situation.ILLEGAL_INPUT, "Content-Type: JSON is UTF-8, without another charset."
            )
        self._is_readable = True

    def outbound(
        self,
        length: Field | None,
        account: Account,
        *,
        force_async: bool,
        claims: bool,
        as_json: bool,
    ) -> Fields:
        """See `proxy.core.headers.outbound`. One name is one account, as long as a process runs."""
        key = (account.name, force_async, claims, as_json)
        known = self._outbound.get(key)
        if known is None:
            whole = list(
                outbound(
                    self.sized(_MARK),
                    account,
                    force_async=force_async,
                    claims=claims,
                    as_json=as_json,
                )
            )
            at = whole.index(_MARK)
            known = self._outbound[key] = whole[:at], whole[at + 1 :]
        return _with(known[0], length, known[1])


class RequestHeaders:
    """The headers of one connection's requests; the last one is remembered.

    That is as long as the connection lives, and for nobody else: a token is in it.
    """

    __slots__ = ("_at", "_last", "_name", "_rest")

    def __init__(self) -> None:
        self._last = _NOTHING
        self._rest: RawFields = ()
        self._at = 0
        self._name = b""

    def read(self, raw: RawFields) -> tuple[RequestHeader, Field | None]:
        """What a header says, and its length. Raises `ProxyError` for one that is not UTF-8."""
        at = self._at
        has_length = at < len(raw) and raw[at][0] == self._name
        rest = raw[:at] + raw[at + 1 :] if has_length else raw
        if rest == self._rest:
            return self._last, _decoded(raw[at : at + 1])[0] if has_length else None
        if not has_length:
            at = next((at for at, (name, _) in enumerate(raw) if name.lower() == _LENGTH), len(raw))
            rest = raw[:at] + raw[at + 1 :]
        fields = _decoded(raw)
        header = RequestHeader(fields[:at] + fields[at + 1 :], at)
        if len(rest) <= MOST_FIELDS and len(b"".join(chain.from_iterable(rest))) <= MOST:
            self._last, self._rest, self._at = header, rest, at
            self._name = raw[at][0] if at < len(raw) else b""
        return header, fields[at] if at < len(raw) else None


def _decoded(raw: RawFields) -> list[Field]:
    try:
        return [(name.decode("ascii"), value.decode()) for name, value in raw]
    except UnicodeDecodeError:
        raise ProxyError(Situation.ILLEGAL_INPUT, "A header field is not UTF-8.") from None


def _with(before: Fields, length: Field | None, after: Fields) -> Fields:
    return [*before, *after] if length is None else [*before, length, *after]


def _patience(fields: Fields) -> float:
    text = value_of(fields, _WAIT_TIMEOUT) or ""
    return min(float(text), _MAX_WAIT) if re.fullmatch(r"\d{1,6}", text) else 0.0


@lru_cache(maxsize=64)
def _is_utf8(kind: str) -> bool:
    """Whether a `Content-Type` names no other charset: clients have a handful of them."""
    return all(charset.lower() in _UTF8 for charset in _CHARSET.findall(kind))


_NOTHING = RequestHeader((), 0)
