"""Two runs of one operation compared: every difference is a finding, whoever may explain it."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import TypeAlias

from conformance.relay import Exchange
from conformance.running import Side
from conformance.wire import Message

REQUEST, ANSWER, VALUE = "request", "answer", "value"

OWN, HELD = "own", "held"
"""What a finding is about when not upstream but the proxy gave an answer, its own words or
upstream's earlier ones: all of it."""

Field: TypeAlias = tuple[str, str]

LIMITS_TOLD = tuple(
    f"x-ratelimit-{told}-{kind}"
    for kind in ("requests", "submits", "tasks", "streams")
    for told in ("limit", "remaining", "reset")
)

PLACED: Mapping[str, Sequence[str]] = {
    REQUEST: (
        "host",
        "upgrade",
        "connection",
        "sec-websocket-version",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "x-dashscope-async",
        "accept-encoding",
        "authorization",
        "x-dashscope-workspace",
        "transfer-encoding",
    ),
    ANSWER: (
        "x-proxy-request-id",
        *LIMITS_TOLD,
        "x-should-retry",
        "server",
        "date",
        "transfer-encoding",
        "upgrade",
        "connection",
        "sec-websocket-accept",
        "sec-websocket-protocol",
    ),
}
"""The fields that the proxy puts somewhere, in the order in which they stand where it puts them;
every other one stays among its neighbours."""

_DATE = "Date"


@dataclass(frozen=True)
class Finding:
    """Something is not the same. `asked` is the request it is about, as upstream would hear it.

    `what` is a header's name in lower case, or one of: count, line, body, framing, chunks,
    trailers, interim, frames, blanks, order, cut, end; for the value it is its number. `sent`
    before it means: not what the client sent reached upstream; `told`: not what upstream said
    reached the client; `place of`: a field that has a place of its own stands elsewhere.
    `direct` and `proxied` are what stood there (or what went in, and what came out), with this
    run's addresses, keys and times replaced. `messages` are the two that it was found in.
    """

    where: str
    what: str
    direct: object
    proxied: object
    asked: str = ""
    messages: tuple[Message, Message] | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return (
            f"{self.asked}: {self.where} {self.what}\n"
            f"    directly      {_short(self.direct)}\n    by the proxy  {_short(self.proxied)}"
        )


def compare(direct: Side, proxied: Side) -> list[Finding]:
    """Everything that differs between two runs."""
    found = list(_requests(direct, proxied))
    found += _crossings(proxied)
    found += _answers(direct, proxied)
    found += _values(direct, proxied)
    return found


def _requests(direct: Side, proxied: Side) -> Iterator[Finding]:
    """What upstream received, in one run and in the other."""
    ours = [_asked(direct, exchange) for exchange in direct.back]
    theirs = [_asked(proxied, exchange) for exchange in proxied.back]
    for kind, a, b, c, d in SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        if kind == "equal":
            for mine, other in zip(direct.back[a:b], proxied.back[c:d], strict=True):
                asked = _asked(direct, mine)
                yield from _message(REQUEST, asked, mine.request, other.request, direct, proxied)
        else:
            for asked in ours[a:b]:
                yield Finding(REQUEST, "count", 1, 0, asked)
            for asked in theirs[c:d]:
                yield Finding(REQUEST, "count", 0, 1, asked)


def _crossings(proxied: Side) -> Iterator[Finding]:
    """What the proxy changed so that both ends heard what they hear directly."""
    if len(proxied.front) != len(proxied.back):
        return
    for front, back in zip(proxied.front, proxied.back, strict=True):
        asked, pair = _asked(proxied, back), (front.request, back.request)
        for what, look in _CROSSINGS.items():
            sent, got = (look(message, proxied) for message in pair)
            if sent != got:
                yield Finding(REQUEST, f"sent {what}", sent, got, asked, pair)
        yield from _dates(front.answer, back.answer, asked)


def _dates(heard: Message | None, said: Message | None, asked: str) -> Iterator[Finding]:
    """A date is not the same in two runs, but in one it is whatever upstream said."""
    if heard is None or said is None or _given_by_the_proxy(heard):
        return
    dates = said.values("date")
    if dates and heard.values("date") != dates:
        yield Finding(ANSWER, "told date", dates, heard.values("date"), asked)


def _answers(direct: Side, proxied: Side) -> Iterator[Finding]:
    """What the client received, in one run and in the other."""
    if len(direct.front) != len(proxied.front):
        yield Finding(ANSWER, "count", len(direct.front), len(proxied.front))
    for mine, other in zip(direct.front, proxied.front, strict=False):
        asked = _asked(direct, mine)
        if mine.answer is None or other.answer is None:
            if mine.answer is not other.answer:
                yield Finding(ANSWER, "line", _line(mine.answer), _line(other.answer), asked)
            continue
        kind = _given_by_the_proxy(other.answer)
        if kind is not None and kind != _given_by_the_proxy(mine.answer):
            yield Finding(ANSWER, kind, mine.answer, other.answer, asked)
            continue
        yield from _message(ANSWER, asked, mine.answer, other.answer, direct, proxied)
        is_over = mine.answer.framing in {"close", "cut"} and not _is_cut_once(mine, other)
        if is_over and mine.end != other.end:
            pair = (mine.answer, other.answer)
            yield Finding(ANSWER, "end", mine.end, other.end, asked, pair)


def _is_cut_once(mine: Exchange, other: Exchange) -> bool:
    """Whether one answer broke off and the other did not: then that is one finding by itself."""
    cuts = [one.answer is not None and one.answer.framing == "cut" for one in (mine, other)]
    return cuts[0] != cuts[1]


def _given_by_the_proxy(answer: Message) -> str | None:
    """Whether the proxy speaks for itself: upstream gives every answer an id, and none an age.

    For clients that look there, the proxy puts its own id into the same field.
    """
    if answer.values("age"):
        return HELD
    own_id = answer.values("x-proxy-request-id")
    return OWN if own_id and answer.values("x-request-id") in ([], own_id) else None


def _values(direct: Side, proxied: Side) -> Iterator[Finding]:
    """What the client's caller got."""
    if len(direct.values) != len(proxied.values):
        yield Finding(VALUE, "count", direct.values, proxied.values)
    for number, (mine, other) in enumerate(zip(direct.values, proxied.values, strict=False)):
        if mine != other:
            yield Finding(VALUE, str(number), mine, other)


def _message(
    where: str, asked: str, mine: Message, other: Message, direct: Side, proxied: Side
) -> Iterator[Finding]:
    pair = (mine, other)
    is_cut_once = "cut" in {mine.framing, other.framing} and mine.framing != other.framing
    if is_cut_once:
        yield Finding(where, "cut", mine, other, asked, pair)
    for what, look in _LOOKS.items():
        a, b = look(mine, direct), look(other, proxied)
        if a != b and not (is_cut_once and what in _OF_A_BODY):
            yield Finding(where, what, a, b, asked, pair)
    ours, theirs = _fields(mine, direct), _fields(other, proxied)
    a_fields, b_fields = Counter(ours), Counter(theirs)
    for name in sorted({key.lower() for key, _ in (a_fields - b_fields) + (b_fields - a_fields)}):
        yield Finding(where, name, _of(a_fields, name), _of(b_fields, name), asked, pair)
    for what, a, b in _orders(where, ours, theirs):
        yield Finding(where, what, a, b, asked, pair)


def _orders(
    where: str, ours: Sequence[Field], theirs: Sequence[Field]
) -> Iterator[tuple[str, object, object]]:
    """What stands elsewhere in a header, by what it is, with how it stood there.

    Fields that are in one header only, or are others there, have been found already. The places
    of a field are given as the names before it and behind it.
    """
    for name in PLACED[where]:
        if _place(theirs, name) and not _stands_alike(where, ours, theirs, name):
            yield f"place of {name}", _place(ours, name), _place(theirs, name)
    a, b = (
        [pair for pair in one if pair[0].lower() not in PLACED[where]] for one in (ours, theirs)
    )
    common = Counter(a) & Counter(b)
    a, b = ([pair for pair in one if pair in common] for one in (a, b))
    if a != b and Counter(a) == Counter(b):
        yield "order", a, b


def _stands_alike(where: str, ours: Sequence[Field], theirs: Sequence[Field], name: str) -> bool:
    """Whether the same fields stand before it, of those that both headers have and none places."""
    mine, other = _place(ours, name), _place(theirs, name)
    if mine is None or other is None:
        return False
    both = {key.lower() for key, _ in ours} & {key.lower() for key, _ in theirs}
    both -= set(PLACED[where])
    return [one for one in mine[0] if one in both] == [one for one in other[0] if one in both]


def _place(fields: Sequence[Field], name: str) -> tuple[list[str], list[str]] | None:
    names = [key.lower() for key, _ in fields]
    if name not in names:
        return None
    return names[: names.index(name)], names[names.index(name) + 1 :]


def _body(message: Message, side: Side) -> object:
    return _said(message, side, _text(message.body))


def _chunks(message: Message, side: Side) -> object:
    """The boundaries, of answers: nothing depends on those of requests, which are not kept."""
    if message.chunks is None or not message.line.startswith("HTTP/"):
        return None
    return [side.named(_text(chunk)) for chunk in message.chunks]


def _start(message: Message, side: Side) -> object:
    """The status line, or the version: method and target of a request have been matched."""
    is_answer = message.line.startswith("HTTP/")
    return side.named(message.line if is_answer else message.line.rpartition(" ")[2])


_CROSSINGS: dict[str, Callable[[Message, Side], object]] = {
    "target": lambda message, side: side.named(message.target),
    "authorization": lambda message, side: list(map(side.named, message.values("authorization"))),
    "x-dashscope-async": lambda message, _: message.values("x-dashscope-async"),
    "body": lambda message, _: _text(message.body),
}

_LOOKS: dict[str, Callable[[Message, Side], object]] = {
    "line": _start,
    "framing": lambda message, _: message.framing,
    "body": _body,
    "chunks": _chunks,
    "trailers": lambda message, _: message.trailers,
    "interim": lambda message, _: message.interim,
    "frames": lambda *said: _frames(*said),  # noqa: PLW0108 - it stands below
    "blanks": lambda message, _: [key for key, value in message.fields if value[:1] != " "],
}


def _frames(message: Message, side: Side) -> list[tuple[int, int, str]]:
    """Bits, opcode and payload, with the ids that an SDK makes up replaced by their number."""
    made_up: dict[str, str] = {}

    def numbered(found: re.Match[str]) -> str:
        return made_up.setdefault(found[0], f"<id {len(made_up)}>")

    return [
        (frame.bits, frame.opcode, _MADE_UP.sub(numbered, side.named(_text(frame.payload))))
        for frame in message.frames
    ]


_MADE_UP = re.compile(r"(?<=\")(?:event_)?[0-9a-f]{32}(?=\")")

_OF_A_BODY = {"framing", "body", "chunks"}

_BOUNDARY = re.compile(r'multipart/form-data; boundary="?([^";]+)')


def _said(message: Message, side: Side, text: str) -> str:
    """A text with what belongs to this run replaced: its addresses, and what delimits a form."""
    found = _BOUNDARY.search(" ".join(message.values("content-type")))
    return side.named(text.replace(found[1], "<boundary>") if found else text)


def _fields(message: Message, side: Side) -> list[Field]:
    """The header as spelled names and values."""
    fields = [(name, _said(message, side, value.strip(" \t"))) for name, value in message.fields]
    length = str(len(message.body))
    return [
        (name, "<as long as the body>")
        if name.lower() == "content-length" and value == length
        else (name, "<date>" if name == _DATE and value.endswith(" GMT") else value)
        for name, value in fields
    ]


def _of(fields: Counter[Field], name: str) -> list[Field]:
    return sorted(pair for pair in fields.elements() if pair[0].lower() == name)


def _asked(side: Side, exchange: Exchange) -> str:
    method, target, _ = exchange.request.line.split(" ")
    return side.named(f"{method} {target}").replace(" http://<proxy>/", " /")


def _line(message: Message | None) -> str | None:
    return None if message is None else message.line


def _text(data: bytes) -> str:
    """Bytes as a text that is the same only for the same bytes."""
    return data.decode("utf-8", "surrogateescape")


def _short(value: object, most: int = 600) -> str:
    text: str = repr(value)
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"
