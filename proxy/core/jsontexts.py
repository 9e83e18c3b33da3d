"""What has no bound in a document: texts and comments, walked in pieces as they come.

A text is RFC 3629 UTF-8, its escapes denote Unicode scalar values (a lone surrogate is not one),
and no control character stands in it. All offsets in errors are those in the document: `before`
counts the bytes that came before the data at hand.
"""

import re

MAX_TEXT = 1024
"""Bytes kept of a text that somebody asked for; model names have some 50."""


class JsonError(ValueError):
    """The bytes are not one strict JSON object. `offset` is that of the first offending byte."""

    def __init__(self, problem: str, offset: int) -> None:
        super().__init__(f"{problem} (byte {offset})")
        self.problem = problem
        self.offset = offset


def walk_text(data: bytes, at: int, kept: bytearray | None, before: int) -> tuple[int, bool]:
    """Walk a text on from `at`; return where that ended, and whether behind the closing quote.

    `bytes.find` for what is plain, one expression for escapes: two finds over 64 KiB take 2 us,
    an expression a hundred times that. An escape that may go on in the next chunk is not walked.
    A little more than `MAX_TEXT` bytes are kept, if any are. Raises `JsonError`.
    """
    quote = data.find(b'"', at)
    while True:
        stop = quote if quote >= 0 else len(data)
        escape = data.find(b"\\", at, stop)
        plain = data[at : escape if escape >= 0 else stop]
        if plain.translate(None, _NOT_CONTROL):  # 60 times faster than searching with `re`
            raise JsonError("control character in a string", before + at + _control_in(plain))
        if kept is not None and len(kept) <= MAX_TEXT:
            kept += plain[: MAX_TEXT + 1]
        if escape < 0:
            return (quote + 1, True) if quote >= 0 else (stop, False)
        at = _escapes(data, escape, kept, before)
        if at == escape:
            return at, False
        if at > quote >= 0:
            quote = data.find(b'"', at)  # the one we knew was escaped


def _escapes(data: bytes, at: int, kept: bytearray | None, before: int) -> int:
    """Walk a run of escapes; return `at` when the first may go on in the next chunk."""
    run = _ESCAPES.match(data, at)
    if run:
        if kept is not None and len(kept) <= MAX_TEXT:
            kept += run.group()[: MAX_TEXT + 1]
        return run.end()
    if len(data) - at < _LONGEST_ESCAPE:
        return at
    raise JsonError("invalid escape or lone surrogate in a string", before + at)


def _control_in(text: bytes) -> int:
    found = _CONTROL.search(text)
    return found.start() if found else 0


def line_comment_end(data: bytes, at: int) -> tuple[int, bool]:
    """Where the blank part of a line comment ends that goes on at `at`; whether it is over.

    The end of the line is no part of it.
    """
    found = _LINE_END.search(data, at)
    return (found.start(), True) if found else (len(data), False)


def block_comment_end(data: bytes, at: int) -> tuple[int, bool]:
    """Where a block comment ends that goes on at `at`, and whether it is over."""
    close = data.find(b"*/", at)
    if close >= 0:
        return close + 2, True
    return len(data) - data.endswith(b"*", at), False  # a star may be half of the end


def without_comments(data: bytes, at: int) -> bytes:
    """The data, from `at` on, where no text is open, with spaces for all comments that are whole.

    The very same object where there is none. Texts are passed by as they stand, good or not.
    """
    parts = [data[:at]]
    while found := _TO_COMMENTS.match(data, at):
        parts += (found[1], _COMMENT.sub(_spaces, found[2]))
        at = found.end()
    return b"".join((*parts, data[at:])) if len(parts) > 1 else data


def _spaces(found: re.Match[bytes]) -> bytes:
    return b" " * len(found[0])


def blanked(data: bytes, blanks: list[tuple[int, int]]) -> bytes:
    """The data with spaces from each start to each end, which are then forgotten."""
    made = bytearray(data)
    for start, end in blanks:
        made[start:end] = b" " * (end - start)
    blanks.clear()
    return bytes(made)


def utf8_prefix(data: bytes) -> tuple[bytes, bool]:
    """What begins the data in whole UTF-8 characters, and whether the rest never will be one."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return data[: error.start], error.reason != "unexpected end of data"
    return data, False


_BLOCK = rb"/\*[^*]*+(?:\*++[^*/][^*]*+)*+\*++/"
_LINE = rb"//[^\n\r]*+(?=[\n\r])"
_COMMENT = re.compile(rb"%b|%b" % (_BLOCK, _LINE))
_TO_COMMENTS = re.compile(
    rb'((?:[^"/]++|"(?:[^"\\]++|\\.)*+"){0,1024}+)((?:(?:%b|%b)[ \t\n\r]*+){1,1024}+)'
    % (_BLOCK, _LINE),
    re.DOTALL,
)
_LINE_END = re.compile(rb"[\n\r]")
_CONTROL = re.compile(rb"[\x00-\x1f]")
_NOT_CONTROL = bytes(range(0x20, 0x100))
_LONGEST_ESCAPE = len(rb"\ud83d\ude00")
_ESCAPES = re.compile(
    rb"""(?: \\ (?: ["\\/bfnrt]
                  | u (?: [0-9A-Ca-cE-Fe-f] [0-9A-Fa-f]{3}
                        | [Dd] [0-7] [0-9A-Fa-f]{2}
                        | [Dd] [89ABab] [0-9A-Fa-f]{2} \\u [Dd] [C-Fc-f] [0-9A-Fa-f]{2} ) )
             [\x20!\x23-\[\]-\xff]{0,512}+
         ){1,256}+""",  # possessive: nothing to go back to, and no memory for it
    re.VERBOSE,
)
