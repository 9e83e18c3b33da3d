"""A strict, incremental scanner for one JSON object: bytes in, facts out, memory constant.

It exists because two parsers may read one body differently, and the proxy must never judge
another model than upstream runs. Python keeps the last of two equal keys, others the first;
some accept `NaN`, comments, control characters, half a surrogate pair. What is ambiguous is
refused here, so that every parser reads what is left in the same way.

Rule 1: the verdict does not depend on how the bytes were cut. A token that may go on in the
        next chunk is not looked at before it is whole; only strings and comments, which have
        no bound, are walked in pieces.
Rule 2: what has been scanned is not scanned again. Work is O(bytes); a held-back token is
        bounded by `proxy.core.jsonatoms.MAX_ATOM`.
Rule 3: nothing is built. Nesting costs a stack of at most `MAX_DEPTH`; a text is kept only
        where the visitor asked for it, and at most `MAX_TEXT` of it.
Rule 4: the first offence in byte order is the one reported, with its offset.
Rule 5: the grammar is the tables at the end of this file. `proxy.core.jsonruns` only takes many
        whole tokens of it at once; the visitor hears the same.

Outside strings, `//` and `/* */` comments are blanked to spaces of the same length: one of
the public pages ships its sample with one. Upstream never sees a comment, hence no parser
can disagree about where it ended.

Grammar: RFC 8259, root an object; for texts see `proxy.core.jsontexts`.
"""

# ruff: noqa: SLF001, ARG002 - the grammar's tables name the methods, which share one signature.

from collections.abc import Callable
from typing import Any, Generic, TypeAlias

from proxy.core import jsontexts as texts
from proxy.core.jsonatoms import atom_end
from proxy.core.jsonruns import BLANK, ITEMS, MEMBERS, NESTED, UP, Runs
from proxy.core.jsontexts import MAX_TEXT, JsonError
from proxy.core.jsonvisitor import Spot, Visitor

MAX_DEPTH = 512
"""Containers within containers. Jackson gives up at 1,000, so nobody sane comes near."""

MAX_TRAILING = 64 * 1024
"""Bytes of blank space after the root. They are held back with it, so they need a bound."""

Path = tuple[str, ...]

ITEM = "[]"
"""Stands in a path for any item of an array: `tools[].model`."""


class JsonScanner(Generic[Spot]):
    """Scans one document, which stands at `root`. `feed` what comes, then `finish`.

    `scanned` counts the bytes returned so far. `root_end` is the offset just behind the root's
    closing brace, once that was seen.
    """

    __slots__ = (
        *("root_end", "scanned", "_visitor", "_tail", "_step", "_place", "_closers", "_levels"),
        *("_spot", "_text", "_blanks", "_blanked"),
    )

    def __init__(self, visitor: Visitor[Spot], root: Spot) -> None:
        self.root_end: int | None = None
        self.scanned = 0  # bytes, which is also the offset of the first byte of `_tail`
        self._visitor = visitor
        self._tail = b""  # scanned in the next call, with what follows
        self._step: _Action = JsonScanner._between  # no bound method, which would be a cycle
        self._place = _ROOT
        self._closers = bytearray()  # what will end each open container
        self._levels: list[Spot] = []  # of those that are watched: the outermost ones
        self._spot: Spot | None = root  # where the next value stands, if the visitor cares
        self._text: bytearray | None = None  # of the string being walked, where it is kept
        self._blanks: list[tuple[int, int]] = []  # parts of comments in the data at hand
        self._blanked: bytes | None = None  # that data, without the comments that are whole

    @property
    def is_in_text(self) -> bool:
        """Whether what comes next belongs to a string that has begun."""
        return self._step is JsonScanner._in_string

    def feed(self, chunk: bytes) -> bytes:
        """Scan on and return what is now approved, comments blanked: possibly less than came.

        Raises `JsonError`, and whatever the visitor raises.
        """
        data = self._tail + chunk if self._tail else chunk
        text, is_flawed = (data, False) if data.isascii() else texts.utf8_prefix(data)
        approved, consumed = self._scan(text)
        if is_flawed:
            raise JsonError("not UTF-8", self.scanned + len(text))
        self._tail = data[consumed:]
        self.scanned += consumed
        if consumed < len(approved):
            approved = approved[:consumed]
        return texts.blanked(approved, self._blanks) if self._blanks else approved

    def finish(self) -> None:
        """Assert that the document ended. Raises `JsonError` otherwise.

        Nothing is left to return: what follows the root is blank or an offence.
        """
        if self._step is JsonScanner._in_line_comment:
            self._step = JsonScanner._between  # the end of the body ends a line as well
        if self.root_end is None or self._tail or self._step is not JsonScanner._between:
            raise JsonError("ends too early or inside a token", self.scanned)

    def _scan(self, data: bytes) -> tuple[bytes, int]:
        """Walk `data` as far as its tokens are whole; return it blanked, and how far that was."""
        position, end = 0, len(data)
        while position < end:
            reached = self._step(self, data, position)
            if reached == position:
                if self._blanked is None:
                    break  # the token may go on in the next chunk
                data, self._blanked = self._blanked, None
            position = reached
            if self.root_end is not None and self.scanned + position > self.root_end + MAX_TRAILING:
                raise JsonError("too much blank space after the end", self.root_end + MAX_TRAILING)
        return data, position

    # -- between tokens: one table per place in the grammar, see the end of this file ----------

    def _between(self, data: bytes, at: int) -> int:
        place = self._place
        if place.shortcut is not None and data[at] != _SLASH:
            reached = place.shortcut(self, data, at)
            if reached > at:
                return reached
        action = place.actions.get(data[at])
        if action is not None:
            return action(self, data, at)
        blank = BLANK.match(data, at)
        if blank is None:
            raise JsonError(f"expected {self._place.wanted}", self.scanned + at)
        return blank.end()

    # -- many tokens at once; each returns `at` where its expression fits nothing ---------------

    def _take(self, data: bytes, at: int) -> int:
        """Take whole members or items: those of watched containers one by one."""
        depth = len(self._closers)
        if len(self._levels) < depth:
            return self._skip(data, at)
        return self._listen(data, at) if depth < MAX_DEPTH else at

    def _listen(self, data: bytes, at: int) -> int:
        """Take members or items of watched containers, and tell of each."""
        place, visitor, levels = self._place, self._visitor, self._levels
        level = levels[-1]
        while found := place.runs.heard.match(data, at):
            name, value, up, comma, opener = found.groups()
            spot = visitor.member(level, name) if place.is_object else level
            at = found.end()
            if value is None:
                self._spot = spot
                at = self._enter(opener, at - 1) if opener else self._take_text(data, at - 1)
            else:
                if spot is not None:
                    visitor.value(spot, value[:1] if value[0] in _OPENERS else value)
                if comma and not up:
                    self._place = place = place.following
                    continue
                self._place = place.behind
                at = self._climb(found.end(3), up, at)
            place = self._place
            if place.shortcut is not _TAKE or not len(levels) == len(self._closers) < MAX_DEPTH:
                break
            level = levels[-1]
        return at

    def _skip(self, data: bytes, at: int) -> int:
        """Take what nobody listens to: runs of values, or one that lies deeper, up to its comma."""
        closers, heard, place = self._closers, len(self._levels), self._place
        while len(closers) > heard and place.shortcut is _TAKE:
            is_deep = len(closers) > MAX_DEPTH - NESTED
            found = (place.runs.flat if is_deep else place.runs.unheard).match(data, at)
            if found is None:
                reached = self._segment(data, at)
                if reached == at:
                    break
                at = reached
            elif data[found.end() - 1] == _COMMA:
                at = found.end()
                self._place = place.following
            else:
                at = found.end()
                self._leave(1, at)
                at = self._ascend(data, at)
            place = self._place
        return at

    def _segment(self, data: bytes, at: int) -> int:
        """Take openers, a value, closers and a comma, of what nobody listens to."""
        found = self._place.runs.segment.match(data, at) if self._spot is None else None
        if found is None:
            return at
        down, up, comma, quote = found.groups()
        openers = down.translate(_CLOSER_OF, _NO_OPENER) if down else down
        if len(self._closers) + len(openers) >= MAX_DEPTH:
            return at
        self._closers += openers
        if down:
            self._place = _FIRST_ITEM if openers.endswith(b"]") else _MEMBER_VALUE
        if quote:
            return self._take_text(data, found.end() - 1)
        if up is None:
            return found.end()
        self._place = self._place.behind
        return self._climb(found.end(2), up, found.end(3) if comma else 0)

    def _take_text(self, data: bytes, at: int) -> int:
        """Take a text and what ends behind it, up to the comma; or as much of a text as is here."""
        return self._ascend(data, self._open_text(data, at))

    def _ascend(self, data: bytes, at: int) -> int:
        """Leave containers, several at once, and take the comma behind the last one."""
        found = UP.match(data, at)
        return self._climb(found.end(1), found[1], found.end(2)) if found else at

    def _climb(self, at: int, up: bytes, comma: int) -> int:
        """Leave containers by their ends, which end `at`; take a comma that ends at `comma`."""
        ends = b"".join(up.split())
        if ends:
            if not self._closers.endswith(ends[::-1]):
                return at - len(up)
            self._leave(len(ends), at)
        return self._comma(b"", comma - 1) if comma > at and self._closers else at

    def _leave(self, count: int, end: int) -> None:
        """So many containers have ended, the last one just before `end`."""
        closers = self._closers
        del closers[-count:]
        del self._levels[len(closers) :]
        if closers:
            self._place = _AFTER[closers[-1]]
        else:
            self._place = _AFTER_ROOT
            self.root_end = self.scanned + end

    def _slash(self, data: bytes, at: int) -> int:
        follower = data[at + 1 : at + 2]
        if not follower:
            return at
        if follower not in _COMMENTS:
            raise JsonError(f"expected {self._place.wanted}", self.scanned + at)
        blanked = texts.without_comments(data, at)
        if blanked is not data:  # all at once: each by itself takes ten times as long
            self._blanked = blanked
            return at
        self._step = _COMMENTS[follower]
        self._blanks.append((at, at + 2))
        return self._step(self, data, at + 2)

    def _open(self, data: bytes, at: int) -> int:
        return self._enter(data[at : at + 1], at)

    def _enter(self, opener: bytes, at: int) -> int:
        """A container begins at `at`; the visitor says whether it is watched."""
        level = None if self._spot is None else self._visitor.value(self._spot, opener)
        if len(self._closers) == MAX_DEPTH:
            raise JsonError(f"nested deeper than {MAX_DEPTH}", self.scanned + at)
        if level is not None:
            self._levels.append(level)
        closer, self._place = _INSIDE[opener]
        self._closers.append(closer)
        self._spot = level
        return at + 1

    def _close(self, data: bytes, at: int) -> int:
        self._leave(1, at + 1)
        return at + 1

    def _comma(self, data: bytes, at: int) -> int:
        self._place = self._place.following
        if not self._place.is_object:
            self._spot = self._level
        return at + 1

    @property
    def _level(self) -> Spot | None:
        """That of the innermost container, where it is watched."""
        return self._levels[-1] if len(self._levels) == len(self._closers) else None

    def _colon(self, data: bytes, at: int) -> int:
        self._place = _MEMBER_VALUE
        return at + 1

    def _atom(self, data: bytes, at: int) -> int:
        end = atom_end(data, at, self.scanned)
        if end == at:
            return at
        if self._spot is not None:
            self._visitor.value(self._spot, data[at:end])
        self._place = self._place.behind
        return end

    # -- inside strings and comments, which may be longer than any chunk ------------------------

    def _open_name(self, data: bytes, at: int) -> int:
        self._text = None if self._level is None else bytearray()
        self._place, self._step = _COLON, JsonScanner._in_string
        return at + 1

    def _open_text(self, data: bytes, at: int) -> int:
        self._text = None if self._spot is None else bytearray()
        self._place, self._step = self._place.behind, JsonScanner._in_string
        return self._in_string(data, at + 1)

    def _in_string(self, data: bytes, at: int) -> int:
        end, is_over = texts.walk_text(data, at, self._text, self.scanned)
        if is_over:
            self._step = JsonScanner._between
            self._tell(self._text)
        return end

    def _tell(self, kept: bytearray | None) -> None:
        """A name or a text is over, of which this was kept; the place is already that behind it."""
        text = None if kept is None or len(kept) > MAX_TEXT else bytes(kept)
        if self._place is _COLON:
            level = self._level
            self._spot = None if level is None else self._visitor.member(level, text)
        elif self._spot is not None:
            self._visitor.value(self._spot, None if text is None else b'"%b"' % text)

    def _in_line_comment(self, data: bytes, at: int) -> int:
        end, is_over = texts.line_comment_end(data, at)
        self._blank(at, end, is_over=is_over)
        return end + is_over  # the line's end is kept, and taken along: every step moves on

    def _in_block_comment(self, data: bytes, at: int) -> int:
        end, is_over = texts.block_comment_end(data, at)
        self._blank(at, end, is_over=is_over)
        return end

    def _blank(self, at: int, end: int, *, is_over: bool) -> None:
        self._blanks.append((at, end))
        if is_over:
            self._step = JsonScanner._between


_COMMA, _BRACE, _BRACKET, _SLASH = b",}]/"
_OPENERS = b"{["
_CLOSER_OF = bytes.maketrans(b"{[", b"}]")
_NO_OPENER = bytes(byte for byte in range(256) if byte not in _OPENERS)

# The grammar: what may stand at each place, and what it does.
_Action: TypeAlias = Callable[[JsonScanner[Any], bytes, int], int]


class _Place:
    """A row of the grammar: what is wanted here, and what each byte does.

    `shortcut` takes many tokens at once, by the expressions in `runs`. `behind` is the place behind
    a value that stands here, `following` the one behind a comma.
    """

    __slots__ = ("actions", "behind", "following", "is_object", "runs", "shortcut", "wanted")

    def __init__(
        self,
        wanted: str,
        actions: dict[str, _Action],
        shortcut: _Action | None = None,
        within: Runs = ITEMS,
    ) -> None:
        either = {"/": JsonScanner._slash} | actions  # a comment may begin between any two tokens
        self.wanted = wanted
        self.actions = {ord(char): action for chars, action in either.items() for char in chars}
        self.shortcut = shortcut
        self.runs = within
        self.is_object = within is MEMBERS
        self.behind = self.following = self


_SCALAR_OR_CONTAINER: dict[str, _Action] = {
    '"': JsonScanner._open_text,
    "{[": JsonScanner._open,
    "-0123456789tfn": JsonScanner._atom,
}
_TAKE, _UP, _CLOSE = JsonScanner._take, JsonScanner._ascend, JsonScanner._close
_COMMENTS = {b"/": JsonScanner._in_line_comment, b"*": JsonScanner._in_block_comment}
_ROOT = _Place("a JSON object", {"{": JsonScanner._open})
_NAMES: dict[str, _Action] = {'"': JsonScanner._open_name}
_FIRST_NAME = _Place("a member name or '}'", _NAMES | {"}": _CLOSE}, _TAKE, MEMBERS)
_NAME = _Place("a member name", _NAMES, _TAKE, MEMBERS)
_COLON = _Place("':'", {":": JsonScanner._colon})
_MEMBER_VALUE = _Place("a value", _SCALAR_OR_CONTAINER, JsonScanner._segment)
_FIRST_ITEM = _Place("a value or ']'", _SCALAR_OR_CONTAINER | {"]": _CLOSE}, _TAKE, ITEMS)
_ITEM = _Place("a value", _SCALAR_OR_CONTAINER, _TAKE, ITEMS)
_AFTER_MEMBER = _Place("',' or '}'", {",": JsonScanner._comma, "}": _CLOSE}, _UP)
_AFTER_ITEM = _Place("',' or ']'", {",": JsonScanner._comma, "]": _CLOSE}, _UP)
_AFTER_ROOT = _Place("nothing after the end", {})
_INSIDE = {b"{": (_BRACE, _FIRST_NAME), b"[": (_BRACKET, _FIRST_ITEM)}
_AFTER = {_BRACE: _AFTER_MEMBER, _BRACKET: _AFTER_ITEM}
_FIRST_NAME.following = _AFTER_MEMBER.following = _NAME
_FIRST_ITEM.following = _AFTER_ITEM.following = _ITEM
_FIRST_NAME.behind = _NAME.behind = _MEMBER_VALUE.behind = _AFTER_MEMBER
_FIRST_ITEM.behind = _ITEM.behind = _AFTER_ITEM
