"""Reading the `usage` out of an answer that passes by, in any chunks, without keeping the answer.

Rule 1: what is read does not depend on how the bytes were cut: it is what one would find who
        parsed the whole.
Rule 2: memory is bounded, whatever passes: `MOST_WHOLE` bytes of a document, and of a longer one
        what is below `usage` alone, no more than `usagefound.MOST_KEPT` values.

`usage` stands at the root, or below what `usagefound.PLACES` names. Names with escapes in them
are not looked for.
"""

import json
from typing import NamedTuple, Protocol

from proxy.core.jsonscan import JsonScanner
from proxy.core.jsontexts import JsonError
from proxy.core.usagefound import ERRORS, USAGE, Findings, Found, Told, found_in

MOST_WHOLE = 64 * 1024
"""Bytes of a document that are kept and parsed at once; a longer one is scanned as it comes."""


class Heard(NamedTuple):
    """What an answer told: empty where there is no usage, `unfinished` the numbers not final.

    `is_error` says that the answer is none but names an error.
    """

    told: Told
    is_error: bool = False
    unfinished: frozenset[str] = frozenset()


class UsageReader(Protocol):
    """Reads along; what it heard is known when it has finished."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the answer."""
        ...

    def finish(self) -> Heard:
        """Nothing more comes, be the answer whole or not: what was heard."""
        ...


class JsonUsage:
    """Reads one JSON document."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._scan: _Scan | None = None

    def feed(self, chunk: bytes) -> None:
        """See `UsageReader.feed`."""
        if self._scan is not None:
            self._scan.feed(chunk)
            return
        self._kept += chunk
        if len(self._kept) > MOST_WHOLE:
            self._scan = _Scan()
            self._scan.feed(bytes(self._kept))
            self._kept.clear()

    def finish(self) -> Heard:
        """See `UsageReader.finish`. Half a document, or none, is read as far as it goes."""
        findings = self.findings
        return Heard(findings.told, findings.is_error)

    @property
    def is_blank(self) -> bool:
        """Whether nothing stands here, or only what ends a stream of OpenAI's."""
        return self._scan is None and bytes(self._kept).strip() in BLANK

    @property
    def findings(self) -> Findings:
        """What the document tells, once it has finished; its kind if there is anything else."""
        return findings_in(self._kept) if self._scan is None else self._scan.findings


class _Scan:
    """Reads a document that is too long to be kept."""

    def __init__(self) -> None:
        self._found = Found()
        self._scanner = JsonScanner(self._found, ())

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the document; behind what is no JSON nothing is read."""
        if self._found.is_spoilt:
            return
        try:
            self._scanner.feed(chunk)
        except JsonError:
            self._found.is_spoilt = True

    @property
    def findings(self) -> Findings:
        """What the document tells as far as it went."""
        return self._found.findings


def findings_in(document: bytes | bytearray) -> Findings:
    """What a document tells, or half of one as far as it goes."""
    if document.find(_USAGE) < 0 and not any(word in document for word in _OTHERS):
        return Findings({})
    if len(document) <= MOST_WHOLE:
        try:
            return found_in(_parsed(document.decode()))
        except (ValueError, RecursionError):
            pass  # half a document, or none
    scan = _Scan()
    scan.feed(bytes(document))
    return scan.findings


BLANK = frozenset({b"", b"[DONE]"})
"""What says nothing, or only ends a stream of OpenAI's."""

_BLANKS = " \t\n\r"
_read = json.JSONDecoder().raw_decode


def _parsed(text: str) -> object:
    """As `json.loads`, which asks an expression where the blanks are, twice."""
    stripped = text.strip(_BLANKS)
    answer, end = _read(stripped)
    if end != len(stripped):
        raise ValueError("more than one value")
    return answer


_USAGE, *_OTHERS = (b'"%b"' % name.encode() for name in (USAGE, *ERRORS, "ping"))
"""A document without any of them has nothing to tell."""
