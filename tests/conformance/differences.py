"""Everything that may differ between a direct run and one through the proxy: one list.

Each row recognises what it allows, says where and why, and must be seen in a run of the whole
table: a row that is never seen is stale. The README's table of changes is printed from here.
"""

import json
import operator
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeAlias

from conformance.findings import ANSWER, HELD, OWN, REQUEST, VALUE, Finding
from conformance.wire import Message

from proxy.core.errors import Situation
from proxy.core.headers import REPLY_STOPPED, REQUEST_ID, REQUEST_STOPPED, Stopped

Explains: TypeAlias = Callable[[Finding], bool]


@dataclass(frozen=True)
class Difference:
    """One row. `name` stands in the printed table, of a `usual` row only in its legend.

    `where` is request or answer, `what` and `how` are what the README says. A `stated` row
    explains only where the operation says that it must occur.
    """

    name: str
    where: str
    what: str
    how: str
    explains: Explains
    usual: bool = False
    stated: bool = False


def _field(where: str, name: str, test: Callable[[list[str], list[str]], bool]) -> Explains:
    """A header field, by its values directly and by the proxy."""

    def explains(found: Finding) -> bool:
        same_field = (found.where, found.what) == (where, name)
        return same_field and test(_values(found.direct), _values(found.proxied))

    return explains


def _values(fields: object) -> list[str]:
    return [value for _, value in fields] if isinstance(fields, list) else []


def _is(where: str, *whats: str) -> Explains:
    return lambda found: found.where == where and found.what in whats


def _any(*rows: Explains) -> Explains:
    return lambda found: any(row(found) for row in rows)


_VIDEO_PATHS = {
    f"/api/v1/services/aigc/{family}/video-synthesis"
    for family in ("video-generation", "image2video")
}


def _path(found: Finding) -> bool:
    """The alias is gone, or a short route has become its long one; nothing else has changed."""
    if found.what != "sent target":
        return False
    sent, got = str(found.direct).removeprefix("http://<proxy>"), str(found.proxied)
    short = re.fullmatch(r"/task/(?:bailian/)?([\w-]+)", sent)
    if short and short[1] in {"text2video", "image2video"}:
        return got in _VIDEO_PATHS
    if short and got == f"/api/v1/tasks/{short[1]}":
        return True
    return got == re.sub(
        r"^/alibailian(?=/)|^/task/bailian(?=/)",
        lambda alias: "/api/v1" if alias[0] == "/task/bailian" else "",
        sent,
    )


def _comments(found: Finding) -> bool:
    """Blanks in the place of comments, and nothing else."""
    if found.what != "sent body":
        return False
    sent, got = str(found.direct), str(found.proxied)
    return len(sent) == len(got) and all(b in (a, " ") for a, b in zip(sent, got, strict=True))


def _joined(found: Finding) -> bool:
    """The same bytes in one chunk."""
    return (
        (found.where, found.what) == (ANSWER, "chunks")
        and isinstance(found.direct, list)
        and found.proxied == ["".join(found.direct)]
    )


def _broken(found: Finding) -> bool:
    """The end of the connection is another one, or a frame of ours is all that follows."""
    if found.where != ANSWER or found.what not in {"end", "framing", "body", "chunks"}:
        return False
    cut, ended = found.direct, found.proxied
    if isinstance(cut, list) and isinstance(ended, list):
        cut, ended = "".join(cut), "".join(ended)
    is_frame = str(ended).removeprefix(str(cut)).startswith("event:error\n")
    return found.what == "end" or cut == "cut" or is_frame


def _held(found: Finding) -> bool:
    """A state of the same task, not asked for again."""
    if not re.match(r"GET /api/v1/tasks/[\w-]+/? ?", found.asked):
        return False
    if found.where == REQUEST:
        return found.what == "count" and found.proxied == 0
    answers = [one for one in (found.direct, found.proxied) if isinstance(one, Message)]
    tasks = {json.loads(one.body)["output"]["task_id"] for one in answers}
    return found.what == HELD and len(answers) == 2 and len(tasks) == 1


def _refusal(found: Finding) -> bool:
    """Upstream was not asked or said nothing, and the answer is an error of the proxy's table."""
    if (found.where, found.what) == (REQUEST, "count"):
        return found.proxied == 0
    if (found.where, found.what, found.direct) == (ANSWER, "line", None):
        return str(found.proxied)[9:12] in {"502", "504"}
    if (found.where, found.what) != (ANSWER, OWN) or not isinstance(found.proxied, Message):
        return False
    answer = found.proxied
    code = json.loads(answer.body or b'{"code":null}')["code"]
    rows = {(row.status, row.code) for row in Situation}
    return (answer.status, code) in rows or not answer.body


def _not_again(found: Finding) -> bool:
    """A submit is not to be sent again, and the v2 client does not."""
    added = _field(ANSWER, "x-should-retry", lambda sent, got: not sent and got == ["false"])
    unsent = (found.where, found.what, found.proxied) == (REQUEST, "count", 0)
    once = (found.where, found.what, found.proxied) == (ANSWER, "count", 1)
    return added(found) or once or (unsent and "/video-synthesis" in found.asked)


_LISTED_BELOW = "(api|compatible-mode|apps/anthropic)"


def _lists(name: str, found: Finding) -> bool:
    return re.match(rf"GET /{_LISTED_BELOW}/v1/{name}/?(\?|$)", found.asked) is not None


def _asked_ourselves(found: Finding) -> bool:
    """Upstream hears a header of the proxy's own."""
    header = found.where == REQUEST and found.what not in {"count", "target", "body"}
    return header and _lists("models", found)


def _listing(name: str) -> Explains:
    """A listing of that name, answered by the proxy itself in upstream's shape."""

    def explains(found: Finding) -> bool:
        if not _lists(name, found):
            return False
        if (found.where, found.what) != (ANSWER, OWN):
            return found.where == REQUEST and found.what in {"count", "sent target"}
        shapes = [
            json.loads(answer.body).keys()
            for answer in (found.direct, found.proxied)
            if isinstance(answer, Message)
        ]
        return len(shapes) == 2 and shapes[0] == shapes[1]

    return explains


REQUEST_CHANGES = (
    Difference(
        "path",
        REQUEST,
        "path",
        "the alias becomes upstream's own path, an absolute form its path; escapes, query and "
        "trailing slash stay",
        _path,
        usual=True,
    ),
    Difference(
        "host",
        REQUEST,
        "`Host`",
        "the upstream account's, in the first place",
        _field(REQUEST, "host", lambda sent, got: (sent, got) == (["<proxy>"], ["<upstream>"])),
        usual=True,
    ),
    Difference(
        "key",
        REQUEST,
        "`Authorization`, `X-DashScope-WorkSpace`",
        "the account's, behind the rest",
        _any(
            lambda found: (
                found.what == "sent authorization"
                and "<token>" in str(found.direct)
                and "<token>" not in str(found.proxied)
            ),
            _field(REQUEST, "authorization", operator.eq),  # spelled otherwise
        ),
        usual=True,
    ),
    Difference(
        "async",
        REQUEST,
        "`X-DashScope-Async: enable`",
        "in the client's place, where upstream knows no other mode",
        _any(
            lambda found: found.what == "sent x-dashscope-async" and found.proxied == ["enable"],
            _field(REQUEST, "x-dashscope-async", operator.eq),  # spelled otherwise
        ),
    ),
    Difference(
        "identity",
        REQUEST,
        "`Accept-Encoding: identity`",
        "in the client's place on calls that create or poll a task, or list models: we read them",
        _field(REQUEST, "accept-encoding", lambda _, got: got == ["identity"]),
    ),
    Difference(
        "conditions",
        REQUEST,
        "`Range`, `If-*` on a poll",
        "dropped: one answer is for all who ask at the same time",
        lambda found: (
            found.where == REQUEST and found.what.startswith(("if-", "range")) and not found.proxied
        ),
    ),
    Difference(
        "json",
        REQUEST,
        "`Content-Type` of a judged body",
        "`application/json`, in the client's place, where it says anything else",
        _field(REQUEST, "content-type", lambda _, got: got == ["application/json"]),
        stated=True,
    ),
    Difference(
        "own-question",
        REQUEST,
        "the header of `GET models`",
        "the proxy's own, with the client's `Accept-Language`, `anthropic-beta` and "
        "`anthropic-version`: one answer is for all",
        _asked_ourselves,
        stated=True,
    ),
    Difference(
        "trailers",
        REQUEST,
        "`Transfer-Encoding: chunked`",
        "moved behind the rest; chunks are cut anew, trailers end",
        _is(REQUEST, "trailers"),
    ),
    Difference(
        "comments",
        REQUEST,
        "comments in a judged JSON body",
        "become as many blanks",
        _comments,
        stated=True,
    ),
    Difference(
        "handshake",
        REQUEST,
        "`Upgrade`, `Sec-WebSocket-*` of a WebSocket",
        "a handshake of the proxy's own on either side; frames cross as they are",
        lambda found: found.what.startswith("sec-websocket-") or found.what == "upgrade",
        stated=True,
    ),
    Difference(
        "version",
        REQUEST,
        "HTTP version, blanks around values",
        "HTTP/1.1, on a connection of its own; blanks are cut",
        _is(REQUEST, "line", "blanks"),
    ),
)

ANSWER_CHANGES = (
    Difference(
        "request-id",
        ANSWER,
        "`x-proxy-request-id`",
        "added: the proxy's id for the request",
        _field(ANSWER, "x-proxy-request-id", lambda sent, got: not sent and len(got) == 1),
        usual=True,
    ),
    Difference(
        "server",
        ANSWER,
        "`Server`, `Date`",
        "added only where upstream sent none",
        _any(
            *(
                _field(ANSWER, name, lambda sent, got: not sent and len(got) == 1)
                for name in ("server", "date")
            )
        ),
    ),
    Difference(
        "connection",
        ANSWER,
        "`Connection`",
        "the proxy's own, where the connection ends or HTTP/1.0 goes on",
        _is(ANSWER, "connection"),
    ),
    Difference(
        "framing",
        ANSWER,
        "framing",
        "a length stays a length; everything else is chunked for HTTP/1.1 and ends with the "
        "connection for HTTP/1.0; trailers and 1xx answers end here, 204 has no length",
        _is(
            ANSWER,
            "framing",
            "chunks",
            "trailers",
            "interim",
            "end",
            "content-length",
            "transfer-encoding",
        ),
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
        _joined,
        stated=True,
    ),
    Difference(
        "not-again",
        ANSWER,
        "`x-should-retry: false`",
        "added to upstream's 408 or 5xx on a call that creates a task, where upstream does not say "
        "itself: SDKs would send it again, and the task may have been made",
        _not_again,
        stated=True,
    ),
    Difference(
        "broken",
        ANSWER,
        "an answer that upstream breaks off",
        "breaks off too, by closing; an event stream between two frames ends with an error frame",
        _broken,
        stated=True,
    ),
    Difference(
        "own-tasks",
        ANSWER,
        "`GET tasks`",
        "comes from the proxy's own records: the tenant's tasks only",
        _listing("tasks"),
        stated=True,
    ),
    Difference(
        "held",
        ANSWER,
        "an answer to a poll",
        "upstream's last one, with `Age`, within `PROXY_POLL_HOLD` seconds and when the task has "
        "ended; the last known state in place of an error that is not about the task",
        _held,
        stated=True,
    ),
    Difference(
        "own-models",
        ANSWER,
        "`GET models`",
        "gathered from the accounts that answer, kept for 30 s, narrowed to the token's models, "
        "paged anew",
        _listing("models"),
        stated=True,
    ),
    Difference(
        "refusal",
        ANSWER,
        "errors of its own",
        "in upstream's place, which is not asked or does not answer: the table below",
        _refusal,
        stated=True,
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


def explanation(found: Finding, stated: Collection[str]) -> Difference | None:
    """The row that explains a finding, or None. What the caller got follows what was stated."""
    for row in DIFFERENCES:
        if row.stated and row.name not in stated:
            continue
        if row.explains(found) or (found.where == VALUE and row.stated):
            return row
    return None
