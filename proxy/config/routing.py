"""`routes.yaml` -> the route table and the upstream accounts, or all its mistakes at once."""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from proxy.config import ConfigError
from proxy.config.document import Document, Location, read_document
from proxy.config.families import FamilyEntry, SlotEntry, families_of
from proxy.config.flaws import flaws_of
from proxy.config.prices import PriceEntry, TierEntry, prices_of
from proxy.config.schema import (
    KeyReference,
    Retarget,
    RouteEntry,
    RouteFields,
    RouteFile,
    TenantSafe,
    UpstreamEntry,
)
from proxy.core.accounts import Account
from proxy.core.jsonscan import ITEM
from proxy.core.jsonscan import Path as BodyPath
from proxy.core.policy import ACCOUNT, INFERENCE
from proxy.core.prices import NO_PRICES, PriceList
from proxy.core.routes import Answer, Async, Envelope, Route, RouteTable, Websocket

PACKAGED = Path(__file__).parents[1] / "routes.yaml"

_NOTHING = RouteFields()
_SCOPES = {"inference": INFERENCE, "account": ACCOUNT, "nobody": None}
_WITHIN: dict[str | int, type[BaseModel]] = {
    "routes": RouteEntry,
    "defaults": RouteFields,
    "families": FamilyEntry,
    "takes": SlotEntry,
    "retarget": Retarget,
    "tenant_safe": TenantSafe,
    "upstreams": UpstreamEntry,
    "key": KeyReference,
    "prices": PriceEntry,
    "duration_pricing": TierEntry,
}


@dataclass(frozen=True, slots=True)
class Routing:
    """What the file said: the routes, the accounts it lists (none: one is given by env), prices."""

    table: RouteTable
    accounts: tuple[Account, ...]
    prices: PriceList = NO_PRICES


def load_routing(path: Path, env: Mapping[str, str]) -> Routing:
    """Read, check and freeze. Raises `ConfigError` with `file:line: what is wrong` per mistake."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}:1: cannot be read: {_why(error)}"]) from error
    return parse_routing(read_document(str(path), text), env)


def parse_routing(document: Document, env: Mapping[str, str]) -> Routing:
    """Check and freeze what was read. Raises `ConfigError`."""
    try:
        file = RouteFile.model_validate(document.data)
    except ValidationError as error:
        found = sorted(error.errors(), key=lambda detail: document.line(detail["loc"]))
        raise ConfigError([_told(document, detail) for detail in found]) from error
    problems: list[str] = []
    routes = list(_routes(file, document, problems))
    families = families_of(file.families, document, problems)
    accounts = tuple(_accounts(file.upstreams, document, env, problems))
    prices = prices_of(file.prices, file.currency, file.pricing, document, problems)
    if problems:
        raise ConfigError(problems)
    return Routing(RouteTable(routes, families), accounts, prices)


def _told(document: Document, detail: ErrorDetails) -> str:
    """One of pydantic's findings in words for the person who wrote the file."""
    location = detail["loc"]
    context = detail.get("ctx", {})
    right = _right(location)
    if detail["type"] == "extra_forbidden":
        message = f"no such field{_closest(str(location[-1]), _model_at(location[:-1]))}"
    elif detail["type"] == "missing":
        message = f"is missing; it must be {right}"
    elif detail["type"] == "literal_error":
        message = f"must be {context['expected']}"
    else:
        message = str(context.get("error", "")) or f"must be {right}"
    where = ".".join(str(part) for part in location) or "the file"
    return f"{document.at(location)}: {where}: {message}"


def _model_at(location: Location) -> type[BaseModel]:
    """The part of the schema that a place in the file belongs to."""
    return next((_WITHIN[part] for part in reversed(location) if part in _WITHIN), RouteFile)


def _right(location: Location) -> str:
    """What the schema says about the field at a place, or about the one around it."""
    for depth in range(len(location), 0, -1):
        for key, field in _model_at(location[: depth - 1]).model_fields.items():
            if location[depth - 1] in {key, field.alias}:
                return field.description or "text"
    return "a mapping with `version` and `routes`"


def _closest(name: str, model: type[BaseModel]) -> str:
    known = [field.alias or key for key, field in model.model_fields.items()]
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean `{near[0]}`?" if near else f"; there are {', '.join(known)}"


def _routes(file: RouteFile, document: Document, problems: list[str]) -> Iterator[Route]:
    taken: dict[tuple[str, str], str] = {}
    for number, written in enumerate(file.routes):
        at = document.at(("routes", number))
        entry = written.with_defaults(file.defaults.get(written.like or "", _NOTHING))
        if written.like is not None and written.like not in file.defaults:
            known = f"there are {', '.join(file.defaults)}" if file.defaults else "there are none"
            problems.append(f"{at}: like: no defaults are called {written.like!r}; {known}")
            continue
        for methods, alias, pattern in _patterns(entry, file.prefixes, at, problems):
            flaws = [*flaws_of(entry, methods, pattern)]
            flaws += _overlaps(methods, pattern, taken, at)
            problems += [f"{at}: {flaw}" for flaw in flaws]
            if not flaws:
                yield _route(entry, methods, alias, pattern)


def _patterns(
    entry: RouteEntry, prefixes: Mapping[str, list[str]], at: str, problems: list[str]
) -> Iterator[tuple[frozenset[str], str, str]]:
    """Methods, alias and pattern of each match, one for each prefix a `{prefix}` stands for."""
    for match in entry.match:
        methods, path = match.split(" ")
        named = re.match(r"\{([a-z]+)\}/", path)
        if named and named[1] not in prefixes:
            known = f"there are {', '.join(prefixes)}" if prefixes else "`prefixes:` names none"
            problems.append(f"{at}: match: no prefix is called {named[1]!r}; {known}")
        elif named:
            for prefix in prefixes[named[1]]:
                yield frozenset(methods.split(",")), prefix, prefix + path[named.end() - 1 :]
        else:
            yield frozenset(methods.split(",")), path, path


def _overlaps(
    methods: frozenset[str], pattern: str, taken: dict[tuple[str, str], str], at: str
) -> Iterator[str]:
    """The same method on the same path, whatever its captures are called."""
    shape = re.sub(r"\{[a-z_]+", "{", pattern).rstrip("/")
    for method in sorted(methods):
        if (method, shape) in taken:
            yield f"{method} {pattern} is already routed at {taken[method, shape]}; keep one"
        taken[method, shape] = at


def _route(entry: RouteEntry, methods: frozenset[str], alias: str, pattern: str) -> Route:
    return Route(
        name=entry.name or entry.target.removeprefix("/api/v1/"),
        methods=methods,
        pattern=pattern,
        target=entry.target,
        alias=alias,
        scope=_SCOPES[entry.scope],
        models=_paths(entry.model),
        also_models=_paths(entry.also_model),
        query_model=_named(entry.model, "query."),
        path_model=_named(entry.model, "path."),
        websocket=Websocket(entry.websocket) if entry.websocket else None,
        retargets=tuple((tuple(other.models), other.target) for other in entry.retarget),
        asynchronous=Async(entry.asynchronous),
        claims=tuple(tuple(place.split(".")) for place in entry.claims),
        task=_named([entry.task] if entry.task else [], "path."),
        unknown_task_is_native=entry.unknown_task == "native",
        tenant_safe=tuple((_path(safe.at), tuple(safe.values)) for safe in entry.tenant_safe),
        texts=frozenset(_texts([*entry.also_model, *(safe.at for safe in entry.tenant_safe)])),
        key_header=entry.key_header,
        is_free=entry.usage == "free",
        answer=Answer(entry.answer),
        envelope=Envelope(entry.facade or entry.envelope),
    )


def _path(place: str) -> BodyPath:
    """`body.tools[].model` as the gate walks it."""
    return tuple(place.partition(".")[2].replace("?", "").replace(ITEM, f".{ITEM}").split("."))


def _texts(places: list[str]) -> Iterator[BodyPath]:
    """What stands before a `?`: it leads to a place, or is a text."""
    for place in places:
        for mark in re.finditer(r"\?", place):
            yield _path(place[: mark.start()])


def _paths(places: list[str]) -> tuple[BodyPath, ...]:
    """Those of the places that are in a body or in a frame."""
    return tuple(_path(place) for place in places if place.startswith(("body.", "frame.")))


def _named(places: list[str], kind: str) -> str | None:
    return next((place.removeprefix(kind) for place in places if place.startswith(kind)), None)


def _accounts(
    entries: list[UpstreamEntry], document: Document, env: Mapping[str, str], problems: list[str]
) -> Iterator[Account]:
    names: set[str] = set()
    for number, entry in enumerate(entries):
        at = document.at(("upstreams", number))
        if entry.name in names:
            problems.append(
                f"{at}: upstreams.{number}.name: {entry.name!r} stands twice; "
                "tasks are found by it, so each account needs its own"
            )
        names.add(entry.name)
        try:
            key = _secret(entry, env)
        except ConfigError as error:
            problems += [f"{at}: {problem}" for problem in error.problems]
            continue
        yield Account(
            name=entry.name,
            url=entry.url.rstrip("/"),
            key=key,
            workspace=entry.workspace,
            models=tuple(entry.models),
            weight=entry.weight,
            polls_per_second=entry.polls_per_second,
            connections=entry.connections,
        )


def _secret(entry: UpstreamEntry, env: Mapping[str, str]) -> str:
    """The account's key from where the entry says. Raises `ConfigError`, never showing it."""
    field = f"upstreams.{entry.name}.key"
    if entry.key.env is not None:
        source = f"the environment variable {entry.key.env}"
        return checked_key(env.get(entry.key.env, ""), field, source)
    return key_from_file(entry.key.file or "", field)


def key_from_file(path: str, field: str) -> str:
    """A key from a file, as container platforms mount them. Raises `ConfigError`."""
    source = f"the file {path}"
    try:
        key = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([_no_key(field, f"{source} cannot be read ({_why(error)})")]) from error
    return checked_key(key, field, source)


def checked_key(key: str, field: str, source: str) -> str:
    """The key, if it can stand in a header. Raises `ConfigError` without showing it."""
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        state = "has blanks or characters outside ASCII" if key else "is empty or not set"
        raise ConfigError([_no_key(field, f"{source} {state}")])
    return key


def _no_key(field: str, problem: str) -> str:
    return f"{field}: {problem}; it must hold the account's API key"


def _why(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or "" if isinstance(error, OSError) else "it is not UTF-8"
