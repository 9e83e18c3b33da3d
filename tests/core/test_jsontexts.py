"""Texts and comments in pieces: where they end, what is kept of them, what may not stand there."""

import pytest

from proxy.core.jsontexts import (
    MAX_TEXT,
    JsonError,
    blanked,
    block_comment_end,
    line_comment_end,
    utf8_prefix,
    walk_text,
    without_comments,
)


@pytest.mark.parametrize(
    ("data", "end", "is_over"),
    [
        (b'abc" x', 4, True),
        (b"abc", 3, False),
        (rb"a\"b\\" + b'" x', 7, True),
        (rb"a\u4f60\ud83d\ude00" + b'"', 20, True),
        (rb"ab\u4f", 2, False),
        (rb"ab\ud83d", 2, False),
        (b"ab\\", 2, False),
        (b"a" * 5000 + b'"', 5001, True),
    ],
)
def test_a_text_is_walked_as_far_as_it_is_whole(data: bytes, end: int, is_over: bool) -> None:  # noqa: FBT001 - a table
    """An escape that may go on in the next chunk waits; what is kept is the text, not too much."""
    kept = bytearray()
    assert walk_text(data, 0, kept, 0) == (end, is_over)
    assert data.startswith(kept[:MAX_TEXT])
    assert len(kept) == end - is_over or len(kept) == MAX_TEXT + 1
    assert walk_text(data, 0, None, 0) == (end, is_over)


@pytest.mark.parametrize(
    ("data", "offset"), [(b'ab\ncd"', 102), (rb'a\x41 and more"', 101), (rb'a\ude00\u0041 x"', 101)]
)
def test_what_may_not_stand_in_a_text(data: bytes, offset: int) -> None:
    """Told with its offset in the document."""
    with pytest.raises(JsonError) as error:
        walk_text(data, 0, None, 100)
    assert error.value.offset == offset


def test_where_comments_end() -> None:
    """A line's end is no part of the comment, and a star may be half of an end."""
    assert line_comment_end(b"x // y\nz", 5) == (6, True)
    assert line_comment_end(b"xyz", 1) == (3, False)
    assert block_comment_end(b"x /* y */ z", 4) == (9, True)
    assert block_comment_end(b"xy *", 0) == (3, False)
    assert block_comment_end(b"/*", 2) == (2, False)


@pytest.mark.parametrize(
    ("data", "rest"),
    [
        (b"// a\n /*b*/\n1 // c", b"    \n      \n1 // c"),
        (b'/*\n*/"/*"/**/"\\"//\n', b'     "/*"    "\\"//\n'),
        (b"/***/ /* * / */ /*", b"                /*"),
        (b"/**/ / /**/", b"     / /**/"),
    ],
)
def test_whole_comments_go_at_once(data: bytes, rest: bytes) -> None:
    """What stands between them stays, and so does what is a text or not whole."""
    assert without_comments(data, 0) == rest
    assert without_comments(b'"' + data, 1) == b'"' + rest


def test_what_has_no_whole_comment_is_the_same_object() -> None:
    """So that the scanner knows there is none."""
    for data in (b"/* * /", b"// x", b'"// x\n"', b"/ **/"):
        assert without_comments(data, 0) is data


def test_blanks_are_put_in_and_forgotten() -> None:
    """Spaces from each start to each end."""
    blanks = [(1, 2), (3, 5)]
    assert blanked(b"abcdef", blanks) == b"a c  f"
    assert blanks == []


def test_whole_characters() -> None:
    """The rest of a character may come; what never is one is a flaw."""
    text = "视频".encode()
    assert utf8_prefix(text) == (text, False)
    assert utf8_prefix(text[:5]) == (text[:3], False)
    assert utf8_prefix(text[:4] + b"x") == (text[:3], True)
