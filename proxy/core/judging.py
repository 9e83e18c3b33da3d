"""What a route demands of a request, in the words of the grant: judges for the gate.

Every place where a model can be named is judged, wherever upstream might look: the route's own
places, and a `model` in the query whatever those are.
"""

from dataclasses import dataclass, field
from functools import lru_cache, partial

from proxy.core.accounts import Account, model_not_found
from proxy.core.errors import ProxyError, Situation
from proxy.core.gate import Gate, Heard, dotted
from proxy.core.jsonscan import ITEM, Path
from proxy.core.places import Places, places_of
from proxy.core.policy import ACCOUNT, Grant, has_scope, matches, may_use
from proxy.core.routes import Match, Route, Safe
from proxy.core.target import query_values


@dataclass(slots=True)
class Named:
    """The models a body names, by place, as they are heard.

    Some may come when the call has its `account` already, and that must serve them too.
    """

    models: dict[Path, str] = field(default_factory=dict)
    account: Account | None = None

    def hear(self, path: Path, name: str) -> None:
        """Note a model that was judged. Raises `ProxyError` (`MODEL_NOT_FOUND`)."""
        if self.account and not matches(self.account.models, name):
            raise model_not_found(dotted(path))
        self.models[path] = name


def demand_scope(route: Route, grant: Grant) -> None:
    """Raise `ProxyError` (`ACCESS_DENIED`) unless the grant reaches the route at all."""
    if route.scope is None:
        raise ProxyError(Situation.ACCESS_DENIED, "This endpoint is closed to every token.")
    if not has_scope(grant, route.scope):
        raise ProxyError(
            Situation.ACCESS_DENIED, f"This endpoint needs a token with the scope `{route.scope}`."
        )


def judge_address(match: Match, grant: Grant) -> str | None:
    """Judge the models that query and path name; return the one that is the route's.

    Raises `ProxyError`: `EMPTY_MODEL`, `MODEL_NOT_FOUND`, `ILLEGAL_INPUT`, `ACCESS_DENIED`.
    """
    route = match.route
    if not match.target.query and not route.query_model and not route.path_model:
        return None  # nothing is named: so it is with nearly all
    _confine_query(match, grant)
    named: dict[str, str] = {}
    for parameter in dict.fromkeys(("model", route.query_model or "model")):
        values = query_values(match.target.query, parameter) if route.reads_model else []
        if len(values) > 1:
            raise ProxyError(
                Situation.ILLEGAL_INPUT,
                f"query.{parameter}: given more than once.",
                param=parameter,
            )
        if values or parameter == route.query_model:
            name = values[0] if values else None
            named[parameter] = judge_model(f"query.{parameter}", name, grant)
    if route.path_model:
        name = match.captures[route.path_model]
        return judge_model(f"path.{route.path_model}", name, grant)
    return named.get(route.query_model or "")


def _confine_query(match: Match, grant: Grant) -> None:
    """Refuse what is confined in the body and stands in the query: upstream might look there."""
    if has_scope(grant, ACCOUNT):
        return
    for path, _ in match.route.tenant_safe:
        if ITEM not in path and query_values(match.target.query, path[-1]):
            raise ProxyError(
                Situation.ACCESS_DENIED,
                f"query.{path[-1]}: send it in the body; here it needs a token with the scope "
                f"`{ACCOUNT}`.",
                param=path[-1],
            )


@lru_cache(maxsize=1024)  # as many as there are routes, and half of them
def places_in_body(route: Route, *, whole_account: bool) -> Places | None:
    """The places in a body that are judged, None where nothing in it is asked for.

    Behind the first one a model may be absent for a token that may act on the whole account: such
    calls (listing all voices) have none.
    """
    models = (*route.models, *route.also_models)
    if whole_account:
        judged, optional = models, (*route.models[1:], *route.also_models)
    else:
        judged = (*models, *(path for path, _ in route.tenant_safe))
        absent = (path for path, values in route.tenant_safe if None in values)
        optional = (*route.also_models, *absent)
    return places_of(judged, optional, route.texts, route.dialect) if judged else None


def body_gate(route: Route, grant: Grant, named: Named) -> Gate | None:
    """The gate for a body, None where nothing in it is asked for; `named` hears of the models."""
    places = places_in_body(route, whole_account=has_scope(grant, ACCOUNT))
    return None if places is None else Gate(places, partial(judge_place, route, grant, named))


def judge_place(route: Route, grant: Grant, named: Named, path: Path, told: Heard) -> None:
    """Judge what stands at a place in a body, and note the models that pass.

    Raises `ProxyError`: `EMPTY_MODEL`, `MODEL_NOT_FOUND`, `ACCESS_DENIED`.
    """
    if path in route.models or path in route.also_models:
        named.hear(path, judge_model(dotted(path), told, grant))
        return
    values = next(values for at, values in route.tenant_safe if at == path)
    judge_confined(path, values, told)


def judge_confined(path: Path, values: tuple[Safe, ...], value: Heard) -> None:
    """Raise `ProxyError` (`ACCESS_DENIED`) unless a value keeps the call within the tenant."""
    patterns = tuple(pattern for pattern in values if isinstance(pattern, str))
    safe = matches(patterns, value) if isinstance(value, str) else value in values
    if not safe:
        raise ProxyError(
            Situation.ACCESS_DENIED,
            f"{dotted(path)}: must be {' or '.join(map(shown, values))} to stay within the "
            f"tenant; anything else needs a token with the scope `{ACCOUNT}`.",
            param=dotted(path),
        )


def shown(value: Safe) -> str:
    """A value in words: texts without quotes, truth values as in JSON."""
    if value is None:
        return "absent"
    return value if isinstance(value, str) else str(value).lower()


def judge_model(field: str, name: Heard, grant: Grant) -> str:
    """The model that stands in a field, if the grant may use it.

    Raises `ProxyError`: `EMPTY_MODEL`, `MODEL_NOT_FOUND`.
    """
    if not isinstance(name, str) or not name:
        raise ProxyError(
            Situation.EMPTY_MODEL,
            f"{field}: missing, empty or no string; name the model to run.",
            param=field,
        )
    if not may_use(grant, name):
        raise model_not_found(field.removeprefix("query.").removeprefix("path."))
    return name
