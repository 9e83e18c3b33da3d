"""The gate: a body goes through only when every question about it was answered well.

A *demand* is a place in the body (`model`, `input.target_model`) and the judge of what stands
there. The gate is fed the body as it arrives and returns what may be passed on; the caller
keeps what comes out until `judged`, then sends it, then goes on feeding.

Property 1: what comes out is a prefix of what went in, comments blanked.
Property 2: no refusal means that all of it came out.
Property 3: whatever the verdict, if what came out after `judged` is a complete document, every
            place was judged, once, and nothing in it can be read as a second one. For that the
            bytes from the root's closing brace on come out of `finish` only: a second `model`
            in the last ten bytes is still refused, and upstream never held a complete document
            that was not approved.
"""

import json
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeAlias

from proxy.core.claims import Claims
from proxy.core.dialects import NATIVE, Dialect
from proxy.core.errors import ProxyError, Situation
from proxy.core.jsonscan import ITEM, JsonError, JsonScanner, Path
from proxy.core.spelling import fold, name_of

Heard: TypeAlias = str | bool | None
"""What stands at a place: a string or a truth value, or None when the body ended without one.

Anything else is heard as the empty string: present, and naming nothing.
"""

Judge: TypeAlias = Callable[[Heard], None]
"""Hears what stands at a place; raises to refuse."""


class Gate:
    """Judges one body. `feed` chunks, then `finish`; both raise `ProxyError` on a refusal.

    Places in `optional` are judged when they come and not waited for. Where something in `texts`
    leads to a place, a text may stand there instead, which holds none. `subject` is what refusals
    call the document. `dialect` says where the endpoint reads what decides the price, see
    `proxy.core.claims`.
    """

    def __init__(
        self,
        demands: Mapping[Path, Judge],
        optional: Collection[Path] = (),
        subject: str = "The body",
        texts: Collection[Path] = (),
        dialect: Dialect = NATIVE,
    ) -> None:
        self._subject = subject
        self._reader = _Reader(demands, frozenset(optional), frozenset(texts), Claims(dialect))
        self._scanner = JsonScanner(self._reader)
        self._held = bytearray()

    @property
    def judged(self) -> bool:
        """Whether every place has been judged, so that bytes may begin to leave."""
        return not self._reader.unheard

    @property
    def noted(self) -> Mapping[str, str]:
        """Price inputs seen so far, name to JSON text."""
        return self._reader.claims.noted()

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes of the body; return what is approved, often the same object."""
        try:
            approved = self._scanner.feed(chunk)
        except JsonError as error:
            raise self._unreadable(error) from error
        if self._scanner.root_end is None:
            return approved
        return self._hold_from_root_end(approved)

    def finish(self) -> bytes:
        """Assert that the body ended well; return the bytes held back. They complete it."""
        try:
            self._scanner.finish()
        except JsonError as error:
            raise self._unreadable(error) from error
        self._reader.finish()
        return bytes(self._held)

    def _hold_from_root_end(self, approved: bytes) -> bytes:
        """Split at the root's closing brace: before it may leave, the rest waits."""
        if self._held:
            self._held += approved
            return b""
        behind_root = self._scanner.scanned - (self._scanner.root_end or 0)
        split = len(approved) - behind_root - 1
        self._held += approved[split:]
        return approved[:split]

    def _unreadable(self, error: JsonError) -> ProxyError:
        return ProxyError(
            Situation.ILLEGAL_INPUT,
            f"{self._subject} must be one JSON object in UTF-8: "
            f"{error.problem} at byte {error.offset}.",
        )


class _Reader:
    """Hears the scanner and calls the judges; refuses what could be read in two ways."""

    def __init__(
        self,
        demands: Mapping[Path, Judge],
        optional: frozenset[Path],
        texts: frozenset[Path],
        claims: Claims,
    ) -> None:
        self.unheard = set(demands) - optional
        self.claims = claims
        self._demands = demands
        self._texts = texts
        self._strict = _with_parents(demands)
        self._needed = _with_parents(self.unheard)
        self._seen: set[Path] = set()
        self._folded = {(path[:-1], fold(path[-1])): path for path in self._strict}
        self._levels = {path[:-1] for path in self._strict}

    def member(self, level: Path, raw_name: bytes | None) -> Path | None:
        """Ask for the values of judged and noted members; refuse doubles and look-alikes."""
        if raw_name is None:
            if level not in self._levels:
                self.claims.unnamed(level)
                return None
            where = f"{dotted(level)}: " if level else ""
            raise _ambiguous(f"{where}a member name is too long to be told apart")
        name = name_of(raw_name)
        judged = self._folded.get((level, name.folded))
        if judged is None:
            return self.claims.member(level, name)
        path = (*level, name.text)
        if path not in self._strict or not name.is_plain:
            raise _ambiguous("spell this name plainly, just so", judged)
        if path in self._seen:
            raise _ambiguous("given twice", path)
        self._seen.add(path)
        return path

    def value(self, path: Path, raw: bytes | None) -> bool:
        """Judge what stands where something is demanded; watch the container it lies in."""
        is_claimed = self.claims.value(path, raw)
        if raw == b"null" and path not in self._needed:
            return False
        if path in self._demands:
            self._judge(path, raw)
        elif path in self._strict:
            self._enter(path, raw)
        else:
            return is_claimed
        return raw == (b"[" if (*path, ITEM) in self._strict else b"{")

    def finish(self) -> None:
        """Tell the judges of the places that never came."""
        for path, judge in self._demands.items():
            if path in self.unheard:
                judge(None)

    def _enter(self, path: Path, raw: bytes | None) -> None:
        """What leads to a place must be readable; each item of an array has names of its own."""
        if path in self._texts and (raw is None or raw.startswith(b'"')):
            return
        is_array = (*path, ITEM) in self._strict
        if raw != (b"[" if is_array else b"{"):
            kind = "array" if is_array else "object"
            raise _ambiguous(f"must be an {kind}, so that it can be judged", path)
        if path[-1] == ITEM:
            self._seen = {seen for seen in self._seen if seen[: len(path)] != path}

    def _judge(self, path: Path, raw: bytes | None) -> None:
        if raw is None:
            raise _ambiguous("too long for a name", path)
        told: Heard = json.loads(raw) if raw.startswith(b'"') or raw in _TRUTH else ""
        if isinstance(told, str) and any(unicodedata.category(c) in _INVISIBLE for c in told):
            # Parsers in C end a string at NUL; nobody can see the others.
            raise _ambiguous("must not contain control characters", path)
        self._demands[path](told)
        self.unheard.discard(path)


_TRUTH = frozenset({b"true", b"false"})
_INVISIBLE = frozenset({"Cc", "Cf", "Zl", "Zp"})


def _with_parents(paths: Iterable[Path]) -> set[Path]:
    return {path[:depth] for path in paths for depth in range(1, len(path) + 1)}


def dotted(path: Path) -> str:
    """A place as people write it: `tools[].model`."""
    return ".".join(path).replace(f".{ITEM}", ITEM)


def _ambiguous(problem: str, path: Path = ()) -> ProxyError:
    """A refusal of what two parsers could read differently, naming the place if it has one."""
    where = f"{dotted(path)}: " if path else ""
    param = dotted(path) or None
    return ProxyError(Situation.ILLEGAL_INPUT, f"{where}{problem}.", param=param)
