"""A strict, incremental scanner for one JSON object: bytes in, facts out, memory constant.

It exists because two parsers may read one body differently, and the proxy must never judge
another model than upstream runs. Python keeps the last of two equal keys, others the first;
some accept `NaN`, comments, control characters, half a surrogate pair. What is ambiguous is
refused here, so that every parser reads what is left in the same way.

Rule 1: the verdict does not depend on how the bytes were cut. A token that may go on in the
        next chunk is not looked at before it is whole; only strings and comments, which have
        no bound, are walked in pieces.
Rule 2: what has been scanned is not scanned again. Work is O(bytes); a held-back token is
        bounded by `MAX_ATOM`.
Rule 3: nothing is built. Nesting costs a stack of at most `MAX_DEPTH`; a text is kept only
        where the visitor asked for it, and at most `MAX_TEXT` of it.
Rule 4: the first offence in byte order is the one reported, with its offset.

Outside strings, `//` and `/* */` comments are blanked to spaces of the same length: one of
the public pages ships its sample with one. Upstream never sees a comment, hence no parser
can disagree about where it ended.

Grammar: RFC 8259, root an object. Strings: RFC 3629 UTF-8, escapes that denote Unicode
scalar values (a lone surrogate is not one).
"""

# ruff: noqa: SLF001, ARG002 - the grammar's tables stand below the class and name its methods,
# which share one signature so that they can.

import re
from collections.abc import Callable
from typing import Protocol

MAX_DEPTH = 512
"""Containers within containers. Jackson gives up at 1,000, so nobody sane comes near."""

MAX_ATOM = 128
"""Bytes of a number or literal. A double has 17 significant digits."""

MAX_TEXT = 1024
"""Bytes kept of a string the visitor asked for; model names have some 50."""

MAX_TRAILING = 64 * 1024
"""Bytes of blank space after the root. They are held back with it, so they need a bound."""

Path = tuple[str, ...]

ITEM = "[]"
"""Stands in a path for any item of an array: `tools[].model`."""


class JsonError(ValueError):
    """The bytes are not one strict JSON object. `offset` is that of the first offending byte."""

    def __init__(self, problem: str, offset: int) -> None:
        super().__init__(f"{problem} (byte {offset})")
        self.problem = problem
        self.offset = offset


class Visitor(Protocol):
    """Hears what it asked for, in byte order; whatever it raises stops the scan."""

    def member(self, level: Path, raw_name: bytes | None) -> Path | None:
        """Hear of a member name in a watched object; return a path to hear of its value.

        `raw_name` is what stands between the quotes, or None when it exceeds `MAX_TEXT`.
        """
        ...

    def value(self, path: Path, raw: bytes | None) -> bool:
        """Hear of a value asked for: the JSON text of a scalar, or `{` or `[`.

        None is a string that exceeds `MAX_TEXT`. True watches an object's members, or the items
        of an array, each of which is heard of under the array's path with `ITEM`.
        """
        ...


class JsonScanner:
    """Scans one document. `feed` what comes, then `finish`.

    `scanned` counts the bytes returned so far. `root_end` is the offset just behind the root's
    closing brace, once that was seen.
    """

    def __init__(self, visitor: Visitor) -> None:
        self.root_end: int | None = None
        self._visitor = visitor
        self.scanned = 0  # bytes, which is also the offset of the first byte of `_tail`
        self._tail = b""  # scanned in the next call, with what follows
        self._step: Callable[[bytes, int], int] = self._between
        self._place = _ROOT
        self._closers: list[_Place] = []  # what may follow a value, one per open container
        self._levels: list[Path | None] = []  # the path of each open container, where watched
        self._path: Path | None = ()  # where the next value stands, if the visitor cares
        self._is_name = False  # of the string being walked
        self._text: bytearray | None = None  # of the string being walked, where it is kept
        self._blanks: list[tuple[int, int]] = []  # comments in the data at hand

    def feed(self, chunk: bytes) -> bytes:
        """Scan on and return what is now approved, comments blanked: possibly less than came.

        Raises `JsonError`, and whatever the visitor raises.
        """
        data = self._tail + chunk if self._tail else chunk
        readable, flaw = _utf8_prefix(data)
        consumed = self._scan(data[:readable] if readable < len(data) else data)
        if flaw:
            raise JsonError("not UTF-8", self.scanned + readable)
        self._tail = data[consumed:]
        self.scanned += consumed
        approved = data[:consumed] if self._tail else data
        return self._blanked(approved) if self._blanks else approved

    def finish(self) -> None:
        """Assert that the document ended. Raises `JsonError` otherwise.

        Nothing is left to return: what follows the root is blank or an offence.
        """
        if self._step == self._in_line_comment:
            self._step = self._between  # the end of the body ends a line as well
        if self.root_end is None or self._tail or self._step != self._between:
            raise JsonError("ends too early or inside a token", self.scanned)

    def _scan(self, data: bytes) -> int:
        """Walk `data` as far as its tokens are whole; return how far that was."""
        position, end = 0, len(data)
        while position < end:
            reached = self._step(data, position)
            if reached == position:
                break  # the token may go on in the next chunk
            position = reached
            if self.root_end is not None and self.scanned + position > self.root_end + MAX_TRAILING:
                raise JsonError("too much blank space after the end", self.root_end + MAX_TRAILING)
        return position

    # -- between tokens: one table per place in the grammar, see the end of this file ----------

    def _between(self, data: bytes, at: int) -> int:
        place = self._place
        unheard = bool(place.run) and self._levels[-1] is None and len(self._closers) < MAX_DEPTH
        run = place.run.match(data, at) if place.run and unheard else None
        if run:  # plain members or items nobody listens to, with their commas
            self._place = _NAME if place.is_object else _ITEM
            return run.end()
        blank = _BLANK.match(data, at)
        if blank:
            return blank.end()
        action = place.actions.get(data[at])
        if action is None:
            raise self._unexpected(at)
        return action(self, data, at)

    def _unexpected(self, at: int) -> JsonError:
        return JsonError(f"expected {self._place.wanted}", self.scanned + at)

    def _slash(self, data: bytes, at: int) -> int:
        follower = data[at + 1 : at + 2]
        if not follower:
            return at
        if follower not in {b"/", b"*"}:
            raise self._unexpected(at)
        self._step = self._in_line_comment if follower == b"/" else self._in_block_comment
        self._blanks.append((at, at + 2))
        return at + 2

    def _open_object(self, data: bytes, at: int) -> int:
        watched = self._path is not None and self._visitor.value(self._path, b"{")
        self._open(_AFTER_MEMBER, self._path if watched else None, at)
        self._place = _FIRST_NAME
        return at + 1

    def _open_array(self, data: bytes, at: int) -> int:
        path = self._path
        watched = path is not None and self._visitor.value(path, b"[")
        self._open(_AFTER_ITEM, (*path, ITEM) if path is not None and watched else None, at)
        self._place, self._path = _FIRST_ITEM, self._levels[-1]
        return at + 1

    def _open(self, closer: "_Place", level: Path | None, at: int) -> None:
        if len(self._closers) == MAX_DEPTH:
            raise JsonError(f"nested deeper than {MAX_DEPTH}", self.scanned + at)
        self._closers.append(closer)
        self._levels.append(level)
        self._path = None

    def _close(self, data: bytes, at: int) -> int:
        self._closers.pop()
        self._levels.pop()
        if not self._closers:
            self.root_end = self.scanned + at + 1
        self._after_value()
        return at + 1

    def _after_value(self) -> None:
        self._path = None
        self._place = self._closers[-1] if self._closers else _AFTER_ROOT

    def _comma_in_object(self, data: bytes, at: int) -> int:
        self._place = _NAME
        return at + 1

    def _comma_in_array(self, data: bytes, at: int) -> int:
        self._place, self._path = _ITEM, self._levels[-1]
        return at + 1

    def _colon(self, data: bytes, at: int) -> int:
        self._place = _MEMBER_VALUE
        return at + 1

    def _atom(self, data: bytes, at: int) -> int:
        """Read a number or literal; it is whole when something else follows it."""
        run = _ATOM_RUN.match(data, at)
        end = run.end() if run else at + 1
        if end == len(data) and end - at <= MAX_ATOM:
            return at
        if end - at > MAX_ATOM or not _ATOM.fullmatch(data, at, end):
            raise JsonError("expected a number, true, false or null", self.scanned + at)
        if self._path is not None:
            self._visitor.value(self._path, data[at:end])
        self._after_value()
        return end

    # -- inside strings and comments, which may be longer than any chunk ------------------------

    def _open_name(self, data: bytes, at: int) -> int:
        return self._open_string(at, is_name=True, kept=self._levels[-1] is not None)

    def _open_text(self, data: bytes, at: int) -> int:
        return self._open_string(at, is_name=False, kept=self._path is not None)

    def _open_string(self, at: int, *, is_name: bool, kept: bool) -> int:
        self._is_name = is_name
        self._text = bytearray() if kept else None
        self._step = self._in_string
        return at + 1

    def _in_string(self, data: bytes, at: int) -> int:
        """Skip to the closing quote: `bytes.find` for plain text, one expression for escapes."""
        quote = data.find(b'"', at)
        while True:
            stop = quote if quote >= 0 else len(data)
            escape = data.find(b"\\", at, stop)
            plain_end = escape if escape >= 0 else stop
            self._plain(data, at, plain_end)
            if escape < 0:
                return self._close_string(data, quote) if quote >= 0 else stop
            at = self._escapes(data, escape)
            if at == escape:
                return at
            if at > quote >= 0:
                quote = data.find(b'"', at)  # the one we knew was escaped

    def _plain(self, data: bytes, at: int, end: int) -> None:
        text = data[at:end]
        if text.translate(None, _NOT_CONTROL):  # 60 times faster than searching with `re`
            offence = _CONTROL.search(data, at, end)
            where = offence.start() if offence else at
            raise JsonError("control character in a string", self.scanned + where)
        self._keep(text)

    def _escapes(self, data: bytes, at: int) -> int:
        """Walk a run of escapes; return `at` when the first may go on in the next chunk."""
        run = _ESCAPES.match(data, at)
        if run:
            self._keep(run.group())
            return run.end()
        if len(data) - at < _LONGEST_ESCAPE:
            return at
        raise JsonError("invalid escape or lone surrogate in a string", self.scanned + at)

    def _keep(self, text: bytes) -> None:
        if self._text is not None and len(self._text) <= MAX_TEXT:
            self._text += text[: MAX_TEXT + 1]

    def _close_string(self, data: bytes, quote: int) -> int:
        kept, self._text = self._text, None
        self._step = self._between
        text = None if kept is None or len(kept) > MAX_TEXT else bytes(kept)
        if self._is_name:
            level = self._levels[-1]
            self._path = None if level is None else self._visitor.member(level, text)
            self._place = _COLON
        else:
            if self._path is not None:
                self._visitor.value(self._path, None if text is None else b'"%b"' % text)
            self._after_value()
        return quote + 1

    def _in_line_comment(self, data: bytes, at: int) -> int:
        line_end = _LINE_END.search(data, at)
        end = line_end.start() if line_end else len(data)
        if line_end:
            self._step = self._between
            end += 1  # the line's end is kept, and taken along so that every step moves on
        self._blanks.append((at, end - 1 if line_end else end))
        return end

    def _in_block_comment(self, data: bytes, at: int) -> int:
        close = data.find(b"*/", at)
        if close >= 0:
            self._step = self._between
            end = close + 2
        else:
            end = len(data) - data.endswith(b"*")  # a star may be half of the end
        self._blanks.append((at, end))
        return end

    def _blanked(self, data: bytes) -> bytes:
        blanked = bytearray(data)
        for start, end in self._blanks:
            blanked[start:end] = b" " * (end - start)
        self._blanks.clear()
        return bytes(blanked)


def _utf8_prefix(data: bytes) -> tuple[int, bool]:
    """How many bytes are whole UTF-8 characters, and whether what follows never will be."""
    if data.isascii():
        return len(data), False
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.start, error.reason != "unexpected end of data"
    return len(data), False


_BLANK = re.compile(rb"[ \t\n\r]+")
_LINE_END = re.compile(rb"[\n\r]")
_CONTROL = re.compile(rb"[\x00-\x1f]")
_NOT_CONTROL = bytes(range(0x20, 0x100))
_ATOM_RUN = re.compile(rb"[-+.0-9A-Za-z]{1,%d}" % (MAX_ATOM + 1))
_ATOM = re.compile(rb"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null")
_LONGEST_ESCAPE = len(rb"\ud83d\ude00")
_ESCAPES = re.compile(
    rb"""(?: \\ (?: ["\\/bfnrt]
                  | u (?: [0-9A-Ca-cE-Fe-f] [0-9A-Fa-f]{3}
                        | [Dd] [0-7] [0-9A-Fa-f]{2}
                        | [Dd] [89ABab] [0-9A-Fa-f]{2} \\u [Dd] [C-Fc-f] [0-9A-Fa-f]{2} ) )
             [^"\\\x00-\x1f]{0,32}+
         ){1,256}+""",  # possessive: nothing to go back to, and no memory for it
    re.VERBOSE,
)

# A short cut through what nobody listens to: a subset of the grammar, whole tokens up to a
# comma, about ten times faster than step by step.
_SHORT_TEXT = rb'"[^"\\\x00-\x1f]{0,512}+(?:\\["\\/bfnrt][^"\\\x00-\x1f]{0,512}+){0,64}+"'
_SHORT_NUMBER = rb"-?+(?>0|[1-9]\d{0,31}+)(?:\.\d{1,31}+)?+(?:[eE][+-]?\d{1,9}+)?+"
_GAP = rb"[ \t\n\r]{0,64}+"
_SHORT_SCALAR = rb"(?>%b|%b|true|false|null|\[%b\]|\{%b\})" % (
    _SHORT_TEXT,
    _SHORT_NUMBER,
    _GAP,
    _GAP,
)
_ITEMS = re.compile(rb"(?:%b%b%b,){1,256}+" % (_GAP, _SHORT_SCALAR, _GAP))
_MEMBERS = re.compile(
    rb"(?:%b%b%b:%b%b%b,){1,256}+" % (_GAP, _SHORT_TEXT, _GAP, _GAP, _SHORT_SCALAR, _GAP)
)

# The grammar: what may stand at each place, and what it does.
_Action = Callable[[JsonScanner, bytes, int], int]


class _Place:
    """A row of the grammar: what is wanted here, what each byte does, which run may be skipped."""

    def __init__(
        self, wanted: str, actions: dict[str, _Action], run: re.Pattern[bytes] | None = None
    ) -> None:
        either = {"/": JsonScanner._slash} | actions  # a comment may begin between any two tokens
        self.wanted = wanted
        self.actions = {ord(char): action for chars, action in either.items() for char in chars}
        self.run = run
        self.is_object = run is _MEMBERS


_SCALAR_OR_CONTAINER: dict[str, _Action] = {
    '"': JsonScanner._open_text,
    "{": JsonScanner._open_object,
    "[": JsonScanner._open_array,
    "-0123456789tfn": JsonScanner._atom,
}
_ROOT = _Place("a JSON object", {"{": JsonScanner._open_object})
_FIRST_NAME = _Place(
    "a member name or '}'", {'"': JsonScanner._open_name, "}": JsonScanner._close}, _MEMBERS
)
_NAME = _Place("a member name", {'"': JsonScanner._open_name}, _MEMBERS)
_COLON = _Place("':'", {":": JsonScanner._colon})
_MEMBER_VALUE = _Place("a value", _SCALAR_OR_CONTAINER)
_FIRST_ITEM = _Place("a value or ']'", _SCALAR_OR_CONTAINER | {"]": JsonScanner._close}, _ITEMS)
_ITEM = _Place("a value", _SCALAR_OR_CONTAINER, _ITEMS)
_AFTER_MEMBER = _Place("',' or '}'", {",": JsonScanner._comma_in_object, "}": JsonScanner._close})
_AFTER_ITEM = _Place("',' or ']'", {",": JsonScanner._comma_in_array, "]": JsonScanner._close})
_AFTER_ROOT = _Place("nothing after the end", {})
