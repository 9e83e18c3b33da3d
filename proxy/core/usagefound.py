"""What an answer says of its usage and its failure, picked out of all that it says.

Out of a document that is here, or built again of what a scanner tells of one that is not: the
same comes of both.
"""

import json
from typing import NamedTuple, TypeAlias

from proxy.core.jsonscan import ITEM, Path

MOST_KEPT = 4096
"""Values below `usage` that are kept: a call to an application names some ten models."""

USAGE = "usage"
KIND = "type"
ERRORS = frozenset({"code", "error"})
NO_ERRORS = frozenset({"", "0", "200", "ok", "success"})
"""What may stand at `code` where all is well, in any case of letters."""

_INNER = ("response", "message", "output")
PLACES: tuple[Path, ...] = ((), *((name,) for name in _INNER))
"""What `usage` may stand in: the root, what the events of OpenAI's Responses and of Anthropic
wrap, and the output."""

Told: TypeAlias = dict[str, object]
"""An answer of which only its usages are left: `{"usage": …}`, `{"response": {"usage": …}}`."""


class Findings(NamedTuple):
    """What a document tells of its usage, whether it names an error, and its root's `type`.

    By the last some protocols tell their events apart; it is empty where it is no text.
    """

    told: Told
    is_error: bool = False
    kind: str = ""


def found_in(answer: object) -> Findings:
    """What a parsed document tells."""
    told: Told = {}
    if not isinstance(answer, dict):
        return Findings(told)
    is_error = _names_error(answer)
    if isinstance(usage := answer.get(USAGE), dict):
        told[USAGE] = usage
    for name in _INNER:
        if name in answer and isinstance(inner := answer[name], dict):
            is_error = is_error or _names_error(inner)
            if isinstance(usage := inner.get(USAGE), dict):
                told[name] = {USAGE: usage}
    kind = answer.get(KIND)
    return Findings(told, is_error, kind if isinstance(kind, str) else "")


def _names_error(document: Told) -> bool:
    if ERRORS.isdisjoint(document):
        return False
    return any(_tells(document.get(name)) for name in ERRORS)


class Found:
    """The same of a document that is not here, built again of what a scanner tells.

    Of names that stand twice the last one counts, as in a parser.
    """

    def __init__(self) -> None:
        self.is_spoilt = False
        self._kind = ""
        self._usages: dict[Path, object] = {}
        self._errors: dict[Path, bool] = {}
        self._open: dict[Path, Told | list[object]] = {}  # what was begun last, by its path
        self._kept = 0

    @property
    def findings(self) -> Findings:
        """What the document tells so far: the usages, each where it stood."""
        found: Told = {}
        for place in PLACES:
            usage = self._usages.get((*place, USAGE))
            if isinstance(usage, dict):
                found |= {place[0]: {USAGE: usage}} if place else {USAGE: usage}
        return Findings(found, any(self._errors.values()), self._kind)

    def member(self, level: Path, raw_name: bytes | None) -> Path | None:
        """See `proxy.core.jsonvisitor.Visitor.member`."""
        if raw_name is None:
            return None
        name: str = json.loads(b'"%b"' % raw_name)
        path = (*level, name)
        is_known = path in {*PLACES, (KIND,)} or (level in PLACES and name in {USAGE, *ERRORS})
        return path if is_known or _is_below(level) else None

    def value(self, path: Path, raw: bytes | None) -> Path | None:
        """See `proxy.core.jsonvisitor.Visitor.value`."""
        if not self._take(path, raw):
            return None
        return (*path, ITEM) if raw == b"[" else path

    def _take(self, path: Path, raw: bytes | None) -> bool:
        """Look at a value; whether what is in it is wanted as well."""
        if path in PLACES:
            self._forget(path)
            return raw == b"{"
        if path == (KIND,):
            kind = _made(raw)
            self._kind = kind if isinstance(kind, str) else ""
            return False
        if path[-1] in ERRORS and path[:-1] in PLACES:
            self._errors[path] = raw is None or _tells(_made(raw))
            return False
        return self._keep(path, raw)

    def _forget(self, place: Path) -> None:
        self._usages.pop((*place, USAGE), None)
        for name in ERRORS:
            self._errors.pop((*place, name), None)

    def _keep(self, path: Path, raw: bytes | None) -> bool:
        """Put a value where it belongs: into the container on its way that was begun last."""
        self._kept += 1
        if self._kept > MOST_KEPT:
            return False
        made, holder = _made(raw), self._open.get(path[:-1])
        if holder is None:
            self._usages[path] = made
        elif isinstance(holder, list):
            holder.append(made)
        else:
            holder[path[-1]] = made
        if isinstance(made, (dict, list)):
            self._open[path] = made
        return isinstance(made, (dict, list))


def _is_below(level: Path) -> bool:
    """Whether a level is `usage` itself, or deeper."""
    return level[:1] == (USAGE,) or level[1:2] == (USAGE,)


def _made(raw: bytes | None) -> object:
    """A scalar, an empty container to be filled, or None for a text that is too long."""
    if raw is None:
        return None
    made: object = {b"{": {}, b"[": []}.get(raw)
    return json.loads(raw) if made is None else made


def _tells(value: object) -> bool:
    """Whether what stands at `code` or `error` names one."""
    return isinstance(value, dict) or (isinstance(value, str) and value.lower() not in NO_ERRORS)
