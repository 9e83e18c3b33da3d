"""Which header fields cross the proxy, in each direction: one annotated list for both.

Everything that is not listed crosses unchanged, in its order and spelling. The README's table
of changes is printed from these rows. A listed name counts with underscores for its hyphens too:
servers that hand fields on as variables (CGI and its heirs) cannot tell the two apart.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from proxy.core.accounts import Account

Fields = Sequence[tuple[str, str]]

ASYNC = "x-dashscope-async"
REQUEST_ID = "x-proxy-request-id"
SHOULD_RETRY = "x-should-retry"
IDEMPOTENCY_KEY = "idempotency-key"
REPLAYED = "x-proxy-replayed"

RATE_LIMIT = "x-ratelimit-"
"""How fields begin that tell what is left of a limit."""


class Stopped(NamedTuple):
    """Header fields that do not cross, and why. `*` stands for any run of characters."""

    names: tuple[str, ...]
    why: str


HOP_BY_HOP = Stopped(
    (
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "sec-websocket-*",
    ),
    "hop-by-hop (RFC 9110 section 7.6.1), with whatever `Connection` names; framing is kept, and a "
    "WebSocket's subprotocol agreed on anew",
)

REQUEST_STOPPED = (
    HOP_BY_HOP,
    Stopped(("host",), "names the upstream host"),
    Stopped(("expect",), "answered by the proxy once the caller is known"),
    Stopped(
        (
            "authorization",
            "api-key",
            "apikey",
            "x-api-key",
            "x-goog-api-key",
            "x-auth-token",
            "x-dashscope-apikey",
            "x-dashscope-api-key",
            "cookie",
        ),
        "the client's credentials; the account's key goes up instead",
    ),
    Stopped(
        ("x-dashscope-workspace", "x-dashscope-uid", "x-dashscope-apikeyid", "x-dashscope-inner-*"),
        "choose or claim an identity within the upstream account",
    ),
    Stopped(
        (
            "forwarded",
            "x-forwarded-*",
            "x-real-ip",
            "x-client-ip",
            "x-proxyuser-ip",
            "true-client-ip",
            "cf-connecting-ip",
            "via",
        ),
        "where the client is, which upstream has no need to know or trust",
    ),
    Stopped(
        (
            "x-http-method*",
            "x-method-override",
            "x-original-*",
            "x-rewrite-*",
            "x-host",
        ),
        "some servers route by them, around what was judged here",
    ),
    Stopped(
        (IDEMPOTENCY_KEY,),
        "kept here: two tenants of one account must not meet upstream under one key",
    ),
    Stopped(
        ("x-envoy-*",),
        "instructions to upstream's own gateway, which could make it send a submit twice",
    ),
    Stopped(
        ("*_*",),
        "any name with `_`: some servers read it as `-`; nginx drops them as well",
    ),
)

REPLY_STOPPED = (
    HOP_BY_HOP,
    Stopped(("set-cookie",), "upstream's sticky cookies would cross from tenant to tenant"),
    Stopped(
        ("x-dashscope-uid", "x-dashscope-apikeyid", "x-dashscope-inner-*"),
        "identify the upstream account",
    ),
    Stopped(
        ("alt-svc", "strict-transport-security", "public-key-pins"),
        "speak about the upstream host, and would be believed about this one",
    ),
    Stopped((REQUEST_ID, REPLAYED), "are the proxy's own"),
)


_CONDITIONS = ("if-", "range")
"""How the fields begin that make an answer none, or a part of one (RFC 9110 sections 13, 14)."""

_JSON = re.compile(r"application/([\w.-]+\+)?json\s*(;[^,]*)?", re.IGNORECASE | re.ASCII)

DIGESTS = frozenset({"content-md5", "content-digest", "repr-digest", "digest"})
"""What tells of one body, and of no other."""

_FRAMING = frozenset({"content-length", "content-type", "content-encoding"})
"""Not hop-by-hop even where `Connection` names them: a body told otherwise is another body."""


def _index(rows: Iterable[Stopped]) -> tuple[frozenset[str], tuple[str, ...]]:
    names = [name for row in rows for name in row.names if name != "*_*"]
    exact = frozenset(name for name in names if not name.endswith("*"))
    return exact, tuple(name[:-1] for name in names if name.endswith("*"))


_REQUEST = _index(REQUEST_STOPPED)
_REPLY = _index(REPLY_STOPPED)


def is_settable(name: str) -> bool:
    """Whether a client may set a field of upstream's, other than those that are about the body."""
    return bool(_upward_anew(name)) and name.lower() not in _FRAMING | DIGESTS


def instead(fields: Fields, others: Fields) -> Fields:
    """A header with these fields in the place of all that have their names."""
    names = {name.lower() for name, _ in others}
    return [*(pair for pair in fields if pair[0].lower() not in names), *others]


def asks_async(fields: Fields) -> bool:
    """Whether the caller asks for a task instead of an answer, and upstream will hear it."""
    return value_of(fields, ASYNC) is not None and ASYNC not in _named(fields)


def _upward_anew(name: str) -> str:
    """A field's name in lower case; empty where it may not cross to upstream, as with any `_`."""
    lower = name.lower()
    return "" if "_" in lower or _is_listed(lower, _REQUEST) else lower


_upward = lru_cache(maxsize=1024)(_upward_anew)
"""Callers use few names, and use them again: to remember them halves the time of `outbound`."""

_USUAL = 64
"""Characters of a name that is remembered: a longer one is a caller's wish to fill memory."""


def outbound(
    fields: Fields, account: Account, *, force_async: bool, claims: bool, as_json: bool = False
) -> Fields:
    """The header for upstream: what may cross, the account's credentials, and the framing.

    `claims` asks for an uncompressed answer, because a task's id or state will be read from it.
    `as_json` calls the body what it was judged as: as a form it might name another model.
    The framing (`Content-Length`, or none for chunked) crosses with the rest.
    """
    names = [_upward(name) if len(name) <= _USUAL else _upward_anew(name) for name, _ in fields]
    dropped, added = _INSTEAD[force_async, claims]
    if named := _named(fields):
        dropped |= named
    crossing = [pair for pair, name in zip(fields, names, strict=False) if name not in dropped]
    if as_json and _said(fields, names, "content-type") != "application/json":
        crossing = _called_json(crossing)
    return [*crossing, *added, *account.credentials]


_FORCED = {ASYNC: ("X-DashScope-Async", "enable")}
_READABLE = {"accept-encoding": ("Accept-Encoding", "identity")}
_INSTEAD = {
    (force_async, claims): (frozenset({"", *own}), tuple(own.values()))
    for force_async in (False, True)
    for claims in (False, True)
    for own in ({**(_FORCED if force_async else {}), **(_READABLE if claims else {})},)
}
"""By `force_async` and `claims`: the names that do not cross, and what is said instead."""


def _said(fields: Fields, names: list[str], name: str) -> str | None:
    """The value of a field that is there once, by its name among these; else None."""
    return fields[names.index(name)][1] if names.count(name) == 1 else None


def _called_json(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The header with one `Content-Type` of JSON, where it has any other, or several."""
    kinds = values_of(fields, "content-type")
    if not kinds or (len(kinds) == 1 and _JSON.fullmatch(kinds[0])):
        return fields
    first = next(at for at, (name, _) in enumerate(fields) if name.lower() == "content-type")
    rest = [pair for pair in fields if pair[0].lower() != "content-type"]
    rest.insert(first, ("Content-Type", "application/json"))
    return rest


def unconditional(fields: Fields) -> Fields:
    """A header that asks for a whole answer, whatever its sender has of it already."""
    return [pair for pair in fields if not pair[0].lower().startswith(_CONDITIONS)]


def inbound(fields: Fields, request_id: str, added: Fields = ()) -> Fields:
    """The header for the client: what may cross of upstream's, and what the proxy has to say.

    Where it tells of its own limits, upstream's are none of the client's business: they are the
    whole account's.
    """
    crossing = coming_back(fields)
    if any(name.startswith(RATE_LIMIT) for name, _ in added):
        crossing = [pair for pair in crossing if not pair[0].lower().startswith(RATE_LIMIT)]
    return [*crossing, (REQUEST_ID, request_id), *added]


def coming_back(fields: Fields) -> list[tuple[str, str]]:
    """What may cross of upstream's header."""
    crossing = [pair for pair in fields if _comes_back(pair[0])]
    if named := _named(fields):
        crossing = [pair for pair in crossing if pair[0].lower() not in named]
    return crossing


@lru_cache(maxsize=1024)
def _comes_back(name: str) -> bool:
    """Whether a field may cross to clients by its name: upstream says the same ones all day."""
    return not _is_listed(name.lower(), _REPLY)


def value_of(fields: Fields, name: str) -> str | None:
    """The first value of a field, by its lower-case name."""
    length = len(name)
    for key, value in fields:  # half the time of a generator; few names are of one length
        if len(key) == length and key.lower() == name:
            return value
    return None


def values_of(fields: Fields, name: str) -> list[str]:
    """All values of a field, by its lower-case name."""
    length = len(name)
    return [value for key, value in fields if len(key) == length and key.lower() == name]


def is_coded(fields: Fields) -> bool:
    """Whether a body is on the wire in a transfer coding other than `chunked`."""
    told = values_of(fields, "transfer-encoding")
    codings = {coding.strip().lower() for value in told for coding in value.split(",")}
    return not codings <= {"", "chunked"}


def _is_listed(lower: str, stopped: tuple[frozenset[str], tuple[str, ...]]) -> bool:
    exact, prefixes = stopped
    listed = lower.replace("_", "-")
    return listed in exact or listed.startswith(prefixes)


def _named(fields: Fields) -> frozenset[str]:
    """The names in `Connection`, in lower case; what is listed anyway may be missing."""
    values = values_of(fields, "connection")
    if values in ([], ["keep-alive"]):  # nearly all of them
        return frozenset()
    tokens = {token.strip().lower() for value in values for token in value.split(",")}
    return frozenset(tokens - _FRAMING)
