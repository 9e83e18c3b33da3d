"""The route table: which public path is whose, and what the proxy does on it. Data, no code.

A pattern is a path of literal segments, `{name}` for one segment and, last, `{name**}` for the
rest of the path (one segment or more). The most specific pattern wins, segment by segment:
literal before `{name}` before `{name**}`; the order in the file does not matter. Methods are
looked at afterwards: a path that is known but not for this method is a 405, never somebody
else's route.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache, partial
from typing import TypeAlias

from proxy.core.dialects import DIALECTS, NATIVE, UNHEEDING, Dialect
from proxy.core.errors import ProxyError, Situation
from proxy.core.families import Family
from proxy.core.jsonscan import Path
from proxy.core.pathtree import CAPTURE, Node
from proxy.core.policy import INFERENCE, matches
from proxy.core.target import Target, parse_target, rough_segments

ANY = "ANY"
"""The method that stands for all but `TRACE` and `CONNECT`, which no route has."""

_FEW, _LONGEST_TYPO = 6, 100
"""Patterns and characters that are compared letter by letter: anybody may ask, so few."""

_MET, _USUAL = 1024, 256
"""Matches that are remembered, and characters of what is: a look-up instead of 8 us."""

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that only ask (RFC 9110 section 9.2.1): to send another one again may do it twice."""

_NEVER_ANY = frozenset({"TRACE", "CONNECT"})  # the one echoes credentials, the other leaves HTTP
_COMMON = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"})

Safe: TypeAlias = str | bool | None
"""A value that stays within the tenant: a text, by pattern, a truth value, or absent (or null)."""


class Answer(Enum):
    """Who answers."""

    UPSTREAM = "upstream"
    OWN_TASKS = "own-tasks"
    ALLOWED_MODELS = "allowed-models"
    NOT_FOUND = "not-found"


class Envelope(Enum):
    """In whose shape errors are told (`proxy.core.envelope`) and models are listed."""

    NATIVE = "native"
    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    UNIFIED = "unified"
    COMPAT = "compat"


class Websocket(Enum):
    """What is said on a WebSocket (`proxy.core.frames`)."""

    FRAMES = "frames"
    SESSION = "session"


class Async(Enum):
    """Whether the proxy adds `X-DashScope-Async: enable`."""

    AS_ASKED = "as-asked"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Route:
    """What happens on one public pattern. Every field but the first four has a quiet default.

    `scope` None means that no token reaches it. `models` are places in the body that must name
    an allowed model, `also_models` may be empty and otherwise must; `query_model` and
    `path_model` name the parameter or the capture that does. On a `websocket` the places are in
    the text frames, and `models` counts for those that begin a task.
    `retargets` send a model (by pattern) to another target. `claims` are places in the answer
    where task ids appear. `task` is the capture that must be a task of the caller's.
    `tenant_safe` are places in the body and the values they must have, or the call acts on the
    whole account. `texts` lead to places in the body and may be texts instead. `key_header` may
    carry the token instead of `Authorization`. Behind an envelope of a façade's, the body becomes a
    native one (`proxy.core.facades`), whose places are judged again. `is_free` names a model and
    runs none. `is_judged` tells whether anything in the body is, so that it must be readable.
    """

    name: str
    methods: frozenset[str]
    pattern: str
    target: str
    alias: str = ""
    scope: str | None = INFERENCE
    models: tuple[Path, ...] = ()
    also_models: tuple[Path, ...] = ()
    query_model: str | None = None
    path_model: str | None = None
    websocket: Websocket | None = None
    retargets: tuple[tuple[tuple[str, ...], str], ...] = ()
    asynchronous: Async = Async.AS_ASKED
    claims: tuple[Path, ...] = ()
    task: str | None = None
    unknown_task_is_native: bool = False
    tenant_safe: tuple[tuple[Path, tuple[Safe, ...]], ...] = ()
    texts: frozenset[Path] = frozenset()
    key_header: str | None = None
    answer: Answer = Answer.UPSTREAM
    envelope: Envelope = Envelope.NATIVE
    is_free: bool = False
    is_judged: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        judged = self.models or self.also_models or self.tenant_safe
        object.__setattr__(self, "is_judged", bool(judged) and not self.websocket)

    def __hash__(self) -> int:
        """Of what tells two routes apart in a table: what is memorised by route is found fast."""
        return hash((self.pattern, self.name))

    @property
    def reads_model(self) -> bool:
        """Whether a model is named, in the body or in the address."""
        return bool(self.models or self.query_model or self.path_model)

    @property
    def dialect(self) -> Dialect:
        """How bodies say what decides their price; upstream reads it nowhere else."""
        is_native = self.envelope not in {Envelope.OPENAI, Envelope.ANTHROPIC}
        return NATIVE if is_native else DIALECTS.get(self.target, UNHEEDING)


@dataclass(frozen=True, slots=True)
class Match:
    """A route met by a request. `captures` are decoded, `raw_captures` as they came.

    `path` is upstream's, unless the model is served elsewhere. `is_poll` tells whether it asks for
    the state of a task, `runs_model` whether a model is run, so that the call may cost something.
    """

    method: str
    route: Route
    target: Target
    captures: Mapping[str, str]
    raw_captures: Mapping[str, str]
    path: str = field(init=False)
    is_poll: bool = field(init=False)
    runs_model: bool = field(init=False)

    def __post_init__(self) -> None:
        """Once, because matches are remembered."""
        route, derive = self.route, partial(object.__setattr__, self)
        derive("path", _filled(route.target, self.raw_captures))
        derive("is_poll", route.task is not None and self.method == "GET")
        derive("runs_model", route.reads_model and not route.is_free and self.method not in SAFE)

    def upstream_target(self, model: str | None) -> str:
        """Path and query for upstream: the public bytes, under the route's target."""
        path = self.path
        for patterns, other in self.route.retargets:
            if model is not None and matches(patterns, model):
                path = _filled(other, self.raw_captures)
                break
        slash = "/" if self.target.slash and not path.endswith("/") else ""
        query = "" if self.target.query is None else f"?{self.target.query}"
        return f"{path}{slash}{query}"


class RouteTable:
    """All routes, as a tree: one step per segment, however many. `families` are for façades."""

    def __init__(self, routes: Iterable[Route], families: Iterable[Family] = ()) -> None:
        self.routes = tuple(routes)
        self.families = tuple(families)
        served = (one for one in self.routes if one.answer is not Answer.NOT_FOUND)
        public = {one.pattern for one in served if one.scope == INFERENCE}
        self._public = [(pattern, set(pattern.strip("/").split("/"))) for pattern in public]
        self._root: Node[Route] = Node()
        self._met = lru_cache(_MET)(self._meet)
        for route in self.routes:
            self._insert(route)

    def meet(self, method: str, text: str) -> Match:
        """The route for a request and its target as it came, remembered when it is usual.

        A query is not: it may hold anything. Raises `ProxyError` as `match` and `parse_target` do.
        """
        is_usual = len(text) + len(method) <= _USUAL and "?" not in text
        return self._met(method, text) if is_usual else self._meet(method, text)

    def _meet(self, method: str, text: str) -> Match:
        return self.match(method, parse_target(text))

    def match(self, method: str, target: Target) -> Match:
        """The route for a request.

        Raises `ProxyError`: `NOT_FOUND` naming the nearest pattern, `METHOD_NOT_ALLOWED` with
        an `Allow` header.
        """
        found = self._root.find(target.segments)
        if found is None:
            raise ProxyError(Situation.NOT_FOUND, f"No such path. {self._nearest(target)}")
        other = None if method in _NEVER_ANY else found.routes.get(ANY)
        route = found.routes.get(method, other)
        if route is None:
            allowed = ", ".join(sorted(found.routes.keys() - {ANY} or _COMMON))
            raise ProxyError(
                Situation.METHOD_NOT_ALLOWED,
                f"{method} is not possible on this path, only {allowed}.",
                headers=(("Allow", allowed),),
            )
        decoded, raw = (_captured(route.pattern, parts) for parts in (target.segments, target.raw))
        match = Match(method, route, target, decoded, raw)
        if route.answer is Answer.NOT_FOUND:
            raise ProxyError(Situation.NOT_FOUND, f"No such path; use {match.path}.")
        return match

    def envelope(self, text: str) -> Envelope:
        """In whose shape to tell what is wrong with a request target that met no route.

        That of the route on the path, or else of the nearest one above it that takes everything.
        """
        segments = rough_segments(text)
        found = self._root.find(segments) or self._root.rest_above(segments)
        return next(iter(found.routes.values())).envelope if found else Envelope.NATIVE

    def _insert(self, route: Route) -> None:
        node = self._root.grown(route.pattern)
        for method in route.methods:
            if method in node.routes:
                other = node.routes[method].pattern
                raise ValueError(f"{method} {route.pattern} stands twice, also as {other}")
            node.routes[method] = route

    def _nearest(self, target: Target) -> str:
        """The pattern most like the path: a typo or a wrong base is what brings people here."""
        path = ("/" + "/".join(target.segments))[:_LONGEST_TYPO]
        wanted = {segment.casefold() for segment in target.segments}
        shared = {p: len(wanted & parts) for p, parts in self._public if wanted & parts}
        likely = sorted(shared, key=lambda p: (-shared[p], abs(len(p) - len(path)), p))[:_FEW]
        near = difflib.get_close_matches(path, likely, 1, 0.0)
        return f"The nearest is {near[0]}." if near else ""


def _filled(template: str, captures: Mapping[str, str]) -> str:
    """A path with what was captured in its places."""
    return CAPTURE.sub(lambda found: captures[found[1]], template)


def _captured(pattern: str, segments: tuple[str, ...]) -> Mapping[str, str]:
    """What stands in a path where the pattern has captures."""
    captures = {}
    for index, wanted in enumerate(pattern.strip("/").split("/")):
        found = CAPTURE.fullmatch(wanted)
        if found:
            captures[found[1]] = "/".join(segments[index:]) if found[2] else segments[index]
    return captures
