"""Whole tokens at once: the expressions that take the scanner through the usual parts of a body.

Each is a subset of the grammar in `proxy.core.jsonscan` and matches whole tokens only, so that
what follows them may come in the next chunk. Where none fits, the scanner goes token by token;
it is right without them, and five to ten times slower.

Every repetition is possessive and has a bound: there is nothing to go back to and no memory for
it, and what was looked at in vain is looked at again once per level of `NESTED` at most.
"""

import re
from typing import NamedTuple

NESTED = 2
"""Levels of containers that one run takes in whole. Each doubles the expression and what it costs
to compile (3 ms for two); what lies deeper is taken level by level."""

BLANK = re.compile(rb"[ \t\n\r]+")

_GAP = rb"[ \t\n\r]{0,64}+"
_PLAIN = rb"[ !#-\[\]-\xff]"  # what it is, not what it is not: `re` takes a third less for a byte
_PAIR = rb"[Dd][89ABab][0-9A-Fa-f]{2}\\u[Dd][C-Fc-f][0-9A-Fa-f]{2}"
_SCALAR = rb"[0-9A-Ca-cE-Fe-f][0-9A-Fa-f]{3}|[Dd][0-7][0-9A-Fa-f]{2}|%b" % _PAIR
_ESCAPE = rb'\\(?:["\\/bfnrt]|u(?:%b))' % _SCALAR
_TEXT = rb'"%b{0,128}+(?:%b%b{0,128}+){0,256}+"' % (_PLAIN, _ESCAPE, _PLAIN)
_SHORT_TEXT = rb'"%b{0,64}+"' % _PLAIN
_NUMBER = rb"-?+(?>0|[1-9]\d{0,63}+)(?:\.\d{1,48}+)?+(?:[eE][+-]?\d{1,9}+)?+"
_ATOM = rb"%b|true|false|null" % _NUMBER


def _value(levels: int) -> bytes:
    """A value with at most so many levels of containers in it."""
    scalar = rb"%b|%b" % (_TEXT, _ATOM)
    if not levels:
        return rb"(?>%b)" % scalar
    items = rb"\[(?>%b\]|%b{1,64}+(?<=\]))" % (_GAP, _item(levels - 1))
    members = rb"\{(?>%b\}|%b{1,64}+(?<=\}))" % (_GAP, _member(levels - 1))
    return rb"(?>%b|%b|%b)" % (scalar, items, members)


def _item(levels: int) -> bytes:
    """An item with the comma or the bracket behind it; none follows the bracket."""
    return rb"(?:(?<!\])%b%b%b[,\]])" % (_GAP, _value(levels), _GAP)


def _member(levels: int) -> bytes:
    """A member with the comma or the brace behind it; none follows the brace."""
    return rb"(?:(?<!\})%b%b%b:%b%b%b[,}])" % (_GAP, _TEXT, _GAP, _GAP, _value(levels), _GAP)


def _run(one: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"%b{1,256}+" % one)


_CLOSERS = rb"((?:%b[\]}]){0,256}+)(%b,)?+" % (_GAP, _GAP)
_HEARD = rb"""
    %b(?>
        ( %b | %b | \[%b\] | \{%b\} ) (?=%b[,\]}]) %b  # a value that is all here
    |   ([\[{])  # or the beginning of a container
    |   "         # or of a text
    )""" % (_GAP, _SHORT_TEXT, _ATOM, _GAP, _GAP, _GAP, _CLOSERS)

_HEARD_NAME = rb"%b{0,64}+(?:%b%b{0,64}+){0,8}+" % (_PLAIN, _ESCAPE, _PLAIN)  # within `MAX_TEXT`
_NAME = rb'"[ !#-Z^-z|~-\xff]{0,64}+"%b:' % _GAP
_OPENERS = rb"(?:%b(?:\[(?!%b\])|\{%b%b)){0,256}+" % (_GAP, _GAP, _GAP, _NAME)
_VALUE = rb"(?>%b|%b|\[%b\]|\{%b\})(?=%b[,\]}])" % (_TEXT, _ATOM, _GAP, _GAP, _GAP)
_REST = rb'(?>%b%b%b|%b(")|)' % (_GAP, _VALUE, _CLOSERS, _GAP)


class Runs(NamedTuple):
    """The expressions for what may stand in a container.

    `unheard` are items or members nobody listens to, each with the comma or the end of the
    container behind it; `flat` are those that hold no containers themselves. `heard` is a single
    one, in groups: its name; its value, a scalar or an empty container, with the way up and the
    comma behind it; or an opener. Without value and opener a text begins.
    `segment` is the way down to a value, and up again to the next comma, in groups: the openers,
    each brace with its first name; the closers, and the comma; or the quote where a text begins
    that is longer. No bracket stands in those names: the first group's brackets are the openers.
    """

    unheard: re.Pattern[bytes]
    flat: re.Pattern[bytes]
    heard: re.Pattern[bytes]
    segment: re.Pattern[bytes]


ITEMS = Runs(
    unheard=_run(_item(NESTED)),
    flat=_run(_item(0)),
    heard=re.compile(rb"()%b" % _HEARD, re.VERBOSE),
    segment=re.compile(rb"(%b)%b" % (_OPENERS, _REST)),
)

MEMBERS = Runs(
    unheard=_run(_member(NESTED)),
    flat=_run(_member(0)),
    heard=re.compile(rb'%b"(%b)"%b:%b' % (_GAP, _HEARD_NAME, _GAP, _HEARD), re.VERBOSE),
    segment=re.compile(rb"(%b%b%b)%b" % (_GAP, _NAME, _OPENERS, _REST)),
)

UP = re.compile(_CLOSERS)
"""The ends of containers, and the comma behind the last one."""
