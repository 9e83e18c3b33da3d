"""What a route says that cannot be meant; `golden/` has each sentence in its place."""

import pytest

from proxy.config.flaws import flaws_of
from proxy.config.schema import RouteEntry

GET = frozenset({"GET"})


def flaws(pattern: str, **fields: object) -> list[str]:
    entry = RouteEntry.model_validate({"match": f"GET {pattern}", "target": "/a", **fields})
    return list(flaws_of(entry, GET, pattern))


SENSIBLE: list[tuple[str, dict[str, object]]] = [
    ("/a", {}),
    ("/a/{id}", {"target": "/a/{id}", "task": "path.id"}),
    ("/a", {"model": ["body.model", "query.model"], "also_model": "body.tools[].model"}),
    ("/a", {"also_model": ["body.a?[].b", "body.a?[].c?.d", "body.b[].a"]}),
    ("/a", {"websocket": "frames", "model": "frame.payload.model"}),
    ("/a", {"websocket": "session", "model": "query.model", "also_model": "frame.model"}),
]


@pytest.mark.parametrize(("pattern", "fields"), SENSIBLE)
def test_what_fits_has_no_flaws(pattern: str, fields: dict[str, object]) -> None:
    """A route that can be meant is left alone."""
    assert flaws(pattern, **fields) == []


NONSENSE: list[tuple[str, dict[str, object], str]] = [
    ("/a/{id}", {"target": "/{other}"}, "{other} is not captured"),
    ("/a/{x**}/b", {}, "must stand last"),
    ("/a", {"task": "path.id"}, "is not captured"),
    ("/a", {"model": "frame.model"}, "a WebSocket has frames"),
    ("/a", {"also_model": ["body.a?[].b", "body.a[].c"]}, "a stands with `?` and without"),
    ("/a", {"model": "body.a.b", "also_model": "body.a?.c"}, "a stands with `?` and without"),
    (
        "/a",
        {"also_model": "body.a.b.c", "tenant_safe": {"at": "body.a.b?.d", "values": [None]}},
        "a.b stands with `?` and without",
    ),
    ("/a", {"websocket": "frames", "model": "query.model"}, "nothing would be judged"),
    ("/a", {"websocket": "session", "model": "frame.model"}, "nothing would be judged"),
]


@pytest.mark.parametrize(("pattern", "fields", "flaw"), NONSENSE)
def test_what_does_not_fit_is_told(pattern: str, fields: dict[str, object], flaw: str) -> None:
    """One sentence each, with what would be right."""
    assert any(flaw in told for told in flaws(pattern, **fields))
