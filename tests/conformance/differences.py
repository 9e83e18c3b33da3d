"""Everything that may differ between a direct run and one through the proxy: one list.

Each row recognises what it allows, says where and why, and must be seen in a run of the whole
table: a row that is never seen is stale. The README's table of changes is printed from here.
"""

import operator
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from conformance import explains
from conformance.explains import Alike, Explains, all_of, any_of, behind, field, in_front
from conformance.findings import ANSWER, REQUEST, VALUE, Finding

from proxy.core.headers import REPLY_STOPPED, REQUEST_ID, REQUEST_STOPPED, Stopped


def _never(direct: object, proxied: object) -> bool:
    """What the client's caller got must be the same."""
    return direct == proxied


@dataclass(frozen=True)
class Difference:
    """One row. `name` stands in the printed table, of a `usual` row only in its legend.

    `where` is request or answer, `what` and `how` are what the README says. A `stated` row
    explains only where the operation says that it must occur; then `values` says which values of
    the client's caller may differ, and how.
    """

    name: str
    where: str
    what: str
    how: str
    explains: Explains
    usual: bool = False
    stated: bool = False
    values: Alike = _never


REQUEST_CHANGES = (
    Difference(
        "path",
        REQUEST,
        "path",
        "the alias becomes upstream's own path, an absolute form its path; escapes, query and "
        "trailing slash stay",
        explains.path,
        usual=True,
    ),
    Difference(
        "host",
        REQUEST,
        "`Host`",
        "the upstream account's, in the first place",
        any_of(
            field(REQUEST, "host", lambda sent, got: (sent, got) == (["<proxy>"], ["<upstream>"])),
            in_front("host"),
        ),
        usual=True,
    ),
    Difference(
        "key",
        REQUEST,
        "`Authorization`, `X-DashScope-WorkSpace`",
        "the account's, behind the rest",
        any_of(
            explains.key,
            field(REQUEST, "authorization", lambda sent, got: sent == got or not sent),
            behind(REQUEST, "authorization", "x-dashscope-workspace"),
        ),
        usual=True,
    ),
    Difference(
        "async",
        REQUEST,
        "`X-DashScope-Async: enable`",
        "instead of the client's, behind the rest, where upstream knows no other mode",
        any_of(
            explains.forced,
            field(REQUEST, "x-dashscope-async", operator.eq),  # spelled otherwise
            behind(REQUEST, "x-dashscope-async"),
        ),
    ),
    Difference(
        "identity",
        REQUEST,
        "`Accept-Encoding: identity`",
        "instead of the client's, behind the rest, on calls that run a model, poll a task or list "
        "models: we read them",
        all_of(
            any_of(
                field(REQUEST, "accept-encoding", lambda _, got: got == ["identity"]),
                behind(REQUEST, "accept-encoding"),
            ),
            any_of(
                explains.asks_for_a_task,
                explains.runs_a_model,
                explains.polls,
                explains.lists("models"),
            ),
        ),
    ),
    Difference(
        "conditions",
        REQUEST,
        "`Range`, `If-*` on a poll",
        "dropped: one answer is for all who ask at the same time",
        all_of(
            explains.polls,
            explains.dropped,
            lambda found: found.where == REQUEST and found.what.startswith(("if-", "range")),
        ),
    ),
    Difference(
        "json",
        REQUEST,
        "`Content-Type` of a judged body",
        "`application/json`, where the client's stood, if it says anything else",
        field(REQUEST, "content-type", lambda _, got: got == ["application/json"]),
        stated=True,
    ),
    Difference(
        "own-question",
        REQUEST,
        "the header of `GET models`",
        "the proxy's own, with the client's `Accept-Language`, `anthropic-beta` and "
        "`anthropic-version`: one answer is for all",
        explains.asked_ourselves,
        stated=True,
    ),
    Difference(
        "coding",
        REQUEST,
        "`Transfer-Encoding: chunked`",
        "behind the rest; chunks are cut anew",
        behind(REQUEST, "transfer-encoding"),
        usual=True,
    ),
    Difference(
        "trailers",
        REQUEST,
        "trailers",
        "end here",
        all_of(explains.among(REQUEST, "trailers"), explains.dropped),
    ),
    Difference(
        "comments",
        REQUEST,
        "comments in a judged JSON body",
        "become as many blanks",
        explains.comments,
        stated=True,
    ),
    Difference(
        "handshake",
        REQUEST,
        "`Host`, `Upgrade`, `Connection`, `Sec-WebSocket-*` of a WebSocket",
        "in front, a handshake of the proxy's own: with a key of its own, without extensions (no "
        "compression)",
        any_of(
            field(REQUEST, "sec-websocket-key", lambda sent, got: len(sent) == len(got) == 1),
            field(REQUEST, "sec-websocket-extensions", lambda sent, got: bool(sent) and not got),
            field(REQUEST, "upgrade", explains.ignoring_case),
            field(REQUEST, "connection", explains.upgrades),
            field(REQUEST, "sec-websocket-version", operator.eq),  # spelled otherwise
            in_front("upgrade", "connection", "sec-websocket-version", "sec-websocket-key"),
        ),
        stated=True,
    ),
    Difference(
        "fragments",
        REQUEST,
        "fragments of a WebSocket message",
        "joined: a message crosses as one frame, either way, and byte for byte",
        explains.frames(REQUEST, explains.defragmented),
        stated=True,
    ),
    Difference(
        "pings",
        REQUEST,
        "pings of a WebSocket",
        "answered by the proxy, and not passed on; it sends its own on either side, where nothing "
        "was said for 30 seconds",
        explains.frames(REQUEST, explains.without_pings),
        stated=True,
    ),
    Difference(
        "no-code",
        REQUEST,
        "a WebSocket's end without a code (1005)",
        "becomes 1000; every other code crosses, with its reason, either way",
        explains.frames(REQUEST, explains.with_a_code),
        stated=True,
    ),
    Difference(
        "version",
        REQUEST,
        "HTTP version, blanks around values",
        "HTTP/1.1, on a connection of its own; blanks are cut",
        any_of(explains.modern, explains.blanks),
    ),
)

ANSWER_CHANGES = (
    Difference(
        "request-id",
        ANSWER,
        "`x-proxy-request-id`",
        "added behind the rest: the proxy's id for the request",
        any_of(
            field(ANSWER, "x-proxy-request-id", lambda sent, got: not sent and len(got) == 1),
            behind(ANSWER, "x-proxy-request-id"),
        ),
        usual=True,
    ),
    Difference(
        "limits",
        ANSWER,
        "`x-ratelimit-*`",
        "for a token with limits: what is left of them, behind the rest, instead of upstream's",
        explains.limited,
        stated=True,
    ),
    Difference(
        "server",
        ANSWER,
        "`Server`, `Date`",
        "added behind the rest, only where upstream sent none",
        any_of(
            field(ANSWER, "server", lambda sent, got: not sent and len(got) == 1),
            field(ANSWER, "date", lambda sent, got: not sent and len(got) == 1),
            all_of(
                behind(ANSWER, "server", "date"),
                lambda found: found.direct is None,
            ),
        ),
    ),
    Difference(
        "connection",
        ANSWER,
        "`Connection`",
        "the proxy's own, behind the rest, where the connection ends or HTTP/1.0 goes on",
        any_of(explains.connection, behind(ANSWER, "connection")),
    ),
    Difference(
        "handshake-answer",
        ANSWER,
        "`Upgrade`, `Connection`, `Sec-WebSocket-Accept`",
        "the proxy's own, behind the rest",
        any_of(
            field(ANSWER, "sec-websocket-accept", lambda sent, got: len(sent) == len(got) == 1),
            field(ANSWER, "upgrade", explains.ignoring_case),
            field(ANSWER, "connection", explains.ignoring_case),
            behind(ANSWER, "upgrade", "connection", "sec-websocket-accept"),
        ),
        stated=True,
    ),
    Difference(
        "goodbye",
        ANSWER,
        "the answer to a WebSocket's end",
        "the proxy's own: the client's code and reason",
        explains.frames(ANSWER, explains.echoed),
        stated=True,
    ),
    Difference(
        "vanished",
        ANSWER,
        "a WebSocket that upstream leaves without a word (1006)",
        "its tasks fail, and it ends with 1014",
        explains.frames(ANSWER, explains.broken_off),
        stated=True,
        values=explains.sizes,
    ),
    Difference(
        "answer-coding",
        ANSWER,
        "`Transfer-Encoding: chunked`",
        "behind the rest",
        behind(ANSWER, "transfer-encoding"),
        usual=True,
    ),
    Difference(
        "framing",
        ANSWER,
        "framing",
        "a length stays a length; everything else is chunked for HTTP/1.1 and ends with the "
        "connection for HTTP/1.0; trailers and 1xx answers end here, 204 has no length",
        explains.framing,
        stated=True,
    ),
    Difference(
        "status-line",
        ANSWER,
        "status line",
        "the client's HTTP version; status and reason stay",
        lambda found: (
            (found.where, found.what) == (ANSWER, "line")
            and str(found.direct)[8:] == str(found.proxied)[8:]
        ),
    ),
    Difference(
        "gathered",
        ANSWER,
        "chunks of an answer that names a task",
        "joined: it leaves as a whole, when the task has an owner",
        explains.joined,
        stated=True,
    ),
    Difference(
        "not-again",
        ANSWER,
        "`x-should-retry: false`",
        "added to upstream's 408 or 5xx on a call that creates a task, where upstream does not say "
        "itself: SDKs would send it again, and the task may have been made",
        explains.not_again,
        stated=True,
    ),
    Difference(
        "broken",
        ANSWER,
        "an answer that upstream breaks off",
        "breaks off too, after the same bytes, by closing",
        explains.broken,
        stated=True,
    ),
    Difference(
        "error-frame",
        ANSWER,
        "an event stream that upstream breaks off between two frames",
        "ends with an error frame, where the protocol has one",
        explains.error_frame,
        stated=True,
        values=explains.sizes,
    ),
    Difference(
        "own-tasks",
        ANSWER,
        "`GET tasks`",
        "comes from the proxy's own records: the tenant's tasks only",
        explains.listing("tasks"),
        stated=True,
        values=explains.pages,
    ),
    Difference(
        "held",
        ANSWER,
        "an answer to a poll",
        "upstream's last one, with `Age`, within `PROXY_POLL_HOLD` seconds and when the task has "
        "ended; the last known state in place of an error that is not about the task",
        explains.held,
        stated=True,
        values=explains.sizes,
    ),
    Difference(
        "own-models",
        ANSWER,
        "`GET models`",
        "gathered from the accounts that answer, kept for 30 s, narrowed to the token's models, "
        "paged anew",
        explains.listing("models"),
        stated=True,
    ),
    Difference(
        "refusal",
        ANSWER,
        "errors of its own",
        "in upstream's place, which is not asked or does not answer: the table below",
        explains.refusal,
        stated=True,
        values=explains.sizes,
    ),
)


def _stopped(
    where: str, names: Iterable[str], rows: Sequence[Stopped], usual: Collection[str]
) -> Iterator[Difference]:
    """Header fields that do not cross, as `core.headers` has them."""

    def explains(row: Stopped) -> Explains:
        def gone(found: Finding) -> bool:
            listed = any(fnmatchcase(found.what, name) for name in row.names)
            replaced = bool(found.direct) and REQUEST_ID in row.names
            return found.where == where and listed and (replaced or not found.proxied)

        return gone

    for name, row in zip(names, rows, strict=True):
        what = ", ".join(f"`{field}`" for field in row.names)
        yield Difference(
            name, where, what, f"dropped: {row.why}", explains(row), usual=name in usual
        )


DIFFERENCES: Sequence[Difference] = (
    *REQUEST_CHANGES,
    *_stopped(
        REQUEST,
        (
            "hop-by-hop",
            "expect",
            "credentials",
            "identity-claims",
            "client-address",
            "rerouting",
            "idempotency",
            "envoy",
            "underscore",
        ),
        [row for row in REQUEST_STOPPED if row.names != ("host",)],  # told above
        {"hop-by-hop"},
    ),
    *ANSWER_CHANGES,
    *_stopped(
        ANSWER,
        ("answer-hop-by-hop", "cookie", "account-ids", "host-promises", "own-id"),
        REPLY_STOPPED,
        {"cookie", "account-ids"},
    ),
)


def _excuses(row: Difference, found: Finding) -> bool:
    is_value = found.where == VALUE and found.what != "count"
    return is_value and row.stated and row.values(found.direct, found.proxied)


def explanation(found: Finding, stated: Collection[str]) -> Difference | None:
    """The row that explains a finding, or None. What the caller got follows what was stated."""
    for row in DIFFERENCES:
        if row.stated and row.name not in stated:
            continue
        if row.explains(found) or _excuses(row, found):
            return row
    return None
