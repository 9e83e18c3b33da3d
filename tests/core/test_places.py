"""The tree of places: what is judged, what leads there, and what is heard for the price."""

from proxy.core.claims import Input
from proxy.core.dialects import UNHEEDING
from proxy.core.places import Place, all_of, places_of

TOOL = ("tools", "[]", "model")


def at(root: Place, *path: str) -> Place:
    """The place at a path."""
    for name in path:
        inner = root.item if name == "[]" else root.named[name.encode()]
        assert inner is not None
        root = inner
    return root


def test_what_leads_to_a_judged_place_is_strict() -> None:
    """It must begin as the place needs it; an array's items have places of their own."""
    places = places_of([("model",), TOOL], optional=[TOOL], texts=[("tools",)])
    model, tools, tool = (at(places.root, *path) for path in (("model",), ("tools",), TOOL))
    assert places.awaited == (model,)
    assert (model.is_judged, model.is_awaited, model.opener) == (True, True, None)
    assert (tools.is_judged, tools.is_strict, tools.opener) == (False, True, b"[")
    assert (tools.may_be_text, tools.is_awaited) == (True, False)
    assert tool in at(places.root, "tools", "[]").below
    assert not places.root.is_strict
    assert places.root.has_strict


def test_what_is_only_claimed_is_not_strict() -> None:
    """Below `parameters` or at the root, as the dialect says."""
    stream = at(places_of([("model",)]).root, "parameters", "stream")
    assert not stream.is_strict
    assert isinstance(stream.claim, Input)
    assert stream.claim.name == "stream"
    assert at(places_of([("model",)], dialect=UNHEEDING).root, "stream").claim


def test_what_is_judged_hides_a_claim_that_looks_like_it() -> None:
    """No claim stands for what a forgiving parser would take for the judged one."""
    root = places_of([("Stream",)], dialect=UNHEEDING).root
    assert b"stream" not in root.named
    assert root.alike["stream"] is root.named[b"Stream"]


def test_all_places_are_reached_from_the_root_once() -> None:
    """So that each has its path, and no other."""
    paths = [place.path for place in all_of(places_of([("model",), TOOL]).root)]
    assert len(paths) == len(set(paths))
    assert {(), ("model",), TOOL, TOOL[:2], TOOL[:1]} <= set(paths)
