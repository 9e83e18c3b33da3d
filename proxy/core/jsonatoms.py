"""Numbers and literals: the tokens that nothing of their own ends."""

import re

from proxy.core.jsontexts import JsonError

MAX_ATOM = 128
"""Bytes of a number or literal. A double has 17 significant digits."""


def atom_end(data: bytes, at: int, before: int) -> int:
    """Where a number or literal ends that begins at `at`; `at` when it may go on in the next chunk.

    It is whole when something else follows it. `before` counts the document's bytes before `data`.
    Raises `JsonError`.
    """
    run = _RUN.match(data, at)
    end = run.end() if run else at + 1
    if end == len(data) and end - at <= MAX_ATOM:
        return at
    if end - at > MAX_ATOM or not _ATOM.fullmatch(data, at, end):
        raise JsonError("expected a number, true, false or null", before + at)
    return end


_RUN = re.compile(rb"[-+.0-9A-Za-z]{1,%d}" % (MAX_ATOM + 1))
_ATOM = re.compile(rb"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null")
