"""What the rows of the list of differences recognise: each says no to everything else."""

import json
import re
from collections.abc import Callable
from typing import TypeAlias

from conformance.findings import ANSWER, HELD, OWN, PLACED, REQUEST, Finding
from conformance.wire import Message

from proxy.config.routing import PACKAGED, load_routing
from proxy.core.errors import ProxyError, Situation
from proxy.core.headers import RATE_LIMIT
from proxy.core.target import parse_target

Explains: TypeAlias = Callable[[Finding], bool]

Alike: TypeAlias = Callable[[object, object], bool]
"""Whether two values of the client's caller are as much the same as they can be where what he
heard is not what upstream says."""


# -- header fields -------------------------------------------------------------------------------


def field(where: str, name: str, test: Callable[[list[str], list[str]], bool]) -> Explains:
    """A header field, by its values directly and by the proxy."""

    def explains(found: Finding) -> bool:
        same_field = (found.where, found.what) == (where, name)
        return same_field and test(_values(found.direct), _values(found.proxied))

    return explains


def _values(fields: object) -> list[str]:
    return [value for _, value in fields] if isinstance(fields, list) else []


def upgrades(sent: list[str], got: list[str]) -> bool:
    """`Connection: Upgrade`, in whatever words the client asked for it."""
    return "upgrade" in ", ".join(sent).lower().split(", ") and got == ["Upgrade"]


def ignoring_case(sent: list[str], got: list[str]) -> bool:
    """The same words, as RFC 6455 has them in a handshake."""
    return [value.lower() for value in sent] == [value.lower() for value in got]


def among(where: str, *whats: str) -> Explains:
    """A finding of one of these names, whatever it found."""
    return lambda found: found.where == where and found.what in whats


def any_of(*rows: Explains) -> Explains:
    """What any of them explains."""
    return lambda found: any(row(found) for row in rows)


def all_of(*rows: Explains) -> Explains:
    """What each of them explains."""
    return lambda found: all(row(found) for row in rows)


def behind(where: str, *names: str) -> Explains:
    """Fields that stand behind all others, but for those that have a later place."""

    def explains(found: Finding) -> bool:
        name = found.what.removeprefix("place of ")
        if found.where != where or name == found.what or name not in names:
            return False
        later = PLACED[where][PLACED[where].index(name) + 1 :]
        return isinstance(found.proxied, tuple) and set(found.proxied[1]) <= set(later)

    return explains


def in_front(*names: str) -> Explains:
    """Fields that stand before all others of a request, but for those of an earlier place."""

    def explains(found: Finding) -> bool:
        name = found.what.removeprefix("place of ")
        if found.where != REQUEST or name == found.what or name not in names:
            return False
        earlier = PLACED[REQUEST][: PLACED[REQUEST].index(name)]
        return isinstance(found.proxied, tuple) and set(found.proxied[0]) <= set(earlier)

    return explains


# -- requests ------------------------------------------------------------------------------------

_VIDEO_PATHS = {
    f"/api/v1/services/aigc/{family}/video-synthesis"
    for family in ("video-generation", "image2video")
}


def path(found: Finding) -> bool:
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


def key(found: Finding) -> bool:
    """The account's key stands where the client sent its token, or none in this field."""
    if found.what != "sent authorization":
        return False
    sent = found.direct if isinstance(found.direct, list) else [found.direct]
    return found.proxied == ["Bearer <key>"] and (not sent or "<token>" in str(sent))


def forced(found: Finding) -> bool:
    """A short route makes a task, and its client said nothing about it."""
    if (found.what, found.direct, found.proxied) != ("sent x-dashscope-async", [], ["enable"]):
        return False
    return found.messages is not None and found.messages[0].target.startswith("/task/")


def asks_for_a_task(found: Finding) -> bool:
    """The call creates a task."""
    return bool(found.messages and found.messages[1].values("x-dashscope-async"))


def runs_a_model(found: Finding) -> bool:
    """The call runs a model, by the proxy's own table."""
    method, _, target = found.asked.partition(" ")
    try:
        route = _ROUTES.match(method, parse_target(target.split(" ")[0])).route
    except ProxyError:
        return False
    return method == "POST" and route.reads_model and not route.is_free


_ROUTES = load_routing(PACKAGED, {}).table


def limited(found: Finding) -> bool:
    """The answer tells what is left of a limit, which upstream did not say."""
    name = found.what.removeprefix("place of ")
    return found.where == ANSWER and name.startswith(RATE_LIMIT)


def polls(found: Finding) -> bool:
    """The call asks for the state of a task."""
    return re.match(r"GET /api/v1/tasks/[\w-]+/?( |\?|$)", found.asked) is not None


def dropped(found: Finding) -> bool:
    """What was there is not there any more."""
    return bool(found.direct) and not found.proxied


def comments(found: Finding) -> bool:
    """Blanks in the place of comments, and nothing else."""
    if found.what != "sent body":
        return False
    sent, got = str(found.direct), str(found.proxied)
    return len(sent) == len(got) and all(b in (a, " ") for a, b in zip(sent, got, strict=True))


def modern(found: Finding) -> bool:
    """HTTP/1.1, whatever the client speaks."""
    lines = (found.where, found.what, found.direct, found.proxied)
    return lines == (REQUEST, "line", "HTTP/1.0", "HTTP/1.1")


def blanks(found: Finding) -> bool:
    """One blank before each value, whatever the client wrote."""
    return (found.where, found.what) == (REQUEST, "blanks") and dropped(found)


# -- answers -------------------------------------------------------------------------------------


def connection(found: Finding) -> bool:
    """Where the end of the connection ends the answer, on one side or the other; or HTTP/1.0."""
    if (found.where, found.what) != (ANSWER, "connection") or found.messages is None:
        return False
    told, heard = _values(found.direct), _values(found.proxied)
    other = found.messages[1]
    if heard == ["close"]:
        return other.framing == "close"
    if heard == ["keep-alive"]:
        return other.line.startswith("HTTP/1.0 ")
    return told == ["close"] and not heard and found.messages[0].line.startswith("HTTP/1.0 ")


def framing(found: Finding) -> bool:
    """The same body, delimited as the client's version of HTTP has it."""
    if found.where != ANSWER or found.messages is None:
        return False
    mine, other = found.messages
    if found.what in {"trailers", "interim"}:
        return dropped(found)
    if found.what == "content-length":
        return other.status == 204 and dropped(found)
    how = {
        "framing": ("close", "chunked"),
        "end": ("closed", "open"),
        "transfer-encoding": ([], [("Transfer-Encoding", "chunked")]),
        "chunks": (None, found.proxied),  # they are the body, which is compared
    }
    return mine.framing == "close" and how.get(found.what) == (found.direct, found.proxied)


def joined(found: Finding) -> bool:
    """The same bytes in one chunk."""
    return (
        (found.where, found.what) == (ANSWER, "chunks")
        and isinstance(found.direct, list)
        and found.proxied == ["".join(found.direct)]
    )


def broken(found: Finding) -> bool:
    """Both answers broke off (with the same bytes, or it were a finding), ours by closing."""
    if found.messages is None or any(one.framing != "cut" for one in found.messages):
        return False
    ends = (found.where, found.what, found.direct, found.proxied)
    return ends == (ANSWER, "end", "reset", "closed")


_NATIVE_FRAME = re.compile(rb"event:error\n:HTTP_STATUS/(502|504)\ndata:(\{.*\})\n\n")
_ANTHROPIC_FRAME = re.compile(rb"event: error\ndata: (\{.*\})\n\n")


def error_frame(found: Finding) -> bool:
    """What came before the break, chunk by chunk, and exactly one error frame of ours."""
    if (found.where, found.what) != (ANSWER, "cut") or found.messages is None:
        return False
    mine, other = found.messages
    if (mine.framing, other.framing) != ("cut", "chunked"):
        return False
    chunks, ours = mine.chunks or [], other.chunks or []
    return ours[:-1] == chunks and len(ours) == len(chunks) + 1 and _is_error_frame(ours[-1])


def _is_error_frame(chunk: bytes) -> bool:
    native = _NATIVE_FRAME.fullmatch(chunk)
    if native:
        told = json.loads(native[2])
        return (int(native[1]), told["code"]) in _ERRORS and bool(told["request_id"])
    anthropic = _ANTHROPIC_FRAME.fullmatch(chunk)
    return anthropic is not None and json.loads(anthropic[1]).keys() >= {"type", "error"}


_ERRORS = {(row.status, row.code) for row in Situation}


def held(found: Finding) -> bool:
    """A state of the same task, not asked for again."""
    if not polls(found):
        return False
    if found.where == REQUEST:
        return found.what == "count" and found.proxied == 0
    answers = [one for one in (found.direct, found.proxied) if isinstance(one, Message)]
    if (found.where, found.what) != (ANSWER, HELD) or len(answers) != 2:
        return False
    first, second = map(_task_of, answers)
    return first is not None and first == second


def _task_of(answer: Message) -> object:
    output = json.loads(answer.body).get("output", {})
    return output.get("task_id") if answer.status == 200 else None


def refusal(found: Finding) -> bool:
    """Upstream was not asked or said nothing, and the answer is an error of the proxy's table."""
    if (found.where, found.what) == (REQUEST, "count"):
        return found.proxied == 0
    if (found.where, found.what, found.direct) == (ANSWER, "line", None):
        return str(found.proxied)[9:12] in {"502", "504"}
    if (found.where, found.what) != (ANSWER, OWN) or not isinstance(found.proxied, Message):
        return False
    answer = found.proxied
    if answer.values("connection"):
        return False
    if not answer.body:  # to HEAD
        return answer.status in {status for status, _ in _ERRORS}
    return (answer.status, json.loads(answer.body).get("code")) in _ERRORS


def not_again(found: Finding) -> bool:
    """A submit is not to be sent again, and the v2 client does not."""
    added = field(ANSWER, "x-should-retry", lambda sent, got: not sent and got == ["false"])
    unsent = (found.where, found.what, found.proxied) == (REQUEST, "count", 0)
    once = (found.where, found.what, found.proxied) == (ANSWER, "count", 1)
    placed = behind(ANSWER, "x-should-retry")
    return added(found) or placed(found) or once or (unsent and "/video-synthesis" in found.asked)


_LISTED_BELOW = "(api|compatible-mode|apps/anthropic)"


def lists(name: str) -> Explains:
    """The call asks for a listing of that name."""
    return lambda found: (
        re.match(rf"GET /{_LISTED_BELOW}/v1/{name}/?(\?|$)", found.asked) is not None
    )


def asked_ourselves(found: Finding) -> bool:
    """Upstream hears a header of the proxy's own."""
    header = found.where == REQUEST and found.what not in {"count", "target", "body", "line"}
    return header and lists("models")(found)


def listing(name: str) -> Explains:
    """A listing of that name, answered by the proxy itself in upstream's shape."""

    def explains(found: Finding) -> bool:
        if not lists(name)(found):
            return False
        if (found.where, found.what) != (ANSWER, OWN):
            return found.where == REQUEST and found.what in {"count", "sent target"}
        answers = [one for one in (found.direct, found.proxied) if isinstance(one, Message)]
        shapes = [json.loads(one.body).keys() for one in answers if one.status == 200]
        return len(shapes) == 2 and shapes[0] == shapes[1]

    return explains


# -- frames --------------------------------------------------------------------------------------

Said: TypeAlias = list[tuple[int, int, str]]
"""Frames as findings have them: FIN and reserved bits, opcode, payload."""

_FINAL, _TEXT, _CLOSE, _PING, _PONG = 8, 1, 8, 9, 10
_GOODBYE = (_FINAL, _CLOSE)


def frames(where: str, test: Callable[[Said, Said], bool]) -> Explains:
    """The frames of one direction, directly and by the proxy."""

    def explains(found: Finding) -> bool:
        if (found.where, found.what) != (where, "frames"):
            return False
        said, came = found.direct, found.proxied
        return isinstance(said, list) and isinstance(came, list) and test(said, came)

    return explains


def defragmented(said: Said, came: Said) -> bool:
    """Fragments have become one frame; nothing else has changed."""
    whole: Said = []
    for bits, opcode, payload in said:
        if opcode == 0 and whole:
            first = whole.pop()
            whole.append((first[0] | bits, first[1], first[2] + payload))
        else:
            whole.append((bits, opcode, payload))
    return came == whole != said


def without_pings(said: Said, came: Said) -> bool:
    """A ping, and its answer, goes no farther than the one who heard it."""
    return came == [one for one in said if one[1] not in {_PING, _PONG}] != said


def with_a_code(said: Said, came: Said) -> bool:
    """A goodbye without a code has become 1000."""
    return said[-1:] == [(*_GOODBYE, "")] and came == [*said[:-1], (*_GOODBYE, _code(1000))]


def echoed(said: Said, came: Said) -> bool:
    """The answer to the client's goodbye has its reason, too, which upstream leaves out."""
    if said[:-1] != came[:-1] or [one[:2] for one in (said[-1], came[-1])] != [_GOODBYE] * 2:
        return False
    return came[-1][2].startswith(said[-1][2]) and len(said[-1][2]) == len(_code(1000))


def broken_off(said: Said, came: Said) -> bool:
    """Upstream left without a word: the tasks that ran have failed, and the goodbye is 1014."""
    more = came[len(said) :]
    failed = all(
        (bits, opcode) == (_FINAL, _TEXT)
        and json.loads(told)["header"].get("event") == "task-failed"
        for bits, opcode, told in more[:-1]
    )
    return came[: len(said)] == said and more[-1:] == [(*_GOODBYE, _code(1014))] and failed


def _code(number: int) -> str:
    return number.to_bytes(2, "big").decode("utf-8", "surrogateescape")


# -- what the client's caller got ----------------------------------------------------------------


def sizes(direct: object, proxied: object) -> bool:
    """How much came: it was compared on its way already."""
    return isinstance(direct, int) and isinstance(proxied, int) and proxied > 0


def pages(direct: object, proxied: object) -> bool:
    """One page of a listing, with the same total and the same names for things."""
    if sizes(direct, proxied):
        return True
    if not (isinstance(direct, dict) and isinstance(proxied, dict)):
        return False
    return direct.keys() == proxied.keys() and all(
        pages(direct[name], proxied[name])
        if name == "output"
        else name in {"request_id", "data"} or direct[name] == proxied[name]
        for name in direct
    )
