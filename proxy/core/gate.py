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

import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TypeAlias

from proxy.core.claims import Claims
from proxy.core.errors import ProxyError, Situation
from proxy.core.jsonscan import ITEM, JsonScanner, Path
from proxy.core.jsontexts import JsonError
from proxy.core.places import Place, Places
from proxy.core.spelling import folded, text_of

Heard: TypeAlias = str | bool | None
"""What stands at a place: a string or a truth value, or None when the body ended without one.

Anything else is heard as the empty string: present, and naming nothing.
"""

Judge: TypeAlias = Callable[[Path, Heard], None]
"""Hears a place and what stands there; raises to refuse."""


class Gate:
    """Judges one body. `feed` chunks, then `finish`; both raise `ProxyError` on a refusal.

    `places` are those that `judge` is asked about, see `proxy.core.places`. `subject` is what
    refusals call the document.
    """

    __slots__ = ("_held", "_reader", "_scanner", "_subject")

    def __init__(self, places: Places, judge: Judge, subject: str = "The body") -> None:
        self._subject = subject
        self._reader = _Reader(places, judge)
        self._scanner = JsonScanner(self._reader, places.root)
        self._held = b""  # from the root's closing brace on

    @property
    def judged(self) -> bool:
        """Whether every place has been judged, so that bytes may begin to leave."""
        return not self._reader.unheard

    @property
    def noted(self) -> Mapping[str, str]:
        """Price inputs seen so far, name to JSON text."""
        return self._reader.claims.noted()

    @property
    def is_in_text(self) -> bool:
        """Whether what comes next belongs to a string: up to its end it is only looked through."""
        return self._scanner.is_in_text

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
        return self._held

    def _hold_from_root_end(self, approved: bytes) -> bytes:
        """Split at the root's closing brace: before it may leave, the rest waits."""
        if self._held:
            self._held += approved
            return b""
        behind_root = self._scanner.scanned - (self._scanner.root_end or 0)
        split = len(approved) - behind_root - 1
        self._held = approved[split:]
        return approved[:split]

    def _unreadable(self, error: JsonError) -> ProxyError:
        return ProxyError(
            Situation.ILLEGAL_INPUT,
            f"{self._subject} must be one JSON object in UTF-8: "
            f"{error.problem} at byte {error.offset}.",
        )


class _Reader:
    """Hears the scanner and asks the judge; refuses what could be read in two ways."""

    __slots__ = ("_awaited", "_judge", "_seen", "claims", "unheard")

    def __init__(self, places: Places, judge: Judge) -> None:
        self.unheard = set(places.awaited)
        self.claims = Claims()
        self._awaited = places.awaited
        self._judge = judge
        self._seen: set[Place] = set()

    def member(self, level: Place, raw_name: bytes | None) -> Place | None:
        """Ask for the values of judged and noted members; refuse doubles and look-alikes."""
        if raw_name is None:
            self._doubt_all(level)
            return None
        place = level.named.get(raw_name)
        if place is None:
            alike = level.alike.get(folded(raw_name))
            if alike is not None:
                self._doubt(alike, "spell this name plainly, just so")
            return None
        if place in self._seen:
            self._doubt(place, "given twice")
            return None
        self._seen.add(place)
        return place

    def value(self, place: Place, raw: bytes | None) -> Place | None:
        """Judge what stands where something is demanded; watch the container it lies in."""
        if place.claim is not None:
            place.claim.hear(self.claims, raw)
        if place.is_strict:
            if raw == b"null" and not place.is_awaited:
                return None
            if place.is_judged:
                self._ask(place, raw)
            else:
                _enter(place, raw)
        if raw != place.opener:
            return None
        if place.below:
            self._seen -= place.below  # each item of an array has names of its own
        return place.inside

    def finish(self) -> None:
        """Tell the judge of the places that never came."""
        if self.unheard:
            for place in self._awaited:
                if place in self.unheard:
                    self._judge(place.path, None)

    def _doubt_all(self, level: Place) -> None:
        """A name is too long to be kept, hence to tell what it looks like."""
        if level.has_strict:
            where = f"{dotted(level.path)}: " if level.path else ""
            raise _ambiguous(f"{where}a member name is too long to be told apart")
        if level.claim is not None:
            self.claims.doubt(level.claim)

    def _doubt(self, place: Place, problem: str = "") -> None:
        """What stands there can be read in two ways: refused where it is judged."""
        if place.is_strict:
            raise _ambiguous(problem, place.path)
        if place.claim is not None:
            self.claims.doubt(place.claim)

    def _ask(self, place: Place, raw: bytes | None) -> None:
        if raw is None:
            raise _ambiguous("too long for a name", place.path)
        told = text_of(raw[1:-1]) if raw.startswith(b'"') else _TRUTH.get(raw, "")
        if isinstance(told, str) and not _is_visible(told):
            # Parsers in C end a string at NUL; nobody can see the others.
            raise _ambiguous("must not contain control characters", place.path)
        self._judge(place.path, told)
        self.unheard.discard(place)


def _enter(place: Place, raw: bytes | None) -> None:
    """What leads to a place must be readable."""
    if place.may_be_text and (raw is None or raw.startswith(b'"')):
        return
    if raw != place.opener:
        kind = "array" if place.opener == b"[" else "object"
        raise _ambiguous(f"must be an {kind}, so that it can be judged", place.path)


def _is_visible(text: str) -> bool:
    """Whether nothing in a text hides; of ASCII, Python's `isprintable` says the same at once."""
    if text.isascii():
        return text.isprintable()
    return not any(unicodedata.category(c) in _INVISIBLE for c in text)


_TRUTH: Mapping[bytes, Heard] = {b"true": True, b"false": False}
_INVISIBLE = frozenset({"Cc", "Cf", "Zl", "Zp"})


@lru_cache(maxsize=4096)  # of places that routes name
def dotted(path: Path) -> str:
    """A place as people write it: `tools[].model`."""
    return ".".join(path).replace(f".{ITEM}", ITEM)


def _ambiguous(problem: str, path: Path = ()) -> ProxyError:
    """A refusal of what two parsers could read differently, naming the place if it has one."""
    where = f"{dotted(path)}: " if path else ""
    param = dotted(path) or None
    return ProxyError(Situation.ILLEGAL_INPUT, f"{where}{problem}.", param=param)
