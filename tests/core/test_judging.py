"""What a route demands: scope, the model wherever it is named, and staying within the tenant."""

from collections.abc import Mapping
from functools import partial

import pytest

from proxy.core.accounts import Account
from proxy.core.errors import ProxyError, Situation
from proxy.core.gate import Heard
from proxy.core.jsonscan import Path
from proxy.core.judging import (
    Named,
    body_gate,
    demand_scope,
    judge_address,
    judge_place,
    places_in_body,
)
from proxy.core.places import all_of
from proxy.core.policy import ACCOUNT, INFERENCE, Grant
from proxy.core.routes import Envelope, Match, Route, RouteTable, Safe
from proxy.core.target import parse_target

TENANT = Grant("id", "name", "tenant", ("ok", "kling/*"))
OWNER = Grant("id", "name", "tenant", ("ok", "kling/*"), frozenset({INFERENCE, ACCOUNT}))
MODEL: Path = ("model",)
TARGET: Path = ("input", "target_model")
ACTION: Path = ("input", "action")


def route(pattern: str = "/a", **fields: object) -> Route:
    return Route("name", frozenset({"GET"}), pattern, "/t", **fields)  # type: ignore[arg-type]


def met(one: Route, path: str) -> Match:
    return RouteTable([one]).match("GET", parse_target(path))


def heard(one: Route, grant: Grant, named: Mapping[Path, Heard]) -> dict[Path, str]:
    """What the judges let pass of what a body names; the first refusal comes out."""
    passed = Named()
    judged, optional = judged_in(one, grant)
    assert judged <= set(named)
    for path in sorted(judged):
        if named[path] is not None or path not in optional:
            judge_place(one, grant, passed, path, named[path])
    return passed.models


def judged_in(one: Route, grant: Grant) -> tuple[set[Path], set[Path]]:
    """What is judged in a body, and what of it may be absent."""
    places = places_in_body(one, whole_account=ACCOUNT in grant.scopes)
    if places is None:
        return set(), set()
    judged = {place.path for place in all_of(places.root) if place.is_judged}
    return judged, judged - {place.path for place in places.awaited}


@pytest.mark.parametrize(
    ("scope", "scopes", "reached"),
    [
        (INFERENCE, {INFERENCE}, True),
        (INFERENCE, {ACCOUNT}, False),
        (INFERENCE, set(), False),
        (ACCOUNT, {INFERENCE}, False),
        (ACCOUNT, {INFERENCE, ACCOUNT}, True),
        (None, {INFERENCE, ACCOUNT}, False),
        (None, set(), False),
    ],
)
def test_a_route_is_reached_with_its_scope(
    scope: str | None, scopes: set[str], *, reached: bool
) -> None:
    """The route's own scope and no other; without one, no token reaches it."""
    grant = Grant("id", "name", "tenant", ("*",), frozenset(scopes))
    if reached:
        demand_scope(route(scope=scope), grant)
        return
    with pytest.raises(ProxyError, match=f"`{scope}`" if scope else "closed") as refusal:
        demand_scope(route(scope=scope), grant)
    assert refusal.value.situation is Situation.ACCESS_DENIED


# A request, how its route reads the model, and the model judged or the refusal.
BODY = route(models=(MODEL,))
QUERY = route(query_model="model")
OTHER_QUERY = route(query_model="model_name")
PATH = route("/m/{model**}", path_model="model")
NONE = route()
ADDRESSES: list[tuple[Route, str, str | Situation | None]] = [
    (QUERY, "/a?model=ok", "ok"),
    (QUERY, "/a?x=1&model=kling%2Fv3", "kling/v3"),
    (QUERY, "/a?model=bad", Situation.MODEL_NOT_FOUND),
    (QUERY, "/a?model=OK", Situation.MODEL_NOT_FOUND),
    (QUERY, "/a?model=ok+", Situation.MODEL_NOT_FOUND),
    (QUERY, "/a?model=", Situation.EMPTY_MODEL),
    (QUERY, "/a?model", Situation.EMPTY_MODEL),
    (QUERY, "/a", Situation.EMPTY_MODEL),
    (QUERY, "/a?model_name=ok", Situation.EMPTY_MODEL),
    (QUERY, "/a?model=ok&model=ok", Situation.ILLEGAL_INPUT),
    (QUERY, "/a?model=ok&Model=bad", Situation.ILLEGAL_INPUT),
    (QUERY, "/a?model=ok;model=bad", Situation.ILLEGAL_INPUT),
    (QUERY, "/a?model=%ff", Situation.ILLEGAL_INPUT),
    (OTHER_QUERY, "/a?model_name=ok", "ok"),
    (OTHER_QUERY, "/a?model_name=bad", Situation.MODEL_NOT_FOUND),
    (OTHER_QUERY, "/a?model_name=bad&model=ok", Situation.MODEL_NOT_FOUND),
    (OTHER_QUERY, "/a?model_name=ok&model=bad", Situation.MODEL_NOT_FOUND),
    (OTHER_QUERY, "/a?model_name=ok&model=ok", "ok"),
    (OTHER_QUERY, "/a?model=ok", Situation.EMPTY_MODEL),
    (OTHER_QUERY, "/a?model_name=ok&model_name=ok", Situation.ILLEGAL_INPUT),
    (BODY, "/a", None),
    (BODY, "/a?model=ok", None),
    (BODY, "/a?model=bad", Situation.MODEL_NOT_FOUND),
    (BODY, "/a?model=ok&model=bad", Situation.ILLEGAL_INPUT),
    (PATH, "/m/ok", "ok"),
    (PATH, "/m/ok/", "ok"),
    (PATH, "/m/kling/v3", "kling/v3"),
    (PATH, "/m/kling%2Dv3", Situation.MODEL_NOT_FOUND),
    (PATH, "/m/%6Fk", "ok"),
    (PATH, "/m/bad", Situation.MODEL_NOT_FOUND),
    (PATH, "/m/ok?model=bad", Situation.MODEL_NOT_FOUND),
    (NONE, "/a?model=bad", None),
]


@pytest.mark.parametrize(("one", "path", "expected"), ADDRESSES)
def test_a_model_in_the_address_is_judged(
    one: Route, path: str, expected: str | Situation | None
) -> None:
    """The route's parameter or capture, and `model` in any query: upstream might look there."""
    match = met(one, path)
    if not isinstance(expected, Situation):
        assert judge_address(match, TENANT) == expected
        return
    with pytest.raises(ProxyError) as refusal:
        judge_address(match, TENANT)
    assert refusal.value.situation is expected


KEPT = route(
    models=(MODEL,),
    tenant_safe=(
        (("previous_id",), (None,)),
        (ACTION, ("make",)),
        (("tools", "[]", "type"), ("x",)),
    ),
)
STORED: list[tuple[str, Situation | None]] = [
    ("/a", None),
    ("/a?x=1&type=y&input=z&tools=[]", None),
    ("/a?previous_id=r", Situation.ACCESS_DENIED),
    ("/a?previous_id", Situation.ACCESS_DENIED),
    ("/a?previous%5Fid=r&model=ok", Situation.ACCESS_DENIED),
    ("/a?previousId=r", Situation.ILLEGAL_INPUT),
    ("/a?action=make", Situation.ACCESS_DENIED),
    ("/a?Action=list", Situation.ILLEGAL_INPUT),
    ("/a?x=1;action=list", Situation.ILLEGAL_INPUT),
]


@pytest.mark.parametrize(("path", "situation"), STORED)
def test_what_is_confined_in_the_body_stays_out_of_the_query(
    path: str, situation: Situation | None
) -> None:
    """Upstream might look there: such a name needs the scope, whatever its value."""
    match = met(KEPT, path)
    if situation is not Situation.ILLEGAL_INPUT:
        assert judge_address(match, OWNER) is None
    if situation is None:
        assert judge_address(match, TENANT) is None
        return
    with pytest.raises(ProxyError, match=r"^query\.(previous_id|action): ") as refusal:
        judge_address(match, TENANT)
    assert refusal.value.situation is situation


BODIES: list[tuple[Grant, dict[Path, str | None], Situation | None]] = [
    (TENANT, {MODEL: "ok", TARGET: "kling/v3", ACTION: "make"}, None),
    (TENANT, {MODEL: "bad", TARGET: "ok", ACTION: "make"}, Situation.MODEL_NOT_FOUND),
    (TENANT, {MODEL: "ok", TARGET: "bad", ACTION: "make"}, Situation.MODEL_NOT_FOUND),
    (TENANT, {MODEL: None, TARGET: "ok", ACTION: "make"}, Situation.EMPTY_MODEL),
    (TENANT, {MODEL: "ok", TARGET: None, ACTION: "make"}, Situation.EMPTY_MODEL),
    (TENANT, {MODEL: "ok", TARGET: "", ACTION: "make"}, Situation.EMPTY_MODEL),
    (TENANT, {MODEL: "ok", TARGET: "ok", ACTION: "list"}, Situation.ACCESS_DENIED),
    (TENANT, {MODEL: "ok", TARGET: "ok", ACTION: "Make"}, Situation.ACCESS_DENIED),
    (TENANT, {MODEL: "ok", TARGET: "ok", ACTION: "make "}, Situation.ACCESS_DENIED),
    (TENANT, {MODEL: "ok", TARGET: "ok", ACTION: ""}, Situation.ACCESS_DENIED),
    (TENANT, {MODEL: "ok", TARGET: "ok", ACTION: None}, Situation.ACCESS_DENIED),
    (OWNER, {MODEL: "ok", TARGET: "ok"}, None),
    (OWNER, {MODEL: "ok", TARGET: None}, None),
    (OWNER, {MODEL: "ok", TARGET: ""}, Situation.EMPTY_MODEL),
    (OWNER, {MODEL: "ok", TARGET: "bad"}, Situation.MODEL_NOT_FOUND),
    (OWNER, {MODEL: None, TARGET: "ok"}, Situation.EMPTY_MODEL),
    (OWNER, {MODEL: "bad", TARGET: None}, Situation.MODEL_NOT_FOUND),
]


@pytest.mark.parametrize(("grant", "named", "expected"), BODIES)
def test_every_place_in_the_body_is_judged(
    grant: Grant, named: dict[Path, str | None], expected: Situation | None
) -> None:
    """Each place names an allowed model; a tenant's action stays within the tenant."""
    customization = route(models=(MODEL, TARGET), tenant_safe=((ACTION, ("make", "create")),))
    if expected is None:
        models = {path: named[path] for path in (MODEL, TARGET) if named[path] is not None}
        assert heard(customization, grant, named) == models
        return
    with pytest.raises(ProxyError) as refusal:
        heard(customization, grant, named)
    assert refusal.value.situation is expected


TOOL: Path = ("tools", "[]", "store")
CONFINED: list[tuple[tuple[Safe, ...], Heard, bool]] = [
    ((None,), "id", False),
    ((None,), "", False),
    ((None,), True, False),
    ((None,), False, False),
    ((None, False), False, True),
    ((None, False), True, False),
    ((None, False), "false", False),
    ((True, "a*"), True, True),
    ((True, "a*"), "abc", True),
    ((True, "a*"), "b", False),
    ((True, "a*"), None, False),
]


@pytest.mark.parametrize(("values", "told", "passes"), CONFINED)
def test_a_tenant_keeps_to_the_safe_values(
    values: tuple[Safe, ...], told: Heard, *, passes: bool
) -> None:
    """Texts by pattern, truth values as they are; absent only where the route says so.

    The refusal names the place and what would be right; the whole account is asked nothing.
    """
    one = route(tenant_safe=((TOOL, values),))
    assert judged_in(one, TENANT) == ({TOOL}, {TOOL} if None in values else set())
    assert judged_in(one, OWNER) == (set(), set())
    if passes:
        judge_place(one, TENANT, Named(), TOOL, told)
        return
    with pytest.raises(ProxyError, match=r"^tools\[\]\.store: must be .*`account`") as refusal:
        judge_place(one, TENANT, Named(), TOOL, told)
    assert refusal.value.situation is Situation.ACCESS_DENIED
    assert refusal.value.param == "tools[].store"


def test_what_is_heard_late_must_be_the_accounts_too() -> None:
    """Once the call has an account, a model it is not bound to run is as unknown as any other."""
    named = Named()
    judge = partial(judge_place, route(models=(MODEL,), also_models=(TARGET,)), TENANT, named)
    judge(MODEL, "ok")
    named.account = Account("a", "https://a.example", "k", models=("o*",))
    with pytest.raises(ProxyError) as refusal:
        judge(TARGET, "kling/v3")
    assert refusal.value.situation is Situation.MODEL_NOT_FOUND
    judge(TARGET, "ok")
    assert named.models == {MODEL: "ok", TARGET: "ok"}


def test_what_is_demanded_is_the_routes_own() -> None:
    """A route without places demands nothing; the tenant's places vanish for the whole account."""
    customization = route(models=(MODEL, TARGET), tenant_safe=((ACTION, ("make",)),))
    assert judged_in(route(), TENANT) == (set(), set())
    assert judged_in(customization, TENANT) == ({MODEL, TARGET, ACTION}, set())
    assert judged_in(customization, OWNER) == ({MODEL, TARGET}, {TARGET})


def test_a_refusal_tells_nobody_which_models_exist() -> None:
    """Wherever the model stands, one answer, which does not repeat it."""
    messages = set()
    for one, path in ((QUERY, "/a?model=bad"), (PATH, "/m/bad")):
        with pytest.raises(ProxyError) as refusal:
            judge_address(met(one, path), TENANT)
        messages.add(refusal.value.message)
    with pytest.raises(ProxyError) as refusal:
        heard(BODY, TENANT, {MODEL: "bad"})
    messages.add(refusal.value.message)
    assert len(messages) == 1
    assert "bad" not in messages.pop()


def test_a_gate_hears_the_price_where_upstream_reads_it() -> None:
    """In `parameters` on native routes, at the root on others; no gate where nothing is judged."""
    body = b'{"model":"ok","stream":false,"parameters":{"stream":true}}'
    for envelope, told in ((Envelope.NATIVE, "true"), (Envelope.OPENAI, "false")):
        gate = body_gate(route(models=(MODEL,), envelope=envelope), OWNER, Named())
        assert gate is not None
        gate.feed(body)
        gate.finish()
        assert gate.noted == {"stream": told}
    assert body_gate(route(), OWNER, Named()) is None
